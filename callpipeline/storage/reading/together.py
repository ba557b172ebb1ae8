"""All numbers of a page, two questions at a time: Postgres answers each in a process of its own."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date

from callpipeline.domain.filters import Filters
from callpipeline.storage.database import Database
from callpipeline.storage.reading.asking import ask, named_as_known
from callpipeline.storage.reading.numbers import (
    OfAgent,
    OfCompetitor,
    OverTime,
    Totals,
    by_agent_of,
    by_competitor,
    competitors_of,
    over_days,
    over_time,
    totals_of,
)

AT_ONCE = 2

Span = tuple[date | None, date | None]


@dataclass(frozen=True, slots=True)
class Analytics:
    """The numbers of one page, each query asked once.

    `voices` are the mentions of all competitors, also where some were asked for. `before` are the
    mentions of each competitor in an earlier stretch; None where none was asked for.
    """

    totals: Totals
    by_competitor: tuple[OfCompetitor, ...]
    by_agent: tuple[OfAgent, ...]
    over_time: OverTime
    voices: OverTime
    before: Mapping[str, int] | None


def analytics(
    database: Database,
    filters: Filters,
    *,
    earlier: Filters | None = None,
    days: tuple[date, date] | None = None,
) -> Analytics:
    """All numbers at once; `before` of `earlier`.

    Days asked for are cut to `days`, those of all calls as somebody knew them a while ago, and to
    those of calls that came since: others would be an empty chart.
    """
    known = named_as_known(database, filters)
    with ThreadPoolExecutor(AT_ONCE) as hands:
        agents = hands.submit(ask, database, "reading/agents", known.counted())
        named = hands.submit(ask, database, "reading/by_agent", known)
        competitors = hands.submit(ask, database, "reading/by_competitor", known)
        before = hands.submit(by_competitor, database, earlier) if earlier else None
        summed = totals_of(agents.result(), ())
        drawn = _cut(known, days, (summed.first_day, summed.last_day))
        time = hands.submit(over_days, database, drawn, summed.first_day, summed.last_day)
        voices = time
        if known.competitors:
            voices = hands.submit(over_time, database, replace(drawn, competitors=()))
        return Analytics(
            totals=totals_of(agents.result(), named.result()),
            by_competitor=competitors_of(competitors.result()),
            by_agent=by_agent_of(agents.result(), named.result()),
            over_time=time.result(),
            voices=voices.result(),
            before=before and {each.name: each.counts.mentions for each in before.result()},
        )


def _cut(known: Filters, days: tuple[date, date] | None, found: Span) -> Filters:
    """`found` are the days of the calls that are let through."""
    if days is None:
        return known
    first, last = min(days[0], found[0] or days[0]), max(days[1], found[1] or days[1])
    return replace(
        known,
        from_day=known.from_day and max(known.from_day, first),
        to_day=known.to_day and min(known.to_day, last),
    )
