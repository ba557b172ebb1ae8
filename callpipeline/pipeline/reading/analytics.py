"""The numbers of the analytics page for the calls that match filters."""

from dataclasses import dataclass, replace
from datetime import date, timedelta

from callpipeline.domain.calls.filters import CallFilters
from callpipeline.domain.calls.rates import RateChange
from callpipeline.storage.ports.analytics import (
    AgentNumbers,
    AnalyticsReader,
    CompetitorNumbers,
    FilterChoices,
    MentionPage,
    MentionTrend,
    PeriodRates,
    Totals,
    TrendReader,
)

NEWEST = 20


@dataclass(frozen=True, slots=True)
class AnalyticsPage:
    """Numbers of the calls that match `filters`, and the choices of the filter form.

    `mentions_of_all` counts all competitors, even if the filters select some: shares of voice are
    relative to these. `rates` are per completed call; `before` has those of the previous period of
    the same length, None without a first day. `newest` lists mentions of the selected competitors;
    None if none are selected.
    """

    filters: CallFilters
    choices: FilterChoices
    totals: Totals
    competitors: tuple[CompetitorNumbers, ...]
    rates: PeriodRates
    before: PeriodRates | None
    agents: tuple[AgentNumbers, ...]
    over_time: MentionTrend
    mentions_of_all: MentionTrend
    newest: MentionPage | None

    @property
    def is_installation_empty(self) -> bool:
        """True before the first call; `choices` may be older than that call."""
        return self.choices.first_day is None and not self.totals.calls

    def share(self, competitor: CompetitorNumbers) -> float:
        """Return the competitor's share of voice (0..1)."""
        return self.mentions_of_all.total_shares.get(competitor.name, 0.0)

    def change(self, competitor: CompetitorNumbers) -> RateChange | None:
        """Return the change of its mentions per completed call from the previous period."""
        if self.before is None:
            return None
        now, before = self.rates.of(competitor.name), self.before.of(competitor.name)
        return RateChange(now.all, before.all)

    @property
    def waiting(self) -> int:
        """Return the calls that are neither completed nor failed, and so in no rate."""
        return self.totals.calls - self.totals.completed - self.totals.failed


def load_analytics(
    reading: AnalyticsReader,
    filters: CallFilters,
    choices: FilterChoices,
    *,
    today: date,
    after: str | None = None,
) -> AnalyticsPage:
    """Load the numbers; `after` is the cursor of the list of newest mentions.

    `choices` may be a minute old. Raises CursorInvalid.
    """
    newest = None
    if filters.competitors:
        newest = reading.mentions(filters, limit=NEWEST, after=after)
    first, last = choices.first_day, choices.last_day
    numbers = reading.analytics(
        filters,
        earlier=previous_period(filters, today),
        days=(first, last) if first and last else None,
    )
    return AnalyticsPage(
        filters=filters,
        choices=choices,
        totals=numbers.totals,
        competitors=numbers.by_competitor,
        rates=numbers.rates,
        before=numbers.before,
        agents=numbers.by_agent,
        over_time=numbers.over_time,
        mentions_of_all=numbers.voices,
        newest=newest,
    )


def mentions_of_all(reading: TrendReader, filters: CallFilters) -> MentionTrend:
    """Return the mentions of all competitors over time, whichever the filters select."""
    return reading.over_time(replace(filters, competitors=()))


def previous_period(filters: CallFilters, today: date) -> CallFilters | None:
    """Return the filters for as many days before; None without a first day, or in the future."""
    if filters.from_day is None:
        return None
    last = filters.to_day or today
    days = (last - filters.from_day).days + 1
    if days < 1:
        return None
    first = filters.from_day - timedelta(days=days)
    return replace(filters, from_day=first, to_day=filters.from_day - timedelta(days=1))
