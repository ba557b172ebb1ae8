"""The app: its pages and routes, who may ask for which, and what stands around them."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, Depends, FastAPI
from fastapi.staticfiles import StaticFiles

from callpipeline.config import Settings
from callpipeline.web import access
from callpipeline.web.access import Scope, needs
from callpipeline.web.api import (
    analytics,
    announcing,
    downloads,
    exports,
    finding,
    health,
    jobs,
    listening,
    notify,
    search,
    shared,
    uploading,
)
from callpipeline.web.bodies import SMALL, LimitedBodies
from callpipeline.web.description import describe
from callpipeline.web.metrics import Measured, Metrics
from callpipeline.web.opening import opening
from callpipeline.web.pages import analytics as analytics_page
from callpipeline.web.pages import api as api_page
from callpipeline.web.pages import call, calls, events, home, review
from callpipeline.web.pages import search as search_page
from callpipeline.web.pages.login import login_page
from callpipeline.web.problems import explain_errors

STATIC = Path(__file__).parent / "static"

OPEN = (health.router, shared.signed)
"""For everybody who can connect."""

API: Sequence[tuple[APIRouter, Scope]] = (
    (health.numbers, Scope.READ),
    (notify.router, Scope.ADMIN),
    (uploading.router, Scope.UPLOAD),
    (announcing.router, Scope.UPLOAD),
    (jobs.reading, Scope.READ),
    (jobs.changing, Scope.ADMIN),
    (finding.router, Scope.READ),
    (shared.reading, Scope.READ),
    (analytics.router, Scope.READ),
    (search.router, Scope.READ),
    (exports.router, Scope.READ),
    (listening.router, Scope.READ),
    (downloads.router, Scope.READ),
    (shared.writing, Scope.ADMIN),
)
"""The routes of the API, and what it takes to ask for them."""

PAGES = (
    home.router,
    calls.router,
    call.router,
    review.router,
    analytics_page.router,
    search_page.router,
    api_page.router,
)
"""What people open who may read; a route may ask for more."""

LARGE = {
    "/upload": sys.maxsize,  # it is read as a stream, and has a limit of its own
    "/find-competitors": 6 * finding.LONGEST_TEXT,
    "/storage/upload": shared.MOST_BYTES + SMALL,
}
"""Bytes of bodies that may have more than others, by the beginning of the path."""


def create_app(options: Settings) -> FastAPI:
    """The app for these settings. Raises SettingsInvalid where it may not be served like this."""
    access.refuse_unguarded(options)
    metrics = Metrics()

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncIterator[None]:
        with opening(options, metrics) as app.state.opened:
            database = app.state.opened.storage.database
            app.state.door = access.open_door(options, database)
            yield

    # FastAPI's own pages of the API load scripts from elsewhere.
    app = FastAPI(title="callpipeline", lifespan=opened, docs_url=None, redoc_url=None)
    explain_errors(app)
    _add_routes(app)
    describe(app)
    app.add_middleware(LimitedBodies, most=LARGE)
    access.install(app, options, login_page, streamed=("/upload",))
    app.add_middleware(Measured, metrics=metrics)
    return app


def _add_routes(app: FastAPI) -> None:
    for router in OPEN:
        app.include_router(router)
    for router, scope in API:
        app.include_router(router, dependencies=[Depends(needs(scope))])
    # Who hands recordings over follows them, too.
    follows = Depends(needs(Scope.READ, Scope.UPLOAD))
    app.include_router(jobs.router, dependencies=[follows])
    for router in PAGES:
        may_read = Depends(needs(Scope.READ, page=True))
        app.include_router(router, dependencies=[may_read], include_in_schema=False)
    # Not as a page: who is logged out is told so, since a stream cannot show the login.
    listens = Depends(needs(Scope.READ))
    app.include_router(events.router, dependencies=[listens], include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
