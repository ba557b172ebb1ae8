"""Recent changes: competitors that gain or lose, customers at risk, and what needs review."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial

from callpipeline.domain.audio import Speaker
from callpipeline.domain.calls.call import CallState
from callpipeline.domain.calls.filters import CallFilters
from callpipeline.domain.calls.rates import RateChange
from callpipeline.domain.switching import SwitchingIntent
from callpipeline.pipeline.reading.analytics import previous_period
from callpipeline.storage.ports.analytics import (
    AnalyticsReader,
    InsightReader,
    ListedMention,
    MomentCount,
    PeriodRates,
)
from callpipeline.storage.ports.results import DecisionCounter

AT_RISK = (SwitchingIntent.LEAVING_TO, SwitchingIntent.CONSIDERING)
"""Intents of customers who may be lost to a competitor."""
PERIODS_DAYS = (7, 28, 90)
ALL = CallFilters()
MAX_MOVERS = 3
QUOTES = 2
MAX_AT_RISK = 5
MAX_FIRST_HEARD = 3
PARALLEL_QUERIES = 2


@dataclass(frozen=True, slots=True)
class Mover:
    """A competitor whose mentions per completed call changed, with quotes of customers."""

    name: str
    change: RateChange
    filters: CallFilters
    quotes: Sequence[ListedMention]


@dataclass(frozen=True, slots=True)
class AtRisk:
    """Customers who say that they leave for, or consider, a competitor."""

    filters: CallFilters
    count: MomentCount
    newest: Sequence[ListedMention]


@dataclass(frozen=True, slots=True)
class OverviewPage:
    """Content of the page Overview about the days of `filters`.

    Gainers and losers changed by more than chance, the largest change first. `first_heard` are
    competitors that no earlier call mentions; they are no gainers. `to_review` are open questions
    by competitor.
    """

    filters: CallFilters
    days: int
    rates: PeriodRates
    before: PeriodRates
    gainers: Sequence[Mover]
    losers: Sequence[Mover]
    first_heard: Sequence[Mover]
    at_risk: AtRisk
    to_review: dict[str, int]


def load_overview(
    analytics: AnalyticsReader,
    insights: InsightReader,
    reviews: DecisionCounter,
    *,
    today: date,
    days: int,
    subject: CallFilters = ALL,
) -> OverviewPage:
    """Load what changed in calls of `subject` in the last days, compared with as many before."""
    filters = replace(subject, from_day=today - timedelta(days=days - 1), to_day=today)
    earlier = previous_period(filters, today) or filters
    at_risk = replace(filters, switching=AT_RISK).in_state(CallState.COMPLETED)
    with ThreadPoolExecutor(PARALLEL_QUERIES) as pool:
        rates, before = pool.submit(analytics.rates, filters), pool.submit(analytics.rates, earlier)
        risk_count = pool.submit(insights.count, at_risk)
        risk_newest = pool.submit(analytics.mentions, at_risk, limit=MAX_AT_RISK)
        pending = pool.submit(reviews.count_pending)
        changes = changes_of(rates.result(), before.result())
        new_names = [name for name, change in changes.items() if change.is_new]
        heard = insights.first_heard(new_names, filters.from_day or today)
        clear = {name: changes[name] for name in changes.keys() - heard if changes[name].is_clear}
        movers = partial(_movers, pool, analytics, filters, changes)
        gaining = movers(_largest(clear, MAX_MOVERS, gain=True))
        losing = movers(_largest(clear, MAX_MOVERS, gain=False))
        new = movers(sorted(heard, key=lambda name: -changes[name].now.events)[:MAX_FIRST_HEARD])
        return OverviewPage(
            filters,
            days,
            rates.result(),
            before.result(),
            [each() for each in gaining],
            [each() for each in losing],
            [each() for each in new],
            AtRisk(at_risk, risk_count.result(), risk_newest.result().mentions),
            dict(pending.result()),
        )


def changes_of(now: PeriodRates, before: PeriodRates) -> dict[str, RateChange]:
    """Return the change of each competitor that either period mentions."""
    names = dict.fromkeys([*now.by_competitor, *before.by_competitor])
    return {name: RateChange(now.of(name).all, before.of(name).all) for name in names}


def _largest(changes: dict[str, RateChange], limit: int, *, gain: bool) -> list[str]:
    """Return the competitors with the largest gains, or losses, in mentions per 100 calls."""
    differences = {name: _difference(change) for name, change in changes.items()}
    names = [name for name, by in differences.items() if (by > 0) == gain and by]
    return sorted(names, key=lambda name: -abs(differences[name]))[:limit]


def _difference(change: RateChange) -> float:
    return (change.now.per_100 or 0.0) - (change.before.per_100 or 0.0)


def _movers(
    pool: ThreadPoolExecutor,
    analytics: AnalyticsReader,
    filters: CallFilters,
    changes: Mapping[str, RateChange],
    names: Sequence[str],
) -> list[Callable[[], Mover]]:
    return [_mover(pool, analytics, filters, name, changes[name]) for name in names]


def _mover(
    pool: ThreadPoolExecutor,
    analytics: AnalyticsReader,
    filters: CallFilters,
    name: str,
    change: RateChange,
) -> Callable[[], Mover]:
    """Start reading the quotes of customers about a competitor; return what waits for them."""
    own = filters.with_competitor(name).in_state(CallState.COMPLETED)
    by_customers = replace(own, speaker=filters.speaker or Speaker.CUSTOMER)
    quotes: Future[Sequence[ListedMention]] = pool.submit(
        lambda: analytics.mentions(by_customers, limit=QUOTES).mentions
    )
    return lambda: Mover(name, change, own, quotes.result())
