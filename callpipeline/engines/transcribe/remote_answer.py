"""What the transcription service answers: as the contract has it, or its `data` alone."""

import math
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    FiniteFloat,
    StringConstraints,
    model_validator,
)

from callpipeline.engines.http.answers import plain, shaped
from callpipeline.engines.transcribe.timed_words import GivenWord
from callpipeline.errors import EngineRefused


def _number(value: object) -> float | None:
    """A number, else None: a word whose time cannot be is a word without a time."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # JSON knows whole numbers of any length
        return None


def _share(value: object) -> float | None:
    number = _number(value)
    return None if number is None else min(max(number, 0.0), 1.0)


Said = Annotated[str, AfterValidator(plain)]
Name = Annotated[
    str, StringConstraints(max_length=100, strip_whitespace=True), AfterValidator(plain)
]
Language = Annotated[str, StringConstraints(max_length=35), AfterValidator(plain)]
MaybeTime = Annotated[float | None, BeforeValidator(_number)]


class _Word(BaseModel):
    word: Said
    start: MaybeTime = None
    end: MaybeTime = None
    probability: Annotated[float | None, BeforeValidator(_share)] = None


class Part(BaseModel):
    """A segment, in seconds from the channel's start."""

    start: FiniteFloat
    end: FiniteFloat
    text: Said
    words: list[_Word] | None = None

    @property
    def given(self) -> list[GivenWord]:
        return [GivenWord(w.word, w.start, w.end, w.probability) for w in self.words or ()]


class Heard(BaseModel):
    """What was heard; `model` and `language` where the service tells."""

    segments: list[Part]
    text: str | None = None
    model: Name | None = None
    language: Language | None = None

    @model_validator(mode="after")
    def _tells_when(self) -> Self:
        """A text without a segment would pass for silence."""
        if not self.segments and self.text and self.text.strip():
            raise ValueError("it has a text and no segments")
        return self


def heard(document: Any) -> Heard:
    """The answer. Raises EngineRefused; what the service says went wrong may quote the call."""
    if isinstance(document, dict) and document.get("success") is False:
        raise EngineRefused("it says itself that it could not transcribe this (success: false)")
    if isinstance(document, dict) and "data" in document:
        document = document["data"]
        if isinstance(document, list) and len(document) == 1:
            document = document[0]
    return shaped(Heard)(document)
