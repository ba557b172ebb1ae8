"""Small app with the access control of the web app, on a local socket."""

import threading
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.domain.access import ApiKey
from callpipeline.errors import DatabaseUnavailable
from callpipeline.http_server.limits import BodyLimit
from callpipeline.http_server.security import hash_password
from callpipeline.storage.access import ApiKeys
from callpipeline.storage.postgres.database import Database
from callpipeline.web import access
from callpipeline.web.access import Scope
from callpipeline.web.access.authenticator import Authenticator
from tests.processes import free_port, until

OWN_KEY = "a key of the settings"
PASSWORD = "a password of mine"
_HASHED = SecretStr(hash_password(PASSWORD))
USERS = {"ann": SecretStr(PASSWORD), "ben": _HASHED, "eve": _HASHED}
WITH_USERS: dict[str, Any] = {
    "web_users": USERS,
    "web_admins": ("ann",),
    "web_readers": ("eve",),
}
"""ann is an admin, ben can read and upload, eve can read."""

api = APIRouter()


@api.get("/results")
def results(visitor: access.Reader) -> dict[str, str]:
    return {"name": visitor.name, "method": visitor.method, "id": visitor.visitor_id}


@api.post("/upload")
async def upload(request: Request, visitor: access.Uploader) -> dict[str, int]:
    return {"bytes": len(await request.body())}


@api.get("/job", dependencies=[Depends(access.require(Scope.READ, Scope.UPLOAD))])
def job() -> dict[str, str]:
    return {}


@api.post("/erase")
def erase(visitor: access.Admin, sent: dict[str, Any]) -> dict[str, Any]:
    return sent


pages = APIRouter(dependencies=[Depends(access.require(Scope.READ, page=True))])


@pages.get("/calls")
def page(request: Request) -> HTMLResponse:
    context = access.template_context(request)
    return HTMLResponse(
        f"{context['visitor'].name}\n{context['csrf_token']}\n{context['csp_nonce']}"
    )


@pages.post("/calls")
async def form(request: Request) -> dict[str, str]:
    async with request.form() as fields:
        return {name: str(value) for name, value in fields.items()}


def protected_app(options: Settings) -> FastAPI:
    """Return an app composed like the web app."""
    access.check_settings(options)

    @asynccontextmanager
    async def lifespan(app: FastAPI):
        assert options.database_url
        with Database(options.database_url.get_secret_value()) as database:
            app.state.authenticator = access.open_authenticator(options, database)
            yield

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(BodyLimit, limits={"/upload": 3_000_000})
    app.include_router(api)
    app.include_router(pages)

    @app.exception_handler(DatabaseUnavailable)
    def unavailable(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 503)

    @app.get("/open")
    def is_open() -> dict[str, str]:
        return {}

    access.install(app, options)
    return app


@dataclass
class ProtectedApp:
    """A running app, a client without credentials, and the store of API keys."""

    url: str
    http: httpx.Client
    authenticator: Authenticator
    keys: ApiKeys

    def key(self, *scopes: Scope, **kept: Any) -> dict[str, str]:
        """Return the header with a new key."""
        made = ApiKey.generate()
        self.keys.add(made, "a program", scopes, by="a test", **kept)
        return {"X-API-KEY": made.to_text()}

    def log_in(
        self, name: str = "ann", password: str = PASSWORD, next_: str = "/calls", **headers: str
    ) -> httpx.Response:
        """Log in with the form, as a browser does; the client stores the cookies."""
        shown = self.http.get("/login", headers=headers)
        if headers.get("X-Forwarded-Proto") == "https":  # such cookies httpx sends by https alone
            headers["Cookie"] = shown.headers["set-cookie"].partition(";")[0]
        token = token_in(shown.text)
        fields = {"name": name, "password": password, "csrf_token": token, "next": next_}
        return self.http.post("/login", data=fields, headers=headers)

    @contextmanager
    def new_visitor(self) -> Iterator["ProtectedApp"]:
        """Yield the app with another client, whose requests nothing has limited yet."""
        known = self.authenticator
        failed = known.failed_logins
        limiters = (known.requests, known.uploads, known.wrong_keys)
        for limiter in (*limiters, failed._pairs, failed._addresses, failed._names):  # pyright: ignore[reportPrivateUsage]
            limiter._buckets.clear()  # pyright: ignore[reportPrivateUsage]
        failed._known.clear()  # pyright: ignore[reportPrivateUsage]
        with httpx.Client(base_url=self.url, timeout=300) as http:
            yield replace(self, http=http)

    def form_token(self, **headers: str) -> str:
        return self.http.get("/calls", headers=headers).text.split("\n")[1]


def token_in(page: str) -> str:
    """Return the CSRF token of a form."""
    return page.split('name="csrf_token" value="')[1].split('"', maxsplit=1)[0]


@contextmanager
def serving_protected(
    settings: Settings, database_url: str, **options: Any
) -> Iterator[ProtectedApp]:
    """Serve the app with these settings."""
    chosen = {"database_url": SecretStr(database_url), "api_key": SecretStr(OWN_KEY)} | options
    app = protected_app(settings.model_copy(update=chosen))
    config = uvicorn.Config(
        app, port=free_port(), log_level="info", loop="asyncio", **access.UVICORN_OPTIONS
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, "the app", 20, every_s=0.02)
    url = f"http://127.0.0.1:{config.port}"
    try:
        with httpx.Client(base_url=url, timeout=300) as http, Database(database_url) as database:
            yield ProtectedApp(url, http, app.state.authenticator, ApiKeys(database))
    finally:
        server.should_exit = True
        thread.join()
