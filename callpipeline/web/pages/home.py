"""`/`: where recordings are handed over, and the newest calls."""

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from callpipeline.pipeline.discovery import NOT_RECORDINGS, RECORDINGS
from callpipeline.web.access import Scope, needs
from callpipeline.web.api.uploading import upload
from callpipeline.web.live.watch import NEWEST
from callpipeline.web.opened import Here
from callpipeline.web.pages.rendering import page
from callpipeline.web.pages.rows import rows_of, stream_of

router = APIRouter()


@router.get("/")
def home(request: Request, here: Here) -> HTMLResponse:
    newest = [glimpse.call_id for glimpse in here.following.look((), newest=NEWEST)]
    rows = rows_of(here, here.following.calls(newest))
    return page(
        request,
        "home.html",
        rows=rows,
        stream=stream_of("/events/newest", rows),
        most_bytes=here.options.upload_max_bytes,
        endings=sorted(RECORDINGS),
        other_endings=sorted(NOT_RECORDINGS),
    )


@router.post("/upload/page", dependencies=[Depends(needs(Scope.UPLOAD, page=True))])
async def hand_over(request: Request, here: Here) -> RedirectResponse:
    """The form of a page without scripts: one recording, and then the page of its call."""
    taken = await upload(request, Response(), here)
    return RedirectResponse(f"/calls/{taken.job_id}", 303)
