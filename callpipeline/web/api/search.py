"""`/search/…`, `/export/…`, and `/find-competitors` for competitors in a text."""

import asyncio
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, StringConstraints

from callpipeline.domain.calls.filters import MentionSentiment, MomentId
from callpipeline.domain.competitors.find_mentions import find_mentions_in_text
from callpipeline.domain.competitors.mentions import Mention, MentionStatus
from callpipeline.domain.switching import SwitchingIntent
from callpipeline.pipeline.reading.clips import clip_times
from callpipeline.storage.ports.analytics import ListedMention
from callpipeline.storage.reading.export import Dataset, ExportFormat
from callpipeline.web.api.analytics import NOT_MODIFIED, document_response
from callpipeline.web.filters import QueryFilters
from callpipeline.web.problems import problems
from callpipeline.web.services.exporter import ExportRequest
from callpipeline.web.state import CompetitorMatcher, State

search_router = APIRouter(prefix="/search", tags=["search"])
TOO_COMMON = "words: these are too common to search for. Add a more specific word."
Words = Annotated[
    str, Query(max_length=400, description='Web search syntax: "a phrase", or, -without')
]
After = Annotated[
    str | None, Query(max_length=400, description="`next_cursor` of the previous page")
]
MAX_TEXT_CHARS = 1_000_000
MAX_MENTIONS = 2_000
competitor_router = APIRouter(tags=["competitors"])

export_router = APIRouter(prefix="/export", tags=["export"])

EXPORT_RESPONSES = {
    200: {
        "description": "CSV with a header, JSON with one document per line, Parquet or Excel",
        "content": {
            "text/csv": {},
            "application/x-ndjson": {},
            "application/vnd.apache.parquet": {},
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": {},
        },
    }
}


class SegmentHit(BaseModel):
    """A segment that matches; `marked` has the matching words between ⟦ and ⟧."""

    call_id: str
    channel: str
    segment_index: int
    speaker: str
    agent: str | None
    start_s: float
    end_s: float
    took_place_at: datetime
    text: str
    marked: str


class SegmentPage(BaseModel):
    """Segments of the newest calls first, in order of time within a call."""

    segments: list[SegmentHit]
    next_cursor: str | None


class Moment(BaseModel):
    """A counted mention; `clip` is the path of the audio around it, `id` fits filter `moment`."""

    id: str
    call_id: str
    mention_id: str
    competitor: str
    speaker: str
    sentiment: MentionSentiment
    score: float | None
    switching: SwitchingIntent | None
    agent: str | None
    took_place_at: datetime
    start_s: float
    end_s: float
    text: str
    quote: str | None
    clip: str


class MomentPage(BaseModel):
    """Moments of the newest calls first."""

    moments: list[Moment]
    next_cursor: str | None


class TranscriptText(BaseModel):
    """A transcript as plain text."""

    transcript_text: Annotated[str, StringConstraints(max_length=MAX_TEXT_CHARS)]


class MatchedName(BaseModel):
    """A competitor's name at `char_start:char_end` of the text.

    `counted` mentions count. `needs_review` ones don't until a person confirms them. `dismissed`
    ones are ordinary words.
    """

    competitor: str
    alias: str
    said: str
    char_start: int
    char_end: int
    status: MentionStatus
    reason: str


class CompetitorMatches(BaseModel):
    """Competitors in order of their first mention, and all mentions, counted or not."""

    competitors_found: list[str]
    count: int
    mentions: list[MatchedName]
    catalog_version: str


@search_router.get(
    "/segments", response_model=SegmentPage, responses=NOT_MODIFIED | problems(422, 503)
)
def segments(
    request: Request,
    words: Words,
    filters: QueryFilters,
    state: State,
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
    after: After = None,
) -> Response:
    """Search all transcripts. `speaker` filters segments; competitor filters apply to the call."""
    if state.storage.search.has_only_stop_words(words):
        raise HTTPException(422, TOO_COMMON)
    page = state.storage.search.list(words, filters, limit=limit, after=after)
    names = tuple(SegmentHit.model_fields)
    found = [SegmentHit(**{name: getattr(hit, name) for name in names}) for hit in page.hits]
    return document_response(request, SegmentPage(segments=found, next_cursor=page.after))


@search_router.get(
    "/moments", response_model=MomentPage, responses=NOT_MODIFIED | problems(422, 503)
)
def moments(
    request: Request,
    filters: QueryFilters,
    state: State,
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
    after: After = None,
) -> Response:
    """List the mentions that match, with their words: what stands behind a number."""
    page = state.storage.analytics.mentions(filters, limit=limit, after=after)
    found = [_moment(each) for each in page.mentions]
    return document_response(request, MomentPage(moments=found, next_cursor=page.after))


def _moment(listed: ListedMention) -> Moment:
    mention, detail = listed.mention, listed.detail
    first, last = clip_times(mention.start_s, mention.end_s)
    return Moment(
        id=str(MomentId(listed.call_id, detail.mention_id)),
        call_id=listed.call_id,
        mention_id=detail.mention_id,
        competitor=mention.competitor,
        speaker=mention.speaker,
        sentiment=listed.sentiment,
        score=detail.score,
        switching=detail.switching,
        agent=listed.agent,
        took_place_at=listed.took_place_at,
        start_s=mention.start_s,
        end_s=mention.end_s,
        text=detail.segment_text or mention.text,
        quote=detail.quote,
        clip=f"/calls/{listed.call_id}/clip.wav?start={first}&end={last}",
    )


@competitor_router.post("/find-competitors", responses=problems(413, 422, 500))
async def find_competitors(text: TranscriptText, state: State) -> CompetitorMatches:
    """Find the competitors that a text mentions."""
    async with state.competitors.searches:
        return await asyncio.to_thread(_match, text.transcript_text, state.competitors)


def _match(text: str, competitors: CompetitorMatcher) -> CompetitorMatches:
    matcher = competitors.matcher()
    mentions = find_mentions_in_text(text, matcher, max_mentions=MAX_MENTIONS)
    if mentions is None:
        raise HTTPException(
            422, f"The text has more than {MAX_MENTIONS:,} mentions. Send it in parts."
        )
    in_order = sorted(mentions, key=lambda mention: mention.char_start)
    counted = dict.fromkeys(mention.competitor for mention in in_order if mention.counts)
    return CompetitorMatches(
        competitors_found=list(counted),
        count=len(counted),
        mentions=[_matched_name(mention) for mention in in_order],
        catalog_version=matcher.catalog.version,
    )


def _matched_name(mention: Mention) -> MatchedName:
    return MatchedName(
        competitor=mention.competitor,
        alias=mention.alias,
        said=mention.text,
        char_start=mention.char_start,
        char_end=mention.char_end,
        status=mention.status,
        reason=mention.reason,
    )


@export_router.get(
    "/{what}.{kind}",
    response_class=StreamingResponse,
    responses=EXPORT_RESPONSES | problems(404, 422, 503),
)
async def export(
    request: Request,
    what: Dataset,
    kind: ExportFormat,
    filters: QueryFilters,
    state: State,
    words: Annotated[
        str | None, Query(max_length=400, description="Only segments with these words")
    ] = None,
) -> StreamingResponse:
    """Export all calls, mentions or segments that match the filters.

    In CSV, texts that a spreadsheet would run as formulas get an apostrophe in front.
    """
    if words is not None and what is not Dataset.SEGMENTS:
        raise HTTPException(422, "words: only segments can be searched.")
    base_url = state.options.web_url or str(request.base_url)
    wanted = ExportRequest(what, kind, filters, words or None, base_url)
    return await state.exporter.stream(request, wanted)
