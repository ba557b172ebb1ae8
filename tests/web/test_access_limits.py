"""Rate limits, body limits, security headers and CORS."""

from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from fastapi import HTTPException

from callpipeline.config import Settings
from callpipeline.http_server.limits import MAX_BODY_BYTES, BodyLimit, LoginLimiter, RateLimiter
from callpipeline.web.access import Scope
from tests.web.protected_app import OWN_KEY, WITH_USERS, ProtectedApp, serving_protected

KEY = {"X-API-KEY": OWN_KEY}
CRM = "https://crm.example.com"


def refused(limiter: RateLimiter, who: str = "ann") -> int | None:
    """Return the seconds to wait, or None if the request is allowed."""
    try:
        limiter.acquire(who)
    except HTTPException as error:
        return int((error.headers or {})["Retry-After"])
    return None


def test_requests_are_limited_per_minute() -> None:
    clock = [0.0]
    limiter = RateLimiter(6, now=lambda: clock[0])
    assert [refused(limiter) for _ in range(7)] == [None] * 6 + [10]
    assert refused(limiter, "ben") is None, "each has an limiter of its own"
    clock[0] = 9.9
    assert refused(limiter) == 1
    clock[0] = 10.0
    assert [refused(limiter), refused(limiter)] == [None, 10]
    clock[0] = 10_000.0
    assert [refused(limiter) for _ in range(7)] == [None] * 6 + [10], "nothing is saved up"


def test_logins_are_limited_by_name_and_address_together() -> None:
    clock = [0.0]
    limiter = LoginLimiter(2, now=lambda: clock[0])

    def tries(name: str, address: str, times: int = 1) -> list[bool]:
        """Return for each attempt whether it is allowed."""
        allowed: list[bool] = []
        for _ in range(times):
            try:
                limiter.acquire(name, address)
            except HTTPException:
                allowed.append(False)
            else:
                allowed.append(True)
        return allowed

    limiter.acquire("ann", "office")
    limiter.succeeded("ann", "office")
    assert tries("ann", "a", 3) == [True, True, False]
    assert tries("ANN", "a") == [False], "in any case"
    assert tries("ben", "a", 3) == [True, True, False]
    assert tries("cid", "a", 3) == [True, True, False]
    assert tries("dan", "a") == [False], "three times as many from one address"
    spread = [tries("ann", f"address {number}")[0] for number in range(30)]
    assert sum(spread) == 18, "ten times as many for a name from all addresses"
    assert tries("ann", "new") == [False]
    assert tries("ann", "office", 3) == [True, True, False], "a known address is exempt"
    assert tries("ben", "office") == [True]
    clock[0] = 60.0
    assert tries("ann", "a", 3) == [True, True, False]


def test_zero_means_unlimited() -> None:
    limiter = RateLimiter(0)
    assert {refused(limiter) for _ in range(1000)} == {None}
    assert len(limiter) == 0


def test_a_refunded_token_can_be_used_again() -> None:
    limiter = RateLimiter(1, now=lambda: 0.0)
    for _ in range(3):
        limiter.acquire("ann")
        limiter.refund("ann")
    limiter.refund("ann")
    assert [refused(limiter), refused(limiter)] == [None, 60]


def test_the_least_recent_clients_are_forgotten() -> None:
    limiter = RateLimiter(1, max_clients=100)
    for number in range(1000):
        limiter.acquire(f"visitor {number}")
    assert len(limiter) == 100


def test_429_has_a_retry_after_header(settings: Settings, database_url: str) -> None:
    few = {"web_requests_per_min": 3, "web_uploads_per_min": 2}
    with serving_protected(settings, database_url, **WITH_USERS, **few) as served:
        one, other = served.key(Scope.ADMIN), served.key(Scope.READ)
        replies = [served.http.get("/results", headers=one) for _ in range(4)]
        assert [reply.status_code for reply in replies] == [200, 200, 200, 429]
        assert int(replies[3].headers["Retry-After"]) in range(1, 21)
        assert served.http.get("/results", headers=other).status_code == 200
        sent = [served.http.post("/upload", content=b"a", headers=one) for _ in range(3)]
        assert [reply.status_code for reply in sent] == [200, 200, 429]
        for _ in range(5):
            assert served.http.get("/open").status_code == 200


def test_loopback_has_no_rate_limit(settings: Settings, database_url: str) -> None:
    with serving_protected(settings, database_url, web_requests_per_min=1) as served:
        assert {served.http.get("/results").status_code for _ in range(5)} == {200}


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/upload", 9),
        ("/upload/x", 9),
        ("/uploads", MAX_BODY_BYTES),
        ("/", MAX_BODY_BYTES),
        ("/storage/upload", 5),
    ],
)
def test_body_limits_depend_on_the_path(path: str, most: int) -> None:
    limits = BodyLimit(lambda *_: None, {"/storage": 4, "/upload": 9, "/storage/upload": 5})  # pyright: ignore[reportArgumentType]
    assert limits.limit_for(path) == most


@pytest.fixture(scope="module")
def running(module_settings: Settings, module_url: str) -> Iterator[ProtectedApp]:
    options = {"web_trusted_proxies": (ip_network("127.0.0.1"),), "web_cors_origins": (CRM,)}
    with serving_protected(module_settings, module_url, **WITH_USERS, **options) as running:
        yield running


@pytest.fixture
def served(running: ProtectedApp, database_url: str) -> Iterator[ProtectedApp]:
    with running.new_visitor() as served:
        yield served


def test_a_body_that_is_too_large_is_refused(served: ProtectedApp) -> None:
    assert served.http.post("/upload", content=b"x" * 3_000_000, headers=KEY).status_code == 200
    assert served.http.post("/upload", content=b"x" * 3_000_001, headers=KEY).status_code == 413
    in_parts = iter([b"x" * 1_000_000] * 4)
    assert served.http.post("/upload", content=in_parts, headers=KEY).status_code == 413
    assert (
        served.http.post("/erase", content=b"x" * (MAX_BODY_BYTES + 1), headers=KEY).status_code
        == 413
    )


@pytest.mark.parametrize("path", ["/open", "/results", "/login", "/nothing"])
def test_every_response_has_security_headers(served: ProtectedApp, path: str) -> None:
    headers = served.http.get(path).headers
    policy = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["script-src"] == policy["form-action"] == "'self'"
    assert {policy[f"{what}-src"] for what in ("object",)} == {"'none'"}
    assert policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"
    assert "Strict-Transport-Security" not in headers
    assert "server" not in headers


def test_nonces_are_unique_per_response(served: ProtectedApp) -> None:
    shown = [served.http.get("/calls", headers=KEY) for _ in range(2)]
    nonces = [reply.text.split("\n")[2] for reply in shown]
    for reply, nonce in zip(shown, nonces, strict=True):
        assert f"'nonce-{nonce}'" in reply.headers["Content-Security-Policy"]
    assert nonces[0] != nonces[1]


@pytest.mark.parametrize(
    ("headers", "is_told"),
    [
        ({}, True),
        ({"Host": "192.0.2.2:8100"}, False),
        ({"Host": "calls.example.com", "X-Forwarded-Proto": "https"}, True),
    ],
)
def test_opener_policy_is_sent_to_trustworthy_origins_only(
    served: ProtectedApp, headers: dict[str, str], is_told: bool
) -> None:
    """Elsewhere browsers ignore it, and log a warning on each page."""
    answered = served.http.get("/open", headers=headers)
    assert ("Cross-Origin-Opener-Policy" in answered.headers) is is_told


def test_https_responses_have_hsts(served: ProtectedApp) -> None:
    by_https = served.http.get("/open", headers={"X-Forwarded-Proto": "https"})
    assert by_https.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_allowed_origins_can_use_the_api_with_a_key(served: ProtectedApp) -> None:
    asks = {
        "Origin": CRM,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-api-key, content-type, idempotency-key",
    }
    allowed = served.http.options("/upload", headers=asks)
    assert (allowed.status_code, allowed.headers["Access-Control-Allow-Origin"]) == (200, CRM)
    reply = served.http.get("/results", headers=KEY | {"Origin": CRM})
    assert reply.headers["Access-Control-Allow-Origin"] == CRM
    assert "Access-Control-Allow-Credentials" not in reply.headers
    assert "Retry-After" in reply.headers["Access-Control-Expose-Headers"]


def test_other_origins_cannot(served: ProtectedApp) -> None:
    for origin in ("https://evil.example", "http://crm.example.com", f"{CRM}.evil.example"):
        asks = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        assert served.http.options("/upload", headers=asks).status_code == 400
        reply = served.http.get("/results", headers=KEY | {"Origin": origin})
        assert "Access-Control-Allow-Origin" not in reply.headers


def test_allowed_origins_get_no_credentials(served: ProtectedApp) -> None:
    served.log_in()
    theirs = {"Origin": CRM, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    assert served.http.get("/results", headers=theirs).status_code == 403
