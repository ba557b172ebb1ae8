"""Supplied transcripts in JSON: our own form, the transcription service's, and Whisper's."""

import json
from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    model_validator,
)

from callpipeline.domain.audio import Channel
from callpipeline.domain.transcript import Word
from callpipeline.engines.transcribe.supplied_line import Line, role_of
from callpipeline.engines.transcribe.timed_words import GivenWord, text_of, timed_words
from callpipeline.errors import TranscriptInvalid

PLAIN = {"missing": "it is missing", "model_type": "it should be an object"}
"""What a reader understands, for errors that pydantic says in terms of our classes."""

Seconds = Annotated[FiniteFloat, Field(ge=0)]


class _Word(BaseModel):
    text: str = Field(validation_alias=AliasChoices("word", "text"))
    start: Seconds | None = None
    end: Seconds | None = None
    probability: float | None = Field(
        None, ge=0, le=1, validation_alias=AliasChoices("probability", "confidence", "score")
    )


class _Segment(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)  # diarisers number their speakers

    start: Seconds
    end: Seconds
    text: str
    channel: Channel | None = None
    speaker: str | None = None
    words: list[_Word] | None = None

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        if self.end < self.start:
            raise ValueError("it ends before it starts")
        return self


class _Document(BaseModel):
    segments: list[_Segment]
    channel: Channel | None = None
    speaker: str | None = None


def lines_of_json(text: str) -> Iterator[Line]:
    """The segments of a transcript, also wrapped in `data` or a list of one. Raises
    TranscriptInvalid."""
    document = _validated(_unwrapped(_parsed(text)))
    for segment in document.segments:
        words = _timed_words(segment)
        yield Line(
            segment.start,
            segment.end,
            text_of(segment.text, words),
            segment.channel or document.channel,
            role_of(segment.speaker or document.speaker),
            words,
        )


def _timed_words(segment: _Segment) -> tuple[Word, ...]:
    given = (GivenWord(w.text, w.start, w.end, w.probability) for w in segment.words or ())
    return timed_words(segment.text, list(given))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise TranscriptInvalid(f"the transcript is not JSON: {error.msg} at {where}") from error
    except (RecursionError, ValueError) as error:
        raise TranscriptInvalid("the transcript is not JSON that can be read") from error


def _unwrapped(document: Any) -> Any:
    """Without the list of one and the `data` that the transcription service may wrap around it."""
    if isinstance(document, list) and len(document) == 1:
        document = document[0]
    if isinstance(document, dict) and isinstance(document.get("data"), dict):
        return document["data"]
    return document


def _validated(document: Any) -> _Document:
    try:
        return _Document.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        message = PLAIN.get(first["type"]) or first["msg"].removeprefix("Value error, ")
        raise TranscriptInvalid(f"{_place(first['loc'])}: {message}") from error


def _place(location: tuple[int | str, ...]) -> str:
    """("segments", 3, "start") → "segments[3].start of the transcript"."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    path = "".join(steps).removeprefix(".")
    return f"{path} of the transcript" if path else "the transcript"
