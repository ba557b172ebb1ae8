"""Filters in query strings: parsing, links with them, and the form of pages.

Lists of calls, analytics, search and exports take the same parameters, so that a number can link to
its calls and every view can be exported. Empty parameters, which forms send, are ignored.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import Depends, HTTPException, Query
from pydantic import BeforeValidator, Field

from callpipeline.domain.audio import Speaker
from callpipeline.domain.calls.call import CallState
from callpipeline.domain.calls.filters import (
    COUNTED_STATES,
    NO_AGENT,
    CallFilters,
    MentionSentiment,
    MomentId,
)
from callpipeline.domain.switching import SwitchingIntent
from callpipeline.storage.ports.analytics import FilterChoices
from callpipeline.storage.reading.export import ExportFormat

UNKNOWN_AGENT = "(unknown)"
"""Parameter value for calls without an agent."""

ALL_COUNTED, NO_STATES = "counted", "none"
"""Parameter values for all states of calls that count, and for no state at all."""

FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(2199, 12, 31)
DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
MAX_NAMES = 100
MAX_MOMENTS = 200

FORMAT_LABELS = {
    ExportFormat.CSV: "CSV",
    ExportFormat.JSON: "JSON",
    ExportFormat.PARQUET: "Parquet",
    ExportFormat.XLSX: "Excel",
}


def _none_if_blank(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _iso_day(value: object) -> object:
    """Reject numbers and times, which pydantic would accept as well."""
    if isinstance(value, str) and not DAY.fullmatch(value):
        raise ValueError("use a date like 2026-03-31")
    return value


def _without_blanks(values: object) -> object:
    if not isinstance(values, list):
        return values
    return [each for each in values if not isinstance(each, str) or each.strip()]


def _canonical_state(value: object) -> object:
    if not isinstance(value, str):
        return value
    return value.lower() if value.lower() in {ALL_COUNTED, NO_STATES} else value.upper()


Blank = BeforeValidator(_none_if_blank)
Blanks = BeforeValidator(_without_blanks)
NameParam = Annotated[str, Field(max_length=200)]
DayParam = Annotated[date, Field(ge=FIRST_DAY, le=LAST_DAY), BeforeValidator(_iso_day)]
StateParam = Annotated[
    Literal[
        "PENDING", "PROCESSING", "COMPLETED", "FAILED", "DUPLICATE", "ERASED", "counted", "none"
    ],
    BeforeValidator(_canonical_state),
]

FromDay = Annotated[
    DayParam | None,
    Blank,
    Query(alias="from", description="First day of the calls, in the time zone of days"),
]
ToDay = Annotated[
    DayParam | None, Blank, Query(description="Last day of the calls, in the time zone of days")
]
AgentParam = Annotated[
    NameParam | None,
    Blank,
    Query(description=f"Case-insensitive; {UNKNOWN_AGENT} for calls without an agent"),
]
CompetitorParam = Annotated[
    list[NameParam],
    Blanks,
    Query(
        max_length=MAX_NAMES, description="Mentioned in the call; case-insensitive; any of these"
    ),
]
RENAMED_SENTIMENTS = {"unsure": MentionSentiment.MIXED}
"""Values in links that were saved before version 0.2."""
SentimentParam = Annotated[
    MentionSentiment | None,
    BeforeValidator(lambda value: RENAMED_SENTIMENTS.get(value, value)),
    Blank,
    Query(description="Sentiment of the mention"),
]
SpeakerParam = Annotated[Speaker | None, Blank, Query(description="Speaker of the mention")]
SourceParam = Annotated[NameParam | None, Blank, Query(description="Source of the recording")]
StatesParam = Annotated[
    list[StateParam],
    Blanks,
    Query(max_length=10, description=f"{ALL_COUNTED}: all but duplicates and erased calls"),
]
NamedParam = Annotated[
    bool | None, Blank, Query(description="Only calls that mention a competitor")
]
FileNameParam = Annotated[NameParam | None, Blank, Query(description="Words in the file name")]

SwitchingParam = Annotated[
    list[SwitchingIntent],
    Blanks,
    Query(max_length=10, description="What the customer says about changing to or from it; any"),
]
MomentsParam = Annotated[
    list[Annotated[str, Field(max_length=1200)]],
    Blanks,
    Query(
        max_length=MAX_MOMENTS,
        description="Single mentions, as call ID, slash and mention ID; any of these",
    ),
]


def query_filters(  # noqa: PLR0913, PLR0917 (one for each query parameter)
    from_: FromDay = None,
    to: ToDay = None,
    agent: AgentParam = None,
    competitor: CompetitorParam = [],  # noqa: B006
    sentiment: SentimentParam = None,
    speaker: SpeakerParam = None,
    source: SourceParam = None,
    state: StatesParam = [],  # noqa: B006
    named: NamedParam = None,
    name: FileNameParam = None,
    switching: SwitchingParam = [],  # noqa: B006
    moment: MomentsParam = [],  # noqa: B006
) -> CallFilters:
    """Parse the filters of a request. Raises HTTPException (422) for reversed dates."""
    if from_ and to and from_ > to:
        raise HTTPException(422, "The start date must be before the end date.")
    return CallFilters(
        from_day=from_,
        to_day=to,
        agent=NO_AGENT if agent == UNKNOWN_AGENT else agent,
        source=source,
        competitors=tuple(dict.fromkeys(competitor)),
        sentiment=sentiment,
        speaker=speaker,
        named=bool(named),
        states=_states(state),
        name=name or "",
        switching=tuple(dict.fromkeys(switching)),
        moments=_moments(moment),
    )


QueryFilters = Annotated[CallFilters, Depends(query_filters)]


def url_with_filters(path: str, filters: CallFilters, **more: Any) -> str:
    """Add filters and other parameters to a path, without those that are None."""
    others = [(name, str(value)) for name, value in more.items() if value is not None]
    query = urlencode([*filter_parameters(filters), *others])
    return f"{path}?{query}" if query else path


def filter_parameters(filters: CallFilters) -> list[tuple[str, str]]:
    """Return the filters as parameters in a fixed order; the inverse of `query_filters`."""
    return [
        (name, value)
        for name, values in {
            "from": _as_list(filters.from_day),
            "to": _as_list(filters.to_day),
            "agent": [UNKNOWN_AGENT] if filters.agent == NO_AGENT else _as_list(filters.agent),
            "competitor": list(filters.competitors),
            "sentiment": _as_list(filters.sentiment),
            "speaker": _as_list(filters.speaker),
            "source": _as_list(filters.source),
            "state": _state_parameters(filters.states),
            "named": ["yes"] if filters.named else [],
            "name": _as_list(filters.name or None),
            "switching": [str(each) for each in filters.switching],
            "moment": [str(each) for each in filters.moments],
        }.items()
        for value in values
    ]


def _moments(texts: list[str]) -> tuple[MomentId, ...]:
    """Parse the ids of moments. Raises HTTPException (422)."""
    try:
        return tuple(dict.fromkeys(map(MomentId.parse, texts)))
    except ValueError as error:
        raise HTTPException(422, f"moment: {error}.") from None


def _as_list(value: object) -> list[str]:
    return [] if value is None else [str(value)]


def _states(values: list[StateParam]) -> tuple[CallState, ...] | None:
    if not values:
        return None
    groups = {ALL_COUNTED: COUNTED_STATES, NO_STATES: ()}
    states = groups | {str(state): (state,) for state in CallState}
    return tuple(dict.fromkeys(state for value in values for state in states[value]))


def _state_parameters(states: tuple[CallState, ...] | None) -> list[str]:
    if states is None:
        return []
    if states == COUNTED_STATES:
        return [ALL_COUNTED]
    return [str(state) for state in states] or [NO_STATES]


@dataclass(frozen=True, slots=True)
class DatePreset:
    """Link to a common date range that keeps all other filters."""

    label: str
    link: str
    is_selected: bool


@dataclass(frozen=True, slots=True)
class FilterForm:
    """Filter form that submits to `path`.

    `extra_params` are parameters other than filters, `extra_fields` are filters with fields on
    this page only. Without `has_competitors`, the page itself is about one.
    """

    path: str
    filters: CallFilters
    choices: FilterChoices
    today: date
    extra_params: tuple[tuple[str, str], ...] = ()
    extra_fields: frozenset[str] = frozenset()
    has_competitors: bool = True

    sentiments = tuple(MentionSentiment)
    speakers = (Speaker.AGENT, Speaker.CUSTOMER)
    unknown_agent = UNKNOWN_AGENT

    @property
    def is_filtered(self) -> bool:
        return bool(filter_parameters(self.filters))

    @property
    def clear_link(self) -> str:
        return url_with_filters(self.path, CallFilters(), **dict(self.extra_params))

    @property
    def agents(self) -> tuple[str, ...]:
        """Return the known agents, and the selected one even if it is unknown."""
        return _including(self.choices.agents, (self.filters.agent or "",))

    @property
    def competitors(self) -> tuple[str, ...]:
        return _including(self.choices.competitors, self.filters.competitors)

    @property
    def hidden(self) -> list[tuple[str, str]]:
        """Return the parameters to send that have no field in the form."""
        fields = {
            "from",
            "to",
            "agent",
            "competitor",
            "sentiment",
            "speaker",
            "source",
        } | self.extra_fields
        return [
            *self.extra_params,
            *(each for each in filter_parameters(self.filters) if each[0] not in fields),
        ]

    def is_agent(self, name: str) -> bool:
        return self.filters.agent is not None and _same(name, self.filters.agent)

    def is_competitor(self, competitor: str) -> bool:
        return any(_same(competitor, each) for each in self.filters.competitors)

    def presets(self) -> Iterator[DatePreset]:
        for days in (7, 30, 90):
            first = self.today - timedelta(days=days - 1)
            yield self._preset(f"Last {days} days", first, self.today)
        quarter = self.today.replace(month=(self.today.month - 1) // 3 * 3 + 1, day=1)
        yield self._preset("This quarter", quarter, self.today)
        yield self._preset("All time", None, None)

    def _preset(self, label: str, first: date | None, last: date | None) -> DatePreset:
        is_selected = (self.filters.from_day, self.filters.to_day) == (first, last)
        filters = replace(self.filters, from_day=first, to_day=last)
        link = url_with_filters(self.path, filters, **dict(self.extra_params))
        return DatePreset(label, link, is_selected)


def _including(known: tuple[str, ...], selected: tuple[str, ...]) -> tuple[str, ...]:
    missing = (name for name in selected if name and not any(_same(name, each) for each in known))
    return (*known, *missing)


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


@dataclass(frozen=True, slots=True)
class DownloadLinks:
    """Links that export what a page shows, one per format."""

    table: str
    filters: CallFilters
    words: str | None = None

    def links(self) -> Iterator[tuple[str, str]]:
        """Yield label and URL of each format."""
        for kind in ExportFormat:
            link = url_with_filters(f"/export/{self.table}.{kind}", self.filters, words=self.words)
            yield FORMAT_LABELS[kind], link
