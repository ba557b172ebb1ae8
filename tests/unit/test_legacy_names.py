"""Names of the old system: ids, paths, detection methods."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.domain.audio import Channel
from callpipeline.domain.calls.legacy import (
    IMPORTED_BUCKET,
    OldTranscriptPath,
    call_of_uuid,
    detection_method,
    is_uuid,
    job_uuid,
    mention_uuid,
    side_of,
)

OLD = "7f0c7b1e-93f8-4d58-8a4e-0d7c2d1b5e11"


@given(st.dates(), st.from_regex(r"[0-9a-f]{12}", fullmatch=True))
def test_a_uuid_contains_its_call_id(day: object, digest: str) -> None:
    call_id = f"{day}-{digest}"
    found = job_uuid(call_id)
    assert (uuid.UUID(found).version, uuid.UUID(found).variant) == (8, uuid.RFC_4122)
    assert call_of_uuid(found) == call_of_uuid(found.upper()) == call_id
    assert found[:8] == digest[:8], "the old client shows these characters"


@pytest.mark.parametrize(
    "text",
    [
        OLD,
        "",
        "2026-03-02-0123456789ab",
        "01234567-89ab-8000-8000-000020261301",
        "01234567-89ab-8000-8000-0000202603٠2",
        "01234567-89ab-8000-8000-000020260302\n",
    ],
)
def test_other_texts_contain_no_call_id(text: str) -> None:
    assert call_of_uuid(text) is None


def test_imported_calls_keep_their_uuid() -> None:
    call_id = "2026-03-02-0123456789ab"
    assert job_uuid(call_id, IMPORTED_BUCKET, f"{OLD}/a.wav") == OLD
    assert job_uuid(call_id, "recordings", f"{OLD}/a.wav") == job_uuid(call_id)
    assert is_uuid(OLD) and not is_uuid(f"{OLD}/")


def test_mentions_have_stable_ids() -> None:
    one = mention_uuid("2026-03-02-0123456789ab", "right.3.7.EE")
    assert one == mention_uuid("2026-03-02-0123456789ab", "right.3.7.EE")
    assert one != mention_uuid("2026-03-02-0123456789ac", "right.3.7.EE")
    assert uuid.UUID(one).version == 5


@pytest.mark.parametrize(
    ("engine", "rule", "method"),
    [
        ("lexicon", "wording: 'cheap' → praise", "rule-based"),
        ("pattern", "negative pattern: 'rip off'", "rule-based"),
        ("encoder", "", "llm-based"),
        ("openai:gpt", "the rules say so", "llm-based"),
        ("remote", "rule-based: pattern 'bad'", "rule-based"),
        ("remote", "llm-based: the rule of thumb", "llm-based"),
        ("remote", "the service: pattern", "llm-based"),
        ("imported", "rule-based", "rule-based"),
        ("imported", "llm-based", "llm-based"),
    ],
)
def test_detection_methods_are_the_old_ones(engine: str, rule: str, method: str) -> None:
    assert detection_method(engine, rule) == method


def test_paths_of_transcripts_are_parsed() -> None:
    path = f"transcripts/{OLD}/left_transcript.json"
    assert OldTranscriptPath.parse(path) == OldTranscriptPath(OLD, "left")
    assert str(OldTranscriptPath(OLD, "left")) == path
    for wrong in (f"/{path}", f"{path}x", path.replace("left", "mixed"), "transcripts/x/left"):
        assert OldTranscriptPath.parse(wrong) is None
    assert [side_of(each) for each in Channel] == ["left", "right", "left"]
