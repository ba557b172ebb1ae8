"""What the sentiment service answers, and which of the segments that it was sent it speaks of."""

import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    Field,
    FiniteFloat,
    StringConstraints,
)

from callpipeline.domain.sentiment import Sentiment
from callpipeline.domain.spelling import normalise
from callpipeline.domain.transcript import Segment, is_storable
from callpipeline.engines.http.answers import Text, plain, shaped
from callpipeline.errors import EngineRefused

SAME_TIME_S = 0.05
RULE_LENGTH = 200
NO_REASON = "the service gave no reason"
METHOD = re.compile(r"[A-Za-z][\w -]{0,39}")

Long = Annotated[str, StringConstraints(max_length=100_000), AfterValidator(plain)]


def _label(value: object) -> object:
    word = value.strip().lower() if isinstance(value, str) else None
    if word not in set(Sentiment):
        raise ValueError(f"it is none of {', '.join(Sentiment)}")
    return word


Label = Annotated[Sentiment, BeforeValidator(_label)]


class Opinion(BaseModel):
    """Our own server's: what is judged of one mention, as the pipeline keeps it."""

    competitor: Text
    char_start: int
    char_end: int
    sentiment: Label
    score: Annotated[FiniteFloat, Field(ge=-1, le=1)]
    rule: Long
    quote: Long
    engine: Text


class Found(BaseModel):
    """A segment that holds the name."""

    segment_id: int | str | None = Field(
        default=None, validation_alias=AliasChoices("segment-id", "segment_id")
    )
    start: float | None = None
    text: str | None = None
    sentiment: Label
    detection_method: Any = None
    detection_details: Any = None
    judgements: list[Opinion] = []

    @property
    def rule(self) -> str:
        """How the service found it, in its own words where it has some, cut short.

        What may quote the call stands behind a colon: it goes when what was said is deleted.
        """
        method, details = _words(self.detection_method), _words(self.detection_details)
        if METHOD.fullmatch(method):
            return f"{method}: {details}" if details else method
        told = " ".join(filter(None, (method, details)))
        return f"the service: {told}" if told else NO_REASON


class _Analysis(BaseModel):
    context: str | None = None
    segments: list[Found]


def found_in(document: Any, spelling: str) -> list[Found]:
    """The segments that the service found. Raises EngineRefused, also for those of another name."""
    if document == []:
        return []
    analysis = shaped(_Analysis)(document)
    if analysis.context is not None and normalise(analysis.context) != normalise(spelling):
        raise EngineRefused("it answered about another name than it was asked for")
    return analysis.segments


def places_of(found: Found, number: int, segments: Sequence[Segment]) -> list[int]:
    """Where the segment stands in what was sent, by id, start and text, two of which must agree.

    Services number segments as they like; some leave the id away. Several places are alike in all
    that is told. Raises EngineRefused where there is none; `number` is its place in the answer.
    """
    given = [found.segment_id is not None, found.start is not None, found.text is not None]
    needed = min(2, sum(given)) or 1
    points = [_agreement(found, place, segment) for place, segment in enumerate(segments)]
    best = max(points, default=0)
    if best < needed:
        raise EngineRefused(
            f"its answer is not what the contract says (segments[{number}]: nothing like it was "
            "sent to it)"
        )
    return [place for place, agreed in enumerate(points) if agreed == best]


def _words(told: Any) -> str:
    """What was told as text, on one line; nothing where it was something else."""
    is_text = isinstance(told, str) and is_storable(told)
    return " ".join(told.split())[:RULE_LENGTH] if is_text else ""


def _agreement(found: Found, place: int, segment: Segment) -> int:
    same_id = found.segment_id is not None and str(found.segment_id) == str(place)
    same_start = found.start is not None and abs(found.start - segment.start_s) <= SAME_TIME_S
    same_text = found.text is not None and found.text.split() == segment.text.split()
    return same_id + same_start + same_text
