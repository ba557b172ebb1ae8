"""How much, how large, and what browsers are told of answers."""

from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from fastapi import HTTPException

from callpipeline.config import Settings
from callpipeline.web.access import Scope
from callpipeline.web.access.limits import Allowance
from callpipeline.web.bodies import SMALL, LimitedBodies
from tests.web.guarded import OWN_KEY, WITH_USERS, Guarded, guarding

KEY = {"X-API-KEY": OWN_KEY}
CRM = "https://crm.example.com"


def refused(allowance: Allowance, who: str = "ann") -> int | None:
    """For how many seconds; None where it was taken."""
    try:
        allowance.take(who)
    except HTTPException as error:
        return int((error.headers or {})["Retry-After"])
    return None


def test_so_much_a_minute_and_no_more() -> None:
    clock = [0.0]
    allowance = Allowance(6, now=lambda: clock[0])
    assert [refused(allowance) for _ in range(7)] == [None] * 6 + [10]
    assert refused(allowance, "ben") is None, "each has an allowance of its own"
    clock[0] = 9.9
    assert refused(allowance) == 1
    clock[0] = 10.0
    assert [refused(allowance), refused(allowance)] == [None, 10]
    clock[0] = 10_000.0
    assert [refused(allowance) for _ in range(7)] == [None] * 6 + [10], "nothing is saved up"


def test_none_is_any_number() -> None:
    allowance = Allowance(0)
    assert {refused(allowance) for _ in range(1000)} == {None}
    assert len(allowance) == 0


def test_what_is_given_back_can_be_taken_again() -> None:
    allowance = Allowance(1, now=lambda: 0.0)
    for _ in range(3):
        allowance.take("ann")
        allowance.give_back("ann")
    allowance.give_back("ann")
    assert [refused(allowance), refused(allowance)] == [None, 60]


def test_those_who_were_here_long_ago_are_forgotten() -> None:
    allowance = Allowance(1, most=100)
    for number in range(1000):
        allowance.take(f"visitor {number}")
    assert len(allowance) == 100


def test_a_visitor_who_asks_too_much_is_told_when_to_come_again(
    settings: Settings, database_url: str
) -> None:
    few = {"web_requests_per_min": 3, "web_uploads_per_min": 2}
    with guarding(settings, database_url, **WITH_USERS, **few) as served:
        one, other = served.key(Scope.ADMIN), served.key(Scope.READ)
        replies = [served.http.get("/results", headers=one) for _ in range(4)]
        assert [reply.status_code for reply in replies] == [200, 200, 200, 429]
        assert int(replies[3].headers["Retry-After"]) in range(1, 21)
        assert served.http.get("/results", headers=other).status_code == 200
        sent = [served.http.post("/upload", content=b"a", headers=one) for _ in range(3)]
        assert [reply.status_code for reply in sent] == [200, 200, 429]
        for _ in range(5):
            assert served.http.get("/open").status_code == 200


def test_this_machine_may_ask_as_much_as_it_likes(settings: Settings, database_url: str) -> None:
    with guarding(settings, database_url, web_requests_per_min=1) as served:
        assert {served.http.get("/results").status_code for _ in range(5)} == {200}


@pytest.mark.parametrize(
    ("path", "most"),
    [("/upload", 9), ("/upload/x", 9), ("/uploads", SMALL), ("/", SMALL), ("/storage/upload", 5)],
)
def test_how_large_a_body_may_be_depends_on_where_it_is_sent(path: str, most: int) -> None:
    limits = LimitedBodies(lambda *_: None, {"/storage": 4, "/upload": 9, "/storage/upload": 5})  # pyright: ignore[reportArgumentType]
    assert limits.most_for(path) == most


@pytest.fixture
def served(settings: Settings, database_url: str) -> Iterator[Guarded]:
    options = {"web_trusted_proxies": (ip_network("127.0.0.1"),), "web_cors_origins": (CRM,)}
    with guarding(settings, database_url, **WITH_USERS, **options) as served:
        yield served


def test_a_body_that_is_too_large_is_refused(served: Guarded) -> None:
    assert served.http.post("/upload", content=b"x" * 3_000_000, headers=KEY).status_code == 200
    assert served.http.post("/upload", content=b"x" * 3_000_001, headers=KEY).status_code == 413
    in_parts = iter([b"x" * 1_000_000] * 4)
    assert served.http.post("/upload", content=in_parts, headers=KEY).status_code == 413
    assert served.http.post("/erase", content=b"x" * (SMALL + 1), headers=KEY).status_code == 413


@pytest.mark.parametrize("path", ["/open", "/results", "/login", "/nothing"])
def test_every_answer_says_what_it_may_load(served: Guarded, path: str) -> None:
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


def test_a_style_carries_the_nonce_of_its_answer_alone(served: Guarded) -> None:
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
def test_only_an_origin_that_browsers_trust_is_told_to_open_alone(
    served: Guarded, headers: dict[str, str], is_told: bool
) -> None:
    """With others they ignore it, and write that to the console of every page."""
    answered = served.http.get("/open", headers=headers)
    assert ("Cross-Origin-Opener-Policy" in answered.headers) is is_told


def test_with_https_browsers_are_told_to_keep_to_it(served: Guarded) -> None:
    by_https = served.http.get("/open", headers={"X-Forwarded-Proto": "https"})
    assert by_https.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_pages_of_sites_that_are_allowed_may_use_the_api_with_a_key(served: Guarded) -> None:
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


def test_pages_of_other_sites_may_not(served: Guarded) -> None:
    for origin in ("https://evil.example", "http://crm.example.com", f"{CRM}.evil.example"):
        asks = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        assert served.http.options("/upload", headers=asks).status_code == 400
        reply = served.http.get("/results", headers=KEY | {"Origin": origin})
        assert "Access-Control-Allow-Origin" not in reply.headers


def test_a_site_that_is_allowed_has_nobodys_login(served: Guarded) -> None:
    served.log_in()
    theirs = {"Origin": CRM, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    assert served.http.get("/results", headers=theirs).status_code == 403
