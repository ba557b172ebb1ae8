"""Numbers over many calls, and the port that reads them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Protocol

from callpipeline.domain.calls.filters import CallFilters, MentionSentiment
from callpipeline.domain.calls.rates import Rate
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.time_buckets import BucketSize, TimeBucket
from callpipeline.storage.ports.results import MentionDetail


@dataclass(frozen=True, slots=True)
class MentionCounts:
    """Mentions by sentiment.

    `mean_score` (-1..1) covers the judged ones, `customer_score` those by customers or by unknown
    speakers, `agent_score` those by agents.
    """

    mentions: int = 0
    positive: int = 0
    neutral: int = 0
    negative: int = 0
    mixed: int = 0
    unjudged: int = 0
    by_agent: int = 0
    by_customer: int = 0
    mean_score: float | None = None
    customer_score: float | None = None
    agent_score: float | None = None

    def of(self, stance: MentionSentiment) -> int:
        return getattr(self, stance.value)


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over calls; `hours` is the length of their recordings."""

    calls: int
    completed: int
    failed: int
    hours: float
    first_day: date | None
    last_day: date | None
    mentions: int
    calls_with_mention: int


@dataclass(frozen=True, slots=True)
class CompetitorNumbers:
    """A competitor, the number of calls that name it, and its share of all mentions (0..1)."""

    name: str
    calls: int
    share: float
    counts: MentionCounts


@dataclass(frozen=True, slots=True)
class AgentNumbers:
    """An agent's calls; `key` fits `CallFilters.agent`, `name` is None for unknown agents."""

    key: str
    name: str | None
    calls: int
    calls_with_mention: int
    counts: MentionCounts


@dataclass(frozen=True, slots=True)
class AgentMentions:
    """Mentions in an agent's calls; `key` and `name` like those of AgentNumbers."""

    key: str
    name: str | None
    counts: MentionCounts


@dataclass(frozen=True, slots=True)
class MentionTrend:
    """Mentions per time bucket: one entry per bucket, a score is None without mentions.

    `shares` is the share of voice (0..1) of each competitor per bucket, `total_shares` over all.
    """

    step: BucketSize
    buckets: tuple[TimeBucket, ...]
    mentions: tuple[int, ...]
    by_competitor: dict[str, tuple[int, ...]]
    by_sentiment: dict[MentionSentiment, tuple[int, ...]]
    mean_score: tuple[float | None, ...]
    shares: dict[str, tuple[float | None, ...]]
    total_shares: dict[str, float]

    def share(self, competitor: str) -> tuple[float | None, ...]:
        """Return the share of voice (0..1) per bucket; None for buckets without mentions."""
        without = tuple(0.0 if mentions else None for mentions in self.mentions)
        return self.shares.get(competitor, without)


@dataclass(frozen=True, slots=True)
class FilterChoices:
    """Values that the filter form offers."""

    first_day: date | None
    last_day: date | None
    sources: tuple[str, ...]
    agents: tuple[str, ...]
    competitors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CompetitorRates:
    """Mentions of a competitor in completed calls: all, those by customers and those by agents."""

    all: Rate
    by_customer: Rate
    by_agent: Rate


@dataclass(frozen=True, slots=True)
class PeriodRates:
    """Rates of the completed calls of a period; calls that wait are in no rate.

    `with_mention` is the number of completed calls with a mention that matches the filters.
    """

    completed: int
    with_mention: int
    by_competitor: Mapping[str, CompetitorRates]

    def of(self, competitor: str) -> CompetitorRates:
        """Return the rates of a competitor; zero if it was not mentioned."""
        none = Rate(0, 0, self.completed)
        return self.by_competitor.get(competitor, CompetitorRates(none, none, none))


@dataclass(frozen=True, slots=True)
class AnalyticsNumbers:
    """All numbers of the analytics page.

    `voices` counts the mentions of all competitors, whatever the filters select. `before` has the
    rates of the previous period; None if no period was requested.
    """

    totals: Totals
    by_competitor: tuple[CompetitorNumbers, ...]
    by_agent: tuple[AgentNumbers, ...]
    over_time: MentionTrend
    voices: MentionTrend
    rates: PeriodRates
    before: PeriodRates | None


@dataclass(frozen=True, slots=True)
class ListedMention:
    """A mention in a list over many calls."""

    call_id: str
    key: str
    agent: str | None
    took_place_at: datetime
    detail: MentionDetail

    @property
    def mention(self) -> Mention:
        return self.detail.mention

    @property
    def sentiment(self) -> MentionSentiment:
        return MentionSentiment(self.detail.sentiment or MentionSentiment.UNJUDGED)


@dataclass(frozen=True, slots=True)
class MentionPage:
    """A page of mentions; `after` is the cursor of the next page, None on the last one."""

    mentions: tuple[ListedMention, ...]
    after: str | None


@dataclass(frozen=True, slots=True)
class MomentCount:
    """Number of counted mentions, and of the calls with them."""

    moments: int
    calls: int


@dataclass(frozen=True, slots=True)
class SaidAbout:
    """Words of a mention of a competitor, and the name in them."""

    call_id: str
    mention_id: str
    stance: str
    text: str
    name: str


@dataclass(frozen=True, slots=True)
class AgentAnswer:
    """A customer's words about a competitor, and what the agent said next."""

    call_id: str
    mention_id: str
    agent: str | None
    start_s: float
    end_s: float
    question: str
    answer: str


class TrendReader(Protocol):
    """Reads mentions over time."""

    def over_time(self, filters: CallFilters) -> MentionTrend: ...


class CompetitorCounter(TrendReader, Protocol):
    """Counts mentions by competitor, and over time."""

    def by_competitor(self, filters: CallFilters) -> Sequence[CompetitorNumbers]: ...

    def rates(self, filters: CallFilters) -> PeriodRates:
        """Return the rates of the completed calls that match."""
        ...

    def own_mentions(self, names: Sequence[str]) -> Mapping[str, int]:
        """Count the mentions of the user's own names, which never count as a competitor's."""
        ...


@dataclass(frozen=True, slots=True)
class AgentWork:
    """Sums over completed calls of an agent, or of several.

    `raised` are mentions by the agent, `asked` those by customers, of which the agent answered
    `answered`; with the calls that have any.
    """

    completed: int = 0
    agent_talk_s: float = 0.0
    customer_talk_s: float = 0.0
    raised: int = 0
    raised_calls: int = 0
    asked: int = 0
    asked_calls: int = 0
    answered: int = 0

    def __add__(self, other: "AgentWork") -> "AgentWork":
        names = [each.name for each in fields(AgentWork)]
        return AgentWork(*(getattr(self, name) + getattr(other, name) for name in names))

    @property
    def talk_share(self) -> float | None:
        """Return the agent's part of the talk time, 0 to 1; None without any."""
        both = self.agent_talk_s + self.customer_talk_s
        return self.agent_talk_s / both if both else None

    @property
    def raised_rate(self) -> Rate:
        return Rate(self.raised, self.raised_calls, self.completed)

    @property
    def asked_rate(self) -> Rate:
        return Rate(self.asked, self.asked_calls, self.completed)

    @property
    def answered_share(self) -> float | None:
        """Return the part of the customers' mentions that was answered; None without any."""
        return self.answered / self.asked if self.asked else None


@dataclass(frozen=True, slots=True)
class NamedWork:
    """Sums over the calls of one agent: key in lower case, empty if unknown, and name."""

    agent: str
    name: str | None
    work: AgentWork


class InsightReader(Protocol):
    """Reads what stands behind the numbers of the calls that match filters."""

    def count(self, filters: CallFilters) -> MomentCount: ...

    def agents(self, filters: CallFilters, *, limit: int) -> Sequence[AgentMentions]:
        """Return the agents in whose calls mentions match, most mentions first."""
        ...

    def agent_work(self, filters: CallFilters) -> Sequence[NamedWork]:
        """Return what the completed calls of each agent have."""
        ...

    def first_heard(self, names: Sequence[str], before: date) -> frozenset[str]:
        """Return those of the competitors that no call before the day mentions."""
        ...

    def said_about(self, filters: CallFilters, *, limit: int) -> Sequence[SaidAbout]: ...

    def answers(self, filters: CallFilters, *, limit: int) -> Sequence[AgentAnswer]: ...


class AnalyticsReader(Protocol):
    """Reads the numbers and mentions of the calls that match filters."""

    def analytics(
        self, filters: CallFilters, *, earlier: CallFilters | None, days: tuple[date, date] | None
    ) -> AnalyticsNumbers: ...

    def rates(self, filters: CallFilters) -> PeriodRates: ...

    def by_competitor(self, filters: CallFilters) -> Sequence[CompetitorNumbers]: ...

    def over_time(self, filters: CallFilters) -> MentionTrend: ...

    def mentions(
        self, filters: CallFilters, *, limit: int, after: str | None = None
    ) -> MentionPage: ...
