"""`/health` for monitors, `/metrics` for Prometheus."""

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from callpipeline.web.metrics import CONTENT_TYPE
from callpipeline.web.opened import Here
from callpipeline.web.problems import problems

router = APIRouter(tags=["server"])
numbers = APIRouter(tags=["server"])


@router.get("/health", responses={503: {"description": "Something is down"}})
async def health(here: Here) -> JSONResponse:
    """Each dependency's state: 200, or 503 where one is down.

    `database`, `results` and `recordings` are always there; an engine service is listed while it
    is away. Why something is down is told where the app is for this machine alone.
    """
    found = await here.doctor.health()
    document = found.document(with_details=here.options.web_is_open)
    return JSONResponse(document, 200 if found.is_up else 503)


@router.get("/health/live", status_code=204)
async def live() -> None:
    """Whether the app runs at all: for who would start it again if it did not."""


@router.get("/health/ready", responses=problems(503), status_code=204)
async def ready(here: Here) -> Response:
    """Whether the app can do its work, 204 or 503: for who sends requests to one of many."""
    found = await here.doctor.health()
    return (
        Response(status_code=204)
        if found.serves
        else JSONResponse(found.document(with_details=False), 503)
    )


@numbers.get("/metrics", response_class=PlainTextResponse)
def metrics(here: Here) -> Response:
    """Numbers for Prometheus: requests, calls by state, what waits, what was not told."""
    return Response(here.metrics.text(), headers={"Content-Type": CONTENT_TYPE})
