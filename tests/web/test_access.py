"""Authorization: each kind of visitor, with each scope, on each kind of route."""

import socket
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.errors import DatabaseUnavailable, SettingsInvalid
from callpipeline.web import access
from callpipeline.web.access import Scope
from tests.web.protected_app import (
    OWN_KEY,
    WITH_USERS,
    ProtectedApp,
    protected_app,
    serving_protected,
)

ROUTES = ("GET /results", "POST /upload", "GET /job", "POST /erase", "GET /calls")
PROXY = {
    "web_proxy_header": "X-Forwarded-User",
    "web_trusted_proxies": (ip_network("127.0.0.0/8"),),
}


@pytest.fixture(scope="module")
def running(module_settings: Settings, module_url: str) -> Iterator[ProtectedApp]:
    with serving_protected(module_settings, module_url, **WITH_USERS, **PROXY) as running:
        yield running


@pytest.fixture
def served(running: ProtectedApp, database_url: str) -> Iterator[ProtectedApp]:
    with running.new_visitor() as served:
        yield served


def asked(served: ProtectedApp, headers: dict[str, str]) -> dict[str, int]:
    """Return the status of each route; writes send a page's token."""
    token = {"X-CSRF-Token": served.form_token(**headers)} if _sees_pages(served, headers) else {}
    answers: dict[str, int] = {}
    for route in ROUTES:
        method, path = route.split()
        sent: dict[str, Any] = {"json": {}} if method == "POST" else {}
        answers[route] = served.http.request(
            method, path, headers=headers | token, **sent
        ).status_code
    return answers


def _sees_pages(served: ProtectedApp, headers: dict[str, str]) -> bool:
    return served.http.get("/calls", headers=headers).status_code == 200


def expected(read: int, upload: int, job: int, admin: int) -> dict[str, int]:
    return dict(zip(ROUTES, (read, upload, job, admin, read), strict=True))


NOBODY = expected(401, 401, 401, 401)
READS = expected(200, 403, 200, 403)
UPLOADS = expected(403, 200, 200, 403)
BOTH = expected(200, 200, 200, 403)
ALL = expected(200, 200, 200, 200)

KEYS = [
    ((Scope.READ,), READS),
    ((Scope.UPLOAD,), UPLOADS),
    ((Scope.READ, Scope.UPLOAD), BOTH),
    ((Scope.ADMIN,), ALL),
]


@pytest.mark.parametrize(("scopes", "may"), KEYS)
def test_a_key_has_exactly_its_scopes(
    served: ProtectedApp, scopes: tuple[Scope, ...], may: dict[str, int]
) -> None:
    headers = served.key(*scopes)
    assert asked(served, headers) == may
    assert asked(served, {"Authorization": f"Bearer {headers['X-API-KEY']}"}) == may


def test_the_settings_key_has_all_scopes(served: ProtectedApp) -> None:
    assert asked(served, {"X-API-KEY": OWN_KEY}) == ALL


@pytest.mark.parametrize(("name", "may"), [("ann", ALL), ("ben", BOTH), ("eve", READS)])
def test_logged_in_users_have_the_scopes_in_the_settings(
    served: ProtectedApp, name: str, may: dict[str, int]
) -> None:
    assert served.log_in(name).status_code == 303
    assert asked(served, {}) == may


@pytest.mark.parametrize(("name", "may"), [("ann", ALL), ("zoe", BOTH), ("eve", READS)])
def test_proxied_users_have_the_scopes_in_the_settings(
    served: ProtectedApp, name: str, may: dict[str, int]
) -> None:
    assert asked(served, {"X-Forwarded-User": name}) == may


def test_unknown_visitors_are_refused(served: ProtectedApp) -> None:
    assert asked(served, {}) == NOBODY
    assert served.http.get("/open").status_code == 200


def test_loopback_has_all_scopes_without_a_login(settings: Settings, database_url: str) -> None:
    with serving_protected(settings, database_url) as served:
        assert asked(served, {}) == ALL
        assert served.http.get("/results").json()["method"] == "loopback"
        # Who does send a key is taken at that word.
        assert asked(served, served.key(Scope.READ)) == READS
        assert asked(served, {"X-API-KEY": "wrong"}) == NOBODY
        assert asked(served, {"X-API-KEY": ""}) == NOBODY
        assert served.http.get("/login").headers["location"] == "/"
        assert served.http.post("/login", data={"name": "a", "password": "b"}).status_code == 404


def test_visitor_ids_are_stable_and_unique(served: ProtectedApp) -> None:
    one, other = served.key(Scope.READ), served.key(Scope.READ)
    ids = [served.http.get("/results", headers=h).json()["id"] for h in (one, other, one)]
    assert ids[0] == ids[2] != ids[1]
    assert one["X-API-KEY"] not in ids[0]


def test_refusals_give_the_reason(served: ProtectedApp) -> None:
    nobody = served.http.get("/results")
    assert nobody.headers["WWW-Authenticate"].startswith("Bearer")
    assert "X-API-KEY" in nobody.json()["detail"]
    few = served.http.post("/erase", json={}, headers=served.key(Scope.READ))
    assert few.json()["detail"] == "You don't have permission to do this. Ask an admin."
    wrong = served.http.get("/results", headers={"X-API-KEY": "wrong"})
    assert 'error="invalid_token"' in wrong.headers["WWW-Authenticate"]


def sent_headers(served: ProtectedApp, head: str) -> bytes:
    """Return the response to a request whose body is never sent."""
    port = int(served.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(head.encode())
        return connection.recv(1000)


@pytest.mark.parametrize("path", ["/upload", "/erase"])
def test_the_body_is_not_read_before_authorization(served: ProtectedApp, path: str) -> None:
    key = served.key(Scope.READ)["X-API-KEY"]
    for credentials, status in (("", b"401"), (f"X-API-KEY: {key}\r\n", b"403")):
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{credentials}"
        kind = "Content-Type: application/json\r\nContent-Length: 2000000\r\n\r\n"
        assert sent_headers(served, head + kind).startswith(b"HTTP/1.1 " + status)


def test_invalid_json_is_not_parsed_before_authorization(served: ProtectedApp) -> None:
    kind = {"Content-Type": "application/json"}
    assert served.http.post("/erase", content=b"{", headers=kind).status_code == 401
    assert (
        served.http.post("/erase", content=b"{", headers=kind | {"X-API-KEY": OWN_KEY}).status_code
        == 422
    )


def test_pages_redirect_to_the_login(served: ProtectedApp) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml"}
    led = served.http.get("/calls?q=a&page=2", headers=browser)
    assert led.status_code == 303
    assert led.headers["location"] == "/login?next=%2Fcalls%3Fq%3Da%26page%3D2"
    assert served.http.get("/results", headers=browser).status_code == 401
    assert served.http.get("/calls").status_code == 401
    part = served.http.get("/calls", headers=browser | {"HX-Request": "true"})
    assert (part.status_code, part.headers["HX-Redirect"]) == (401, "/login")


def test_there_is_no_login_behind_a_proxy(settings: Settings, database_url: str) -> None:
    with serving_protected(settings, database_url, **PROXY) as served:
        assert served.http.get("/calls", headers={"Accept": "text/html"}).status_code == 401
        assert asked(served, {"X-Forwarded-User": "ann"}) == BOTH


def test_routes_list_their_requirements(settings: Settings) -> None:
    app = protected_app(settings)
    asked_for = {
        (route.path, method): [each.scopes for each in route.requirements]
        for route in access.protected_routes(app.routes)
        for method in route.methods
    }
    assert asked_for["/calls", "POST"] == [(Scope.READ,)]
    assert asked_for["/job", "GET"] == [(Scope.READ, Scope.UPLOAD)]
    assert asked_for["/logout", "POST"] == [()]
    assert asked_for["/open", "GET"] == []
    described = app.openapi()["paths"]["/results"]["get"]["security"]
    assert {name for each in described for name in each} == {"APIKeyHeader", "HTTPBearer"}


USERS = {"web_users": {"ann": SecretStr("a password of mine")}}
HOSTS = ["0.0.0.0", "::", "192.168.1.5", "calls.example.com"]


@pytest.mark.parametrize("host", HOSTS)
def test_other_hosts_need_a_login(settings: Settings, host: str) -> None:
    opened = settings.model_copy(update={"web_host": host, "api_key": SecretStr(OWN_KEY)})
    with pytest.raises(SettingsInvalid, match="CALLPIPELINE_WEB_USERS.*_WEB_PROXY_HEADER"):
        access.check_settings(opened)
    access.check_settings(opened.model_copy(update=USERS))
    access.check_settings(opened.model_copy(update=PROXY))


def test_a_public_url_needs_a_login_too(settings: Settings) -> None:
    """A local proxy would forward requests of the whole network to loopback."""
    public = settings.model_copy(update={"web_url": "https://calls.example.com"})
    with pytest.raises(SettingsInvalid, match=r"calls\.example\.com"):
        access.check_settings(public)
    access.check_settings(settings.model_copy(update={"web_url": "http://localhost:9000"}))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_loopback_needs_no_login(settings: Settings, host: str) -> None:
    access.check_settings(settings.model_copy(update={"web_host": host}))


@pytest.mark.parametrize(
    ("contradiction", "named"),
    [
        ({"web_proxy_header": "X-Forwarded-User"}, "CALLPIPELINE_WEB_TRUSTED_PROXIES"),
        (USERS | {"web_admins": ("anne",)}, "CALLPIPELINE_WEB_ADMINS names anne"),
        (USERS | {"web_readers": ("zoe",)}, "CALLPIPELINE_WEB_READERS names zoe"),
    ],
)
def test_contradictory_login_settings_are_refused(
    settings: Settings, contradiction: dict[str, Any], named: str
) -> None:
    with pytest.raises(SettingsInvalid, match=named):
        access.check_settings(settings.model_copy(update=contradiction))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEB_USERS", '{"ann": "short"}'),
        ("WEB_USERS", '{"ann,ben": "a password of mine"}'),
        ("WEB_TRUSTED_PROXIES", "0.0.0.0/0"),
        ("WEB_TRUSTED_PROXIES", "10.0.0.1/8, proxy"),
        ("WEB_CORS_ORIGINS", "https://crm.example.com/"),
        ("WEB_CORS_ORIGINS", "crm.example.com"),
        ("WEB_PROXY_HEADER", "X-User:"),
    ],
)
def test_invalid_settings_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"CALLPIPELINE_{name}", value)
    with pytest.raises(ValueError, match=name.lower()):
        Settings(_env_file=None)  # pyright: ignore[reportCallIssue]


def test_lists_have_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLPIPELINE_WEB_TRUSTED_PROXIES", "10.0.0.5, fd00::/8")
    monkeypatch.setenv("CALLPIPELINE_WEB_ADMINS", "ann, ben ,")
    monkeypatch.setenv("CALLPIPELINE_WEB_CORS_ORIGINS", "https://a.example.com,http://b:8080")
    options = Settings(_env_file=None)  # pyright: ignore[reportCallIssue]
    assert options.web_trusted_proxies == (ip_network("10.0.0.5"), ip_network("fd00::/8"))
    assert options.web_admins == ("ann", "ben")
    assert options.web_cors_origins == ("https://a.example.com", "http://b:8080")


def test_without_a_list_all_users_are_admins_but_no_proxied_ones(
    settings: Settings,
) -> None:
    options = settings.model_copy(update=USERS)
    assert options.scopes_of("ann") == frozenset(Scope)
    assert options.scopes_of("zoe") == {Scope.READ, Scope.UPLOAD}


def test_a_websocket_is_refused(served: ProtectedApp) -> None:
    head = "GET /calls HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    more = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    assert b" 101 " not in sent_headers(served, head + more)


def test_without_the_database_stored_keys_get_503(
    settings: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving_protected(settings, database_url, **WITH_USERS) as served:

        def gone(key_id: str) -> None:
            raise DatabaseUnavailable("Postgres did not answer.")

        key = served.key(Scope.READ)
        monkeypatch.setattr(served.authenticator.keys._keys, "find", gone)
        assert served.http.get("/results", headers=key).status_code == 503
        assert served.http.get("/results", headers={"X-API-KEY": OWN_KEY}).status_code == 200
