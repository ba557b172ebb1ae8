"""Filters in the address of a page: `/calls?state=FAILED&competitor=Vodafone&from=2026-03-01`.

What a form sends empty wants all. The same words make the links that lead to the calls behind a
number.
"""

from collections.abc import Iterable
from datetime import date
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, Query
from pydantic import BaseModel, BeforeValidator, Field

from callpipeline.domain.audio import Speaker
from callpipeline.domain.call import CallState
from callpipeline.domain.filters import NOBODY, Filters, Stance

UNKNOWN = "(unknown)"
"""In addresses, for calls of which no agent is known: an empty word wants all."""


def _given(value: Any) -> Any:
    if isinstance(value, list):
        return [each for each in value if each != ""]
    return None if value == "" else value


Given = BeforeValidator(_given)
Words = Annotated[Annotated[str, Field(max_length=200)] | None, Given]
Day = Annotated[date | None, Given]


class Asked(BaseModel):
    """What stands in an address, by the names that the fields of forms have."""

    state: Annotated[list[CallState], Given] = Field(default=[], max_length=20)
    competitor: Annotated[list[str], Given] = Field(default=[], max_length=50)
    sentiment: Annotated[Stance | None, Given] = None
    speaker: Annotated[Speaker | None, Given] = None
    agent: Words = None
    source: Words = None
    name: Words = None
    first: Day = Field(default=None, alias="from")
    last: Day = Field(default=None, alias="to")
    named: bool = False


def filters_of(asked: Annotated[Asked, Query()]) -> Filters:
    """The filters that an address says."""
    return Filters(
        from_day=asked.first,
        to_day=asked.last,
        agent=NOBODY if asked.agent == UNKNOWN else asked.agent,
        source=asked.source,
        competitors=tuple(asked.competitor),
        sentiment=asked.sentiment,
        speaker=asked.speaker,
        named=asked.named,
        states=tuple(asked.state) or None,
        name=asked.name or "",
    )


Filtered = Annotated[Filters, Depends(filters_of)]


def address(path: str, filters: Filters, **more: str | None) -> str:
    """The page at `path` with these filters; `more` are parameters of its own."""
    pairs = [*_pairs(filters), *((name, value) for name, value in more.items() if value)]
    return f"{path}?{urlencode(pairs)}" if pairs else path


def _pairs(filters: Filters) -> Iterable[tuple[str, str]]:
    yield from (("state", str(state)) for state in filters.states or ())
    yield from (("competitor", name) for name in filters.competitors)
    single = {
        "sentiment": filters.sentiment and str(filters.sentiment),
        "speaker": filters.speaker and str(filters.speaker),
        "agent": UNKNOWN if filters.agent == NOBODY else filters.agent,
        "source": filters.source,
        "name": filters.name,
        "from": filters.from_day and filters.from_day.isoformat(),
        "to": filters.to_day and filters.to_day.isoformat(),
        "named": "true" if filters.named else None,
    }
    yield from ((name, value) for name, value in single.items() if value)
