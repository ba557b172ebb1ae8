"""Filters in addresses: the only place that reads them out of a query, and writes them into one.

A list of calls, the numbers of a page, a search and an export take the same parameters, so that a
number leads to the calls behind it, and what is shown can be saved. Empty ones, which forms send,
are as if they were not there.
"""

import re
from datetime import date
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import Depends, Query
from fastapi.exceptions import RequestValidationError
from pydantic import BeforeValidator, Field

from callpipeline.domain.audio import Speaker
from callpipeline.domain.call import CallState
from callpipeline.domain.filters import COUNTED, NOBODY, Filters, Stance

UNKNOWN_AGENT = "(unknown)"
"""Stands in addresses for calls whose agent nobody knows."""

ALL_COUNTED, NONE = "counted", "none"
"""Stand in addresses for all states of calls that are counted, and for no state at all."""

FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(2199, 12, 31)
DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
MOST_NAMES = 100


def _none_if_blank(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _a_day(value: object) -> object:
    """Only whole days: a number, or a time, would be taken for one as well."""
    if isinstance(value, str) and not DAY.fullmatch(value):
        raise ValueError("a day is written like 2026-03-31")
    return value


def _without_blanks(values: object) -> object:
    if not isinstance(values, list):
        return values
    return [each for each in values if not isinstance(each, str) or each.strip()]


def _in_capitals(value: object) -> object:
    if not isinstance(value, str):
        return value
    return value.lower() if value.lower() in {ALL_COUNTED, NONE} else value.upper()


Blank = BeforeValidator(_none_if_blank)
Blanks = BeforeValidator(_without_blanks)
Name = Annotated[str, Field(max_length=200)]
Day = Annotated[date, Field(ge=FIRST_DAY, le=LAST_DAY), BeforeValidator(_a_day)]
State = Annotated[
    Literal[
        "PENDING", "PROCESSING", "COMPLETED", "FAILED", "DUPLICATE", "ERASED", "counted", "none"
    ],
    BeforeValidator(_in_capitals),
]


def filters_asked(  # noqa: PLR0913, PLR0917 (as many as an address has)
    from_: Annotated[
        Day | None, Blank, Query(alias="from", description="First day of the call, by UTC")
    ] = None,
    to: Annotated[Day | None, Blank, Query(description="Last day of the call, by UTC")] = None,
    agent: Annotated[
        Name | None, Blank, Query(description=f"In any case; {UNKNOWN_AGENT} where nobody knows")
    ] = None,
    competitor: Annotated[
        list[Name],
        Blanks,
        Query(max_length=MOST_NAMES, description="Named in the call, in any case; any of these"),
    ] = [],  # noqa: B006
    sentiment: Annotated[
        Stance | None, Blank, Query(description="How it is spoken of in that mention")
    ] = None,
    speaker: Annotated[Speaker | None, Blank, Query(description="Who names it")] = None,
    source: Annotated[Name | None, Blank, Query(description="Where the recording came in")] = None,
    state: Annotated[
        list[State],
        Blanks,
        Query(max_length=10, description=f"{ALL_COUNTED}: neither duplicates nor erased ones"),
    ] = [],  # noqa: B006
    named: Annotated[
        bool | None, Blank, Query(description="Whether a competitor must be named at all")
    ] = None,
    name: Annotated[Name | None, Blank, Query(description="Words of the recording's name")] = None,
) -> Filters:
    """What a request wants to see. Raises RequestValidationError."""
    if from_ and to and from_ > to:
        message = f"the first day ({from_}) is after the last one ({to})"
        raise RequestValidationError([{"loc": ("query", "from"), "msg": message, "type": "value"}])
    return Filters(
        from_day=from_,
        to_day=to,
        agent=NOBODY if agent == UNKNOWN_AGENT else agent,
        source=source,
        competitors=tuple(dict.fromkeys(competitor)),
        sentiment=sentiment,
        speaker=speaker,
        named=bool(named),
        states=_states(state),
        name=name or "",
    )


Asked = Annotated[Filters, Depends(filters_asked)]
"""What a route is given of its request's parameters."""


def address(path: str, filters: Filters, **more: Any) -> str:
    """A path of ours with these filters and other parameters; those of None are left out."""
    others = [(name, str(value)) for name, value in more.items() if value is not None]
    query = urlencode([*parameters(filters), *others])
    return f"{path}?{query}" if query else path


def parameters(filters: Filters) -> list[tuple[str, str]]:
    """The filters as parameters, always in the same order; `filters_asked` reads them."""
    return [
        (name, value)
        for name, values in {
            "from": _one(filters.from_day),
            "to": _one(filters.to_day),
            "agent": [UNKNOWN_AGENT] if filters.agent == NOBODY else _one(filters.agent),
            "competitor": list(filters.competitors),
            "sentiment": _one(filters.sentiment),
            "speaker": _one(filters.speaker),
            "source": _one(filters.source),
            "state": _in_words(filters.states),
            "named": ["yes"] if filters.named else [],
            "name": _one(filters.name or None),
        }.items()
        for value in values
    ]


def _one(value: object) -> list[str]:
    return [] if value is None else [str(value)]


def _states(asked: list[State]) -> tuple[CallState, ...] | None:
    if not asked:
        return None
    meant = {ALL_COUNTED: COUNTED, NONE: ()} | {str(state): (state,) for state in CallState}
    return tuple(dict.fromkeys(state for each in asked for state in meant[each]))


def _in_words(states: tuple[CallState, ...] | None) -> list[str]:
    if states is None:
        return []
    return [ALL_COUNTED] if states == COUNTED else [str(state) for state in states] or [NONE]
