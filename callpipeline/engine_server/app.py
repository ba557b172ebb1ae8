"""Application of the engine server: routes, docs page, authentication and lifespan."""

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from html import escape
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse, JSONResponse

from callpipeline import wiring
from callpipeline.config import Settings
from callpipeline.engine_server import analysis, login, split, transcription
from callpipeline.engine_server.errors import add_error_handlers, error_responses
from callpipeline.engine_server.state import (
    CurrentState,
    EngineHealth,
    EngineServerState,
    ExpiringFolders,
    HealthMonitor,
    Role,
)
from callpipeline.errors import SettingsInvalid
from callpipeline.http_server.access_log import AccessLogMiddleware
from callpipeline.http_server.limits import BodyLimit, ConcurrencyLimiter, LoginLimiter
from callpipeline.http_server.security import Signer, UserPasswords
from callpipeline.pipeline.processing.stages import Engines
from callpipeline.storage.results.patterns import PatternFile

DOCS_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
h2 { border-top: 1px solid #8886; font-size: 1.1rem; padding-top: 1rem }
code, td:first-child { font-family: ui-monospace, monospace }
td { padding: 0 1rem .2rem 0; vertical-align: top }
:root { color-scheme: light dark }
"""

OpenApiDocument = Mapping[str, Any]

SWEEP_S = 30.0
FAILED_LOGINS_PER_MIN = 10
MAX_JSON_BYTES = 16_000_000
"""Limit of bodies without audio: three hours of speech with word times have 2 MB."""
AUDIO_ROUTES: tuple[str, ...] = ("/split", "/api/v1/transcriptions")
TOKEN_ROUTES = ("/split", "/analyze/", "/patterns/")
"""Paths that require a token if all routes do; transcription always requires one."""

OpenEngines = Callable[[Settings], AbstractContextManager[Engines]]


def docs_page(api: OpenApiDocument) -> str:
    """Return a page with every route, its parameters and its responses."""
    routes = "".join(
        _route(method.upper(), path, route, api)
        for path, methods in api["paths"].items()
        for method, route in methods.items()
    )
    title = escape(api["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f'<h1>{title}</h1><p>For programs: <a href="/openapi.json">openapi.json</a>.</p>{routes}'
    )


def _route(method: str, path: str, route: OpenApiDocument, api: OpenApiDocument) -> str:
    token = " · requires a token" if route.get("security") else ""
    codes = ", ".join(
        f"{code} {escape(answer['description'])}" for code, answer in route["responses"].items()
    )
    return (
        f"<h2><code>{method} {escape(path)}</code>{token}</h2>"
        f"<p>{_prose(route.get('description', ''))}</p>"
        f"<table>{''.join(_bodies(route, api))}</table><p>{codes}</p>"
    )


def _bodies(route: OpenApiDocument, api: OpenApiDocument) -> Iterator[str]:
    for parameter in route.get("parameters", []):
        yield _row(parameter["name"], f"in the {parameter['in']}", parameter["schema"])
    for kind, content in route.get("requestBody", {}).get("content", {}).items():
        for schema in _alternatives(content["schema"], api):
            required = schema.get("required", [])
            for name, field in schema.get("properties", {}).items():
                yield _row(name, f"{kind}{', required' if name in required else ''}", field)


def _alternatives(schema: OpenApiDocument, api: OpenApiDocument) -> list[OpenApiDocument]:
    return [_resolved(each, api) for each in schema.get("anyOf", [schema])]


def _resolved(schema: OpenApiDocument, api: OpenApiDocument) -> OpenApiDocument:
    reference = schema.get("$ref", "").rpartition("/")[2]
    return api["components"]["schemas"][reference] if reference else schema


def _row(name: str, where: str, field: OpenApiDocument) -> str:
    text = field.get("description", "")
    return f"<tr><td>{escape(name)}<td>{escape(where)}<td>{_prose(text)}"


def _prose(text: str) -> str:
    """Escape the text, and mark up text between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def create_app(options: Settings, engines: OpenEngines = wiring.open_engines) -> FastAPI:
    """Create the app. Raises SettingsInvalid if remote engines or missing users forbid it."""
    wiring.refuse_to_serve_remote(options)
    if not options.serve_on_loopback and not options.serve_users:
        raise SettingsInvalid(
            f"Serving engines to other machines ({options.serve_host}) requires users: set "
            "CALLPIPELINE_SERVE_USERS (see .env.example)."
        )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with engines(options) as opened, _open_state(options, opened) as app.state.engine_server:
            sweeper = asyncio.create_task(_repeat(SWEEP_S, app.state.engine_server.folders.sweep))
            try:
                yield
            finally:
                sweeper.cancel()

    # FastAPI's own documentation pages load scripts from other hosts.
    app = FastAPI(
        title="callpipeline engines",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses=error_responses(422),
    )
    add_error_handlers(app)
    needs_token = login.needs_token_everywhere(options)
    if needs_token:
        app.add_middleware(login.TokenMiddleware, paths=TOKEN_ROUTES)
    limits = dict.fromkeys(AUDIO_ROUTES, options.serve_max_upload_mb * 1000000)
    app.add_middleware(BodyLimit, limits=limits, default_bytes=MAX_JSON_BYTES)
    app.add_middleware(AccessLogMiddleware)
    for router in (login.router, transcription.router, split.channels):
        app.include_router(router)
    guards = [Depends(login.require_token)] if needs_token else []
    for router in (split.router, analysis.router, analysis.patterns_router):
        app.include_router(router, dependencies=guards)
    _add_pages(app)
    return app


def _add_pages(app: FastAPI) -> None:
    @app.get("/health", response_model=dict[Role, EngineHealth], tags=["server"])
    async def health(state: CurrentState) -> JSONResponse:
        """Return the health of each engine: 200 if all work, else 503."""
        with state.folders.temporary(600) as folder:
            engines = await state.health.state(folder)
        works = all(engine.works for engine in engines.values())
        document = {role: engine.as_json() for role, engine in engines.items()}
        return JSONResponse(document, 200 if works else 503)

    @app.get("/", include_in_schema=False)
    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(docs_page(app.openapi()), headers=DOCS_HEADERS)


@contextlib.contextmanager
def _open_state(options: Settings, engines: Engines) -> Iterator[EngineServerState]:
    home = options.home / "engine-server"
    folders = ExpiringFolders(home / "files")
    folders.sweep()
    key, users = options.serve_key, options.serve_users
    limits = options.serve_concurrency, options.serve_queue
    state = EngineServerState(
        options=options,
        engines=engines,
        health=HealthMonitor(engines),
        folders=folders,
        signer=Signer(key.get_secret_value().encode() if key else secrets.token_bytes(32)),
        users=UserPasswords(
            {name: password.get_secret_value() for name, password in users.items()}
        ),
        patterns=PatternFile(home / "patterns.json"),
        splits=ConcurrencyLimiter(*limits),
        transcriptions=ConcurrencyLimiter(*limits),
        analyses=ConcurrencyLimiter(*limits),
        logins=ConcurrencyLimiter(2, 30, status=429),
        failed_logins=LoginLimiter(FAILED_LOGINS_PER_MIN),
    )
    yield state
    if not key:  # URLs of channels become invalid with the random key
        folders.clear()


async def _repeat(interval_s: float, work: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(interval_s)
        await asyncio.to_thread(work)
