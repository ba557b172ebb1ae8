"""`/review`: mentions of all calls that wait for a person; and what a person decides of one."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, Header, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field, field_validator

from callpipeline.domain.review import Decision
from callpipeline.errors import ReviewOutdated, UnknownMention
from callpipeline.storage.database import storable
from callpipeline.storage.reading import cursors
from callpipeline.storage.reviews import Place
from callpipeline.web.access import Scope, needs, visitor_of
from callpipeline.web.opened import Here, Opened
from callpipeline.web.pages.rendering import page
from callpipeline.web.pages.rows import calls_of
from callpipeline.web.pages.shown_call import of_mentions
from callpipeline.web.pages.shown_mentions import SPEAKERS
from callpipeline.web.pages.shown_review import of_call, of_list
from callpipeline.web.places_of_calls import CallId, seen

router = APIRouter()

LIST = "unsure mentions"
A_PAGE = 30
PERSONAL = {"Cache-Control": "no-store"}
DECISIONS = {"accept": Decision.ACCEPTED, "refuse": Decision.REFUSED}


@router.get("/review")
def review(here: Here, request: Request, competitor: str = "", after: str = "") -> Response:
    place = Place(*cursors.read(after, LIST, (float, str))) if after else None
    wanted = storable(competitor) or None
    found = here.storage.reviews.unsure(competitor=wanted, after=place, limit=A_PAGE + 1)
    shown = found[:A_PAGE]
    more = cursors.written(LIST, *shown[-1].place) if len(found) > A_PAGE else None
    counts = here.storage.reviews.count_unsure()
    names = {call.call_id: call.file_name for call in calls_of(here, shown).values()}
    return page(
        request,
        "review.html",
        headers=PERSONAL,
        waiting=[of_list(one, names.get(one.call_id, "the call")) for one in shown],
        competitor=competitor,
        counts=counts,
        total=sum(counts.values()),
        after=more,
        is_first=not after,
        speaker_names=SPEAKERS,
    )


class Wish(BaseModel):
    """What the form says; `view` is the page that it stands in."""

    mention_id: str = Field(max_length=1000)
    decision: Literal["accept", "refuse", "undo"]
    review_id: int | None = Field(None, ge=0, lt=2**63)
    view: Literal["call", "review"] = "call"

    @field_validator("mention_id")
    @classmethod
    def _storable(cls, value: str) -> str:
        return storable(value)


@router.post("/calls/{call_id}/review", dependencies=[Depends(needs(Scope.UPLOAD, page=True))])
def decide(
    here: Here,
    request: Request,
    call_id: CallId,
    wish: Annotated[Wish, Form()],
    hx_request: Annotated[str | None, Header()] = None,
) -> Response:
    """Accept or refuse a mention, or take a decision back; answers with what the page shows then.

    Where somebody was faster, or the mention is not found any more, the page says so.
    """
    trouble, visitor = None, visitor_of(request)
    try:
        _decide(here, call_id, wish, visitor.name if visitor else None)
    except (ReviewOutdated, UnknownMention) as error:
        trouble = str(error)
    if hx_request is None:
        return RedirectResponse(
            f"/calls/{call_id}#mentions" if wish.view == "call" else "/review", 303
        )
    if wish.view == "review":
        return _entry(here, request, call_id, wish.mention_id, trouble)
    shown = of_mentions(seen(here, call_id), here.storage.reviews.holding(call_id))
    if trouble:
        shown["trouble"] = trouble
    return page(request, "call/mentions.html", headers=PERSONAL, **shown)


def _decide(here: Opened, call_id: str, wish: Wish, who: str | None) -> None:
    if wish.decision != "undo":
        here.storage.reviews.decide(call_id, wish.mention_id, DECISIONS[wish.decision], who)
    elif wish.review_id is None:
        raise ReviewOutdated("There is nothing to take back: load the page again.")
    else:
        here.storage.reviews.undo(wish.review_id, who)


def _entry(
    here: Opened, request: Request, call_id: str, mention_id: str, trouble: str | None
) -> Response:
    """One entry of the list: decided, or waiting again."""
    call = seen(here, call_id)
    mention = next((each for each in call.mentions if each.mention_id == mention_id), None)
    if mention is None:
        return Response(trouble or "", media_type="text/plain", headers=PERSONAL)
    review = here.storage.reviews.holding(call_id).get(mention_id)
    return page(
        request,
        "review/entry.html",
        headers=PERSONAL,
        waits=of_call(call, mention, review, trouble),
        speaker_names=SPEAKERS,
    )
