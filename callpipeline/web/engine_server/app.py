"""The server of engines: what is opened for it, its routes, and who may ask."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager

from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse, JSONResponse

from callpipeline import wiring
from callpipeline.config import Settings
from callpipeline.errors import SettingsInvalid
from callpipeline.pipeline.stages import Engines
from callpipeline.web.access.signing import Signer
from callpipeline.web.access.users import Users
from callpipeline.web.bodies import LimitedBodies
from callpipeline.web.engine_server import (
    analysing,
    login,
    pattern_routes,
    splitting,
    transcribing,
)
from callpipeline.web.engine_server.answers import explain_errors, problems
from callpipeline.web.engine_server.health import Engine, Health, Role
from callpipeline.web.engine_server.listing import HEADERS, listing
from callpipeline.web.engine_server.opened import Here, Opened
from callpipeline.web.engine_server.patterns import Patterns
from callpipeline.web.engine_server.shelf import Shelf
from callpipeline.web.guarded import Guarded
from callpipeline.web.places import Places

SWEEP_S = 30.0
MOST_JSON_BYTES = 16_000_000
"""Of a body without sound: three hours of talk with the times of all words have 2 MB."""
WITH_SOUND: tuple[str, ...] = ("/split", "/api/v1/transcriptions")
WITH_TOKEN = ("/split", "/analyze/", "/patterns/")
"""Where a token is asked for besides transcription, if it is asked for everywhere."""

OpenEngines = Callable[[Settings], AbstractContextManager[Engines]]


def create_app(options: Settings, engines: OpenEngines = wiring.open_engines) -> FastAPI:
    """The app for these settings. Raises SettingsInvalid where it may not be served like this."""
    wiring.refuse_to_serve_remote(options)
    if not options.serves_loopback and not options.serve_users:
        raise SettingsInvalid(
            f"Engines are served to others than this machine ({options.serve_host}) only where "
            "CALLPIPELINE_SERVE_USERS says who may log in: see .env.example."
        )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with engines(options) as used, _opened(options, used) as app.state.opened:
            sweeping = asyncio.create_task(_every(SWEEP_S, app.state.opened.shelf.sweep))
            try:
                yield
            finally:
                sweeping.cancel()

    # FastAPI's own pages of the API load scripts from elsewhere.
    app = FastAPI(
        title="callpipeline engines",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses=problems(422),
    )
    explain_errors(app)
    needs_token = login.needs_token_everywhere(options)
    if needs_token:
        app.add_middleware(login.TokenFirst, paths=WITH_TOKEN)
    most = dict.fromkeys(WITH_SOUND, options.serve_max_upload_mb * 1000000)
    app.add_middleware(LimitedBodies, most=most, otherwise=MOST_JSON_BYTES)
    app.add_middleware(Guarded)
    for router in (login.router, transcribing.router, splitting.channels):
        app.include_router(router)
    guards = [Depends(login.known)] if needs_token else []
    for router in (splitting.router, analysing.router, pattern_routes.router):
        app.include_router(router, dependencies=guards)
    _add_pages(app)
    return app


def _add_pages(app: FastAPI) -> None:
    @app.get("/health", response_model=dict[Role, Engine], tags=["server"])
    async def health(here: Here) -> JSONResponse:
        """Each engine's name, and whether it works: 200, or 503 where one does not."""
        with here.shelf.workplace(600) as folder:
            state = await here.health.state(folder)
        works = all(engine.works for engine in state.values())
        described = {role: engine.described() for role, engine in state.items()}
        return JSONResponse(described, 200 if works else 503)

    @app.get("/", include_in_schema=False)
    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(listing(app.openapi()), headers=HEADERS)


@contextlib.contextmanager
def _opened(options: Settings, engines: Engines) -> Iterator[Opened]:
    home = options.home / "engine-server"
    shelf = Shelf(home / "files")
    shelf.sweep()
    key, users = options.serve_key, options.serve_users
    limits = options.serve_concurrency, options.serve_queue
    opened = Opened(
        options=options,
        engines=engines,
        health=Health(engines),
        shelf=shelf,
        signer=Signer(key.get_secret_value().encode() if key else secrets.token_bytes(32)),
        users=Users({name: password.get_secret_value() for name, password in users.items()}),
        patterns=Patterns(home / "patterns.json"),
        splits=Places(*limits),
        transcriptions=Places(*limits),
        analyses=Places(*limits),
        logins=Places(2, 30, status=429),
    )
    yield opened
    if not key:  # nobody can have the address of a channel any more
        shelf.clear()


async def _every(seconds: float, work: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(seconds)
        await asyncio.to_thread(work)
