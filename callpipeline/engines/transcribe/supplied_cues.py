"""Supplied transcripts as subtitles: SRT and WebVTT."""

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from callpipeline.engines.transcribe.supplied_line import ROLES, Line, role_of
from callpipeline.errors import TranscriptInvalid

TIME = r"(?:(\d+):)?(\d{1,2}):(\d{2})(?:[.,](\d{1,3}))?"
TIMES = re.compile(rf"\s*{TIME}\s*-->\s*{TIME}(?:\s.*)?$")
NOT_A_CUE = re.compile(r"(WEBVTT|NOTE|STYLE|REGION)\b")
VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]+)>")
LABEL = re.compile(rf"-?\s*({'|'.join(ROLES)})\s*:\s*", re.IGNORECASE)
TAG = re.compile(r"<[^>]*>")

NumberedLine = tuple[int, str]


def lines_of_cues(text: str) -> Iterator[Line]:
    """The cues in order, a line for each who speaks in one. Raises TranscriptInvalid."""
    numbered = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    for has_text, block in groupby(numbered, key=lambda line: bool(line[1])):
        if has_text:
            yield from _lines_of_block(list(block))


def _lines_of_block(block: Sequence[NumberedLine]) -> Iterator[Line]:
    """A block is a cue (perhaps with a number or name above its times), a header or a note."""
    if NOT_A_CUE.match(block[0][1]):
        return
    at = next((index for index, (_, line) in enumerate(block[:2]) if "-->" in line), None)
    if at is None:
        raise TranscriptInvalid(f"line {block[0][0]} of the transcript belongs to no times")
    start_s, end_s = _times(*block[at])
    for speaker, said in _by_speaker(line for _, line in block[at + 1 :]):
        yield Line(start_s, end_s, said, speaker=role_of(speaker))


def _times(number: int, line: str) -> tuple[float, float]:
    match = TIMES.match(line)
    if match is None:
        raise TranscriptInvalid(f"line {number} of the transcript: its times cannot be read")
    start_s, end_s = _seconds(match.groups()[:4]), _seconds(match.groups()[4:])
    if end_s < start_s:
        raise TranscriptInvalid(f"line {number} of the transcript: it ends before it starts")
    return start_s, end_s


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = (part or "0" for part in parts)
    return int(hours) * 3600 + int(minutes) * 60 + float(f"{seconds}.{fraction}")


def _by_speaker(lines: Iterable[str]) -> Iterator[tuple[str | None, str]]:
    """Who says what in a cue: a line that names a speaker begins a new stretch."""
    speaker, said = None, []
    for line in lines:
        named = VOICE.search(line) or LABEL.match(line)
        if named and said:
            yield speaker, " ".join(said)
            said = []
        speaker = named.group(1) if named else speaker
        said += _plain(line).split()
    yield speaker, " ".join(said)


def _plain(line: str) -> str:
    return html.unescape(TAG.sub("", LABEL.sub("", line, count=1) if LABEL.match(line) else line))
