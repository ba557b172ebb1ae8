"""The app: what is opened for it, its pages and routes, and what stands around them."""

import hmac
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.staticfiles import StaticFiles

from callpipeline import wiring
from callpipeline.config import Settings
from callpipeline.web.api import health, notify
from callpipeline.web.bodies import SMALL, LimitedBodies
from callpipeline.web.guarded import Guarded
from callpipeline.web.health import Doctor
from callpipeline.web.metrics import Measured, Metrics
from callpipeline.web.opened import Here, Opened
from callpipeline.web.pages import api as api_page
from callpipeline.web.pages import home
from callpipeline.web.problems import explain_errors

MOST_BYTES = SMALL

STATIC = Path(__file__).parent / "static"

ROUTES = (health.router,)
"""Of the API: all are in its description."""

PAGES = (home.router, api_page.router)


def create_app(options: Settings) -> FastAPI:
    """The app for these settings. Raises SettingsInvalid where it may not be served like this."""

    metrics = Metrics()

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncIterator[None]:
        with _opened(options, metrics) as app.state.opened:
            yield

    # FastAPI's own pages of the API load scripts from elsewhere.
    app = FastAPI(title="callpipeline", lifespan=opened, docs_url=None, redoc_url=None)
    explain_errors(app)
    app.add_middleware(LimitedBodies)
    app.add_middleware(Guarded)
    app.add_middleware(Measured, metrics=metrics)
    for router in ROUTES:
        app.include_router(router)
    app.include_router(notify.router, dependencies=[Depends(known)])
    for router in PAGES:
        app.include_router(router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app


@contextmanager
def _opened(options: Settings, metrics: Metrics) -> Iterator[Opened]:
    with (
        wiring.open_database_url(options) as url,
        wiring.open_storage(options, url) as storage,
        storage.database.apart(patience_s=2) as probe,
    ):
        metrics.watch(probe)
        yield Opened(
            options=options,
            storage=storage,
            dispatcher=wiring.open_dispatcher(options, storage.outbox),
            doctor=Doctor(storage, probe),
            metrics=metrics,
        )


def known(here: Here, x_api_key: Annotated[str | None, Header()] = None) -> None:
    """Lets in who sends the key; the time it takes tells nothing of how much of it was right."""
    key = here.options.api_key
    if key is None or not hmac.compare_digest(
        (x_api_key or "").encode(), key.get_secret_value().encode()
    ):
        raise HTTPException(401, "Send the key of this installation in the header X-API-KEY.")
