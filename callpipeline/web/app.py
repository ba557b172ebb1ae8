"""The ASGI app, its routes with the scopes that they require, and its server."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import uvicorn
from fastapi import APIRouter, Depends, FastAPI
from fastapi.staticfiles import StaticFiles

from callpipeline.config import Settings
from callpipeline.http_server.limits import MAX_BODY_BYTES, BodyLimit
from callpipeline.http_server.responses import HeadMiddleware
from callpipeline.web import access
from callpipeline.web.access import Scope, require
from callpipeline.web.api import (
    analytics,
    calls,
    catalog,
    catalog_changes,
    corrections,
    jobs,
    notify,
    patterns,
    recordings,
    search,
    storage,
    views,
)
from callpipeline.web.api import openapi as health
from callpipeline.web.api.administration import access as access_api
from callpipeline.web.api.administration import data as data_api
from callpipeline.web.api.administration import tables
from callpipeline.web.api.openapi import install_openapi
from callpipeline.web.live import events
from callpipeline.web.pages import analytics as analytics_page
from callpipeline.web.pages import api as api_page
from callpipeline.web.pages import call as call_page
from callpipeline.web.pages import calls as calls_page
from callpipeline.web.pages import competitors, dagster, review
from callpipeline.web.pages import corrections as corrections_page
from callpipeline.web.pages.administration import access as access_page
from callpipeline.web.pages.administration import audit, data, operation
from callpipeline.web.pages.calls import login_page
from callpipeline.web.pages.insights import (
    agents,
    alerts,
    competitor,
    moments,
    overview,
    reports,
    suggestions,
)
from callpipeline.web.pages.insights import views as views_page
from callpipeline.web.problems import install_error_handlers
from callpipeline.web.services.audit import AuditMiddleware
from callpipeline.web.services.availability import DatabaseAwayMiddleware
from callpipeline.web.services.monitoring import Metrics, MetricsMiddleware
from callpipeline.web.state import AppState, open_state, show_page_zone

STATIC = Path(__file__).parent / "static"


class ApiRouter(NamedTuple):
    """A router of the API with the scope that it requires, and what the scope is for."""

    router: APIRouter
    scope: Scope
    action: str


PUBLIC_ROUTERS = (health.health_router, storage.signed_router)

API_ROUTERS = (
    ApiRouter(health.metrics_router, Scope.READ, "read metrics"),
    ApiRouter(notify.notify_router, Scope.ADMIN, "send notifications"),
    ApiRouter(recordings.upload_router, Scope.UPLOAD, "upload recordings"),
    ApiRouter(recordings.webhook_router, Scope.UPLOAD, "upload recordings"),
    ApiRouter(jobs.read_router, Scope.READ, "view calls"),
    ApiRouter(jobs.write_router, Scope.ADMIN, "retry calls"),
    ApiRouter(search.competitor_router, Scope.READ, "find competitors"),
    ApiRouter(storage.read_router, Scope.READ, "read stored documents"),
    ApiRouter(analytics.router, Scope.READ, "view analytics"),
    ApiRouter(tables.router, Scope.READ, "view calls"),
    ApiRouter(access_api.router, Scope.ADMIN, "manage users and keys"),
    ApiRouter(data_api.router, Scope.ADMIN, "administer"),
    ApiRouter(search.search_router, Scope.READ, "search calls"),
    ApiRouter(search.export_router, Scope.READ, "export data"),
    ApiRouter(calls.playback_router, Scope.READ, "play calls"),
    ApiRouter(calls.download_router, Scope.READ, "download calls"),
    ApiRouter(calls.voices_router, Scope.UPLOAD, "assign speakers"),
    ApiRouter(corrections.sentiment_router, Scope.UPLOAD, "correct sentiment"),
    ApiRouter(corrections.read_router, Scope.READ, "view calls"),
    ApiRouter(corrections.write_router, Scope.UPLOAD, "correct calls"),
    ApiRouter(catalog.read_router, Scope.READ, "view the competitor list"),
    ApiRouter(catalog_changes.check_router, Scope.READ, "check competitor lists"),
    ApiRouter(catalog_changes.write_router, Scope.ADMIN, "change the competitor list"),
    ApiRouter(patterns.read_router, Scope.READ, "view patterns"),
    ApiRouter(patterns.write_router, Scope.ADMIN, "change patterns"),
    ApiRouter(views.router, Scope.READ, "use saved views"),
    ApiRouter(views.schedule_router, Scope.ADMIN, "send reports"),
    ApiRouter(storage.write_router, Scope.ADMIN, "change stored documents"),
)

PAGE_ROUTERS = (
    overview.router,
    calls_page.router,
    call_page.router,
    review.router,
    moments.router,
    corrections_page.router,
    competitors.router,
    suggestions.router,
    competitor.router,
    analytics_page.router,
    api_page.router,
    dagster.router,
    alerts.router,
    views_page.router,
    reports.router,
    agents.router,
    audit.router,
    operation.router,
    access_page.router,
    data.router,
)
"""Pages require scope READ; some of their routes require more."""

BODY_LIMITS = {
    "/upload": sys.maxsize,  # streamed, with a limit of its own
    "/find-competitors": 6 * search.MAX_TEXT_CHARS,
    "/dagster": dagster.MAX_QUERY_BYTES,
    "/storage/upload": storage.MAX_DOCUMENT_BYTES + MAX_BODY_BYTES,
}
"""Bytes by path prefix, where they differ from the default."""


class Server(uvicorn.Server):
    """Server that ends event streams on shutdown, since uvicorn waits for open responses."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        app = self.config.app
        state: AppState | None = None
        if isinstance(app, FastAPI):
            state = getattr(app.state, "app_state", None)
        if state is not None:
            state.watcher.close()
        await super().shutdown(sockets)


def create_app(options: Settings) -> FastAPI:
    """Create the app. Raises SettingsInvalid if the settings would let strangers in."""
    access.check_settings(options)
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with open_state(options, metrics) as app.state.app_state:
            database = app.state.app_state.storage.database
            app.state.authenticator = access.open_authenticator(options, database)
            watching = asyncio.create_task(app.state.app_state.database_watch.run())
            try:
                yield
            finally:
                watching.cancel()
                await asyncio.wait({watching})

    # FastAPI's own documentation pages load scripts from a CDN.
    app = FastAPI(title="callpipeline", lifespan=lifespan, docs_url=None, redoc_url=None)
    install_error_handlers(app)
    _add_routes(app)
    install_openapi(app)
    app.add_middleware(BodyLimit, limits=BODY_LIMITS)
    access.install(
        app,
        options,
        login_page,
        streamed=("/upload",),
        around=(DatabaseAwayMiddleware, AuditMiddleware),
    )
    app.add_middleware(MetricsMiddleware, metrics=metrics)
    app.add_middleware(HeadMiddleware, own=("/audio.wav",))
    return app


def _add_routes(app: FastAPI) -> None:
    for router in PUBLIC_ROUTERS:
        app.include_router(router)
    for router, scope, action in API_ROUTERS:
        app.include_router(router, dependencies=[Depends(require(scope, action=action))])
    # Clients that upload recordings follow their jobs as well.
    may_follow = Depends(require(Scope.READ, Scope.UPLOAD, action="view calls"))
    app.include_router(jobs.job_router, dependencies=[may_follow])
    for router in PAGE_ROUTERS:
        may_read = Depends(require(Scope.READ, page=True, action="view calls"))
        dependencies = [may_read, Depends(show_page_zone)]
        app.include_router(router, dependencies=dependencies, include_in_schema=False)
    # Not a page: an event stream can't show the login, so it responds 401.
    may_listen = Depends(require(Scope.READ, action="view calls"))
    app.include_router(events.router, dependencies=[may_listen], include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
