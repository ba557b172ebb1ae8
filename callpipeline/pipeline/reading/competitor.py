"""One competitor: how its mentions changed, why it is praised and blamed, and who raises it."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, timedelta

from callpipeline.domain.audio import Speaker
from callpipeline.domain.calls.filters import CallFilters, MentionSentiment, MomentId
from callpipeline.domain.calls.rates import RateChange
from callpipeline.domain.competitors.phrases import Phrase, SpokenText, typical_phrases
from callpipeline.pipeline.reading.analytics import previous_period
from callpipeline.storage.ports.analytics import (
    AgentAnswer,
    AgentMentions,
    AnalyticsReader,
    CompetitorRates,
    InsightReader,
    ListedMention,
    MentionCounts,
    MentionTrend,
    PeriodRates,
    SaidAbout,
)

DEFAULT_DAYS = 90
MAX_TEXTS = 300
"""Newest mentions of a sentiment that typical phrases are taken from."""
MAX_QUOTES = 2
MAX_LINKED = 50
"""Moments of a phrase that a link selects."""
MAX_AGENTS = 10
MAX_ANSWERS = 5
NEWEST = 5
PARALLEL_QUERIES = 2


@dataclass(frozen=True, slots=True)
class TypicalPhrase:
    """A phrase, a filter for its moments, the number of those, and the newest ones."""

    text: str
    count: int
    filters: CallFilters
    quotes: Sequence[ListedMention]


@dataclass(frozen=True, slots=True)
class CompetitorPage:
    """Numbers and words about a competitor in the calls that match `filters`.

    `before` has the rates of the previous period of the same length, `counts_before` its mentions.
    """

    name: str
    filters: CallFilters
    earlier: CallFilters
    rates: CompetitorRates
    before: CompetitorRates
    counts: MentionCounts
    counts_before: MentionCounts
    completed: int
    trend: MentionTrend
    trend_before: MentionTrend
    praised: Sequence[TypicalPhrase]
    blamed: Sequence[TypicalPhrase]
    agents: Sequence[AgentMentions]
    answers: Sequence[AgentAnswer]
    newest: Sequence[ListedMention]

    @property
    def changes(self) -> Sequence[tuple[str, Speaker | None, RateChange]]:
        """Return label, speaker and change of the rates: of all, of customers and of agents."""
        now, before = self.rates, self.before
        return (
            ("All", None, RateChange(now.all, before.all)),
            ("By customers", Speaker.CUSTOMER, RateChange(now.by_customer, before.by_customer)),
            ("By agents", Speaker.AGENT, RateChange(now.by_agent, before.by_agent)),
        )


def load_competitor(
    analytics: AnalyticsReader,
    insights: InsightReader,
    name: str,
    filters: CallFilters,
    *,
    today: date,
) -> CompetitorPage:
    """Load the page of a competitor; the default is the last 90 days."""
    period, earlier = _periods(name, filters, today)
    with ThreadPoolExecutor(PARALLEL_QUERIES) as pool:
        rates, before = pool.submit(analytics.rates, period), pool.submit(analytics.rates, earlier)
        counts = pool.submit(_counts, analytics, period)
        counts_before = pool.submit(_counts, analytics, earlier)
        trend = pool.submit(analytics.over_time, period)
        trend_before = pool.submit(analytics.over_time, earlier)
        phrases = pool.submit(_typical_phrases, analytics, insights, period)
        agents = pool.submit(insights.agents, period, limit=MAX_AGENTS)
        answers = pool.submit(insights.answers, period, limit=MAX_ANSWERS)
        newest = pool.submit(analytics.mentions, period, limit=NEWEST)
        praised, blamed = phrases.result()
        return CompetitorPage(
            name=name,
            filters=period,
            earlier=earlier,
            rates=_of_one(rates.result()),
            before=_of_one(before.result()),
            counts=counts.result(),
            counts_before=counts_before.result(),
            completed=rates.result().completed,
            trend=trend.result(),
            trend_before=trend_before.result(),
            praised=praised,
            blamed=blamed,
            agents=agents.result(),
            answers=answers.result(),
            newest=newest.result().mentions,
        )


def _periods(name: str, filters: CallFilters, today: date) -> tuple[CallFilters, CallFilters]:
    """Return the filters of the competitor's period, and of the one before."""
    last = filters.to_day or today
    first = filters.from_day or last - timedelta(days=DEFAULT_DAYS - 1)
    period = replace(filters, competitors=(name,), from_day=first, to_day=last)
    return period, previous_period(period, today) or period


def _of_one(rates: PeriodRates) -> CompetitorRates:
    """Return the rates of the only competitor, however its name is written in the filter."""
    return next(iter(rates.by_competitor.values()), rates.of(""))


def _counts(analytics: AnalyticsReader, filters: CallFilters) -> MentionCounts:
    return next((each.counts for each in analytics.by_competitor(filters)), MentionCounts())


def _typical_phrases(
    analytics: AnalyticsReader, insights: InsightReader, period: CallFilters
) -> tuple[list[TypicalPhrase], list[TypicalPhrase]]:
    """Return what is typical of praise and of blame, each compared with all other mentions."""
    by_customers = replace(period, speaker=Speaker.CUSTOMER)
    said: dict[MentionSentiment, list[SpokenText]] = {
        stance: [
            _spoken(each)
            for each in insights.said_about(
                replace(by_customers, sentiment=stance), limit=MAX_TEXTS
            )
        ]
        for stance in (
            MentionSentiment.POSITIVE,
            MentionSentiment.NEGATIVE,
            MentionSentiment.NEUTRAL,
        )
    }
    praise, blame, neutral = said.values()
    return (
        [_with_quotes(analytics, each) for each in typical_phrases(praise, [*blame, *neutral])],
        [_with_quotes(analytics, each) for each in typical_phrases(blame, [*praise, *neutral])],
    )


def _spoken(said: SaidAbout) -> SpokenText:
    return SpokenText(str(MomentId(said.call_id, said.mention_id)), said.text, said.name)


def _with_quotes(analytics: AnalyticsReader, phrase: Phrase) -> TypicalPhrase:
    """Add the filter of a phrase's moments, and the newest of these."""
    moments = tuple(map(MomentId.parse, phrase.ids[:MAX_LINKED]))
    filters = CallFilters(moments=moments)
    newest = analytics.mentions(filters, limit=MAX_QUOTES)
    return TypicalPhrase(phrase.text, len(moments), filters, newest.mentions)
