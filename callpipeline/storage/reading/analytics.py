"""Numbers over many calls, by the time of the call.

Each number belongs to a filter that lists its calls: `totals.failed` to `filters.in_state(FAILED)`,
a competitor to `filters.with_competitor(name)`, an agent to `filters.for_agent(key)`, a time bucket
to `filters.mentioning_any().between(first, last)`. Only counted mentions are included. These
numbers are not read from the daily marts (decision 21); DailyMarts reads what those are made of.
"""

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.domain.calls.call import CallState
from callpipeline.domain.calls.filters import CallFilters, MentionSentiment
from callpipeline.domain.calls.rates import Rate
from callpipeline.domain.competitors.find_mentions import OWN_REASON
from callpipeline.domain.time_buckets import (
    BucketSize,
    StaleDay,
    TimeBucket,
    bucket_size_for,
    bucket_start,
    time_buckets,
)
from callpipeline.storage.ports.analytics import (
    AgentNumbers,
    AnalyticsNumbers,
    CompetitorNumbers,
    CompetitorRates,
    FilterChoices,
    ListedMention,
    MentionCounts,
    MentionPage,
    MentionTrend,
    PeriodRates,
    Totals,
)
from callpipeline.storage.postgres import tables
from callpipeline.storage.postgres.database import Database, Row
from callpipeline.storage.postgres.sql import query
from callpipeline.storage.reading.call_detail import mention_detail
from callpipeline.storage.reading.filtered import (
    ALL,
    COUNTED,
    decode_cursor,
    encode_cursor,
    list_competitors,
    resolve_competitors,
    select,
)

MENTIONS = "mentions"
PARALLEL_QUERIES = 2
"""Postgres runs each query in a process of its own."""

DayRange = tuple[date | None, date | None]


class Analytics:
    """Numbers and mentions of the calls that match filters."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def totals(self, filters: CallFilters = ALL) -> Totals:
        return _totals(*self._by_agent(filters))

    def by_competitor(self, filters: CallFilters = ALL) -> tuple[CompetitorNumbers, ...]:
        """Return the mentioned competitors, most mentions first."""
        return _competitors(self._select("reading/mentions_by_competitor", filters))

    def own_mentions(self, names: Sequence[str]) -> dict[str, int]:
        """Count the mentions of the user's own names, which never count as a competitor's."""
        parameters: Row = {"names": list(names), "reason": OWN_REASON}
        rows = self._database.rows("reading/own_mentions", parameters) if names else ()
        return {row["competitor"]: row["mentions"] for row in rows}

    def by_agent(self, filters: CallFilters = ALL) -> tuple[AgentNumbers, ...]:
        """Return the agents, most mentions first."""
        return _agents(*self._by_agent(filters))

    def over_time(self, filters: CallFilters = ALL) -> MentionTrend:
        """Return the mentions of the filtered days, or else of the days of the matching calls."""
        resolved = resolve_competitors(self._database, filters)
        if resolved.from_day and resolved.to_day:
            return self._trend(resolved, (None, None))
        [days] = select(self._database, "reading/day_range", resolved.counted())
        return self._trend(resolved, (days["first_day"], days["last_day"]))

    def filter_choices(self) -> FilterChoices:
        """Return the values that filters can have."""
        rows = self._database.rows("reading/filter_options", {"states": COUNTED})
        agents = {row["agent"]: row["agent_name"] for row in rows if row["agent"]}
        return FilterChoices(
            min((row["first_day"] for row in rows), default=None),
            max((row["last_day"] for row in rows), default=None),
            tuple(sorted({row["source"] for row in rows})),
            tuple(agents[key] for key in sorted(agents)),
            tuple(sorted(list_competitors(self._database), key=str.casefold)),
        )

    def mentions(
        self, filters: CallFilters = ALL, *, limit: int = 100, after: str | None = None
    ) -> MentionPage:
        """Return a page of mentions, newest call first. Raises CursorInvalid."""
        at, call_id, mention_id = (
            decode_cursor(after, MENTIONS, (str,)) if after else (None, None, None)
        )
        page: dict[str, Any] = {"after_at": at, "after_id": call_id, "after_mention": mention_id}
        rows = self._select("reading/list_mentions", filters, page | {"limit": limit + 1})
        mentions = tuple(map(_listed_mention, rows[:limit]))
        if len(rows) <= limit or not mentions:
            return MentionPage(mentions, None)
        last = rows[limit - 1]
        position = (last["took_place_at"], last["call_id"], last["mention_id"])
        return MentionPage(mentions, encode_cursor(MENTIONS, *position))

    def analytics(
        self,
        filters: CallFilters = ALL,
        *,
        earlier: CallFilters | None = None,
        days: tuple[date, date] | None = None,
    ) -> AnalyticsNumbers:
        """Return all numbers of the analytics page, running two queries at a time.

        `before` is computed with the filters `earlier`. The filtered days are limited to `days`,
        the possibly outdated range of all calls, and the days of matching calls that arrived since:
        beyond them the chart would be empty.
        """
        resolved = resolve_competitors(self._database, filters)
        with ThreadPoolExecutor(PARALLEL_QUERIES) as pool:
            agents = pool.submit(
                select, self._database, "reading/calls_by_agent", resolved.counted()
            )
            mentions = pool.submit(select, self._database, "reading/mentions_by_agent", resolved)
            competitors = pool.submit(
                select, self._database, "reading/mentions_by_competitor", resolved
            )
            rates = pool.submit(self.rates, resolved)
            before = pool.submit(self.rates, earlier) if earlier else None
            found = _totals(agents.result(), ())
            range_ = (found.first_day, found.last_day)
            drawn = _limit_days(resolved, days, range_)
            trend = pool.submit(self._trend, drawn, range_)
            voices = trend
            if resolved.competitors:
                voices = pool.submit(self.over_time, replace(drawn, competitors=()))
            return AnalyticsNumbers(
                totals=_totals(agents.result(), mentions.result()),
                by_competitor=_competitors(competitors.result()),
                by_agent=_agents(agents.result(), mentions.result()),
                over_time=trend.result(),
                voices=voices.result(),
                rates=rates.result(),
                before=before and before.result(),
            )

    def rates(self, filters: CallFilters) -> PeriodRates:
        """Return the rates of completed calls: those that match, whatever they mention."""
        matching = resolve_competitors(self._database, filters.in_state(CallState.COMPLETED))
        every = replace(
            matching,
            competitors=(),
            sentiment=None,
            speaker=None,
            named=False,
            switching=(),
            moments=(),
        )
        [completed] = select(self._database, "reading/count_calls", every)
        *rows, naming = select(self._database, "reading/completed_mentions", matching)
        of = completed["calls"]
        return PeriodRates(
            of, naming["calls"], {row["competitor"]: _rates(row, of) for row in rows}
        )

    def _select(self, name: str, filters: CallFilters, more: Row | None = None) -> list[Row]:
        return select(self._database, name, resolve_competitors(self._database, filters), more)

    def _by_agent(self, filters: CallFilters) -> tuple[list[Row], list[Row]]:
        """Return calls and mentions by agent. Each call has one agent, so both add up to totals."""
        resolved = resolve_competitors(self._database, filters)
        calls = select(self._database, "reading/calls_by_agent", resolved.counted())
        return calls, select(self._database, "reading/mentions_by_agent", resolved)

    def _trend(self, resolved: CallFilters, days: DayRange) -> MentionTrend:
        """Return the mentions of the filtered days; `days` stands in for those not filtered."""
        first, last = resolved.from_day or days[0], resolved.to_day or days[1]
        if first is None or last is None or first > last:
            return MentionTrend(BucketSize.DAY, (), (), {}, {}, (), {}, {})
        step = bucket_size_for(first, last)
        size = {"days": step.days, "origin": bucket_start(first, step)}
        rows = select(self._database, "reading/mentions_over_time", resolved, size)
        return _mention_trend(step, tuple(time_buckets(first, last, step)), rows)


def _totals(calls: Sequence[Row], mentions: Sequence[Row]) -> Totals:
    """Add up calls and mentions by agent."""
    return Totals(
        calls=sum(row["calls"] for row in calls),
        completed=sum(row["completed"] for row in calls),
        failed=sum(row["failed"] for row in calls),
        hours=sum(row["hours"] for row in calls),
        first_day=min((row["first_day"] for row in calls), default=None),
        last_day=max((row["last_day"] for row in calls), default=None),
        mentions=sum(row["mentions"] for row in mentions),
        calls_with_mention=sum(row["calls_with_mention"] for row in mentions),
    )


def _competitors(rows: Sequence[Row]) -> tuple[CompetitorNumbers, ...]:
    return tuple(
        CompetitorNumbers(row["competitor"], row["calls"], row["share"], mention_counts(row))
        for row in rows
    )


def _rates(row: Row, of: int) -> CompetitorRates:
    return CompetitorRates(
        Rate(row["mentions"], row["calls"], of),
        Rate(row["by_customer"], row["customer_calls"], of),
        Rate(row["by_agent"], row["agent_calls"], of),
    )


def _agents(calls: Sequence[Row], mentions: Sequence[Row]) -> tuple[AgentNumbers, ...]:
    by_key = {row["agent"]: row for row in mentions}
    found = [_agent(row, by_key.get(row["agent"])) for row in calls]
    return tuple(sorted(found, key=lambda each: (-each.counts.mentions, each.key)))


def _agent(row: Row, mentions: Row | None) -> AgentNumbers:
    counts = mention_counts(mentions) if mentions else MentionCounts()
    with_mention = mentions["calls_with_mention"] if mentions else 0
    return AgentNumbers(row["agent"], row["name"], row["calls"], with_mention, counts)


def mention_counts(row: Row) -> MentionCounts:
    return MentionCounts(**{field.name: row[field.name] for field in fields(MentionCounts)})


def _mention_trend(
    step: BucketSize, buckets: tuple[TimeBucket, ...], rows: Sequence[Row]
) -> MentionTrend:
    index = {bucket.since: n for n, bucket in enumerate(buckets)}
    zeros = [0] * len(buckets)
    by_sentiment = {sentiment: [*zeros] for sentiment in MentionSentiment}
    scores: list[list[tuple[int, float]]] = [[] for _ in buckets]
    for row in (row for row in rows if row["competitor"] is None):
        at, mentions = index[row["since"]], row["mentions"]
        by_sentiment[MentionSentiment(row["stance"])][at] = mentions
        if row["mean_score"] is not None:
            scores[at].append((mentions, row["mean_score"]))
    mentions = tuple(sum(counts) for counts in zip(*by_sentiment.values(), strict=True))
    by_competitor: dict[str, list[int]] = {}
    shares: dict[str, list[float | None]] = {}
    total_shares: dict[str, float] = {}
    for row in (row for row in rows if row["competitor"] is not None):
        name = row["competitor"]
        if row["since"] is None:
            total_shares[name] = row["share"]
            continue
        by_competitor.setdefault(name, [*zeros])[index[row["since"]]] = row["mentions"]
        no_share = [0.0 if count else None for count in mentions]
        shares.setdefault(name, no_share)[index[row["since"]]] = row["share"]
    most_first = sorted(by_competitor.items(), key=lambda each: -sum(each[1]))
    return MentionTrend(
        step,
        buckets,
        mentions,
        {name: tuple(counts) for name, counts in most_first},
        {sentiment: tuple(counts) for sentiment, counts in by_sentiment.items()},
        tuple(map(_mean, scores)),
        {name: tuple(values) for name, values in shares.items()},
        total_shares,
    )


def _mean(scores: Sequence[tuple[int, float]]) -> float | None:
    """Return the mean over groups given as count and mean, or None without any."""
    total = sum(count for count, _ in scores)
    return sum(count * mean for count, mean in scores) / total if total else None


def _limit_days(
    filters: CallFilters, days: tuple[date, date] | None, found: DayRange
) -> CallFilters:
    """Limit the filtered days to `days` and to those of the matching calls, `found`."""
    if days is None:
        return filters
    first, last = min(days[0], found[0] or days[0]), max(days[1], found[1] or days[1])
    return replace(
        filters,
        from_day=filters.from_day and max(filters.from_day, first),
        to_day=filters.to_day and min(filters.to_day, last),
    )


def _listed_mention(row: Row) -> ListedMention:
    call = (row["call_id"], row["key"], row["agent"], row["took_place_at"])
    return ListedMention(*call, mention_detail(row))


class DailyMarts:
    """Reads the ledger by the day of its calls."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def stale_days(
        self, first: date, since: datetime | None = None
    ) -> tuple[list[StaleDay], datetime]:
        """Return the stale days from `first` on, and the time of the database's clock.

        Only changes after `since` are read, so the cost does not grow with the number of calls.
        """
        values = {"first": first, "since": since or datetime.min.replace(tzinfo=UTC)}

        def read(connection: Connection[DictRow]) -> tuple[list[StaleDay], datetime]:
            now = tables.transaction_time(connection)
            rows = connection.execute(query("reading/stale_days"), values).fetchall()
            return [StaleDay(**row) for row in rows], now

        return self._database.with_retry(read)

    def closed_days(self, days: Collection[date]) -> list[date]:
        """Return those of the days on which retention deleted calls."""
        rows = self._database.rows("reading/closed_days", {"days": list(days)})
        return [row["day"] for row in rows]

    def competitors(self, days: Collection[date]) -> list[Row]:
        """Return the rows of `daily_competitors` for these days, with shares of voice."""
        return self._database.rows("reading/daily_competitors", {"days": list(days)})

    def stage_durations(self, days: Collection[date]) -> list[Row]:
        """Return `day`, `stage` and `took_s` (seconds) of each stage of each call of these days."""
        return self._database.rows("reading/stage_durations", {"days": list(days)})
