"""All that the page of analytics shows of the calls that somebody wants to see."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Protocol

from callpipeline.domain.filters import Filters
from callpipeline.storage.reading import together
from callpipeline.storage.reading.contract import MentionPage
from callpipeline.storage.reading.numbers import (
    Choices,
    OfAgent,
    OfCompetitor,
    OverTime,
    Totals,
)

NEWEST = 20


class Numbers(Protocol):
    """What is asked of storage; `Reading` has it."""

    def analytics(
        self, filters: Filters, *, earlier: Filters | None, days: tuple[date, date] | None
    ) -> together.Analytics: ...
    def mentions(self, filters: Filters, *, limit: int, after: str | None) -> MentionPage: ...


class OverTimes(Protocol):
    """What is asked of storage for voices alone."""

    def over_time(self, filters: Filters) -> OverTime: ...


@dataclass(frozen=True, slots=True)
class Analytics:
    """Numbers of the calls that `filters` let through, and what there is to filter by.

    `voices` are the mentions of all competitors, also where some were asked for: their share is of
    these. `before` are the mentions of each competitor in as many days before those asked for;
    None where no first day was asked for. `newest` are mentions of the competitors that were asked
    for, None where none was.
    """

    filters: Filters
    choices: Choices
    totals: Totals
    competitors: tuple[OfCompetitor, ...]
    before: Mapping[str, int] | None
    agents: tuple[OfAgent, ...]
    over_time: OverTime
    voices: OverTime
    newest: MentionPage | None

    @property
    def is_installation_empty(self) -> bool:
        """`choices` may have been read before the first call came."""
        return self.choices.first_day is None and not self.totals.calls

    def share(self, competitor: OfCompetitor) -> float:
        """Its part of the mentions of all competitors, 0..1."""
        return competitor.counts.mentions / (sum(self.voices.mentions) or 1)

    def change(self, competitor: OfCompetitor) -> float | None:
        """Of its mentions against the days before, 0.5 for half as many again; None if unknown."""
        earlier = (self.before or {}).get(competitor.name)
        return (competitor.counts.mentions - earlier) / earlier if earlier else None

    def is_new(self, competitor: OfCompetitor) -> bool:
        """Whether it was not named in the days before."""
        return self.before is not None and not self.before.get(competitor.name)


def analyse(
    reading: Numbers, filters: Filters, choices: Choices, *, today: date, after: str | None = None
) -> Analytics:
    """The numbers of these calls; `after` is where the page of newest mentions begins.

    `choices` may be a minute old. Raises CursorInvalid.
    """
    newest = None
    if filters.competitors:
        newest = reading.mentions(filters, limit=NEWEST, after=after)
    first, last = choices.first_day, choices.last_day
    found = reading.analytics(
        filters,
        earlier=the_days_before(filters, today),
        days=(first, last) if first and last else None,
    )
    return Analytics(
        filters=filters,
        choices=choices,
        totals=found.totals,
        competitors=found.by_competitor,
        before=found.before,
        agents=found.by_agent,
        over_time=found.over_time,
        voices=found.voices,
        newest=newest,
    )


def voices(reading: OverTimes, filters: Filters) -> OverTime:
    """Of the competitors that are asked for the mentions, among those of all competitors."""
    return reading.over_time(replace(filters, competitors=()))


def the_days_before(filters: Filters, today: date) -> Filters | None:
    """The same of as many days before; None where all days are wanted, or none has come yet."""
    if filters.from_day is None:
        return None
    last = filters.to_day or today
    days = (last - filters.from_day).days + 1
    if days < 1:
        return None
    first = filters.from_day - timedelta(days=days)
    return replace(filters, from_day=first, to_day=filters.from_day - timedelta(days=1))
