"""A small app behind the door of the web app, on a socket of this machine."""

import threading
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.domain.access import ApiKey
from callpipeline.errors import DatabaseUnavailable
from callpipeline.storage.api_keys import ApiKeys
from callpipeline.storage.database import Database
from callpipeline.web import access
from callpipeline.web.access import Scope
from callpipeline.web.access.door import Door
from callpipeline.web.bodies import LimitedBodies
from tests.processes import until
from tests.soak.installation import free_port

OWN_KEY = "a key of the settings"
PASSWORD = "a password of mine"
USERS = {"ann": SecretStr(PASSWORD), "ben": SecretStr(PASSWORD), "eve": SecretStr(PASSWORD)}
WITH_USERS: dict[str, Any] = {
    "web_users": USERS,
    "web_admins": ("ann",),
    "web_readers": ("eve",),
}
"""ann may do everything, ben read and upload, eve read."""

api = APIRouter()


@api.get("/results")
def results(visitor: access.Reader) -> dict[str, str]:
    return {"name": visitor.name, "how": visitor.how, "id": visitor.visitor_id}


@api.post("/upload")
async def upload(request: Request, visitor: access.Uploader) -> dict[str, int]:
    return {"bytes": len(await request.body())}


@api.get("/job", dependencies=[Depends(access.needs(Scope.READ, Scope.UPLOAD))])
def job() -> dict[str, str]:
    return {}


@api.post("/erase")
def erase(visitor: access.Admin, sent: dict[str, Any]) -> dict[str, Any]:
    return sent


pages = APIRouter(dependencies=[Depends(access.needs(Scope.READ, page=True))])


@pages.get("/calls")
def page(request: Request) -> HTMLResponse:
    told = access.in_templates(request)
    return HTMLResponse(f"{told['visitor'].name}\n{told['csrf_token']}\n{told['csp_nonce']}")


@pages.post("/calls")
async def form(request: Request) -> dict[str, str]:
    async with request.form() as fields:
        return {name: str(value) for name, value in fields.items()}


def guarded_app(options: Settings) -> FastAPI:
    """Composed as the web app is."""
    access.refuse_unguarded(options)

    @asynccontextmanager
    async def lifespan(app: FastAPI):
        assert options.database_url
        with Database(options.database_url.get_secret_value()) as database:
            app.state.door = access.open_door(options, database)
            yield

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(LimitedBodies, most={"/upload": 3_000_000})
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
class Guarded:
    """A running app, a client of it without anything, and its keys."""

    url: str
    http: httpx.Client
    door: Door
    keys: ApiKeys

    def key(self, *scopes: Scope, **kept: Any) -> dict[str, str]:
        """The header of a new key."""
        made = ApiKey.made()
        self.keys.add(made, "a program", scopes, by="a test", **kept)
        return {"X-API-KEY": made.written()}

    def log_in(
        self, name: str = "ann", password: str = PASSWORD, next_: str = "/calls", **headers: str
    ) -> httpx.Response:
        """Fills the form in as a browser does; the client keeps the cookies."""
        shown = self.http.get("/login", headers=headers)
        if headers.get("X-Forwarded-Proto") == "https":  # such cookies httpx sends by https alone
            headers["Cookie"] = shown.headers["set-cookie"].partition(";")[0]
        token = token_in(shown.text)
        fields = {"name": name, "password": password, "csrf_token": token, "next": next_}
        return self.http.post("/login", data=fields, headers=headers)

    def form_token(self, **headers: str) -> str:
        return self.http.get("/calls", headers=headers).text.split("\n")[1]


def token_in(page: str) -> str:
    """The token in the form of a page."""
    return page.split('name="csrf_token" value="')[1].split('"', maxsplit=1)[0]


@contextmanager
def guarding(settings: Settings, database_url: str, **options: Any) -> Iterator[Guarded]:
    """The app with these settings, while this is open."""
    chosen = {"database_url": SecretStr(database_url), "api_key": SecretStr(OWN_KEY)} | options
    app = guarded_app(settings.model_copy(update=chosen))
    config = uvicorn.Config(
        app, port=free_port(), log_level="info", loop="asyncio", **access.SERVER
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, "the app", 20, every_s=0.02)
    url = f"http://127.0.0.1:{config.port}"
    try:
        with httpx.Client(base_url=url, timeout=30) as http, Database(database_url) as database:
            yield Guarded(url, http, app.state.door, ApiKeys(database))
    finally:
        server.should_exit = True
        thread.join()
