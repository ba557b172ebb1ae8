"""`/health`: whether all that the app needs answers."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from callpipeline.errors import DatabaseUnavailable
from callpipeline.web.opened import Here

router = APIRouter(tags=["server"])


@router.get("/health")
def health(here: Here) -> JSONResponse:
    """Whether Postgres answers: 200 or 503."""
    try:
        here.storage.notifications.backlog()
    except DatabaseUnavailable as error:
        return JSONResponse({"database": "down", "detail": str(error)}, 503)
    return JSONResponse({"database": "ok"})
