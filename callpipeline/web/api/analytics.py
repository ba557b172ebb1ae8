"""`/analytics/…`: the pages' numbers as JSON, with the pages' filters."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel

from callpipeline.domain.calls.filters import CallFilters, MentionSentiment
from callpipeline.domain.switching import SwitchingIntent
from callpipeline.http_server.responses import etag_response
from callpipeline.pipeline.reading.agents import compare_agents
from callpipeline.pipeline.reading.analytics import mentions_of_all
from callpipeline.storage.ports.analytics import AgentWork, ListedMention
from callpipeline.storage.reading.api_analytics import (
    ApiAnalytics,
    CompetitorDetail,
    NameCount,
    SentimentCount,
)
from callpipeline.web import legacy_format
from callpipeline.web.api.views import ReportedRate, rate_document
from callpipeline.web.filters import NameParam, QueryFilters
from callpipeline.web.problems import problems
from callpipeline.web.state import AppState, State

router = APIRouter(prefix="/analytics", tags=["analytics"], responses=problems(422, 503))
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    304: {"description": "Unchanged since the ETag in If-None-Match"}
}


class CompetitorTotal(BaseModel):
    """Number of mentions of a competitor."""

    name: str
    count: int


class SentimentTotal(BaseModel):
    """Number of mentions with one sentiment."""

    sentiment: MentionSentiment
    count: int


class SentimentShare(SentimentTotal):
    """`percentage` is relative to all counted mentions, 0..100."""

    percentage: float


class AgentTotal(BaseModel):
    """Completed calls of an agent, a team, or all; mentions by the agent, and by customers."""

    agent: str | None
    team: str | None
    completed_calls: int
    talk_share: float | None
    raised: ReportedRate
    asked: ReportedRate
    answered_share: float | None


class AgentTotals(BaseModel):
    """Agents and teams, most calls first, and all agents together."""

    agents: list[AgentTotal]
    teams: list[AgentTotal]
    all: AgentTotal


class AnalyticsOverview(BaseModel):
    """At most ten `top_competitors`; `sentiment_distribution` omits sentiments without mentions."""

    total_jobs: int
    total_competitors: int
    top_competitors: list[CompetitorTotal]
    sentiment_distribution: list[SentimentTotal]


class MentionItem(BaseModel):
    """A mention and its segment; times are seconds from the start of the call.

    `job_id` is the call's id, `at_s` the time of the name itself. `confidence` is the probability
    that the sentiment is right, if the engine has one; `switching` is what the customer says about
    leaving for the competitor, coming from it, considering it or staying with it.
    """

    id: str
    job_id: str
    competitor_name: str
    segment_text: str
    sentiment: MentionSentiment
    score: float | None
    detection_method: str
    detection_details: str
    segment_id: int
    start_time: float
    end_time: float
    context: str
    quote: str | None
    confidence: float | None
    switching: SwitchingIntent | None
    switching_quote: str | None
    at_s: float
    speaker: str
    agent: str | None
    filename: str
    took_place_at: datetime


class CompetitorReport(BaseModel):
    """`segments` are the newest mentions; `next_cursor` is the `after` of the next page.

    `customer_score` and `agent_score` are mean scores (-1..1) of what either says.
    """

    competitor_name: str
    total_mentions: int
    unique_calls: int
    sentiment_breakdown: list[SentimentShare]
    customer_score: float | None
    agent_score: float | None
    segments: list[MentionItem]
    next_cursor: str | None


class CompetitorListItem(BaseModel):
    name: str
    mention_count: int


class CompetitorListing(BaseModel):
    """All competitors with mentions, by number of mentions."""

    competitors: list[CompetitorListItem]


class SentimentOfDay(BaseModel):
    """Mentions with one sentiment in calls of one day."""

    date: date
    sentiment: MentionSentiment
    count: int


class SentimentTrends(BaseModel):
    trends: list[SentimentOfDay]


class CompetitorVoice(BaseModel):
    """Mentions of a competitor, and its share of all mentions (0..1), in each time bucket."""

    name: str
    mentions: list[int]
    share: list[float | None]


class VoiceBucket(BaseModel):
    """Time bucket from `first` to `last` (inclusive), with the mentions of all competitors."""

    first: date
    last: date
    mentions: int


class ShareOfVoiceReport(BaseModel):
    """The lists of each competitor have one value per bucket: a day, a week or a month."""

    step: str
    stretches: list[VoiceBucket]
    competitors: list[CompetitorVoice]


def document_response(request: Request, document: BaseModel) -> Response:
    """Respond with the document, or with 304 if the client has it."""
    return etag_response(request, document.model_dump_json().encode())


@router.get("/overview", response_model=AnalyticsOverview, responses=NOT_MODIFIED)
def overview(request: Request, filters: QueryFilters, state: State) -> Response:
    """Return the number of calls, the top competitors, and the sentiment distribution."""
    found = ApiAnalytics(state.storage.database).overview(filters.counted())
    return document_response(
        request,
        AnalyticsOverview(
            total_jobs=found.total_jobs,
            total_competitors=found.total_competitors,
            top_competitors=[_competitor_total(each) for each in found.top_competitors],
            sentiment_distribution=[
                SentimentTotal(sentiment=MentionSentiment(each.sentiment), count=each.count)
                for each in found.sentiment_distribution
            ],
        ),
    )


@router.get("/competitors/list", response_model=CompetitorListing, responses=NOT_MODIFIED)
def competitors(request: Request, filters: QueryFilters, state: State) -> Response:
    """List the competitors with their numbers of mentions."""
    found = ApiAnalytics(state.storage.database).competitors(filters)
    listed = [CompetitorListItem(name=each.name, mention_count=each.count) for each in found]
    return document_response(request, CompetitorListing(competitors=listed))


@router.get("/sentiment-trends", response_model=SentimentTrends, responses=NOT_MODIFIED)
def sentiment_trends(
    request: Request,
    filters: QueryFilters,
    state: State,
    competitor_name: Annotated[NameParam | None, Query(description="Alias of `competitor`")] = None,
) -> Response:
    """Return mentions by day and sentiment."""
    if competitor_name:
        filters = replace(filters, competitors=(*filters.competitors, competitor_name))
    found = ApiAnalytics(state.storage.database).sentiment_trends(filters)
    days = [
        SentimentOfDay(date=each.date, sentiment=MentionSentiment(each.sentiment), count=each.count)
        for each in found
    ]
    return document_response(request, SentimentTrends(trends=days))


@router.get("/share-of-voice", response_model=ShareOfVoiceReport, responses=NOT_MODIFIED)
def share_of_voice(request: Request, filters: QueryFilters, state: State) -> Response:
    """Return each competitor's share of all mentions over time."""
    found = mentions_of_all(state.storage.analytics, filters)
    selected = {each.name for each in state.storage.analytics.by_competitor(filters)}
    return document_response(
        request,
        ShareOfVoiceReport(
            step=found.step,
            stretches=[
                VoiceBucket(first=each.first, last=each.last, mentions=mentions)
                for each, mentions in zip(found.buckets, found.mentions, strict=True)
            ],
            competitors=[
                CompetitorVoice(name=name, mentions=list(mentions), share=list(found.share(name)))
                for name, mentions in found.by_competitor.items()
                if name in selected
            ],
        ),
    )


@router.get(
    "/competitor/{competitor_name:path}",
    response_model=CompetitorReport,
    responses=NOT_MODIFIED | problems(404),
)
def competitor(
    request: Request,
    competitor_name: Annotated[str, Path(max_length=200)],
    filters: QueryFilters,
    state: State,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    after: Annotated[str | None, Query(max_length=400)] = None,
) -> Response:
    """Return the mentions and sentiment of one competitor; the name is case-insensitive.

    404 if no call mentions it, regardless of the filters.
    """
    analytics = ApiAnalytics(state.storage.database)
    found = analytics.competitor(competitor_name, filters, limit=limit, after=after)
    if found is None:
        unfiltered = analytics.competitor(competitor_name, CallFilters(), limit=1)
        if unfiltered is None:
            raise HTTPException(404, "No call mentions a competitor of this name.")
        found = CompetitorDetail(unfiltered.competitor_name, 0, 0, (), None, None, (), None)
    report = CompetitorReport(
        competitor_name=found.competitor_name,
        total_mentions=found.total_mentions,
        unique_calls=found.unique_calls,
        sentiment_breakdown=[_sentiment_share(each) for each in found.sentiment_breakdown],
        customer_score=found.customer_score,
        agent_score=found.agent_score,
        segments=[mention_item(each) for each in found.segments],
        next_cursor=found.after,
    )
    if state.options.web_is_legacy:
        document = report.model_dump(mode="json")
        document["segments"] = legacy_mentions(state, found.segments)
        return legacy_format.etag_json_response(request, document)
    return document_response(request, report)


def legacy_mentions(state: AppState, mentions: Sequence[ListedMention]) -> list[dict[str, Any]]:
    """Return mentions in the old system's format."""
    calls = state.storage.calls.by_id({each.call_id for each in mentions})
    uuids = {call.call_id: call.job_uuid for call in calls}
    return [
        legacy_format.mention_document(
            mention_item(each).model_dump(mode="json"), uuids.get(each.call_id)
        )
        for each in mentions
    ]


@router.get("/agents")
def agents(state: State, filters: QueryFilters) -> AgentTotals:
    """Compare agents and teams by the completed calls that match the filters."""
    found = compare_agents(state.storage.insights, filters, state.teams())
    people = [_agent_total(each.name, each.team, each.work) for each in found.agents]
    teams = [_agent_total(None, each.name, each.work) for each in found.teams]
    return AgentTotals(agents=people, teams=teams, all=_agent_total(None, None, found.all))


def _agent_total(agent: str | None, team: str | None, work: AgentWork) -> AgentTotal:
    return AgentTotal(
        agent=agent,
        team=team,
        completed_calls=work.completed,
        talk_share=work.talk_share,
        raised=rate_document(work.raised_rate),
        asked=rate_document(work.asked_rate),
        answered_share=work.answered_share,
    )


def _competitor_total(counted: NameCount) -> CompetitorTotal:
    return CompetitorTotal(name=counted.name, count=counted.count)


def _sentiment_share(counted: SentimentCount) -> SentimentShare:
    return SentimentShare(
        sentiment=MentionSentiment(counted.sentiment),
        count=counted.count,
        percentage=round(counted.percentage, 2),
    )


def mention_item(row: ListedMention) -> MentionItem:
    """Return the document of a mention; times are those of its segment if that is stored."""
    mention, detail = row.mention, row.detail
    return MentionItem(
        id=f"{row.call_id}.{detail.mention_id}",
        job_id=row.call_id,
        competitor_name=mention.competitor,
        segment_text=detail.segment_text or detail.quote or "",
        sentiment=row.sentiment,
        score=detail.score,
        detection_method=detail.engine or "",
        detection_details=detail.rule or "",
        segment_id=mention.segment_index,
        start_time=mention.start_s if detail.segment_start_s is None else detail.segment_start_s,
        end_time=mention.end_s if detail.segment_end_s is None else detail.segment_end_s,
        context=mention.competitor,
        quote=detail.quote,
        confidence=detail.sentiment_confidence,
        switching=detail.switching,
        switching_quote=detail.switching_quote or None,
        at_s=mention.start_s,
        speaker=mention.speaker,
        agent=row.agent,
        filename=row.key.rpartition("/")[2],
        took_place_at=row.took_place_at,
    )
