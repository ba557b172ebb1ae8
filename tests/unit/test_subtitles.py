"""Subtitles: readable in players, and parsed back without loss."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.transcripts import (
    MAX_CUE_S,
    MAX_LINE_CHARS,
    Segment,
    Word,
    as_srt,
    as_vtt,
    subtitle_cues,
)
from callpipeline.engines.transcribe.supplied import parse_supplied
from callpipeline.engines.transcribe.supplied.captions import lines_of_captions
from callpipeline.engines.transcribe.supplied.lines import Repairs


def segment(text: str, start_s: float = 0.0, speaker: Speaker = Speaker.CUSTOMER) -> Segment:
    return Segment(0, start_s, start_s + 1.5, Channel.RIGHT, speaker, text)


TALK = [segment("hello there", 0.0, Speaker.AGENT), segment("i am leaving", 3661.25)]


def test_srt() -> None:
    assert "".join(as_srt(TALK)) == (
        "1\n00:00:00,000 --> 00:00:01,500\nAgent: hello there\n\n"
        "2\n01:01:01,250 --> 01:01:02,750\nCustomer: i am leaving\n\n"
    )


def test_vtt() -> None:
    assert "".join(as_vtt(TALK)) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\n<v Agent>hello there\n\n"
        "01:01:01.250 --> 01:01:02.750\n<v Customer>i am leaving\n\n"
    )


def test_markup_is_escaped() -> None:
    [_, _, cue] = as_vtt([segment("a <b> & c --> d\n\nNOTE e")])
    assert cue == "<v Customer>a &lt;b&gt; &amp; c -&gt; d NOTE e\n\n"


def test_a_mono_recording_has_no_speaker_labels() -> None:
    assert "".join(as_srt([segment("hello", speaker=Speaker.UNKNOWN)])).endswith("\nhello\n\n")


def test_milliseconds_are_carried() -> None:
    [_, times, _] = as_srt([segment("x", 59.9996)])
    assert times.startswith("00:01:00,000")


@pytest.mark.parametrize("make", [as_srt, as_vtt])
@given(words=st.lists(st.from_regex(r"[a-z<>&' ]*[a-z]", fullmatch=True), min_size=1, max_size=4))
def test_subtitles_are_parsed_back_unchanged(make, words: list[str]) -> None:  # pyright: ignore
    talk = [segment(" ".join(spoken.split()), n * 2.0) for n, spoken in enumerate(words)]
    read = lines_of_captions("".join(make(talk)), Repairs(), lambda _: False)
    if make is as_vtt:
        assert [line.text for line in read] == [each.text for each in talk]
    assert [(line.start_s, line.end_s) for line in read] == [(s.start_s, s.end_s) for s in talk]


def timed(text: str, start_s: float = 10.0, *, each_s: float = 0.3) -> Segment:
    """Build a segment of words without pauses."""
    words = tuple(
        Word(word, start_s + place * each_s, start_s + (place + 1) * each_s)
        for place, word in enumerate(text.split())
    )
    return Segment(
        0,
        start_s,
        words[-1].end_s + 0.1,
        Channel.RIGHT,
        Speaker.CUSTOMER,
        " ".join(text.split()),
        words,
    )


LONG = "i have been with you for eleven years now and every single year the price goes up " * 3


def test_a_long_segment_becomes_readable_cues() -> None:
    segment = timed(LONG)
    found = list(subtitle_cues([segment]))
    assert len(found) > 3
    assert " ".join(cue.text for cue in found) == segment.text
    assert (found[0].start_s, found[-1].end_s) == (segment.start_s, segment.end_s)
    for cue in found:
        assert cue.end_s - cue.start_s <= MAX_CUE_S + 0.2
        first = next(w for w in segment.words if w.start_s == cue.start_s)
        assert cue.text.startswith(first.text)
    shown = "".join(as_srt([segment])).strip().split("\n\n")
    assert all(len(lines) <= 4 and len(max(lines[2:], key=len)) <= MAX_LINE_CHARS
               for lines in (each.split("\n") for each in shown))  # fmt: skip


def test_a_pause_or_slow_speech_starts_a_new_cue() -> None:
    before, after = timed("one moment please"), timed("here it is", 14.0)
    words = before.words + after.words
    segment = Segment(
        0, 10.0, 15.0, Channel.LEFT, Speaker.AGENT, "one moment please here it is", words
    )
    assert [(cue.text, cue.start_s) for cue in subtitle_cues([segment])] == [
        ("one moment please", 10.0),
        ("here it is", 14.0),
    ]
    slow = list(subtitle_cues([timed("a b c d e f", each_s=2.0)]))
    assert [cue.text for cue in slow] == ["a b c", "d e f"]


def test_a_segment_without_word_times_stays_whole() -> None:
    [cue] = subtitle_cues([segment(LONG.strip())])
    assert (cue.start_s, cue.end_s) == (0.0, 1.5)


def test_no_line_starts_like_a_speaker_label() -> None:
    spoken = (
        "and then i was told to write the following agent: he lied to me in every single sentence"
    )
    for make in (as_srt, as_vtt):
        read = lines_of_captions("".join(make([timed(spoken)])), Repairs(), lambda _: False)
        assert {line.label for line in read} == {"Customer"}
        assert " ".join(line.text for line in read) == spoken


@pytest.mark.parametrize(("make", "name"), [(as_srt, "a.srt"), (as_vtt, "a.vtt")])
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=5), size=st.integers(1, 50))
def test_all_words_come_back_on_their_channels(make, name: str, lengths: list[int], size: int):  # pyright: ignore
    talk = [
        timed(" ".join("word" * size for _ in range(length)), number * 100.0)
        for number, length in enumerate(lengths)
    ]
    found = parse_supplied(name, "".join(make(talk)).encode(), "left")
    assert found and len(found) == 1
    read = found[0]
    assert (read.channel, read.speaker) == (Channel.RIGHT, Speaker.CUSTOMER)
    spoken = [word for segment in talk for word in segment.text.split()]
    assert " ".join(s.text for s in read.segments).split() == spoken
    starts = [segment.start_s for segment in read.segments]
    assert starts == sorted(starts)
    assert starts[0] == pytest.approx(talk[0].start_s)
    assert read.segments[-1].end_s == pytest.approx(talk[-1].end_s, abs=0.001)
