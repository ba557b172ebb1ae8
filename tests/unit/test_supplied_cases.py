"""Transcripts in the forms that other tools write: one file of each, with who says what."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from callpipeline.domain.audio import Speaker
from callpipeline.domain.transcripts import Transcript, interleave
from callpipeline.engines.transcribe.supplied import parse_supplied

DATA = Path(__file__).parents[1] / "data"
CASES = DATA / "transcripts"
OTHER_CASES = DATA / "supplied"
"""Written for these tests after the public descriptions of the formats."""
OTHERS: dict[str, Any] = yaml.safe_load((OTHER_CASES / "expected.yaml").read_text())
VARIANTS: dict[str, Any] = yaml.safe_load((DATA / "supplied_variants.yaml").read_text())
AGENT, CUSTOMER, UNKNOWN = Speaker.AGENT, Speaker.CUSTOMER, Speaker.UNKNOWN

SAID: dict[str, list[tuple[Speaker, str]]] = {
    "t01-aws-transcribe-channels.json": [(AGENT, "hello"), (CUSTOMER, "Vodafone")],
    "t02-contact-lens.json": [(AGENT, "Hello"), (CUSTOMER, "I am moving to Vodafone")],
    "t03-deepgram-multichannel.json": [(AGENT, "hello"), (CUSTOMER, "moving to vodafone")],
    "t06-google-stt.json": [(AGENT, "hello"), (CUSTOMER, "moving to vodafone")],
    "t07-whisperx.json": [(UNKNOWN, "I paid 43 to Vodafone")],
    "t08-whisper-cpp.json": [(UNKNOWN, "Moving to Vodafone.")],
    "t09-openai-verbose.json": [(UNKNOWN, "Moving to Vodafone.")],
    "t09b-openai-diarized.json": [(AGENT, "Moving to Vodafone.")],
    "t10-hf-chunks.json": [(UNKNOWN, "Moving to Vodafone"), (UNKNOWN, "bye")],
    "t11-vosk.json": [(UNKNOWN, "vodafone")],
    "t13-twilio-vi.json": [(CUSTOMER, "Moving to Vodafone")],
    "t14-array-of-segments.json": [(AGENT, "Hello"), (CUSTOMER, "moving to Vodafone")],
    "t20-teams.vtt": [
        (UNKNOWN, "Hello, Riverside Telecom."),
        (UNKNOWN, "I am moving to Vodafone because it is cheaper."),
    ],
    "t21-zoom.vtt": [
        (UNKNOWN, "Hello, Riverside Telecom."),
        (UNKNOWN, "I am moving to Vodafone because it is cheaper."),
    ],
    "t21b-zoom-names-are-brands.vtt": [
        (UNKNOWN, "Hello, Riverside Telecom."),
        (UNKNOWN, "I need the bill for June."),
        (UNKNOWN, "Certainly, one moment."),
        (UNKNOWN, "Thank you."),
    ],
    "t22-youtube-rolling.vtt": [(UNKNOWN, "I am moving"), (UNKNOWN, "to Vodafone")],
    "t23-srt-blank-line-in-cue.srt": [
        (UNKNOWN, "Hello there from Riverside"),
        (UNKNOWN, "moving to Vodafone"),
    ],
    "t24-srt-cp1252.srt": [(UNKNOWN, "It costs £20 at Vodafone, that’s fine")],
    "t25-srt-empty-cue.srt": [(UNKNOWN, "moving to Vodafone")],
    "t27-vtt-header-block.vtt": [(UNKNOWN, "moving to Vodafone")],
    "t29-srt-roles-brackets.srt": [
        (AGENT, "Hello"),
        (CUSTOMER, "moving to Vodafone"),
        (AGENT, "OK"),
        (AGENT, "bye Three"),
        (UNKNOWN, "EE"),
        (UNKNOWN, "Sky"),
    ],
    "t30-srt-cr-only.srt": [(UNKNOWN, "moving to Vodafone")],
    "t31-srt-dot-times-3digit-hours.srt": [(UNKNOWN, "moving to Vodafone")],
    "t33-srt-negative.srt": [(UNKNOWN, "moving to Vodafone")],
    "t34-spelling-caller-roles.vtt": [
        (AGENT, "Hello"),
        (CUSTOMER, "moving to Vodafone"),
        (CUSTOMER, "EE"),
        (AGENT, "Three"),
    ],
}
REPAIRED = {
    "t06-google-stt.json": "a missing time",
    "t10-hf-chunks.json": "a missing time",
    "t22-youtube-rolling.vtt": "a line that rolling captions repeat",
    "t23-srt-blank-line-in-cue.srt": "a blank line inside a cue",
    "t24-srt-cp1252.srt": "Windows-1252",
    "t27-vtt-header-block.vtt": "a style outside of a STYLE block",
}


def read(name: str, content: bytes, **speakers: Speaker) -> tuple[Transcript, ...]:
    found = parse_supplied(name, content, "left", speakers)
    assert found is not None
    return found


def said(transcripts: tuple[Transcript, ...]) -> list[tuple[Speaker, str]]:
    return [(segment.speaker, segment.text) for segment in interleave(transcripts)]


def test_every_case_is_here() -> None:
    assert sorted(path.name for path in CASES.iterdir()) == sorted(SAID)


@pytest.mark.parametrize("name", SAID)
def test_the_words_and_speakers_of_a_case_are_right(name: str) -> None:
    transcripts = read(name, (CASES / name).read_bytes())
    assert said(transcripts) == SAID[name]
    flags = [flag.detail for transcript in transcripts for flag in transcript.flags]
    assert len(flags) == (name in REPAIRED)
    assert REPAIRED.get(name, "") in "".join(flags)


@pytest.mark.parametrize("name", SAID)
def test_times_are_in_order_and_words_make_up_the_text(name: str) -> None:
    for segment in interleave(read(name, (CASES / name).read_bytes())):
        assert 0 <= segment.start_s <= segment.end_s < 10
        if segment.words:
            assert " ".join(word.text for word in segment.words) == segment.text


@pytest.mark.parametrize(
    "name", ["t20-teams.vtt", "t21-zoom.vtt", "t21b-zoom-names-are-brands.vtt"]
)
def test_named_speakers_have_voices_and_the_source_gives_their_roles(name: str) -> None:
    content = (CASES / name).read_bytes()
    (transcript,) = read(name, content)
    assert [voice.number for voice in transcript.voices] == [1, 2]
    roles = {"Ann Abbot": AGENT, "Sky Taylor": AGENT, "bert  cole": CUSTOMER, "Tom (*": CUSTOMER}
    expected = [AGENT, CUSTOMER] * (len(SAID[name]) // 2)
    assert [speaker for speaker, _ in said(read(name, content, **roles))] == expected
    # One of two is known, so the other one is the other side; or any other is the customer.
    for one in (
        {"Ann Abbot": AGENT, "Sky Taylor": AGENT},
        {"*": CUSTOMER, "Ann*": AGENT, "Sky *": AGENT},
    ):
        assert [speaker for speaker, _ in said(read(name, content, **one))] == expected


def test_the_source_may_turn_the_channels_around() -> None:
    content = (CASES / "t01-aws-transcribe-channels.json").read_bytes()
    roles = {"ch_0": CUSTOMER, "ch_1": AGENT}
    assert said(read("a.json", content, **roles)) == [(CUSTOMER, "hello"), (AGENT, "Vodafone")]
    found = parse_supplied("a.json", content, "right")
    assert found and said(found) == [(CUSTOMER, "hello"), (AGENT, "Vodafone")]


@pytest.mark.parametrize("name", OTHERS)
def test_other_forms_and_tools_are_read_by_their_shape(name: str) -> None:
    transcripts = read(name, (OTHER_CASES / name).read_bytes())
    assert [[str(speaker), text] for speaker, text in said(transcripts)] == OTHERS[name]["said"]
    flags = [flag.detail for transcript in transcripts for flag in transcript.flags]
    assert len(flags) == ("repaired" in OTHERS[name])
    assert OTHERS[name].get("repaired", "") in "".join(flags)


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_of_the_forms_are_read_with_their_speakers_and_times(name: str) -> None:
    about = VARIANTS[name]
    text = about["text"] if "text" in about else json.dumps(about["json"])
    content = text.encode(about.get("encoding", "utf-8"))
    roles = {label: Speaker(role) for label, role in about.get("speakers", {}).items()}
    transcripts = read(about["file"], content, **roles)
    assert [
        [str(s.speaker), s.text, round(s.start_s, 2), round(s.end_s, 2)]
        for s in interleave(transcripts)
    ] == about["said"]
    flags = [flag.detail for transcript in transcripts for flag in transcript.flags]
    assert len(flags) == ("repaired" in about)
    assert about.get("repaired", "") in "".join(flags)
    for segment in interleave(transcripts):
        assert not segment.words or " ".join(w.text for w in segment.words) == segment.text


def test_words_of_a_stream_that_broke_off_are_kept() -> None:
    """An interim result goes only if a final one follows it."""

    def result(start_s: float, text: str, *, is_final: bool) -> dict[str, Any]:
        word = {"word": text, "start": start_s, "end": start_s + 0.5}
        choice = {"transcript": text, "words": [word]}
        stated = {"is_final": is_final, "channel_index": [0, 1], "start": start_s}
        return stated | {"channel": {"alternatives": [choice]}}

    stream = [
        result(0, "hel", is_final=False),
        result(0, "hello.", is_final=True),
        result(2, "vo", is_final=False),
        result(2, "vodafone.", is_final=False),
    ]
    assert said(read("a.json", json.dumps(stream).encode())) == [
        (UNKNOWN, "hello."),
        (UNKNOWN, "vodafone."),
    ]
    all_interim = [result(0, "hello.", is_final=False), result(2, "sky.", is_final=False)]
    assert [text for _, text in said(read("a.json", json.dumps(all_interim).encode()))] == [
        "hello.",
        "sky.",
    ]


def segment(start_s: float, text: str, **fields: Any) -> dict[str, Any]:
    return {"start": start_s, "end": start_s + 1, "text": text} | fields


@pytest.mark.parametrize(
    ("document", "texts"),
    [
        (
            [
                segment(0, "hello", channel=0, is_final=True),
                segment(1, "moving to Vodafone", channel=1, is_final=False),
                segment(2, "ok", channel=0, is_final=True),
                segment(3, "bye", channel=0, is_final=False),
            ],
            ["hello", "moving to Vodafone", "ok", "bye"],
        ),
        (
            [
                segment(0, "hello there", type="final"),
                segment(1, "Vodafone is", type="partial"),
                segment(3, "good bye", type="final"),
            ],
            ["hello there", "Vodafone is", "good bye"],
        ),
        (
            [
                segment(0, "Vodafone is", event="partial refund asked"),
                segment(0.5, "hello there", type="final"),
            ],
            ["Vodafone is", "hello there"],
        ),
        (
            [
                segment(0, "hel", channel=0, is_final=False),
                segment(0.5, "at Vodafone", channel=1, is_final=True),
                segment(0, "hello", channel=0, is_final=True),
            ],
            ["hello", "at Vodafone"],
        ),
    ],
)
def test_speech_goes_only_where_another_result_replaces_it(
    document: list[dict[str, Any]], texts: list[str]
) -> None:
    read_back = said(read("a.json", json.dumps({"segments": document}).encode()))
    assert " ".join(text for _, text in read_back) == " ".join(texts)


def test_numbered_entries_are_lines_and_no_channels() -> None:
    lines = [segment(0, "hello there") | {"words": [segment(0, "hello"), segment(0.5, "there")]}]
    lines += [segment(2, "at Vodafone") | {"words": [segment(2, "at"), segment(2.5, "Vodafone")]}]
    for document in ({"0": lines[0], "1": lines[1]}, {"0": [lines[0]], "1": [lines[1]]}):
        assert said(read("a.json", json.dumps(document).encode())) == [
            (UNKNOWN, "hello there"),
            (UNKNOWN, "at Vodafone"),
        ]
    sides = {"channels": {"0": [lines[0]], "1": [lines[1]]}}
    assert said(read("a.json", json.dumps(sides).encode())) == [
        (AGENT, "hello there"),
        (CUSTOMER, "at Vodafone"),
    ]


def test_names_of_chapters_are_no_speakers() -> None:
    chapter = {"start": 0, "end": 3, "name": "Greeting", "text": "A short greeting"}
    document = {
        "segments": [segment(0, "hello there you"), segment(2, "I am at Vodafone")],
        "chapters": [chapter, chapter | {"start": 3, "end": 5, "name": "Provider"}],
    }
    texts = [text for _, text in said(read("a.json", json.dumps(document).encode()))]
    assert " ".join(texts) == "hello there you I am at Vodafone"


def srt(cues: list[str]) -> bytes:
    return "\n".join(
        f"{n + 1}\n00:00:{n:02},000 --> 00:00:{n:02},900\n{cue}\n" for n, cue in enumerate(cues)
    ).encode()


def test_a_time_that_somebody_says_stays_in_captions_with_labels() -> None:
    cues = ["Agent: When?", "Customer: Soon", "Agent: Which day?", "Customer: Hm", "Tuesday 9:15"]
    texts = [text for _, text in said(read("a.srt", srt(cues)))]
    assert "Tuesday 9:15" in " ".join(texts)


def test_growing_captions_of_another_voice_are_other_words() -> None:
    cues = ["<v Agent>Yes", "<v Customer>Yes I", "<v Agent>Yes I am", "<v Customer>Yes I am here"]
    lines = "\n\n".join(f"00:0{n}.000 --> 00:0{n}.900\n{cue}" for n, cue in enumerate(cues))
    assert said(read("a.vtt", f"WEBVTT\n\n{lines}\n".encode())) == [
        (AGENT, "Yes"),
        (CUSTOMER, "Yes I"),
        (AGENT, "Yes I am"),
        (CUSTOMER, "Yes I am here"),
    ]
