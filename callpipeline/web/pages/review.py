"""The review page (`/review`) and decisions on mentions."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, Header, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field, field_validator

from callpipeline.domain.competitors.mentions import Decision, Mention, MentionStatus, Review
from callpipeline.domain.sentiment import Sentiment
from callpipeline.errors import ReviewOutdated, UnknownMention, UnknownVoices
from callpipeline.storage.ports.results import MentionDetail, PendingReview, ReviewPosition
from callpipeline.storage.postgres.database import sanitize_text
from callpipeline.storage.reading.call_detail import CallDetail
from callpipeline.storage.reading.filtered import decode_cursor, encode_cursor
from callpipeline.web.access import Scope, require, visitor_of
from callpipeline.web.access.login import local_path
from callpipeline.web.pages.call import has_older_list, mentions_context
from callpipeline.web.pages.insights.moments import clip_url, element_id, moment_entry
from callpipeline.web.pages.mentions_view import SPEAKER_LABELS
from callpipeline.web.pages.rendering import page
from callpipeline.web.pages.status_view import calls_by_id
from callpipeline.web.state import AppState, CallId, State, call_detail

router = APIRouter()

CURSOR_KIND = "pending mentions"
PAGE_SIZE = 30
NO_STORE = {"Cache-Control": "no-store"}
AgentVoice = Annotated[int, Field(ge=1, le=2)]
DECISIONS = {"confirm": Decision.CONFIRMED, "dismiss": Decision.DISMISSED}


class ReviewRequest(BaseModel):
    """Form of a decision; `view` is the page it was sent from, `back` its address if it varies."""

    mention_id: str = Field(max_length=1000)
    decision: Literal["confirm", "dismiss", "undo"]
    seen: MentionStatus | None = None
    review_id: int | None = Field(None, ge=0, lt=2**63)
    view: Literal["call", "review", "moment"] = "call"
    back: str = Field("/moments", max_length=4000)

    @field_validator("mention_id")
    @classmethod
    def _storable(cls, value: str) -> str:
        return sanitize_text(value)


class SentimentCorrectionForm(BaseModel):
    """Form of a correction; `judge` lets the judge's sentiment hold again."""

    mention_id: str = Field(max_length=1000)
    sentiment: Literal["positive", "neutral", "negative", "mixed", "judge"]
    seen: Sentiment | None = None
    view: Literal["call", "moment"] = "call"
    back: str = Field("/moments", max_length=4000)

    @field_validator("mention_id")
    @classmethod
    def _storable(cls, value: str) -> str:
        return sanitize_text(value)


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """A mention in its context, and the decision in force, if any."""

    call_id: str
    file_name: str
    took_place_at: datetime
    agent: str | None
    mention: Mention
    text: str
    review: Review | None = None
    problem: str | None = None

    @property
    def before(self) -> str:
        return self.text[: self.mention.char_start]

    @property
    def name(self) -> str:
        return self.text[self.mention.char_start : self.mention.char_end] or self.mention.text

    @property
    def after(self) -> str:
        return self.text[self.mention.char_end :]

    @property
    def is_open(self) -> bool:
        return self.review is None and self.mention.status is MentionStatus.NEEDS_REVIEW

    @property
    def element_id(self) -> str:
        return element_id(self.call_id, self.mention)

    @property
    def clip(self) -> str:
        return clip_url(self.call_id, self.mention.start_s, self.mention.end_s)


def from_pending(pending: PendingReview, file_name: str) -> ReviewItem:
    return ReviewItem(
        pending.call_id,
        file_name,
        pending.took_place_at,
        pending.agent,
        pending.mention,
        pending.text or "",
    )


def from_call(
    detail: CallDetail, mention: MentionDetail, review: Review | None, problem: str | None
) -> ReviewItem:
    return ReviewItem(
        detail.call_id,
        detail.file_name,
        detail.took_place_at,
        detail.agent,
        mention.mention,
        mention.segment_text or "",
        review,
        problem,
    )


@router.get("/review")
def review(state: State, request: Request, competitor: str = "", after: str = "") -> Response:
    place = ReviewPosition(*decode_cursor(after, CURSOR_KIND, (float, str))) if after else None
    selected = sanitize_text(competitor) or None
    found = state.storage.reviews.pending(competitor=selected, after=place, limit=PAGE_SIZE + 1)
    mentions = found[:PAGE_SIZE]
    next_cursor = (
        encode_cursor(CURSOR_KIND, *mentions[-1].position) if len(found) > PAGE_SIZE else None
    )
    counts = state.storage.reviews.count_pending()
    calls, per_call = state.storage.evaluations.questions_per_call()
    names = {
        call.call_id: call.file_name for call in calls_by_id(state.storage.calls, mentions).values()
    }
    return page(
        request,
        "review.html",
        headers=NO_STORE,
        items=[from_pending(one, names.get(one.call_id, "the call")) for one in mentions],
        competitor=competitor,
        counts=counts,
        total=sum(counts.values()),
        questions_per_call=per_call,
        newest_calls=calls,
        after=next_cursor,
        is_first_page=not after,
        speaker_labels=SPEAKER_LABELS,
    )


@router.post(
    "/calls/{call_id}/review",
    dependencies=[Depends(require(Scope.UPLOAD, page=True, action="review mentions"))],
)
def decide(
    state: State,
    request: Request,
    call_id: CallId,
    decision: Annotated[ReviewRequest, Form()],
    hx_request: Annotated[str | None, Header()] = None,
) -> Response:
    """Confirm or dismiss a mention, or undo a decision; return the updated part of the page.

    If someone else decided meanwhile, or the mention no longer exists, the page says so.
    """
    problem, visitor = None, visitor_of(request)
    try:
        _decide(state, call_id, decision, visitor.name if visitor else None)
    except (ReviewOutdated, UnknownMention) as error:
        problem = str(error)
    if hx_request is None:
        return _redirect(call_id, decision.view, decision.back)
    if decision.view == "moment":
        return moment_entry(state, request, call_id, decision.mention_id, problem)
    if decision.view == "review":
        return _entry(state, request, call_id, decision.mention_id, problem)
    return _mentions(state, request, call_id, problem)


@router.post(
    "/calls/{call_id}/sentiment",
    dependencies=[Depends(require(Scope.UPLOAD, page=True, action="correct sentiment"))],
)
def correct_sentiment(
    state: State,
    request: Request,
    call_id: CallId,
    correction: Annotated[SentimentCorrectionForm, Form()],
    hx_request: Annotated[str | None, Header()] = None,
) -> Response:
    """Correct the sentiment of a mention, or let the judge's hold again."""
    problem, visitor = None, visitor_of(request)
    right = None if correction.sentiment == "judge" else Sentiment(correction.sentiment)
    try:
        state.storage.corrections.correct(
            call_id,
            correction.mention_id,
            right,
            visitor.name if visitor else None,
            seen=correction.seen,
        )
    except (ReviewOutdated, UnknownMention) as error:
        problem = str(error)
    if hx_request is None:
        return _redirect(call_id, correction.view, correction.back)
    if correction.view == "moment":
        return moment_entry(state, request, call_id, correction.mention_id, problem)
    return _mentions(state, request, call_id, problem)


@router.post(
    "/calls/{call_id}/speakers",
    dependencies=[Depends(require(Scope.UPLOAD, page=True, action="assign speakers"))],
)
def assign_speakers(
    state: State,
    request: Request,
    call_id: CallId,
    agent_voice: Annotated[AgentVoice, Form()],
    seen: Annotated[int | None, Form()] = None,
) -> Response:
    """Make a voice of a mono call the agent and the other one the customer."""
    visitor = visitor_of(request)
    name = visitor.name if visitor else None
    with suppress(UnknownVoices):  # processed again meanwhile: the page shows what there is now
        state.storage.speakers.decide(call_id, agent_voice, name, seen=seen)
    return RedirectResponse(f"/calls/{call_id}#transcript", 303)


def _redirect(call_id: str, view: str, back: str) -> Response:
    """Show the page of a form again."""
    paths = {"call": f"/calls/{call_id}#mentions", "review": "/review", "moment": local_path(back)}
    return RedirectResponse(paths[view], 303)


def _decide(state: AppState, call_id: str, request: ReviewRequest, name: str | None) -> None:
    if request.decision != "undo":
        decision = DECISIONS[request.decision]
        state.storage.reviews.decide(call_id, request.mention_id, decision, name, seen=request.seen)
    elif request.review_id is None:
        raise ReviewOutdated("There is no decision to undo. Reload the page.")
    else:
        state.storage.reviews.undo(request.review_id, name)


def _mentions(state: AppState, request: Request, call_id: str, problem: str | None) -> Response:
    """Render the mentions of a call."""
    reviews = state.storage.reviews.in_force(call_id)
    detail = call_detail(state, call_id)
    is_outdated = has_older_list(state, detail)
    context = mentions_context(detail, reviews, problem, is_outdated=is_outdated)
    return page(request, "call/mentions.html", headers=NO_STORE, **context)


def _entry(
    state: AppState, request: Request, call_id: str, mention_id: str, problem: str | None
) -> Response:
    """Render one entry of the review page."""
    detail = call_detail(state, call_id)
    mention = next((each for each in detail.mentions if each.mention_id == mention_id), None)
    if mention is None:
        return Response(problem or "", media_type="text/plain", headers=NO_STORE)
    review = state.storage.reviews.in_force(call_id).get(mention_id)
    return page(
        request,
        "review/entry.html",
        headers=NO_STORE,
        item=from_call(detail, mention, review, problem),
        speaker_labels=SPEAKER_LABELS,
    )
