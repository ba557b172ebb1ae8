"""What holds for every route of the app, whoever adds one."""

from collections.abc import Iterator

import httpx
import pytest
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.web import access
from callpipeline.web.access.needs import GuardedRoute
from callpipeline.web.app import create_app
from tests.web.app_server import serving
from tests.web.guarded import token_in

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
def routes(settings: Settings) -> list[GuardedRoute]:
    return access.guarded_routes(create_app(settings).routes)


@pytest.fixture
def client(settings: Settings, database_url: str) -> Iterator[httpx.Client]:
    known = {
        "database_url": SecretStr(database_url),
        "web_users": {"ann": SecretStr(PASSWORD)},
    }
    options = settings.model_copy(update=known)
    with serving(options) as address, httpx.Client(base_url=address, timeout=20) as client:
        yield client


def path_of(route: GuardedRoute) -> str:
    path = route.path.replace(":path}", "}")
    for name, value in IDS.items():
        path = path.replace(f"{{{name}}}", value)
    return path.replace("{", "").replace("}", "")


def test_what_changes_something_asks_for_a_scope(routes: list[GuardedRoute]) -> None:
    changing = [route for route in routes if route.methods - SAFE and route.path not in ANYBODYS]
    assert len(changing) >= 8
    for route in changing:
        assert any(needs.scopes for needs in route.asked), route.path


def test_what_is_found_in_calls_is_for_readers(
    routes: list[GuardedRoute], client: httpx.Client
) -> None:
    asked = [route for route in routes if route.methods & SAFE and route.asked]
    assert len(asked) >= 25
    for route in asked:
        method = "GET" if "GET" in route.methods else "HEAD"
        reply = client.request(method, path_of(route))
        assert reply.status_code == 401, route.path
        shown = client.get(path_of(route), headers={"Accept": "text/html"})
        is_led = shown.headers.get("Location", "").startswith("/login?next=")
        assert is_led or shown.status_code == 401, route.path


def test_no_other_site_changes_anything_by_a_browser_that_is_logged_in(
    routes: list[GuardedRoute], client: httpx.Client
) -> None:
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


def test_a_wrong_key_is_refused_whatever_login_comes_with_it(
    routes: list[GuardedRoute], client: httpx.Client
) -> None:
    for route in routes:
        for method in (route.methods - {"HEAD"}) if route.asked else ():
            reply = client.request(method, path_of(route), headers={"X-API-KEY": "no"})
            assert reply.status_code == 401, (method, route.path)
