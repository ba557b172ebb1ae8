"""Every route × every kind of visitor: who gets in, who is refused, and how."""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from callpipeline.config import Settings
from callpipeline.defs.dagster_internals.webserver import READ_ONLY, DagsterGuard
from callpipeline.domain.access import ApiKey, Scope
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.http_server.security import Signer, signing_key
from callpipeline.pipeline.rematch.planning import continue_rematch
from callpipeline.storage.access import ApiKeys
from callpipeline.storage.postgres.database import Database
from callpipeline.web import access
from callpipeline.web.access.permissions import ProtectedRoute
from callpipeline.web.app import create_app
from tests.integration.databases import execute_sql
from tests.integration.rematching import COMMAND
from tests.processes import free_port, until
from tests.web.processed_calls import ProcessedCall
from tests.web.protected_app import PASSWORD, WITH_USERS, token_in
from tests.web.served import Served, served
from tests.web.test_every_route import SAFE, path_of

SCOPES: Mapping[str, frozenset[Scope] | None] = {
    "stranger": None,
    "wrong key": None,
    "eve": frozenset({Scope.READ}),
    "ben": frozenset({Scope.READ, Scope.UPLOAD}),
    "ann": frozenset(Scope),
    "key read": frozenset({Scope.READ}),
    "key upload": frozenset({Scope.UPLOAD}),
    "key admin": frozenset(Scope),
}
USERS = ("eve", "ben", "ann")
LEFT_OUT = {"/login", "/logout"}
"""They change who the visitor is; test_access_login has them."""
QUERY = {"query": "{ version }"}


async def reached(request: Request) -> Response:
    """Respond like Dagster's UI would, with the role that the guard has given the request."""
    return PlainTextResponse("reader" if request.scope.get("state", {}).get(READ_ONLY) else "full")


@contextmanager
def guarded_ui(settings: Settings) -> Iterator[None]:
    """Serve the guard of Dagster's UI at its port, around an app that only responds."""
    pages = Starlette(routes=[Route("/{path:path}", reached, methods=["GET", "HEAD", "POST"])])
    guard = DagsterGuard(pages, pages, settings, Signer(signing_key(settings)))
    config = uvicorn.Config(guard, port=settings.port, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        until(lambda: server.started, "the guard", 60)
        yield
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def app(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    options: dict[str, Any] = WITH_USERS | {
        "port": free_port(),
        "web_requests_per_min": 0,
        "web_uploads_per_min": 0,
    }
    with (
        served(tmp_path_factory.mktemp("app"), module_url, **options) as app,
        guarded_ui(app.settings),
    ):
        yield app


@dataclass
class Caller:
    """A visitor's client, with the token of a form if the visitor has logged in."""

    client: httpx.Client
    token: str | None = None

    def status(self, method: str, path: str, *, with_token: bool = True, **sent: Any) -> int:
        """Send a request, and read no more than the status: event streams do not end."""
        headers = {"X-CSRF-Token": self.token} if self.token and with_token else {}
        with self.client.stream(method, path, headers=headers, **sent) as reply:
            return reply.status_code


@contextmanager
def caller(app: Served, name: str, keys: ApiKeys) -> Iterator[Caller]:
    headers = {"X-API-KEY": "cpk_no"} if name == "wrong key" else {}
    if name.startswith("key"):
        key = ApiKey.generate()
        keys.add(key, name, [Scope(name.removeprefix("key "))], by="a test")
        headers = {"X-API-KEY": key.to_text()}
    with app.client(**headers) as client:
        if name not in USERS:
            yield Caller(client)
            return
        token = token_in(client.get("/login").text)
        entered = {"name": name, "password": PASSWORD, "csrf_token": token}
        assert client.post("/login", data=entered).status_code == 303
        yield Caller(client, token_in(client.get("/calls").text))


def routes_of(settings: Settings) -> list[tuple[str, ProtectedRoute]]:
    """Return every method of every route of the app."""
    return [
        (method, route)
        for route in access.protected_routes(create_app(settings).routes)
        if route.path not in LEFT_OUT
        for method in sorted(route.methods - {"OPTIONS"})
    ]


def expected(name: str, route: ProtectedRoute) -> int | None:
    """Return the status of a refusal, None if the visitor may use the route."""
    scopes = SCOPES[name]
    if not route.requirements:
        return None
    if scopes is None:
        return 401
    may = all(not r.scopes or not scopes.isdisjoint(r.scopes) for r in route.requirements)
    return None if may else 403


@pytest.mark.parametrize("name", SCOPES)
def test_every_route_lets_in_whom_its_scopes_say(
    empty_app: Served, database: Database, name: str
) -> None:
    counts = Counter[str]()
    with caller(empty_app, name, ApiKeys(database)) as visitor:
        for method, route in routes_of(empty_app.settings):
            status = visitor.status(method, path_of(route))
            refused = expected(name, route)
            counts["refused" if refused else "let in"] += 1
            where = f"{name}: {method} {route.path} was answered {status}"
            if refused:
                assert status == refused, where
            else:
                assert status not in (401, 403), where
    print(f"{name}: {dict(counts)}")
    assert sum(counts.values()) >= 80


@pytest.mark.parametrize("name", USERS)
def test_no_write_of_a_user_succeeds_without_the_token_of_a_form(
    empty_app: Served, database: Database, name: str
) -> None:
    writes = [
        (method, route)
        for method, route in routes_of(empty_app.settings)
        if method not in SAFE and route.requirements
    ]
    assert len(writes) >= 25
    with caller(empty_app, name, ApiKeys(database)) as visitor:
        for method, route in writes:
            status = visitor.status(method, path_of(route), with_token=False)
            assert status == 403, f"{method} {route.path} was answered {status}"


HIDDEN = ("retry", "retry-all")
"""Forms in parts of pages that all visitors share: the style sheet hides them from others."""


class Offers(HTMLParser):
    """Collects the method and path of everything that a page lets its reader do."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[tuple[str, str]] = set()
        self._forms: dict[str | None, tuple[str, str | None]] = {}
        self._pressed: set[str | None] = set()
        self._is_admin = True

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value for key, value in attrs if value}
        classes = given.get("class", "").split()
        self._is_admin &= tag != "body" or "not-admin" not in classes
        is_hidden = (
            "admin-only" in classes or given.get("form") == "retry" or given.get("id") in HIDDEN
        )
        if is_hidden and not self._is_admin:
            return
        for attribute in ("href", "src"):
            self._add("GET", given.get(attribute))
        for method in ("get", "post", "put", "patch", "delete"):
            self._add(method.upper(), given.get(f"hx-{method}"))
        if tag == "form":
            sent = (given.get("method", "get").upper(), given.get("action"))
            self._forms[None] = self._forms[given.get("id")] = sent
        elif tag == "button":
            self._pressed.add(given.get("form"))
            if "form" not in given and None in self._forms:
                self._add(*self._forms[None])

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._forms.pop(None, None)

    def close(self) -> None:
        """Add forms whose buttons are elsewhere; a form without any button offers nothing."""
        super().close()
        for name in self._pressed & self._forms.keys() - {None}:
            self._add(*self._forms[name])

    def _add(self, method: str, address: str | None) -> None:
        if address and address.startswith("/") and not address.startswith("//"):
            self.found.add((method, address))


def offers_in(html: str) -> set[tuple[str, str]]:
    parser = Offers()
    parser.feed(html)
    parser.close()
    return parser.found


def fill_pages(app: Served, folder: Path) -> None:
    """Store calls with open questions, a changed list whose rematch is open, and a failed call."""
    storage = app.storage
    first = storage.catalogs.apply(Catalog((Competitor("Vodafone"),)), COMMAND)
    for key in ("one.wav", "two.wav", "three.wav"):
        ProcessedCall(key).store(storage, folder / key)
    execute_sql(
        storage.database.url,
        f"UPDATE call_stages SET catalog_version = '{first.version}', rule_version = 1"
        " WHERE stage = 'competitor_mentions'",
    )
    changed = Catalog((Competitor("Vodafone"), Competitor("Sky", ambiguous=True)))
    storage.catalogs.apply(changed, COMMAND)
    continue_rematch(storage.rematches, changed)
    execute_sql(
        storage.database.url,
        "UPDATE calls SET state = 'FAILED', error_class = 'UnsupportedAudio', error_message = 'x',"
        " error_transient = false WHERE call_id = (SELECT max(call_id) FROM calls)",
    )


@pytest.mark.parametrize("name", USERS)
def test_no_page_offers_what_its_reader_is_refused(
    empty_app: Served, database: Database, tmp_path: Path, name: str
) -> None:
    fill_pages(empty_app, tmp_path)
    routes = access.protected_routes(create_app(empty_app.settings).routes)
    offered, waiting, visits = set[tuple[str, str]](), ["/"], Counter[str]()
    with caller(empty_app, name, ApiKeys(database)) as visitor:
        while waiting:
            address = waiting.pop()
            reply = visitor.client.get(address, headers={"Accept": "text/html"})
            if reply.is_redirect:  # /admin leads to its first page, which is offered, too
                assert not reply.headers["Location"].startswith("/login"), address
                continue
            # The address of a form may lack a field that the form requires.
            assert reply.status_code in (200, 206, 404, 422), address
            if not reply.headers.get("Content-Type", "").startswith("text/html"):
                continue
            for method, there in offers_in(reply.text) - offered:
                offered.add((method, there))
                path = unquote(urlsplit(there).path)
                route = next((each for each in routes if each.matches(path, method)), None)
                if route is None or route.path in LEFT_OUT | {"/dagster/{path:path}", "/docs"}:
                    continue
                where = f"{address} offers {name} {method} {there}"
                assert expected(name, route) is None, where
                visits[route.path] += method == "GET"
                if method == "GET" and visits[route.path] <= 3 and "events" not in path:
                    waiting.append(there)
    methods = Counter(method for method, _ in offered)
    print(f"{name}: {len(visits)} routes, {dict(methods)}")
    assert {"/competitors", "/competitors/history", "/calls/{call_id}"} <= visits.keys()
    assert any(there.startswith("/dagster/assets/") for _, there in offered) or name != "eve", (
        "a reader may follow the runs of a call"
    )
    offers_changes = any(there == "/competitors/rematch" for _, there in offered)
    assert offers_changes == (name == "ann")


@pytest.mark.parametrize("name", SCOPES)
def test_dagsters_ui_has_the_role_of_the_visitor(
    empty_app: Served, database: Database, name: str
) -> None:
    scopes = SCOPES[name] or frozenset()
    with caller(empty_app, name, ApiKeys(database)) as visitor:
        seen = visitor.client.get("/dagster/runs")
        asked = visitor.client.post("/dagster/graphql", json=QUERY)
        if Scope.READ not in scopes:
            wanted = 401 if SCOPES[name] is None else 403
            assert (seen.status_code, asked.status_code) == (wanted, wanted)
            return
        role = "full" if Scope.ADMIN in scopes else "reader"
        assert (seen.status_code, seen.text) == (200, role)
        assert (asked.status_code, asked.text) == (200, role)


@pytest.mark.parametrize("name", SCOPES)
def test_dagsters_own_port_refuses_every_visitor_of_the_web_app(
    empty_app: Served, database: Database, name: str
) -> None:
    port = empty_app.settings.port
    with caller(empty_app, name, ApiKeys(database)) as visitor:
        headers = {**visitor.client.headers}
        cookies = dict(visitor.client.cookies)
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers=headers, cookies=cookies
        ) as direct:
            assert direct.get("/runs").status_code in (401, 403)
            assert direct.post("/graphql", json=QUERY).status_code in (401, 403)
