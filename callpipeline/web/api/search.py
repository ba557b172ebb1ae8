"""`/search/segments`: where words were said, page by page."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import BaseModel

from callpipeline.web.api.analytics import UNCHANGED, answered
from callpipeline.web.filters import Asked
from callpipeline.web.opened import Here
from callpipeline.web.problems import problems

router = APIRouter(prefix="/search", tags=["search"])

NOT_LOOKED_FOR = (
    "words: these are in every other sentence and are not looked for; add one that is rarer."
)

Words = Annotated[str, Query(max_length=400, description='A web search: "a phrase", or, -without')]
After = Annotated[str | None, Query(max_length=400, description="The last answer's `next_cursor`")]


class Found(BaseModel):
    """A segment with the words, which stand between ⟦ and ⟧ in `marked`; times are seconds."""

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


class Segments(BaseModel):
    """The newest call first, in each call in the order of speech."""

    segments: list[Found]
    next_cursor: str | None


@router.get("/segments", response_model=Segments, responses=UNCHANGED | problems(422, 503))
def segments(
    request: Request,
    words: Words,
    filters: Asked,
    here: Here,
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
    after: After = None,
) -> Response:
    """Where words were said. `speaker` is who said them; competitors are those of the call."""
    if here.reading.is_too_common(words):
        raise HTTPException(422, NOT_LOOKED_FOR)
    page = here.reading.search(words, filters, limit=limit, after=after)
    names = tuple(Found.model_fields)
    found = [Found(**{name: getattr(hit, name) for name in names}) for hit in page.hits]
    return answered(request, Segments(segments=found, next_cursor=page.after))
