"""Moments (`/moments`): the mentions behind a number, as quotes to play, decide on and export."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from callpipeline.domain.calls.filters import CallFilters, MomentId
from callpipeline.domain.competitors.mentions import Mention, Review
from callpipeline.pipeline.reading.clips import clip_times
from callpipeline.storage.ports.analytics import ListedMention
from callpipeline.storage.ports.results import MentionDetail
from callpipeline.web.filters import FilterForm, QueryFilters, filter_parameters, url_with_filters
from callpipeline.web.pages.mentions_view import SPEAKER_LABELS, SWITCHING_LABELS, MentionView
from callpipeline.web.pages.rendering import page
from callpipeline.web.state import AppState, State, call_detail

router = APIRouter()

PATH = "/moments"
PAGE_SIZE = 30
QUOTE_CHARS = 220
"""Characters of a segment on each side of the name: a segment can last for minutes."""
EXTRA_FIELDS = frozenset({"switching"})
NO_STORE = {"Cache-Control": "no-store"}


def element_id(call_id: str, mention: Mention) -> str:
    """Return an ID for HTML, where mention IDs can't be used: they contain spaces."""
    parts = (call_id, mention.channel, mention.segment_index, mention.char_start)
    return "-".join(map(str, parts))


def clip_url(call_id: str, start_s: float, end_s: float, format: str = "wav") -> str:
    """Return the URL of the audio around these times."""
    first, last = clip_times(start_s, end_s)
    return f"/calls/{call_id}/clip.{format}?{urlencode({'start': first, 'end': last})}"


@dataclass(frozen=True, slots=True)
class MomentView:
    """A mention with its words, the review in force if it is known, and a failed decision."""

    listed: ListedMention
    review: Review | None = None
    problem: str | None = None

    @property
    def call_id(self) -> str:
        return self.listed.call_id

    @property
    def mention(self) -> Mention:
        return self.listed.mention

    @property
    def detail(self) -> MentionDetail:
        return self.listed.detail

    @property
    def moment_id(self) -> str:
        return str(MomentId(self.call_id, self.detail.mention_id))

    @property
    def view(self) -> MentionView:
        return MentionView(0, self.detail, self.review)

    @property
    def file_name(self) -> str:
        return self.listed.key.rpartition("/")[2]

    @property
    def element_id(self) -> str:
        return element_id(self.call_id, self.mention)

    @property
    def before(self) -> str:
        text = self._text[: self.mention.char_start]
        return text if len(text) <= QUOTE_CHARS else f"… {text[-QUOTE_CHARS:].lstrip()}"

    @property
    def name(self) -> str:
        return self._text[self.mention.char_start : self.mention.char_end] or self.mention.text

    @property
    def after(self) -> str:
        text = self._text[self.mention.char_end :]
        return text if len(text) <= QUOTE_CHARS else f"{text[:QUOTE_CHARS].rstrip()} …"

    @property
    def clip(self) -> str:
        return clip_url(self.call_id, self.mention.start_s, self.mention.end_s)

    @property
    def mp3(self) -> str:
        return clip_url(self.call_id, self.mention.start_s, self.mention.end_s, "mp3")

    @property
    def switching(self) -> str:
        return SWITCHING_LABELS[self.detail.switching] if self.detail.switching else ""

    @property
    def _text(self) -> str:
        return self.detail.segment_text or ""


def moments_url(filters: CallFilters) -> str:
    """Return the link to the moments that the filters match."""
    return url_with_filters(PATH, filters)


@router.get(PATH)
def moments(
    request: Request,
    filters: QueryFilters,
    state: State,
    after: Annotated[str | None, Query(max_length=400)] = None,
) -> HTMLResponse:
    found = state.storage.analytics.mentions(filters, limit=PAGE_SIZE, after=after)
    next_page = url_with_filters(PATH, filters, after=found.after) if found.after else None
    return page(
        request,
        "moments.html",
        headers=NO_STORE,
        moments=[MomentView(each) for each in found.mentions],
        count=state.storage.insights.count(filters) if after is None else None,
        filters=filters,
        form=FilterForm(
            PATH,
            filters,
            state.filter_choices(),
            state.today(),
            extra_fields=EXTRA_FIELDS,
        ),
        exported=filter_parameters(replace(filters, named=True)),
        all_link=moments_url(replace(filters, moments=())) if filters.moments else None,
        switching_labels=SWITCHING_LABELS,
        next_page=next_page,
        is_first_page=after is None,
        **entry_context(request),
    )


def entry_context(request: Request) -> dict[str, Any]:
    """Return what entries need besides the moment; without scripts, `back` is shown again."""
    query = f"?{request.url.query}" if request.url.query else ""
    return {"speaker_labels": SPEAKER_LABELS, "back": f"{request.url.path}{query}"}


def moment_entry(
    state: AppState, request: Request, call_id: str, mention_id: str, problem: str | None
) -> Response:
    """Render one entry again, after a decision on it."""
    detail = call_detail(state, call_id)
    mention = next((each for each in detail.mentions if each.mention_id == mention_id), None)
    if mention is None:
        return Response(problem or "", media_type="text/plain", headers=NO_STORE)
    listed = ListedMention(call_id, detail.key, detail.agent, detail.took_place_at, mention)
    review = state.storage.reviews.in_force(call_id).get(mention_id)
    moment = MomentView(listed, review, problem)
    return page(
        request,
        "moments/entry.html",
        headers=NO_STORE,
        moment=moment,
        speaker_labels=SPEAKER_LABELS,
        back=PATH,
    )


def moment_views(found: Sequence[ListedMention]) -> list[MomentView]:
    return [MomentView(each) for each in found]
