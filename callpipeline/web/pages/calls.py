"""Lists of calls: the newest with uploads (`/upload`), all (`/calls`), and search results."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from markupsafe import Markup, escape

from callpipeline.domain.calls.call import CallState, is_call_id
from callpipeline.domain.calls.filters import COUNTED_STATES, LISTED_STATES, CallFilters
from callpipeline.pipeline.ingest.discovery import IGNORED_SUFFIXES
from callpipeline.pipeline.ingest.registration import AUDIO_SUFFIXES
from callpipeline.storage.reading.filtered import ALL
from callpipeline.storage.reading.search import BEGIN, END, HitCount, HitPage, SegmentSearch
from callpipeline.web.access import LoginForm, Scope, require
from callpipeline.web.api.recordings import upload
from callpipeline.web.filters import (
    ALL_COUNTED,
    DownloadLinks,
    FilterForm,
    QueryFilters,
    url_with_filters,
)
from callpipeline.web.live.watch import NEWEST_CALLS
from callpipeline.web.pages.insights.moments import clip_url
from callpipeline.web.pages.mentions_view import SPEAKER_LABELS
from callpipeline.web.pages.rendering import page, printable
from callpipeline.web.pages.status_view import STATE_LABELS, calls_by_id, list_rows, stream_url
from callpipeline.web.state import State

router = APIRouter()

PAGE_SIZE = 50
EXTRA_FIELDS = frozenset({"state", "name"})
"""Filters with fields on this page only."""
MAX_RETRIES = 500
Cursor = Annotated[str | None, Query(max_length=200)]

SEARCH_PATH = "/search"
TOO_COMMON = "Those words are too common to search for. Add a more specific word."
HITS_PER_PAGE = 20


@router.get(
    "/upload",
    dependencies=[Depends(require(Scope.UPLOAD, page=True, action="upload recordings"))],
)
def upload_page(request: Request, state: State) -> HTMLResponse:
    newest = [change.call_id for change in state.tracker.changes((), newest=NEWEST_CALLS)]
    rows = list_rows(state.tracker.by_id(newest), state.links)
    return page(
        request,
        "upload.html",
        rows=rows,
        stream=stream_url("/events/newest", rows),
        max_bytes=state.options.upload_max_bytes,
        audio_suffixes=sorted(AUDIO_SUFFIXES),
        ignored_suffixes=sorted(IGNORED_SUFFIXES),
    )


@router.post(
    "/upload/page",
    dependencies=[Depends(require(Scope.UPLOAD, page=True, action="upload recordings"))],
)
async def upload_without_script(request: Request, state: State) -> RedirectResponse:
    """Store one recording, then redirect to the page of its call."""
    uploaded = await upload(request, Response(), state)
    return RedirectResponse(f"/calls/{uploaded.job_id}", 303)


def login_page(request: Request, form: LoginForm) -> Response:
    return page(request, "login.html", 401 if form.problem else 200, form=form)


@router.get("/calls")
def calls(
    request: Request, state: State, filters: QueryFilters, after: Cursor = None
) -> HTMLResponse:
    found = state.storage.calls.list(filters, limit=PAGE_SIZE, after=after)
    rows = list_rows(state.tracker.track(found.calls), state.links)
    top = {"top": rows[0].status.call.call_id} if rows and not after and filters == ALL else {}
    return page(
        request,
        "calls.html",
        rows=rows,
        filters=filters,
        no_filters=ALL,
        form=FilterForm(
            "/calls", filters, state.filter_choices(), state.today(), extra_fields=EXTRA_FIELDS
        ),
        downloads=[DownloadLinks("calls", filters)],
        has_failed=any(row.status.call.state is CallState.FAILED for row in rows),
        states=[(str(each), STATE_LABELS[each]) for each in (*LISTED_STATES, CallState.ERASED)],
        all_counted=ALL_COUNTED if filters.states == COUNTED_STATES else None,
        stream=stream_url("/events/calls", rows, **top) if rows else None,
        first_page=url_with_filters("/calls", filters),
        next_page=url_with_filters("/calls", filters, after=found.after) if found.after else None,
        is_first_page=after is None,
        this_page=url_with_filters("/calls", filters, after=after),
        rematch_status=state.rematch_status(),
    )


@router.post(
    "/calls/retry", dependencies=[Depends(require(Scope.ADMIN, page=True, action="retry calls"))]
)
def retry(
    state: State,
    call_id: Annotated[list[str], Form(max_length=MAX_RETRIES)],
    back: Annotated[str, Form(max_length=4000)] = "/calls",
) -> RedirectResponse:
    """Retry these calls, then redirect to the page `back`."""
    if not all(map(is_call_id, call_id)):
        raise HTTPException(422, "This is not a call ID.")
    state.storage.ledger.retry(call_id)
    return RedirectResponse(_local_path(back), 303)


def _local_path(path: str) -> str:
    """Return the path if it is on this site, else `/calls`. Browsers treat \\ as /."""
    is_local = path.startswith("/") and path[1:2] not in ("/", "\\") and path.isprintable()
    return path if is_local else "/calls"


@router.get(SEARCH_PATH)
def search(
    request: Request,
    filters: QueryFilters,
    state: State,
    words: Annotated[str, Query(max_length=400)] = "",
    after: Annotated[str | None, Query(max_length=400)] = None,
) -> HTMLResponse:
    words = words.strip()
    hits, count, problem = _search(state.storage.search, words, filters, after)
    today, extra_params = state.today(), (("words", words),) if words else ()
    more = (
        hits
        and hits.after
        and url_with_filters(SEARCH_PATH, filters, words=words, after=hits.after)
    )
    return page(
        request,
        "search.html",
        words=words,
        filters=filters,
        form=FilterForm(SEARCH_PATH, filters, state.filter_choices(), today, extra_params),
        results=hits,
        count=count,
        problem=problem,
        is_first_page=after is None,
        more_link=more,
        highlight=highlight,
        clip_url=clip_url,
        speaker_labels=SPEAKER_LABELS,
        calls=calls_by_id(state.storage.calls, hits.hits if hits else ()),
        downloads=[DownloadLinks("segments", filters.counted(), words)]
        if hits and hits.hits
        else [],
    )


def _search(
    search: SegmentSearch, words: str, filters: CallFilters, after: str | None
) -> tuple[HitPage | None, HitCount | None, str]:
    """Return a page of hits, their number on the first page, and why there is no search."""
    if not words:
        return None, None, ""
    if search.has_only_stop_words(words):
        return None, None, TOO_COMMON
    hits = search.list(words, filters, limit=HITS_PER_PAGE, after=after)
    return hits, search.count(words, filters) if after is None else None, ""


def highlight(text: str) -> Markup:
    """Escape the text and turn its markers into `<mark>` elements; unpaired ones are text."""
    parts = escape(printable(text)).split(BEGIN)
    html = [parts[0]]
    for part in parts[1:]:
        word, end, rest = part.partition(END)
        html.append(Markup("<mark>{}</mark>{}").format(word, rest) if end else Markup(BEGIN) + part)
    return Markup("<bdi>{}</bdi>").format(Markup("").join(html))
