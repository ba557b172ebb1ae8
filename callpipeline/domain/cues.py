"""A conversation as subtitles: SRT and WebVTT, each cue with who speaks.

Long segments become several cues, of two short lines each, where it is known when each word was
said. Others stay whole: the times in between would be made up.
"""

import html
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from callpipeline.domain.audio import Speaker
from callpipeline.domain.transcript import Segment, Word

LINE = 42
"""Letters in a line, and seconds on the screen: what broadcasters agree on."""
LINES = 2
LONGEST_S = 7.0
PAUSE_S = 1.5
_NAMES_A_SPEAKER = re.compile(r"-?\s*\w+\s*:")


@dataclass(frozen=True, slots=True)
class Cue:
    """What is shown at once: words, with spaces between them."""

    start_s: float
    end_s: float
    speaker: Speaker
    text: str


def cues(conversation: Iterable[Segment]) -> Iterator[Cue]:
    """The cues of a conversation, in its order."""
    for segment in conversation:
        if not segment.words or segment.text != " ".join(word.text for word in segment.words):
            text = _one_line(segment.text)
            yield Cue(segment.start_s, segment.end_s, segment.speaker, text)
            continue
        pieces = list(_pieces(segment))
        for number, words in enumerate(pieces):
            start_s = words[0].start_s if number else segment.start_s
            end_s = words[-1].end_s if number < len(pieces) - 1 else segment.end_s
            text = _one_line(" ".join(word.text for word in words))
            yield Cue(start_s, max(start_s, end_s), segment.speaker, text)


def as_srt(conversation: Iterable[Segment]) -> Iterator[str]:
    """The lines of an SRT file; who speaks stands before the words."""
    for number, cue in enumerate(cues(conversation), start=1):
        yield f"{number}\n"
        yield f"{_clock(cue.start_s, ',')} --> {_clock(cue.end_s, ',')}\n"
        yield _wrapped(_label(cue.speaker) + cue.text) + "\n\n"


def as_vtt(conversation: Iterable[Segment]) -> Iterator[str]:
    """The lines of a WebVTT file; who speaks is a voice.

    Source: https://www.w3.org/TR/webvtt1/
    """
    yield "WEBVTT\n\n"
    for cue in cues(conversation):
        yield f"{_clock(cue.start_s, '.')} --> {_clock(cue.end_s, '.')}\n"
        said = html.escape(_wrapped(cue.text), quote=False)
        voice = "" if cue.speaker is Speaker.UNKNOWN else f"<v {cue.speaker.capitalize()}>"
        yield f"{voice}{said}\n\n"


def _pieces(segment: Segment) -> Iterator[list[Word]]:
    """Words that are shown at once, as many as there is room and time for."""
    label = _label(segment.speaker)
    piece: list[Word] = []
    for word in segment.words:
        if piece and not _belongs(label, piece, word):
            yield piece
            piece = []
        piece.append(word)
    yield piece


def _belongs(label: str, piece: list[Word], word: Word) -> bool:
    """Whether a word is still to be shown with those before it."""
    if word.start_s - piece[-1].end_s > PAUSE_S or word.end_s - piece[0].start_s > LONGEST_S:
        return False
    text = " ".join([*(each.text for each in piece), word.text])
    return len(_lines(label + _one_line(text))) <= LINES


def _label(speaker: Speaker) -> str:
    return "" if speaker is Speaker.UNKNOWN else f"{speaker.capitalize()}: "


def _wrapped(text: str) -> str:
    return "\n".join(_lines(text))


def _lines(text: str) -> list[str]:
    lines: list[str] = []
    for line in textwrap.wrap(text, LINE, break_long_words=False, break_on_hyphens=False):
        # Read again, it would be what somebody else says.
        if lines and _NAMES_A_SPEAKER.match(line):
            lines[-1] += f" {line}"
        else:
            lines.append(line)
    return lines


def _one_line(text: str) -> str:
    """A blank line would end the cue, and an arrow in the words begin another."""
    return " ".join(text.split()).replace("-->", "->")


def _clock(seconds: float, point: str) -> str:
    """hh:mm:ss with milliseconds."""
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, rest = divmod(milliseconds, 1000)
    return f"{hours:02}:{minutes:02}:{whole:02}{point}{rest:03}"
