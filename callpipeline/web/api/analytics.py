"""`/analytics/…`: the numbers of the pages as documents; all take the filters of the pages."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel

from callpipeline.domain.filters import Filters, Stance
from callpipeline.pipeline.analytics import voices
from callpipeline.storage.reading.contract import (
    CompetitorDetail,
    MentionRow,
    NameCount,
    SentimentCount,
)
from callpipeline.web.api.analytics_documents import (
    Competitors,
    Listed,
    MentionFound,
    Named,
    OfCompetitor,
    OfDay,
    Overview,
    Part,
    ShareOfVoice,
    Spoken,
    SpokenPart,
    Stretch,
    Trends,
)
from callpipeline.web.etags import tagged
from callpipeline.web.filters import Asked, Name
from callpipeline.web.opened import Here
from callpipeline.web.problems import problems

router = APIRouter(prefix="/analytics", tags=["analytics"], responses=problems(422, 503))

UNCHANGED: dict[int | str, dict[str, Any]] = {
    304: {"description": "What the tag in If-None-Match names has not changed"}
}


def answered(request: Request, document: BaseModel) -> Response:
    """The document, or 304 where the client has it."""
    return tagged(request, document.model_dump_json().encode())


@router.get("/overview", response_model=Overview, responses=UNCHANGED)
def overview(request: Request, filters: Asked, here: Here) -> Response:
    """Calls, the competitors that are named most, and how they are spoken of."""
    found = here.reading.overview(filters.counted())
    return answered(
        request,
        Overview(
            total_jobs=found.total_jobs,
            total_competitors=found.total_competitors,
            top_competitors=[_named(each) for each in found.top_competitors],
            sentiment_distribution=[
                Spoken(sentiment=Stance(each.sentiment), count=each.count)
                for each in found.sentiment_distribution
            ],
        ),
    )


@router.get("/competitors/list", response_model=Competitors, responses=UNCHANGED)
def competitors(request: Request, filters: Asked, here: Here) -> Response:
    """Every competitor that is named, with its mentions."""
    found = here.reading.competitor_list(filters)
    listed = [Listed(name=each.name, mention_count=each.count) for each in found]
    return answered(request, Competitors(competitors=listed))


@router.get("/sentiment-trends", response_model=Trends, responses=UNCHANGED)
def sentiment_trends(
    request: Request,
    filters: Asked,
    here: Here,
    competitor_name: Annotated[Name | None, Query(description="The same as `competitor`")] = None,
) -> Response:
    """Mentions of each sentiment by the day of the call."""
    if competitor_name:
        filters = replace(filters, competitors=(*filters.competitors, competitor_name))
    found = here.reading.sentiment_trends(filters)
    days = [OfDay(date=t.date, sentiment=Stance(t.sentiment), count=t.count) for t in found]
    return answered(request, Trends(trends=days))


@router.get("/share-of-voice", response_model=ShareOfVoice, responses=UNCHANGED)
def share_of_voice(request: Request, filters: Asked, here: Here) -> Response:
    """Of the mentions of all competitors those of each that is asked for, over time."""
    found = voices(here.reading, filters)
    wanted = {each.name for each in here.reading.by_competitor(filters)}
    return answered(
        request,
        ShareOfVoice(
            step=found.step,
            stretches=[
                Stretch(first=each.first, last=each.last, mentions=mentions)
                for each, mentions in zip(found.stretches, found.mentions, strict=True)
            ],
            competitors=[
                Part(name=name, mentions=list(mentions), share=list(found.share(name)))
                for name, mentions in found.by_competitor.items()
                if name in wanted
            ],
        ),
    )


@router.get(
    "/competitor/{competitor_name:path}",
    response_model=OfCompetitor,
    responses=UNCHANGED | problems(404),
)
def competitor(
    request: Request,
    competitor_name: Annotated[str, Path(max_length=200)],
    filters: Asked,
    here: Here,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    after: Annotated[str | None, Query(max_length=400)] = None,
) -> Response:
    """One competitor, written in any case: how often, how it is spoken of, and where.

    404 where it is named in no call at all, whatever the filters.
    """
    found = here.reading.competitor(competitor_name, filters, limit=limit, after=after)
    if found is None:
        known = here.reading.competitor(competitor_name, Filters(), limit=1)
        if known is None:
            raise HTTPException(404, "No competitor of this name is named in any call.")
        found = CompetitorDetail(known.competitor_name, 0, 0, (), (), None)
    return answered(
        request,
        OfCompetitor(
            competitor_name=found.competitor_name,
            total_mentions=found.total_mentions,
            unique_calls=found.unique_calls,
            sentiment_breakdown=[_part(each) for each in found.sentiment_breakdown],
            segments=[_mention(each) for each in found.segments],
            next_cursor=found.after,
        ),
    )


def _named(of: NameCount) -> Named:
    return Named(name=of.name, count=of.count)


def _part(of: SentimentCount) -> SpokenPart:
    share = round(of.percentage, 2)
    return SpokenPart(sentiment=Stance(of.sentiment), count=of.count, percentage=share)


def _mention(row: MentionRow) -> MentionFound:
    """Times are those of the segment, as the old service had them, where that is still kept."""
    return MentionFound(
        id=f"{row.call_id}.{row.mention_id}",
        job_id=row.call_id,
        competitor_name=row.competitor,
        segment_text=row.segment_text or row.quote or "",
        sentiment=row.stance,
        score=row.score,
        detection_method=row.engine or "",
        detection_details=row.rule or "",
        segment_id=row.segment_index,
        start_time=row.start_s if row.segment_start_s is None else row.segment_start_s,
        end_time=row.end_s if row.segment_end_s is None else row.segment_end_s,
        context=row.competitor,
        quote=row.quote,
        at_s=row.start_s,
        speaker=row.speaker,
        agent=row.agent,
        filename=row.key.rpartition("/")[2],
        took_place_at=row.took_place_at,
    )
