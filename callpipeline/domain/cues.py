"""A conversation as subtitles: SRT and WebVTT, each cue with who speaks."""

import html
from collections.abc import Iterable, Iterator

from callpipeline.domain.transcript import Segment


def as_srt(conversation: Iterable[Segment]) -> Iterator[str]:
    """The lines of an SRT file; who speaks stands before the words."""
    for number, segment in enumerate(conversation, start=1):
        yield f"{number}\n"
        yield f"{_clock(segment.start_s, ',')} --> {_clock(segment.end_s, ',')}\n"
        yield f"{_label(segment)}{_one_line(segment.text)}\n\n"


def as_vtt(conversation: Iterable[Segment]) -> Iterator[str]:
    """The lines of a WebVTT file; who speaks is a voice.

    Source: https://www.w3.org/TR/webvtt1/
    """
    yield "WEBVTT\n\n"
    for segment in conversation:
        yield f"{_clock(segment.start_s, '.')} --> {_clock(segment.end_s, '.')}\n"
        said = html.escape(_one_line(segment.text), quote=False)
        voice = "" if segment.speaker == "unknown" else f"<v {segment.speaker}>"
        yield f"{voice}{said}\n\n"


def _label(segment: Segment) -> str:
    return "" if segment.speaker == "unknown" else f"{segment.speaker.capitalize()}: "


def _one_line(text: str) -> str:
    """A blank line would end the cue, and an arrow in the words begin another."""
    return " ".join(text.split()).replace("-->", "->")


def _clock(seconds: float, point: str) -> str:
    """hh:mm:ss with milliseconds."""
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, rest = divmod(milliseconds, 1000)
    return f"{hours:02}:{minutes:02}:{whole:02}{point}{rest:03}"
