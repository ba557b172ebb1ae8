"""Supplied transcripts, which arrive with a recording, as JSON, SRT or WebVTT.

JSON may have our own structure, that of the transcription service, or Whisper's.
"""

import html
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePath
from typing import Any, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from callpipeline.domain.audio import Channel, Speaker, speaker_of
from callpipeline.domain.transcripts import (
    SUPPLIED_ENGINE,
    Segment,
    Transcript,
    Word,
    is_storable,
    number_segments,
)
from callpipeline.engines.http.messages import Seconds, first_error, unwrap
from callpipeline.engines.transcribe.alignment import RecognizedWord, text_of, timed_words
from callpipeline.errors import TranscriptInvalid

ROLES = {
    "agent": Speaker.AGENT,
    "advisor": Speaker.AGENT,
    "operator": Speaker.AGENT,
    "representative": Speaker.AGENT,
    "customer": Speaker.CUSTOMER,
    "caller": Speaker.CUSTOMER,
    "client": Speaker.CUSTOMER,
}

TIME_PATTERN = r"(?:(\d+):)?(\d{1,2}):(\d{2})(?:[.,](\d{1,3}))?"
CUE_TIMES = re.compile(rf"\s*{TIME_PATTERN}\s*-->\s*{TIME_PATTERN}(?:\s.*)?$")
NOT_A_CUE = re.compile(r"(WEBVTT|NOTE|STYLE|REGION)\b")
VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]+)>")
LABEL = re.compile(rf"-?\s*({'|'.join(ROLES)})\s*:\s*", re.IGNORECASE)
TAG = re.compile(r"<[^>]*>")

NumberedLine = tuple[int, str]


@dataclass(frozen=True, slots=True)
class SuppliedLine:
    """Line of a supplied transcript; `channel` and `speaker` are None if they are not stated."""

    start_s: float
    end_s: float
    text: str
    channel: Channel | None = None
    speaker: Speaker | None = None
    words: tuple[Word, ...] = ()


class _SuppliedWord(BaseModel):
    text: str = Field(validation_alias=AliasChoices("word", "text"))
    start: Seconds | None = None
    end: Seconds | None = None
    probability: float | None = Field(
        None, ge=0, le=1, validation_alias=AliasChoices("probability", "confidence", "score")
    )


class _SuppliedSegment(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)  # diarizers number their speakers

    start: Seconds
    end: Seconds
    text: str
    channel: Channel | None = None
    speaker: str | None = None
    words: list[_SuppliedWord] | None = None

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        if self.end < self.start:
            raise ValueError("it ends before it starts")
        return self

    @property
    def timed_words(self) -> tuple[Word, ...]:
        words = (RecognizedWord(w.text, w.start, w.end, w.probability) for w in self.words or ())
        return timed_words(self.text, list(words))


class _SuppliedDocument(BaseModel):
    segments: list[_SuppliedSegment]
    channel: Channel | None = None
    speaker: str | None = None


def parse_supplied(name: str, content: bytes, agent_channel: str) -> tuple[Transcript, ...]:
    """Return a transcript per channel with speech.

    The format is that of the suffix of `name`. A line of the agent or the customer is on their
    channel, any other line on the mixed channel. Raises TranscriptInvalid with the line or field,
    never with the text.
    """
    parse_lines = PARSERS.get(PurePath(name).suffix.lower())
    if parse_lines is None:
        raise TranscriptInvalid(f"a supplied transcript is one of {', '.join(PARSERS)}")
    lines = [line for line in parse_lines(_decode(content)) if line.text]
    if any(not is_storable(line.text) for line in lines):
        raise TranscriptInvalid("the transcript contains characters that are not text, such as NUL")
    segments = (_segment(line, agent_channel) for line in lines)
    return _by_channel(segments, agent_channel)


def lines_of_cues(text: str) -> Iterator[SuppliedLine]:
    """Return the cues in order, one line per speaker. Raises TranscriptInvalid."""
    numbered = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    for has_text, block in groupby(numbered, key=lambda line: bool(line[1])):
        if has_text:
            yield from _lines_of_block(list(block))


def lines_of_json(text: str) -> Iterator[SuppliedLine]:
    """Return the segments of a transcript, also wrapped in `data` or a list of one.

    Raises TranscriptInvalid.
    """
    document = _validate(_unwrap(_parse_json(text)))
    for segment in document.segments:
        words = segment.timed_words
        yield SuppliedLine(
            segment.start,
            segment.end,
            text_of(segment.text, words),
            segment.channel or document.channel,
            role_of(segment.speaker or document.speaker),
            words,
        )


PARSERS = {".json": lines_of_json, ".srt": lines_of_cues, ".vtt": lines_of_cues}


def role_of(name: str | None) -> Speaker | None:
    """Return the role with which a speaker's name starts ("Agent 7"), None for other names."""
    first, *_ = (name or "").lower().split() or [""]
    return ROLES.get(first)


def _by_channel(segments: Iterable[Segment], agent_channel: str) -> tuple[Transcript, ...]:
    in_order = sorted(segments, key=lambda segment: segment.channel.position)
    return tuple(
        Transcript(
            channel,
            speaker_of(channel, agent_channel),
            SUPPLIED_ENGINE,
            number_segments(channel_segments),
        )
        for channel, channel_segments in groupby(in_order, lambda segment: segment.channel)
    )


def _segment(line: SuppliedLine, agent_channel: str) -> Segment:
    channel = line.channel or _channel_of(line.speaker, agent_channel)
    speaker = line.speaker or speaker_of(channel, agent_channel)
    return Segment(0, line.start_s, line.end_s, channel, speaker, line.text, line.words)


def _channel_of(speaker: Speaker | None, agent_channel: str) -> Channel:
    sides = (Channel.LEFT, Channel.RIGHT)
    return next((c for c in sides if speaker_of(c, agent_channel) is speaker), Channel.MIXED)


def _decode(content: bytes) -> str:
    is_utf_16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return content.decode("utf-16" if is_utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TranscriptInvalid(f"line {line} of the transcript is not UTF-8 text") from error


def _lines_of_block(block: Sequence[NumberedLine]) -> Iterator[SuppliedLine]:
    """Return the lines of a block: a cue (its times may follow a number or name), else none."""
    if NOT_A_CUE.match(block[0][1]):
        return
    at = next((index for index, (_, line) in enumerate(block[:2]) if "-->" in line), None)
    if at is None:
        raise TranscriptInvalid(f"line {block[0][0]} of the transcript has no times")
    start_s, end_s = _times(*block[at])
    for speaker, text in _by_speaker(line for _, line in block[at + 1 :]):
        yield SuppliedLine(start_s, end_s, text, speaker=role_of(speaker))


def _times(number: int, line: str) -> tuple[float, float]:
    match = CUE_TIMES.match(line)
    if match is None:
        raise TranscriptInvalid(f"line {number} of the transcript: its times are invalid")
    start_s, end_s = _seconds(match.groups()[:4]), _seconds(match.groups()[4:])
    if end_s < start_s:
        raise TranscriptInvalid(f"line {number} of the transcript: it ends before it starts")
    return start_s, end_s


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = (part or "0" for part in parts)
    return int(hours) * 3600 + int(minutes) * 60 + float(f"{seconds}.{fraction}")


def _by_speaker(lines: Iterable[str]) -> Iterator[tuple[str | None, str]]:
    """Return the text of each speaker in a cue; a line that names one starts a new text."""
    speaker, words = None, []
    for line in lines:
        named = VOICE.search(line) or LABEL.match(line)
        if named and words:
            yield speaker, " ".join(words)
            words = []
        speaker = named.group(1) if named else speaker
        words += _plain_text(line).split()
    yield speaker, " ".join(words)


def _plain_text(line: str) -> str:
    return html.unescape(TAG.sub("", LABEL.sub("", line, count=1) if LABEL.match(line) else line))


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        position = f"line {error.lineno}, column {error.colno}"
        raise TranscriptInvalid(f"the transcript is not JSON: {error.msg} at {position}") from error
    except (RecursionError, ValueError) as error:
        raise TranscriptInvalid("the transcript is not readable JSON") from error


def _unwrap(document: Any) -> Any:
    """Remove the list of one and the `data` in which the transcription service may wrap it."""
    document = unwrap(document)
    if isinstance(document, dict) and isinstance(document.get("data"), dict):
        return document["data"]
    return document


def _validate(document: Any) -> _SuppliedDocument:
    try:
        return _SuppliedDocument.model_validate(document)
    except ValidationError as error:
        path, message = first_error(error)
        field = f"{path} of the transcript" if path else "the transcript"
        raise TranscriptInvalid(f"{field}: {message}") from error
