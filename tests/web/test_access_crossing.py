"""CSRF protection: other sites can do nothing here."""

import time
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection

from callpipeline.config import Settings
from callpipeline.http_server.origins import (
    is_allowed_read,
    is_local_host,
    is_same_site_write,
    origin_of,
)
from callpipeline.http_server.security import Signer
from callpipeline.web.access.csrf import PURPOSE, CsrfBinding, CsrfTokens
from tests.web.protected_app import OWN_KEY, WITH_USERS, ProtectedApp, serving_protected

EVIL = "https://evil.example"


@pytest.fixture(scope="module")
def running(module_settings: Settings, module_url: str) -> Iterator[ProtectedApp]:
    with serving_protected(module_settings, module_url, **WITH_USERS) as running:
        yield running


@pytest.fixture
def served(running: ProtectedApp, database_url: str) -> Iterator[ProtectedApp]:
    with running.new_visitor() as served:
        served.log_in()
        yield served


@pytest.fixture(scope="module")
def running_alone(module_settings: Settings, module_url: str) -> Iterator[ProtectedApp]:
    with serving_protected(module_settings, module_url) as running:
        yield running


@pytest.fixture
def alone(running_alone: ProtectedApp, database_url: str) -> Iterator[ProtectedApp]:
    """An app for loopback only, without a login."""
    with running_alone.new_visitor() as served:
        yield served


def test_a_form_needs_the_token_of_its_page(served: ProtectedApp) -> None:
    token = served.form_token()
    sent = served.http.post("/calls", data={"csrf_token": token, "what": "é & ü"})
    assert sent.json() == {"csrf_token": token, "what": "é & ü"}, "the app still reads the form"
    assert served.http.post("/calls", json={}, headers={"X-CSRF-Token": token}).status_code == 200
    files = {"file": ("a.wav", b"sound")}
    in_action = served.http.post("/calls", files=files, params={"csrf_token": token})
    assert in_action.status_code == 200
    for refused in ({}, {"csrf_token": ""}, {"csrf_token": token[:-2]}, {"csrf_token": "x.y"}):
        assert served.http.post("/calls", data=refused).status_code == 403, refused
    assert served.http.post("/calls", json={"csrf_token": token}).status_code == 403


def test_a_token_belongs_to_one_session(served: ProtectedApp) -> None:
    token = served.form_token()
    served.http.cookies.clear()
    served.log_in()
    assert served.http.post("/calls", data={"csrf_token": token}).status_code == 403
    assert served.http.post("/calls", data={"csrf_token": served.form_token()}).status_code == 200


def test_a_token_outlives_a_restart(settings: Settings, database_url: str) -> None:
    with serving_protected(settings, database_url, **WITH_USERS) as served:
        served.log_in()
        token, cookies = served.form_token(), dict(served.http.cookies)
    with serving_protected(settings, database_url, **WITH_USERS) as again:
        again.http.cookies.update(cookies)
        assert again.http.post("/calls", data={"csrf_token": token}).status_code == 200


def test_a_token_is_valid_for_its_lifetime_and_visitor() -> None:
    clock = [1000.0]
    tokens = CsrfTokens(Signer(b"k" * 32, now=lambda: clock[0]))
    binding = CsrfBinding("proxy ann")
    token = tokens.create(binding)
    assert tokens.verify(binding, token)
    assert not tokens.verify(CsrfBinding("proxy ben"), token)
    assert not tokens.verify(CsrfBinding("proxy ann", b"of a session"), token)
    assert not CsrfTokens(Signer(b"o" * 32)).verify(binding, token)
    other_purpose = Signer(b"k" * 32, now=lambda: clock[0]).sign(PURPOSE + "x", binding.subject, 60)
    assert not tokens.verify(binding, other_purpose)
    for place in range(len(token)):
        changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        assert not tokens.verify(binding, changed)
    clock[0] += 12 * 3600
    assert not tokens.verify(binding, token)


@given(st.text(max_size=60))
def test_arbitrary_text_is_no_token(text: str) -> None:
    assert not CsrfTokens(Signer(b"k" * 32)).verify(CsrfBinding("loopback"), text)


CROSSING: list[dict[str, str]] = [
    {"Origin": EVIL},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": EVIL},
]


@pytest.mark.parametrize("headers", CROSSING)
def test_cross_site_requests_are_refused_even_with_the_token(
    served: ProtectedApp, headers: dict[str, str]
) -> None:
    token = served.form_token()
    sent = served.http.post("/calls", data={"csrf_token": token}, headers=headers)
    assert (sent.status_code, "another site" in sent.text) == (403, True)
    # A key is no browser's: nothing sends it but who has it.
    with_key = headers | {"X-API-KEY": OWN_KEY}
    assert (
        httpx.post(f"{served.url}/erase", json={}, headers=with_key, timeout=60).status_code == 200
    )


@pytest.mark.parametrize("headers", CROSSING)
def test_other_sites_cannot_use_loopback(alone: ProtectedApp, headers: dict[str, str]) -> None:
    bodies: list[dict[str, Any]] = [{"json": {}}, {"data": {"a": "b"}}, {"content": b"sound"}]
    for sent in bodies:
        assert alone.http.post("/upload", headers=headers, **sent).status_code == 403


def test_local_programs_need_no_token_but_browsers_do(alone: ProtectedApp) -> None:
    assert alone.http.post("/upload", content=b"sound").json() == {"bytes": 5}
    browser = {"Origin": alone.url, "Sec-Fetch-Site": "same-origin"}
    assert alone.http.post("/upload", content=b"sound", headers=browser).status_code == 403
    browser["X-CSRF-Token"] = alone.form_token()
    assert alone.http.post("/upload", content=b"sound", headers=browser).status_code == 200


def test_other_sites_cannot_read_anything(served: ProtectedApp) -> None:
    image = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    frame = image | {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    link = image | {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    statuses = [served.http.get("/calls", headers=h).status_code for h in (image, frame, link)]
    assert statuses == [403, 403, 200]


def test_a_form_that_is_too_large_is_refused(served: ProtectedApp) -> None:
    fields = {"what": "x" * 70_000, "csrf_token": served.form_token()}
    assert served.http.post("/calls", data=fields).status_code == 413


ELSEWHERE = ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", ""]


@pytest.mark.parametrize("host", [*ELSEWHERE, "evil.example:80", "127.0.0.1@evil.example"])
def test_dns_rebinding_is_refused(alone: ProtectedApp, host: str) -> None:
    """With DNS rebinding, Origin and Host are those of the other site."""
    for path in ("/results", "/calls", "/open", "/login"):
        reply = alone.http.get(path, headers={"Host": host})
        assert (reply.status_code, "X-API-KEY" in reply.text) == (421, False), path


def test_an_untrusted_proxy_does_not_open_loopback(
    alone: ProtectedApp,
) -> None:
    for header in ("X-Forwarded-For", "Forwarded", "X-Forwarded-Host", "Via", "X-Real-IP"):
        reply = alone.http.get("/results", headers={header: "203.0.113.9"})
        assert (reply.status_code, "CALLPIPELINE_WEB_USERS" in reply.text) == (403, True)


def test_our_own_url_is_accepted(settings: Settings, database_url: str) -> None:
    with serving_protected(settings, database_url, web_url="http://calls.localhost:9000") as served:
        own = {"Host": "calls.localhost:9000", "Origin": "http://calls.localhost:9000"}
        own |= {"X-CSRF-Token": served.form_token()}
        assert served.http.post("/upload", content=b"a", headers=own).status_code == 200


@given(st.text(max_size=40) | st.from_regex(r"[a-z0-9.:\[\]@/\\-]{0,30}", fullmatch=True))
@example("localhost:8100")
@example("[::1]:8100")
@example("[::1")
@example("127.0.0.1:99999")
@example("LOCALHOST.")
def test_only_local_host_names_are_local(host: str) -> None:
    if is_local_host(host, None):
        name = httpx.URL(f"http://{host}").host
        is_number = name.startswith("127.") or name == "::1" or ":" in name
        assert is_number or name == "localhost" or name.endswith(".localhost")
    assert not is_local_host(f"{host}.example", None)


def request(method: str = "GET", **headers: str) -> HTTPConnection:
    sent = [(n.replace("_", "-").encode(), v.encode("latin-1")) for n, v in headers.items()]
    return HTTPConnection({"type": "http", "method": method, "headers": sent})


@given(st.text(st.characters(codec="latin-1"), max_size=40))
@example("http://here.example")
@example("http://here.example:80")
@example("https://here.example.evil.example")
@example("null")
def test_only_our_origin_can_write(origin: str) -> None:
    may = is_same_site_write(request("POST", origin=origin, host="here.example"), None, https=False)
    assert may == (origin.partition("://")[2] == "here.example")


@pytest.mark.parametrize(
    ("headers", "https", "may"),
    [
        ({"origin": "https://here.example"}, True, True),
        ({"origin": "http://here.example"}, True, False),
        ({"origin": "https://here.example"}, False, True),
        ({"origin": "https://public.example"}, False, True),
        ({"origin": "https://public.example", "sec_fetch_site": "cross-site"}, False, True),
        ({"origin": "https://here.example:8443"}, False, False),
        ({"origin": "https://x.example", "sec_fetch_site": "same-origin"}, False, True),
        ({}, False, True),
    ],
)
def test_same_site_writes(headers: dict[str, str], https: bool, may: bool) -> None:
    asked = request("POST", host="here.example", **headers)
    assert is_same_site_write(asked, "https://public.example/calls", https=https) is may


def test_only_navigation_can_lead_here() -> None:
    cross: dict[str, Any] = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    assert is_allowed_read(request(**cross, sec_fetch_dest="document"))
    assert not is_allowed_read(request("HEAD", **cross, sec_fetch_dest="document"))
    assert not is_allowed_read(request(sec_fetch_site="same-site", sec_fetch_mode="cors"))
    assert is_allowed_read(request())


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://calls.example.com/app", "https://calls.example.com"),
        ("https://calls.example.com:443", "https://calls.example.com"),
        ("http://[::1]:8100/", "http://[::1]:8100"),
        ("http://Calls:8100", "http://calls:8100"),
    ],
)
def test_origins_are_formatted_like_in_browsers(url: str, origin: str) -> None:
    assert origin_of(url) == origin


def test_proxied_users_have_tokens_of_their_own(settings: Settings, database_url: str) -> None:
    proxy = {
        "web_proxy_header": "X-User",
        "web_trusted_proxies": (ip_network("127.0.0.1"),),
        "web_url": "https://calls.example.com",
    }
    with serving_protected(settings, database_url, **proxy) as served:
        ann, ben = {"X-User": "ann"}, {"X-User": "ben"}
        token = served.form_token(**ann)
        origin = {"Origin": "https://calls.example.com"}
        data = {"csrf_token": token}
        assert served.http.post("/calls", data=data, headers=ann | origin).status_code == 200
        assert served.http.post("/calls", data=data, headers=ben | origin).status_code == 403


def test_signatures_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timing is unreliable in tests: check which function compares."""
    import hmac

    compared: list[tuple[object, object]] = []
    honest = hmac.compare_digest

    def noted(one: Any, other: Any) -> bool:
        compared.append((one, other))
        return honest(one, other)

    monkeypatch.setattr(hmac, "compare_digest", noted)
    tokens = CsrfTokens(Signer(b"k" * 32, now=time.time))
    assert not tokens.verify(CsrfBinding("loopback"), "x.y")
    assert len(compared) == 1
