"""What the calls add up to, by the time of the call. Each number names the filter of its calls.

The calls behind a number are `calls.page(database, numbers.filters…)`: of `totals.failed`
`filters.in_state(FAILED)`, of a competitor `filters.naming(name)`, of an agent
`filters.of_agent(key)`, of a stretch `filters.with_mention().between(first, last)`. Mentions are
those that count; nothing here is read from the daily marts (decision 21).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date

from callpipeline.domain.filters import Filters, Stance
from callpipeline.domain.stretches import Step, Stretch, origin, step_for, stretches
from callpipeline.storage.database import Database, Row
from callpipeline.storage.reading.asking import COUNTED_STATES, ask, named_as_known


@dataclass(frozen=True, slots=True)
class Counts:
    """Mentions by how they speak of the competitor; `mean_score` -1..1 of those that are judged."""

    mentions: int = 0
    positive: int = 0
    neutral: int = 0
    negative: int = 0
    unsure: int = 0
    unjudged: int = 0
    by_agent: int = 0
    by_customer: int = 0
    mean_score: float | None = None

    def of(self, stance: Stance) -> int:
        return getattr(self, stance.value)


@dataclass(frozen=True, slots=True)
class Totals:
    """`calls` are of all states that count; `hours` is the length of their recordings."""

    calls: int
    completed: int
    failed: int
    hours: float
    first_day: date | None
    last_day: date | None
    mentions: int
    calls_with_mention: int


@dataclass(frozen=True, slots=True)
class OfCompetitor:
    """A competitor, the calls in which it is named, and its part of all mentions, 0..1."""

    name: str
    calls: int
    share: float
    counts: Counts


@dataclass(frozen=True, slots=True)
class OfAgent:
    """An agent's calls; `key` is for `Filters.agent`, `name` None where nobody is known."""

    key: str
    name: str | None
    calls: int
    calls_with_mention: int
    counts: Counts


@dataclass(frozen=True, slots=True)
class OverTime:
    """Mentions by stretch of time. Lists have a number for each stretch; scores None for none."""

    step: Step
    stretches: tuple[Stretch, ...]
    mentions: tuple[int, ...]
    by_competitor: dict[str, tuple[int, ...]]
    by_stance: dict[Stance, tuple[int, ...]]
    mean_score: tuple[float | None, ...]

    def share(self, competitor: str) -> tuple[float | None, ...]:
        """Its part of all mentions of each stretch, 0..1; None where there is no mention."""
        of = self.by_competitor.get(competitor, (0,) * len(self.stretches))
        return tuple(
            n / total if total else None for n, total in zip(of, self.mentions, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Choices:
    """What there is to filter by."""

    first_day: date | None
    last_day: date | None
    sources: tuple[str, ...]
    agents: tuple[str, ...]
    competitors: tuple[str, ...]


def totals(database: Database, filters: Filters) -> Totals:
    """What all the calls that are let through add up to."""
    return totals_of(*agents_of(database, named_as_known(database, filters)))


def agents_of(database: Database, known: Filters) -> tuple[list[Row], list[Row]]:
    """Calls and mentions by agent. Each call has one agent, so that both add up to the totals."""
    agents = ask(database, "reading/agents", known.counted())
    return agents, ask(database, "reading/by_agent", known)


def totals_of(agents: Sequence[Row], named: Sequence[Row]) -> Totals:
    """What calls and mentions by agent add up to."""
    return Totals(
        calls=sum(row["calls"] for row in agents),
        completed=sum(row["completed"] for row in agents),
        failed=sum(row["failed"] for row in agents),
        hours=sum(row["hours"] for row in agents),
        first_day=min((row["first_day"] for row in agents), default=None),
        last_day=max((row["last_day"] for row in agents), default=None),
        mentions=sum(row["mentions"] for row in named),
        calls_with_mention=sum(row["calls_with_mention"] for row in named),
    )


def by_competitor(database: Database, filters: Filters) -> tuple[OfCompetitor, ...]:
    """The competitors that are named, those named most first."""
    return competitors_of(ask(database, "reading/by_competitor", named_as_known(database, filters)))


def competitors_of(rows: Sequence[Row]) -> tuple[OfCompetitor, ...]:
    """Competitors with their share of all that are named."""
    total = sum(row["mentions"] for row in rows)
    return tuple(
        OfCompetitor(r["competitor"], r["calls"], r["mentions"] / total, _counts(r)) for r in rows
    )


def by_agent(database: Database, filters: Filters) -> tuple[OfAgent, ...]:
    """The agents with calls that are let through, most mentions first."""
    return by_agent_of(*agents_of(database, named_as_known(database, filters)))


def by_agent_of(agents: Sequence[Row], named: Sequence[Row]) -> tuple[OfAgent, ...]:
    """Agents with their calls and mentions, most mentions first."""
    by_key = {row["agent"]: row for row in named}
    found = [_of_agent(row, by_key.get(row["agent"])) for row in agents]
    return tuple(sorted(found, key=lambda each: (-each.counts.mentions, each.key)))


def over_time(database: Database, filters: Filters) -> OverTime:
    """Mentions over the days asked for, else over those of the calls that are let through."""
    known = named_as_known(database, filters)
    if known.from_day and known.to_day:
        return over_days(database, known, None, None)
    [span] = ask(database, "reading/span", known.counted())
    return over_days(database, known, span["first_day"], span["last_day"])


def over_days(
    database: Database, known: Filters, first_day: date | None, last_day: date | None
) -> OverTime:
    """Mentions over the days asked for; where none are, from `first_day` to `last_day`."""
    first, last = known.from_day or first_day, known.to_day or last_day
    if first is None or last is None or first > last:
        return OverTime(Step.DAY, (), (), {}, {}, ())
    step = step_for(first, last)
    wanted = {"days": step.days, "origin": origin(first, step)}
    rows = ask(database, "reading/over_time", known, wanted)
    return _over_time(step, tuple(stretches(first, last, step)), rows)


def choices(database: Database) -> Choices:
    """What filters can be set to, for the lists of a page."""
    rows = database.rows("reading/choices", {"states": COUNTED_STATES})
    names = [each["competitor"] for each in database.rows("reading/competitors")]
    agents = {row["agent"]: row["agent_name"] for row in rows if row["agent"]}
    return Choices(
        min((row["first_day"] for row in rows), default=None),
        max((row["last_day"] for row in rows), default=None),
        tuple(sorted({row["source"] for row in rows})),
        tuple(agents[key] for key in sorted(agents)),
        tuple(sorted(names, key=str.casefold)),
    )


def _counts(row: Row) -> Counts:
    return Counts(**{field.name: row[field.name] for field in fields(Counts)})


def _of_agent(row: Row, named: Row | None) -> OfAgent:
    counts = _counts(named) if named else Counts()
    with_mention = named["calls_with_mention"] if named else 0
    return OfAgent(row["agent"], row["name"], row["calls"], with_mention, counts)


def _over_time(step: Step, of: tuple[Stretch, ...], rows: Sequence[Row]) -> OverTime:
    place = {stretch.since: n for n, stretch in enumerate(of)}
    competitors: dict[str, list[int]] = {}
    stances: dict[Stance, list[int]] = {}
    scores: list[list[tuple[int, float]]] = [[] for _ in of]
    for row in rows:
        at, mentions = place[row["since"]], row["mentions"]
        if row["competitor"] is not None:
            competitors.setdefault(row["competitor"], [0] * len(of))[at] = mentions
            continue
        stances.setdefault(Stance(row["stance"]), [0] * len(of))[at] = mentions
        if row["mean_score"] is not None:
            scores[at].append((mentions, row["mean_score"]))
    return OverTime(
        step,
        of,
        tuple(sum(counts) for counts in zip(*stances.values(), strict=True)) or (0,) * len(of),
        {name: tuple(c) for name, c in sorted(competitors.items(), key=lambda e: -sum(e[1]))},
        {stance: tuple(stances.get(stance, [0] * len(of))) for stance in Stance},
        tuple(_mean(each) for each in scores),
    )


def _mean(scores: Sequence[tuple[int, float]]) -> float | None:
    """Of the means of groups; None where nothing is judged."""
    total = sum(count for count, _ in scores)
    return sum(count * mean for count, mean in scores) / total if total else None
