"""Reverse proxies: trusted and untrusted headers."""

from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection

from callpipeline.config import Settings
from callpipeline.web.access import Scope
from callpipeline.web.access.proxies import TrustedProxies
from tests.web.protected_app import ProtectedApp, serving_protected

HEADER = "X-Forwarded-User"
PROXIES = TrustedProxies([ip_network("10.0.0.0/8"), ip_network("fd00::/8")], HEADER)


def request(peer: str | None, *headers: tuple[str, str], scheme: str = "http") -> HTTPConnection:
    sent = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    client = (peer, 1) if peer else None
    return HTTPConnection(
        {"type": "http", "scheme": scheme, "path": "/", "headers": sent, "client": client}
    )


@pytest.mark.parametrize("peer", ["10.0.0.5", "fd00::1", "::ffff:10.0.0.5"])
def test_a_trusted_proxy_names_the_user(peer: str) -> None:
    assert PROXIES.user_name(request(peer, (HEADER, "ann"))) == "ann"


@pytest.mark.parametrize("peer", ["11.0.0.5", "127.0.0.1", "fe80::1", "::ffff:11.0.0.5", None, "x"])
def test_other_peers_are_not_trusted(peer: str | None) -> None:
    assert PROXIES.user_name(request(peer, (HEADER, "ann"))) is None
    forged = request(peer, (HEADER, "ann"), ("X-Forwarded-For", "10.0.0.5"))
    assert PROXIES.user_name(forged) is None
    assert not PROXIES.is_https(request(peer, ("X-Forwarded-Proto", "https")))


@pytest.mark.parametrize("name", ["", "  ", "a\x01b", "\xff\xfe", "n" * 201])
def test_invalid_names_are_ignored(name: str) -> None:
    assert PROXIES.user_name(request("10.0.0.5", (HEADER, name))) is None


def test_a_name_may_have_any_letters() -> None:
    sent = "Zoë Ömer".encode().decode("latin-1")
    assert PROXIES.user_name(request("10.0.0.5", (HEADER, sent))) == "Zoë Ömer"


def test_two_names_are_ignored() -> None:
    """One of them may be the client's, passed on by the proxy."""
    assert PROXIES.user_name(request("10.0.0.5", (HEADER, "ann"), (HEADER, "mallory"))) is None
    assert PROXIES.user_name(request("10.0.0.5", ("X_Forwarded_User", "mallory"))) is None


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.0.0.5", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.5", "6.6.6.6, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.5", "6.6.6.6, 198.51.100.1, 10.0.0.6", "198.51.100.1"),
        ("10.0.0.5", "10.0.0.7, 10.0.0.6", "10.0.0.7"),
        ("10.0.0.5", "unknown", "10.0.0.5"),
        ("10.0.0.5", "", "10.0.0.5"),
        ("10.0.0.5", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        (None, "198.51.100.1", "unknown"),
    ],
)
def test_client_addresses(peer: str | None, forwarded: str, client: str) -> None:
    assert PROXIES.client(request(peer, ("X-Forwarded-For", forwarded))) == client


@given(st.text(st.characters(codec="latin-1"), max_size=60))
def test_clients_cannot_forge_their_address(said: str) -> None:
    """The proxy appends the client's address to whatever the client sent."""
    forwarded = ("X-Forwarded-For", f"{said}, 198.51.100.1")
    assert PROXIES.client(request("10.0.0.5", forwarded)) == "198.51.100.1"
    assert PROXIES.client(request("198.51.100.1", ("X-Forwarded-For", said))) == "198.51.100.1"


def test_the_nearest_proxy_decides_about_https() -> None:
    assert PROXIES.is_https(request("10.0.0.5", ("X-Forwarded-Proto", "https")))
    assert PROXIES.is_https(request("10.0.0.5", ("X-Forwarded-Proto", "http, https")))
    assert not PROXIES.is_https(request("10.0.0.5", ("X-Forwarded-Proto", "https, http")))
    assert PROXIES.is_https(request("203.0.113.9", scheme="https"))


@pytest.fixture(scope="module")
def running(module_settings: Settings, module_url: str) -> Iterator[ProtectedApp]:
    options = {"web_proxy_header": HEADER, "web_trusted_proxies": (ip_network("10.0.0.0/8"),)}
    with serving_protected(module_settings, module_url, **options, web_admins=("ann",)) as running:
        yield running


@pytest.fixture
def served(running: ProtectedApp, database_url: str) -> Iterator[ProtectedApp]:
    """An app whose trusted proxy has another address."""
    with running.new_visitor() as served:
        yield served


def test_the_user_header_is_ignored_from_other_peers(served: ProtectedApp) -> None:
    forged = {HEADER: "ann", "X-Forwarded-For": "10.0.0.5", "Forwarded": "for=10.0.0.5"}
    for path in ("/results", "/calls", "/job"):
        assert served.http.get(path, headers=forged).status_code == 401
    assert served.http.post("/erase", json={}, headers=forged).status_code == 401
    # A key still does what it may, and no more.
    headers = forged | served.key(Scope.READ)
    assert served.http.get("/results", headers=headers).json()["method"] == "key"
    assert served.http.post("/erase", json={}, headers=headers).status_code == 403


def test_a_foreign_bearer_token_is_ignored(settings: Settings, database_url: str) -> None:
    """Some proxies forward the token of their own login."""
    options = {"web_proxy_header": HEADER, "web_trusted_proxies": (ip_network("127.0.0.1"),)}
    with serving_protected(settings, database_url, **options) as served:
        theirs = {HEADER: "ann", "Authorization": "Bearer eyJhbGciOiJSUzI1NiJ9.e30.x"}
        assert served.http.get("/results", headers=theirs).json()["method"] == "proxy"
        ours = theirs | {"Authorization": f"Bearer {served.key(Scope.UPLOAD)['X-API-KEY']}"}
        assert served.http.get("/results", headers=ours).status_code == 403
        unknown = theirs | {"Authorization": "Bearer cpk_aaaaaaaaaaaa_" + "A" * 43}
        assert served.http.get("/results", headers=unknown).status_code == 401
