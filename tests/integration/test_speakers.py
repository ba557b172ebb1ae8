"""Roles of the voices of mono calls in Postgres, and decisions of people on them."""

from pathlib import Path

import pytest

from callpipeline.domain.audio import Channel, Speaker, compute_metrics
from callpipeline.domain.calls.call import CallState, Stage
from callpipeline.domain.transcripts import Segment, Transcript, Voice
from callpipeline.errors import UnknownCall, UnknownVoices
from callpipeline.wiring import Storage
from tests.builders import a_channel, a_judgement, a_mention, a_split, a_write, channel_files
from tests.integration.calls import enter, row

SPLIT = a_split(a_channel(Channel.MIXED, (0.0, 5.0), duration_s=20.0))
AGENT, CUSTOMER, UNKNOWN = Speaker.AGENT, Speaker.CUSTOMER, Speaker.UNKNOWN
MENTION = a_mention("Vodafone", channel=Channel.MIXED, segment_index=1)


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


def a_mono_transcript(*roles: Speaker) -> Transcript:
    """Build a transcript of two voices, which talk for 2 and 2.5 of 5 seconds."""
    first, second = roles or (UNKNOWN, UNKNOWN)
    segments = (
        Segment(0, 0.0, 2.0, Channel.MIXED, first, "hello", (), 1, 0.9),
        Segment(1, 2.0, 4.5, Channel.MIXED, second, "we left vodafone", (), 2, 0.8),
        Segment(2, 4.5, 5.0, Channel.MIXED, UNKNOWN, "bye", ()),
    )
    voices = (Voice(1, 2.0, first), Voice(2, 2.5, second))
    return Transcript(Channel.MIXED, UNKNOWN, "engine", segments, voices=voices)


def process(storage: Storage, call_id: str, folder: Path, transcript: Transcript) -> None:
    storage.claims.claim([call_id], "run-1", recompute=list(Stage))
    results = storage.results
    files = channel_files(SPLIT, folder / "files")
    results.save_audio(a_write(call_id, Stage.CHANNEL_AUDIO), SPLIT, files)
    metrics = compute_metrics(20.0, SPLIT.channels, "detector")
    results.save_metrics(a_write(call_id, Stage.CALL_METRICS), metrics)
    (stored,) = results.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS), [transcript])
    (found,) = results.save_mentions(
        a_write(call_id, Stage.COMPETITOR_MENTIONS),
        [a_mention("Vodafone", channel=Channel.MIXED, segment_index=1)],
    )
    judged = [a_judgement(found)]
    results.save_sentiment(a_write(call_id, Stage.COMPETITOR_SENTIMENT), judged)
    assert storage.claims.complete(call_id, "run-1") is CallState.COMPLETED
    assert stored == results.transcripts(call_id)[0]


@pytest.fixture
def call_id(storage: Storage) -> str:
    return enter(storage, "mono.wav")[0]


def roles(storage: Storage, call_id: str) -> list[Speaker]:
    """Return the speakers of the segments, as rows and documents agree."""
    (transcript,) = storage.results.transcripts(call_id)
    statement = "SELECT speaker FROM segments WHERE call_id = %s ORDER BY segment_index"
    rows = storage.database.with_retry(lambda c: c.execute(statement, [call_id]).fetchall())
    assert [each["speaker"] for each in rows] == [each.speaker for each in transcript.segments]
    return [each.speaker for each in transcript.segments]


def talk_times(storage: Storage, call_id: str) -> tuple[float, float, float]:
    metrics = storage.results.metrics(call_id)
    assert metrics
    return metrics["agent_talk_s"], metrics["customer_talk_s"], metrics["unknown_talk_s"]


def test_talk_time_is_divided_by_the_roles_of_voices(
    storage: Storage, call_id: str, tmp_path: Path
) -> None:
    process(storage, call_id, tmp_path, a_mono_transcript(AGENT, CUSTOMER))
    assert talk_times(storage, call_id) == pytest.approx((2.0, 2.5, 0.5))


def test_without_roles_all_talk_time_is_unknown(
    storage: Storage, call_id: str, tmp_path: Path
) -> None:
    process(storage, call_id, tmp_path, a_mono_transcript())
    assert talk_times(storage, call_id) == pytest.approx((0.0, 0.0, 5.0))


def test_metrics_computed_again_keep_the_roles(
    storage: Storage, call_id: str, tmp_path: Path
) -> None:
    process(storage, call_id, tmp_path, a_mono_transcript(AGENT, CUSTOMER))
    storage.claims.claim([call_id], "run-1", recompute=[Stage.CALL_METRICS])
    metrics = compute_metrics(20.0, SPLIT.channels, "detector")
    storage.results.save_metrics(a_write(call_id, Stage.CALL_METRICS), metrics)
    assert talk_times(storage, call_id) == pytest.approx((2.0, 2.5, 0.5))


def test_a_decision_changes_segments_mentions_and_talk_time(
    storage: Storage, call_id: str, tmp_path: Path
) -> None:
    process(storage, call_id, tmp_path, a_mono_transcript(AGENT, CUSTOMER))
    before = row(storage, call_id)["updated_at"]
    judgements = storage.results.judgements(call_id)
    decision = storage.speakers.decide(call_id, 2, "ann")
    assert (decision.agent_voice, decision.decided_by) == (2, "ann")
    assert storage.speakers.decision(call_id) == decision
    assert roles(storage, call_id) == [CUSTOMER, AGENT, UNKNOWN]
    assert [each.speaker for each in storage.speakers.voices(call_id)] == [CUSTOMER, AGENT]
    assert [each.speaker for each in storage.results.mentions(call_id)] == [AGENT]
    assert talk_times(storage, call_id) == pytest.approx((2.5, 2.0, 0.5))
    assert storage.results.judgements(call_id) == judgements
    assert row(storage, call_id)["updated_at"] > before


def test_a_decision_holds_when_the_call_is_processed_again(
    storage: Storage, call_id: str, tmp_path: Path
) -> None:
    process(storage, call_id, tmp_path, a_mono_transcript(AGENT, CUSTOMER))
    storage.speakers.decide(call_id, 2)
    process(storage, call_id, tmp_path, a_mono_transcript(AGENT, CUSTOMER))
    assert roles(storage, call_id) == [CUSTOMER, AGENT, UNKNOWN]
    assert [each.speaker for each in storage.results.mentions(call_id)] == [AGENT]


def test_the_last_decision_holds(storage: Storage, call_id: str, tmp_path: Path) -> None:
    process(storage, call_id, tmp_path, a_mono_transcript())
    storage.speakers.decide(call_id, 2)
    storage.speakers.decide(call_id, 1)
    assert roles(storage, call_id) == [AGENT, CUSTOMER, UNKNOWN]


def test_voices_that_are_not_found_again_are_gone(
    storage: Storage, call_id: str, tmp_path: Path
) -> None:
    process(storage, call_id, tmp_path, a_mono_transcript(AGENT, CUSTOMER))
    segment = Segment(0, 0.0, 4.5, Channel.MIXED, UNKNOWN, "hello", ())
    other = Segment(1, 4.5, 5.0, Channel.MIXED, UNKNOWN, "vodafone", ())
    without = Transcript(Channel.MIXED, UNKNOWN, "engine", (segment, other))
    process(storage, call_id, tmp_path, without)
    assert storage.speakers.voices(call_id) == ()
    assert talk_times(storage, call_id) == pytest.approx((0.0, 0.0, 5.0))
    with pytest.raises(UnknownVoices):
        storage.speakers.decide(call_id, 1)


def test_an_unknown_call_has_no_voices(storage: Storage) -> None:
    with pytest.raises(UnknownCall):
        storage.speakers.decide("2026-03-02-000000000000", 1)
    assert storage.speakers.decision("2026-03-02-000000000000") is None


def test_an_erased_call_leaves_no_voices_and_decisions(
    storage: Storage, call_id: str, tmp_path: Path
) -> None:
    process(storage, call_id, tmp_path, a_mono_transcript(AGENT, CUSTOMER))
    storage.speakers.decide(call_id, 2, "ann")
    storage.erasures.begin([call_id], keep_recording=False)
    assert storage.speakers.voices(call_id) == ()
    assert storage.speakers.decision(call_id) is None
