"""What an OpenAI-compatible server says it heard: each gives less or more of it."""

import math
from collections.abc import Iterator, Sequence
from typing import Self

from pydantic import AliasChoices, BaseModel, Field, FiniteFloat, model_validator

from callpipeline.domain.audio import Interval
from callpipeline.domain.transcript import Word
from callpipeline.engines.transcribe.inventions import is_speechless
from callpipeline.engines.transcribe.passages import (
    Passage,
    at_pauses,
    laid,
    over_speech,
    with_words,
)


class HeardWord(BaseModel):
    text: str = Field(validation_alias=AliasChoices("word", "text"))
    start: FiniteFloat | None = None
    end: FiniteFloat | None = None
    probability: FiniteFloat | None = Field(
        None, validation_alias=AliasChoices("probability", "confidence", "score")
    )
    logprob: FiniteFloat | None = None

    def timed(self, offset_s: float) -> Word | None:
        """The word at its time in the call; None without times or letters."""
        text = storable(self.text)
        if self.start is None or self.end is None or not text:
            return None
        start_s = max(self.start, 0.0)
        known = self.probability if self.probability is not None else _likely(self.logprob)
        confidence = None if known is None else round(min(max(known, 0.0), 1.0), 4)
        end_s = max(start_s, self.end)
        return Word(text, round(offset_s + start_s, 3), round(offset_s + end_s, 3), confidence)


class HeardSegment(BaseModel):
    start: FiniteFloat
    end: FiniteFloat
    text: str = ""
    avg_logprob: FiniteFloat | None = None
    no_speech_prob: FiniteFloat | None = None
    words: list[HeardWord] | None = None

    @property
    def is_speechless(self) -> bool:
        doubts, likely = self.no_speech_prob, self.avg_logprob
        return doubts is not None and likely is not None and is_speechless(doubts, likely)

    def passage(self, offset_s: float) -> Passage:
        """Text and times, with words where they came within."""
        start_s = max(self.start, 0.0)
        end_s = offset_s + max(start_s, self.end)
        likely = _likely(self.avg_logprob)
        text = storable(self.text)
        plain = Passage(round(offset_s + start_s, 3), round(end_s, 3), text, confidence=likely)
        return with_words(plain, timed(self.words or (), offset_s))


class Heard(BaseModel):
    """An answer to a request for a transcription, in any of the forms in JSON."""

    text: str | None = None
    language: str | None = None
    segments: list[HeardSegment] | None = None
    words: list[HeardWord] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.text is None and self.segments is None and self.words is None:
            raise ValueError("it has no text")
        return self

    @property
    def has_times(self) -> bool:
        """Whether it says when anything was said, or that nothing was."""
        return bool(self.segments or self.words) or not (self.text or "").strip()

    def passages(self, speech: Sequence[Interval], offset_s: float = 0.0) -> tuple[Passage, ...]:
        """What was said when (seconds of the call): at guessed times where it gives none."""
        told = [s for s in self.segments or () if not s.is_speechless]
        text = storable(self.text or "")
        if self.segments:
            passages = tuple(segment.passage(offset_s) for segment in told)
            if text and told and not (self.words or any(passage.text for passage in passages)):
                return tuple(over_speech(text, speech)) if speech else ()
            if any(passage.words for passage in passages) or not self.words or not told:
                return passages
            return laid(passages, timed(self.words, offset_s))
        if words := timed(self.words or (), offset_s):
            return tuple(at_pauses(text, words))
        return tuple(over_speech(text, speech)) if text and speech else ()


def timed(words: Sequence[HeardWord], offset_s: float) -> tuple[Word, ...]:
    """Those of the words that have times."""
    found = (word.timed(offset_s) for word in words)
    return tuple(word for word in found if word is not None)


def storable(text: str) -> str:
    """The text on one line, without what neither a database nor a file takes: NUL, half letters."""
    return " ".join("".join(_letters(text)).split())


def _letters(text: str) -> Iterator[str]:
    return (letter for letter in text if letter != "\0" and not "\ud800" <= letter <= "\udfff")


def _likely(logprob: float | None) -> float | None:
    """A logarithm as a probability."""
    return None if logprob is None else round(math.exp(min(logprob, 0.0)), 4)
