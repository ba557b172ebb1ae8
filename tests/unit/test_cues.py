"""Subtitles that players show, and that we read again as they were."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.cues import as_srt, as_vtt
from callpipeline.domain.transcript import Segment
from callpipeline.engines.transcribe.supplied_cues import lines_of_cues


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
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\n<v agent>hello there\n\n"
        "01:01:01.250 --> 01:01:02.750\n<v customer>i am leaving\n\n"
    )


def test_what_looks_like_markup_is_words() -> None:
    [_, _, cue] = as_vtt([segment("a <b> & c --> d\n\nNOTE e")])
    assert cue == "<v customer>a &lt;b&gt; &amp; c -&gt; d NOTE e\n\n"


def test_a_mono_recording_names_nobody() -> None:
    assert "".join(as_srt([segment("hello", speaker=Speaker.UNKNOWN)])).endswith("\nhello\n\n")


def test_milliseconds_are_carried() -> None:
    [_, times, _] = as_srt([segment("x", 59.9996)])
    assert times.startswith("00:01:00,000")


@pytest.mark.parametrize("make", [as_srt, as_vtt])
@given(words=st.lists(st.from_regex(r"[a-z<>&' ]*[a-z]", fullmatch=True), min_size=1, max_size=4))
def test_what_is_written_is_read_as_it_was(make, words: list[str]) -> None:  # pyright: ignore
    talk = [segment(" ".join(said.split()), n * 2.0) for n, said in enumerate(words)]
    read = list(lines_of_cues("".join(make(talk))))
    if make is as_vtt:
        assert [line.text for line in read] == [each.text for each in talk]
    assert [(line.start_s, line.end_s) for line in read] == [(s.start_s, s.end_s) for s in talk]
