"""Login and logout: cookies, expiry, CSRF."""

from collections.abc import Iterator
from http.cookies import SimpleCookie
from ipaddress import ip_network
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.web import access
from callpipeline.web.access import local_path
from tests.integration.databases import execute_sql
from tests.web.protected_app import (
    PASSWORD,
    USERS,
    WITH_USERS,
    ProtectedApp,
    serving_protected,
    token_in,
)

COOKIE = "callpipeline"
TRUSTED = {"web_trusted_proxies": (ip_network("127.0.0.0/8"),)}
HTTPS = {"X-Forwarded-Proto": "https"}


@pytest.fixture(scope="module")
def running(module_settings: Settings, module_url: str) -> Iterator[ProtectedApp]:
    with serving_protected(module_settings, module_url, **WITH_USERS, **TRUSTED) as running:
        yield running


@pytest.fixture
def served(running: ProtectedApp, database_url: str) -> Iterator[ProtectedApp]:
    with running.new_visitor() as served:
        yield served


def cookie_of(reply: httpx.Response, name: str) -> Any:
    """Return a cookie that is set, with its attributes."""
    for header in reply.headers.get_list("set-cookie"):
        if name in (jar := SimpleCookie(header)):
            return jar[name]
    raise AssertionError(f"{name} is not set")


def sees(served: ProtectedApp, cookie: str) -> bool:
    """Check whether this cookie alone gives access to pages."""
    headers = {"Cookie": f"{COOKIE}={cookie}"}
    return httpx.get(f"{served.url}/calls", headers=headers, timeout=60).status_code == 200


def test_login_continues_to_the_requested_page(served: ProtectedApp) -> None:
    entered = served.log_in(next_="/calls?q=a")
    assert (entered.status_code, entered.headers["location"]) == (303, "/calls?q=a")
    assert served.http.get("/calls").text.startswith("ann\n")
    assert served.http.get("/login?next=/calls").headers["location"] == "/calls"


@pytest.mark.parametrize(
    ("name", "password"),
    [("ann", "wrong password"), ("ann", PASSWORD + " "), ("zoe", PASSWORD), ("é", "й")],
)
def test_a_wrong_name_or_password_is_refused(
    served: ProtectedApp, name: str, password: str
) -> None:
    refused = served.log_in(name, password)
    assert refused.status_code == 401
    assert "Incorrect name or password." in refused.text
    assert COOKIE not in served.http.cookies
    assert password not in refused.text


def test_the_cookie_is_host_only_and_http_only(served: ProtectedApp) -> None:
    cookie = cookie_of(served.log_in(), COOKIE)
    assert cookie["httponly"] and cookie["samesite"] == "lax" and cookie["path"] == "/"
    assert not cookie["domain"] and not cookie["secure"]
    assert len(cookie.value) >= 43
    secure = cookie_of(served.log_in(**HTTPS), f"__Host-{COOKIE}")
    assert secure["secure"] and secure["path"] == "/" and not secure["domain"]


def test_with_https_plain_cookies_are_ignored(served: ProtectedApp) -> None:
    served.log_in()
    cookie = served.http.cookies[COOKIE]
    headers = HTTPS | {"Cookie": f"{COOKIE}={cookie}"}
    assert httpx.get(f"{served.url}/calls", headers=headers, timeout=60).status_code == 401


def test_login_replaces_the_session_cookie(served: ProtectedApp) -> None:
    """Session fixation: a planted cookie is not the new session's."""
    served.http.cookies.set(COOKIE, "planted", domain="127.0.0.1", path="/")
    cookie = cookie_of(served.log_in(), COOKIE)
    assert cookie.value != "planted"
    assert not sees(served, "planted")
    again = cookie_of(_logged_in_again(served, cookie.value), COOKIE)
    assert again.value != cookie.value
    assert sees(served, again.value) and not sees(served, cookie.value)


def _logged_in_again(served: ProtectedApp, cookie: str) -> httpx.Response:
    """Log in again with a form from before."""
    with httpx.Client(base_url=served.url, timeout=60) as other:
        token = token_in(other.get("/login").text)
        other.cookies.set(COOKIE, cookie, domain="127.0.0.1", path="/")
        fields = {"name": "ann", "password": PASSWORD, "csrf_token": token}
        return other.post("/login", data=fields)


def test_a_kept_cookie_is_invalid_after_logout(served: ProtectedApp) -> None:
    cookie = cookie_of(served.log_in(), COOKIE).value
    token = served.form_token()
    assert sees(served, cookie)
    out = served.http.post("/logout", data={"csrf_token": token})
    assert (out.status_code, out.headers["location"]) == (303, "/login")
    assert not sees(served, cookie)
    assert COOKIE not in served.http.cookies


def test_other_sites_cannot_log_people_in_or_out(served: ProtectedApp) -> None:
    served.log_in()
    assert served.http.post("/logout").status_code == 403
    foreign = {"Origin": "https://evil.example"}
    token = served.form_token()
    out = served.http.post("/logout", data={"csrf_token": token}, headers=foreign)
    assert out.status_code == 403
    assert served.http.get("/calls").status_code == 200
    fields = {"name": "ben", "password": PASSWORD}
    assert served.http.post("/login", data=fields).status_code == 403
    with httpx.Client(base_url=served.url, timeout=60) as evil:
        theirs = token_in(evil.get("/login").text)
    # A token that the other site was shown is bound to its own cookie.
    sent = served.http.post("/login", data=fields | {"csrf_token": theirs})
    assert sent.status_code == 403


def test_a_session_expires(served: ProtectedApp, database_url: str) -> None:
    cookie = cookie_of(served.log_in(), COOKIE).value
    execute_sql(database_url, "UPDATE web_sessions SET expires_at = now() RETURNING 1")
    assert not sees(served, cookie)


def test_an_idle_session_expires_earlier(served: ProtectedApp, database_url: str) -> None:
    cookie = cookie_of(served.log_in(), COOKIE).value
    execute_sql(
        database_url, "UPDATE web_sessions SET seen_at = now() - interval '4 hours' RETURNING 1"
    )
    assert not sees(served, cookie)
    cookie = cookie_of(served.log_in(), COOKIE).value
    execute_sql(
        database_url, "UPDATE web_sessions SET seen_at = now() - interval '3 hours' RETURNING 1"
    )
    assert sees(served, cookie)
    seen = execute_sql(
        database_url, "SELECT seen_at > now() - interval '1 minute' FROM web_sessions"
    )
    assert (True,) in seen


def test_a_new_password_or_a_removed_user_ends_sessions(
    settings: Settings, database_url: str
) -> None:
    with serving_protected(settings, database_url, web_users=USERS) as served:
        cookie = cookie_of(served.log_in(), COOKIE).value
    with serving_protected(settings, database_url, web_users=USERS) as served:
        assert sees(served, cookie), "it outlives a restart"
    changed = USERS | {"ann": SecretStr("another password of mine")}
    with serving_protected(settings, database_url, web_users=changed) as served:
        assert not sees(served, cookie)
    with serving_protected(settings, database_url, web_users={"ben": USERS["ben"]}) as served:
        assert not sees(served, cookie)


def test_the_database_has_neither_cookies_nor_passwords(
    served: ProtectedApp, database_url: str
) -> None:
    cookie = cookie_of(served.log_in(), COOKIE).value
    kept = str(execute_sql(database_url, "SELECT s::text FROM web_sessions s"))
    assert "ann" in kept
    for secret in (cookie, PASSWORD):
        assert secret not in kept and secret.encode().hex() not in kept


def test_failed_logins_are_rate_limited(settings: Settings, database_url: str) -> None:
    options = WITH_USERS | TRUSTED | {"web_logins_per_min": 2}
    with serving_protected(settings, database_url, **options) as served:
        statuses = [served.log_in("ann", "wrong password").status_code for _ in range(3)]
        assert statuses == [401, 401, 429]
        assert int(served.log_in("ann").headers["Retry-After"]) >= 1, "also with the right one"
        assert served.log_in("ben").status_code == 303, "another name at this address"
        served.http.cookies.clear()
        elsewhere = {"X-Forwarded-For": "203.0.113.9"}
        assert served.log_in("ann", **elsewhere).status_code == 303, "this name from elsewhere"
        served.http.cookies.clear()
        for name in ("x", "y", "z"):
            served.log_in(name, "wrong password")
            served.log_in(name, "wrong password")
        assert served.log_in("ben").status_code == 429, "any name at this address"
        assert served.log_in("ben", **elsewhere).status_code == 303


def test_guesses_from_many_addresses_do_not_lock_out_known_ones(
    settings: Settings, database_url: str
) -> None:
    options = WITH_USERS | TRUSTED | {"web_logins_per_min": 2}
    with serving_protected(settings, database_url, **options) as served:
        office = {"X-Forwarded-For": "203.0.113.9"}
        assert served.log_in("ann", **office).status_code == 303
        served.http.cookies.clear()
        guesses = [
            served.log_in("ann", "wrong", **{"X-Forwarded-For": f"198.51.100.{number}"}).status_code
            for number in range(40)
        ]
        assert guesses[0] == 401
        assert 429 in guesses
        served.http.cookies.clear()
        assert served.log_in("ann", **office).status_code == 303


def test_successful_logins_do_not_count(settings: Settings, database_url: str) -> None:
    with serving_protected(
        settings, database_url, **WITH_USERS | {"web_logins_per_min": 1}
    ) as served:
        for _ in range(3):
            assert served.log_in().status_code == 303
            served.http.cookies.clear()


def test_unknown_names_passwords_and_cookies_are_not_logged(
    served: ProtectedApp, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    cookie = cookie_of(served.log_in(), COOKIE).value
    key = {"X-API-KEY": "cpk_aaaaaaaaaaaa_" + "s" * 43}
    served.http.get("/results?q=planted", headers=key)
    served.http.cookies.clear()
    served.log_in("hunter2 typed as a name", PASSWORD)
    # Without those of the client, and of the server's own log, which pytest opens to look into it.
    others = ("http", "uvicorn.access")
    ours = [r for r in caplog.records if not r.name.startswith(others)]
    assert access.UVICORN_OPTIONS["access_log"] is False
    logged = "\n".join(r.getMessage() for r in ours) + "".join(capfd.readouterr())
    assert "login of 'ann' from 127.0.0.1: ok" in logged
    assert "login of an unknown name" in logged
    for secret in (cookie, PASSWORD, "hunter2", "cpk_", "planted"):
        assert secret not in logged


PARTS = st.sampled_from(
    ["/", "//", "\\", "http:", "https:", "javascript:", "evil.example", "@", "\t", "\n", "%2f",
     "?", "#", ".", "..", "calls", " ", ":", "\u2028", "é", "login"]
)  # fmt: skip


@given(st.lists(PARTS, max_size=8).map("".join) | st.text(max_size=30))
@example("//evil.example")
@example("/\\evil.example")
@example("/\t/evil.example")
@example("https://evil.example")
@example("/%0d%0aSet-Cookie:a=b")
def test_redirects_never_leave_the_site(text: str) -> None:
    target = local_path(text)
    assert target.startswith("/")
    assert httpx.URL("http://here.example/login").join(target).host == "here.example"
    # As a browser reads it: backslashes are slashes, and tabs and newlines are nothing.
    as_read = target.replace("\\", "/").translate(dict.fromkeys(map(ord, "\t\r\n")))
    assert not as_read.startswith("//")
    assert all(c > " " for c in target)


@pytest.mark.parametrize("text", ["/", "/calls", "/calls?q=a+b&t=83.5#x", "/calls/é", "/logs"])
def test_local_paths_are_kept(text: str) -> None:
    assert local_path(text) == text


@pytest.mark.parametrize("text", ["/login", "/login?next=/login", "/logout", "/" + "a" * 3000, ""])
def test_circular_redirects_lead_home(text: str) -> None:
    assert local_path(text) == "/"


def test_the_form_cannot_redirect_elsewhere(served: ProtectedApp) -> None:
    assert served.log_in(next_="//evil.example").headers["location"] == "/"
    assert 'value="/"' in httpx.get(f"{served.url}/login?next=//evil.example", timeout=60).text
    shown = httpx.get(f"{served.url}/login", params={"next": '/"><script>'}, timeout=60).text
    assert "<script>" not in shown
