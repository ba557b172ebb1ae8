"""`/`: where recordings are handed over, and the newest calls."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from callpipeline.web.pages.rendering import page

router = APIRouter()


@router.get("/")
def home(request: Request) -> HTMLResponse:
    return page(request, "home.html")
