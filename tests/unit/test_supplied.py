"""Transcripts that are supplied with a recording."""

import json

import pytest

from callpipeline.domain.audio import Channel, Flag, Speaker
from callpipeline.domain.transcripts import Segment, Transcript, Word
from callpipeline.engines.transcribe.supplied import parse_supplied
from callpipeline.errors import TranscriptIgnored, TranscriptInvalid

SEGMENT = {"start": 1.5, "end": 3, "text": "Good morning, all."}


def parse(name: str, content: bytes, agent_channel: str = "left") -> tuple[Transcript, ...]:
    found = parse_supplied(name, content, agent_channel)
    assert found is not None
    return found


def from_json(*segments: object, **document: object) -> tuple[Transcript, ...]:
    return parse("a.json", json.dumps({"segments": segments, **document}).encode())


def only_segment(transcripts: tuple[Transcript, ...]) -> Segment:
    (transcript,) = transcripts
    (segment,) = transcript.segments
    return segment


def words(*texts: str) -> list[dict[str, object]]:
    return [{"word": text, "start": i, "end": i + 0.5} for i, text in enumerate(texts)]


def test_a_segment_without_a_speaker_is_on_the_mixed_channel() -> None:
    (transcript,) = from_json(SEGMENT)
    assert (transcript.channel, transcript.speaker) == (Channel.MIXED, Speaker.UNKNOWN)
    assert transcript.engine == "supplied"
    expected = Segment(0, 1.5, 3.0, Channel.MIXED, Speaker.UNKNOWN, "Good morning, all.")
    assert transcript.segments == (expected,)


@pytest.mark.parametrize(
    ("said", "channel", "speaker"),
    [
        ({"channel": "left"}, Channel.LEFT, Speaker.AGENT),
        ({"channel": "right"}, Channel.RIGHT, Speaker.CUSTOMER),
        ({"speaker": "agent"}, Channel.LEFT, Speaker.AGENT),
        ({"speaker": "Customer"}, Channel.RIGHT, Speaker.CUSTOMER),
        ({"speaker": "Agent 7"}, Channel.LEFT, Speaker.AGENT),
        ({"speaker": "Caller"}, Channel.RIGHT, Speaker.CUSTOMER),
        ({"speaker": "SPEAKER_00"}, Channel.MIXED, Speaker.UNKNOWN),
        ({"speaker": 1}, Channel.MIXED, Speaker.UNKNOWN),
        ({"speaker": "agent", "channel": "mixed"}, Channel.MIXED, Speaker.AGENT),
        ({"speaker": "agent", "channel": "right"}, Channel.RIGHT, Speaker.AGENT),
    ],
)
def test_channel_and_speaker_determine_each_other(
    said: dict[str, object], channel: Channel, speaker: Speaker
) -> None:
    segment = only_segment(from_json(SEGMENT | said))
    assert (segment.channel, segment.speaker) == (channel, speaker)


def test_the_agent_may_be_on_the_right() -> None:
    content = json.dumps({"segments": [SEGMENT | {"speaker": "agent"}]}).encode()
    assert only_segment(parse("a.json", content, "right")).channel is Channel.RIGHT


def test_there_is_a_transcript_per_channel_in_order_of_time() -> None:
    late, early = SEGMENT | {"start": 2, "text": "late"}, SEGMENT | {"start": 1, "text": "early"}
    left, right = from_json(
        late | {"channel": "right"}, late | {"channel": "left"}, early | {"channel": "right"}
    )
    assert (left.channel, right.channel) == (Channel.LEFT, Channel.RIGHT)
    assert [(s.index, s.text) for s in right.segments] == [(0, "early"), (1, "late")]


def test_a_channel_may_be_stated_once_for_all_segments() -> None:
    assert only_segment(from_json(SEGMENT, channel="right")).speaker is Speaker.CUSTOMER


@pytest.mark.parametrize(
    "wrap",
    [
        lambda d: d,
        lambda d: [d],
        lambda d: {"success": True, "message": "", "data": d},
        lambda d: [{"success": True, "data": d}],
    ],
)
def test_responses_of_the_transcription_service_are_accepted(wrap) -> None:
    document = {"model": "large-v3", "text": "Good morning, all.", "segments": [SEGMENT]}
    content = json.dumps(wrap(document)).encode()
    assert only_segment(parse("a.JSON", content, "left")).text == "Good morning, all."


def test_words_keep_their_times_and_probabilities() -> None:
    heard = [
        {"word": " Good", "start": 1.5, "end": 1.9, "probability": 0.9},
        {"text": "morning", "start": 1.9, "end": 2.4, "confidence": 0.8},
    ]
    segment = only_segment(from_json(SEGMENT | {"text": " Good morning", "words": heard}))
    assert segment.words == (Word("Good", 1.5, 1.9, 0.9), Word("morning", 1.9, 2.4, 0.8))
    assert segment.text == "Good morning"


def test_words_take_the_punctuation_of_the_text_if_there_are_as_many() -> None:
    segment = only_segment(from_json(SEGMENT | {"words": words("good", "morning", "all")}))
    assert [word.text for word in segment.words] == ["Good", "morning,", "all."]
    assert segment.text == "Good morning, all."


def test_the_text_keeps_what_is_not_among_the_words() -> None:
    heard = [
        {"word": "good", "start": 1.5, "end": 1.9},
        {"word": "morning", "start": 2, "end": 2.4},
    ]
    segment = only_segment(from_json(SEGMENT | {"words": heard}))
    assert segment.text == "Good morning, all."
    assert [word.text for word in segment.words] == ["Good", "morning,", "all."]
    assert segment.words[2].start_s >= 2.4


def test_a_word_without_times_is_placed_between_its_neighbours() -> None:
    """Aligners leave numbers without times."""
    heard = [
        {"word": "Good", "start": 1.5, "end": 1.9, "score": 0.9},
        {"word": "morning,"},
        {"word": "all.", "start": 2.5, "end": 3.0, "score": 0.0},
    ]
    segment = only_segment(from_json(SEGMENT | {"words": heard}))
    assert segment.words == (
        Word("Good", 1.5, 1.9, 0.9),
        Word("morning,", 1.9, 2.5),
        Word("all.", 2.5, 3.0, 0.0),
    )


def test_words_without_any_time_are_no_words() -> None:
    heard = [{"word": word} for word in ("Good", "morning,", "all.")]
    segment = only_segment(from_json(SEGMENT | {"words": heard}))
    assert (segment.text, segment.words) == ("Good morning, all.", ())


def test_without_speech_there_is_no_transcript() -> None:
    assert from_json() == ()
    assert from_json(SEGMENT | {"text": "  "}) == ()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"[", "the transcript is not JSON: Expecting value at line 1, column 2"),
        (
            b'{"segments":\n nope}',
            "the transcript is not JSON: Expecting value at line 2, column 2",
        ),
        (b"[" * 100_000, "the transcript is not readable JSON"),
        (
            b'{"segments": [{"start": NaN, "end": 1, "text": "a"}]}',
            "segments[0].start of the transcript: it is not a time",
        ),
        (
            b'{"segments": [{"start": 1e400, "end": 1, "text": "a"}]}',
            "segments[0].start of the transcript: it is not a time",
        ),
        (
            b'{"segments": [{"start": 0, "end": "soon", "text": "a"}]}',
            "segments[0].end of the transcript: it is not a time",
        ),
        (
            b'{"segments": [{"text": ""}, {"text": "a"}]}',
            "segments[1] of the transcript: it has a text but no time",
        ),
    ],
)
def test_an_error_in_json_names_the_file_and_the_place(content: bytes, sentence: str) -> None:
    with pytest.raises(TranscriptInvalid) as refused:
        parse("deep/a.json", content)
    assert str(refused.value).startswith(f"a.json: {sentence}")


def test_an_error_names_the_accepted_forms() -> None:
    for name, content in (("a.json", b"{"), ("a.srt", b"hello"), ("a.transcript.json", b"{}")):
        with pytest.raises(TranscriptInvalid, match=r"Accepted are SRT, WebVTT, and JSON with"):
            parse(name, content)


@pytest.mark.parametrize(
    "document",
    [
        {},
        "hello",
        {"agent": "Ann", "customer": "Bob", "started_at": "2026-03-02T10:00:00", "duration": 30},
        {"call": {"start_time": "2026-03-02T10:00:00", "agent": {"name": "Ann"}}},
    ],
)
def test_json_about_something_else_is_no_transcript(document: object) -> None:
    assert parse_supplied("a.json", json.dumps(document).encode(), "left") is None


@pytest.mark.parametrize(
    ("segments", "times", "repair"),
    [
        ([{"start": 2, "end": 1, "text": "a"}], [(2.0, 2.0)], "ends before it starts"),
        ([{"start": -1, "end": 1, "text": "a"}], [(0.0, 1.0)], "a negative time"),
        (
            [{"start": 0, "end": 1, "text": "a"}, {"start": 1, "text": "b"}],
            [(0.0, 1.0), (1.0, 1.4)],
            "a missing time",
        ),
        (
            [{"start": 1, "end": 2, "text": "a"}, {"end": 3, "text": "b"}],
            [(1.0, 2.0), (2.0, 3.0)],
            "a missing time",
        ),
    ],
)
def test_odd_times_are_repaired_with_a_flag(segments, times, repair: str) -> None:
    (transcript,) = from_json(*segments)
    assert [(s.start_s, s.end_s) for s in transcript.segments] == times
    (flag,) = transcript.flags
    assert flag.flag is Flag.REPAIRED_TRANSCRIPT
    assert repair in flag.detail


def test_text_in_another_encoding_is_read_with_a_flag() -> None:
    (transcript,) = parse(
        "a.json", '{"segments": [{"start": 0, "end": 1, "text": "£"}]}'.encode("cp1252")
    )
    assert transcript.segments[0].text == "£"
    assert "Windows-1252" in transcript.flags[0].detail


def test_an_error_never_quotes_the_text() -> None:
    with pytest.raises(TranscriptInvalid) as refused:
        from_json(SEGMENT | {"start": "my card number is 4929"})
    assert "4929" not in str(refused.value)


SRT = b"""\xef\xbb\xbf1\r
00:00:01,500 --> 00:00:03,000\r
Agent: Good morning,\r
how can I help?\r
\r
2\r
01:00:04,250 --> 01:00:05,000\r
customer: I want to <i>leave</i> &amp; go.\r
\r
3\r
01:00:06,000 --> 01:00:07,000\r
Note this: it is nobody's.\r
"""


def test_labels_in_srt_are_speakers() -> None:
    left, right, mixed = parse("a.srt", SRT, "left")
    assert left.segments == (
        Segment(0, 1.5, 3.0, Channel.LEFT, Speaker.AGENT, "Good morning, how can I help?"),
    )
    assert right.segments == (
        Segment(0, 3604.25, 3605.0, Channel.RIGHT, Speaker.CUSTOMER, "I want to leave & go."),
    )
    assert [segment.text for segment in mixed.segments] == ["Note this: it is nobody's."]


VTT = """WEBVTT - a call
Kind: captions

NOTE
nobody says this --> here

STYLE
::cue { color: red }

intro
00:01.500 --> 00:03.000 align:start position:10%
<v Agent Anna>Good <b>morning</b>.</v>
<v.loud Customer>Hello.

00:00:04.000 --> 00:00:05.000
<v Bob>It <00:00:04.500>is me.</v>
"""


def test_voices_in_webvtt_are_speakers() -> None:
    left, right, mixed = parse("a.vtt", VTT.encode(), "left")
    assert [s.text for s in left.segments] == ["Good morning."]
    assert [s.text for s in right.segments] == ["Hello."]
    # Two voices share the time of a cue in their order.
    assert left.segments[0].start_s == 1.5 < left.segments[0].end_s == right.segments[0].start_s
    assert [(s.speaker, s.text) for s in mixed.segments] == [(Speaker.UNKNOWN, "It is me.")]


def test_utf_16_is_accepted() -> None:
    assert len(parse("a.vtt", VTT.encode("utf-16"), "left")) == 3


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"hello\nthere\n", "line 1 of the transcript has no times"),
        (b"\n\n1\nhello\n", "line 3 of the transcript has no times"),
        (
            b"1\n00:00:01,000 --> 00:00:02,000\nhi\n\n2\n99999999:00:00 --> 1\nhi",
            "line 6 of the transcript: it is no time of a call",
        ),
    ],
)
def test_an_error_in_subtitles_names_the_line(content: bytes, sentence: str) -> None:
    with pytest.raises(TranscriptInvalid) as refused:
        parse("a.srt", content)
    assert str(refused.value).startswith(f"a.srt: {sentence}")


def test_empty_subtitles_have_no_transcript() -> None:
    assert parse("a.srt", b"", "left") == ()
    assert parse("a.vtt", b"WEBVTT\n", "left") == ()


def test_other_suffixes_are_refused() -> None:
    with pytest.raises(TranscriptInvalid, match=r"one of \.json, \.srt, \.vtt"):
        parse_supplied("a.docx", b"", "left")


@pytest.mark.parametrize("first", [0, 1])
def test_more_than_two_channels_keep_their_numbers(first: int) -> None:
    said = [{"start": n, "end": n + 1, "text": f"line {n}", "channel": first + n} for n in range(3)]
    found = parse("call.json", json.dumps({"segments": said}).encode())
    assert [each.channel for each in found] == [Channel("1"), Channel("2"), Channel("3")]


@pytest.mark.parametrize(
    "document",
    [
        {"text": "i am moving to vodafone"},
        {"transcript": "i am moving to vodafone"},
        {"results": [{"transcript": "i am moving to vodafone"}]},
        [{"text": "i am moving to vodafone"}],
        {"combinedRecognizedPhrases": [{"channel": 0, "display": "I am moving to Vodafone."}]},
    ],
)
def test_a_text_without_times_is_reported_and_the_recording_transcribed(document):
    content = json.dumps(document).encode()
    with pytest.raises(TranscriptIgnored, match=r"call.json: it has a text without times"):
        parse_supplied("call.json", content, "left")
    with pytest.raises(TranscriptInvalid, match="it has a text without times") as refused:
        parse_supplied("call.transcript.json", content, "left")
    assert not isinstance(refused.value, TranscriptIgnored)


@pytest.mark.parametrize(
    "document",
    [
        {"agent": {"name": "Ann"}, "queue": "Sales"},
        {"text": "short"},
        {"notes": [{"text": "the customer called about a bill"}]},
    ],
)
def test_a_document_about_something_else_is_passed_over(document):
    assert parse_supplied("call.json", json.dumps(document).encode(), "left") is None


@pytest.mark.parametrize("name", ["call.vtt", "call.srt"])
def test_cues_without_a_blank_line_between_them_are_read(name: str):
    head = "WEBVTT\n\n" if name.endswith("vtt") else ""
    cues = "00:00:01.000 --> 00:00:02.000\nhello there\n00:00:03.000 --> 00:00:04.000\ngood bye\n"
    found = parse_supplied(name, (head + cues).encode(), "left") or ()
    texts = [segment.text for transcript in found for segment in transcript.segments]
    assert texts == ["hello there", "good bye"]


def test_sentences_have_the_speaker_of_their_turn() -> None:
    turns = [
        {
            "speakerId": "7",
            "topic": "greeting",
            "sentences": [said(0, 1, "hello"), said(1, 2, "sir")],
        },
        {"speakerId": "9", "sentences": [said(2, 4, "i am moving to vodafone")]},
    ]
    content = json.dumps({"callTranscripts": [{"callId": "1", "transcript": turns}]}).encode()
    roles = {"7": Speaker.AGENT, "9": Speaker.CUSTOMER}
    found = parse_supplied("call.json", content, "left", roles) or ()
    assert [(t.speaker, [s.text for s in t.segments]) for t in found] == [
        (Speaker.AGENT, ["hello", "sir"]),
        (Speaker.CUSTOMER, ["i am moving to vodafone"]),
    ]


def said(start_s: int, end_s: int, text: str) -> dict[str, object]:
    return {"start": start_s * 1000, "end": end_s * 1000, "text": text}
