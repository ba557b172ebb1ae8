"""Rules for every route of the app."""

from collections.abc import Iterator

import httpx
import pytest
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.web import access
from callpipeline.web.access.permissions import ProtectedRoute
from callpipeline.web.app import create_app
from tests.web.protected_app import token_in
from tests.web.served import Served, served

SAFE = {"GET", "HEAD", "OPTIONS"}
PASSWORD = "a password of mine"
IDS = {
    "call_id": "2026-03-02-0123456789ab",
    "job_id": "2026-03-02-0123456789ab",
    "what": "calls",
    "kind": "csv",
    "format": "json",
}
ANYBODYS = {"/login", "/logout"}


@pytest.fixture
def routes(settings: Settings) -> list[ProtectedRoute]:
    return access.protected_routes(create_app(settings).routes)


@pytest.fixture(scope="module")
def app(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    users = {"ann": SecretStr(PASSWORD)}
    with served(tmp_path_factory.mktemp("app"), module_url, web_users=users) as app:
        yield app


def path_of(route: ProtectedRoute) -> str:
    path = route.path.replace(":path}", "}")
    for name, value in IDS.items():
        path = path.replace(f"{{{name}}}", value)
    return path.replace("{", "").replace("}", "")


def test_every_write_requires_a_scope(routes: list[ProtectedRoute]) -> None:
    changing = [route for route in routes if route.methods - SAFE and route.path not in ANYBODYS]
    assert len(changing) >= 8
    for route in changing:
        assert any(each.scopes for each in route.requirements), route.path


def test_results_require_scope_read(routes: list[ProtectedRoute], client: httpx.Client) -> None:
    asked = [route for route in routes if route.methods & SAFE and route.requirements]
    assert len(asked) >= 25
    for route in asked:
        method = "GET" if "GET" in route.methods else "HEAD"
        reply = client.request(method, path_of(route))
        assert reply.status_code == 401, route.path
        shown = client.get(path_of(route), headers={"Accept": "text/html"})
        is_led = shown.headers.get("Location", "").startswith("/login?next=")
        assert is_led or shown.status_code == 401, route.path


def test_csrf_is_refused_on_every_route(routes: list[ProtectedRoute], client: httpx.Client) -> None:
    form = client.get("/login").text
    entered = {"name": "ann", "password": PASSWORD, "csrf_token": token_in(form)}
    assert client.post("/login", data=entered).status_code == 303
    page = client.get("/calls", headers={"Accept": "text/html"}).text
    assert "csrf" in page
    for route in routes:
        for method in route.methods - SAFE if route.path != "/login" else ():
            for sent in ({"json": {}}, {"data": {"a": "b"}}, {"content": b"RIFF"}):
                reply = client.request(method, path_of(route), **sent)  # pyright: ignore
                assert reply.status_code == 403, (method, route.path)
    assert client.get("/calls").status_code == 200, "nobody was logged out"


def test_a_wrong_key_is_refused_despite_a_valid_login(
    routes: list[ProtectedRoute], client: httpx.Client
) -> None:
    for route in routes:
        for method in (route.methods - {"HEAD"}) if route.requirements else ():
            reply = client.request(method, path_of(route), headers={"X-API-KEY": "no"})
            assert reply.status_code == 401, (method, route.path)
