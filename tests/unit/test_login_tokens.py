"""When a token is renewed."""

import base64
import json
import math

import pytest
from pydantic import BaseModel

from callpipeline.engines.http.messages import parse_as
from callpipeline.engines.http.tokens import _TokenResponse, renewal_time
from callpipeline.errors import EngineRefused

NOW = 1_800_000_000.0


def a_token(**claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"head.{payload}.sign"


@pytest.mark.parametrize(
    ("expires_in", "after_s"), [(3600, 3540), (600, 540), (100, 90), (10, 9), (0, math.inf)]
)
def test_a_token_is_renewed_a_minute_early_or_after_nine_tenths(expires_in: float, after_s: float):
    assert renewal_time("opaque", expires_in, NOW) - NOW == pytest.approx(after_s)


def test_what_the_token_says_itself_counts_where_the_service_says_nothing():
    assert renewal_time(a_token(exp=NOW + 3600), None, NOW) == NOW + 3540
    assert renewal_time(a_token(exp=NOW + 3600), 600, NOW) == NOW + 540


def test_a_services_clock_may_differ_from_ours():
    behind = a_token(iat=NOW - 9000, exp=NOW - 9000 + 3600)
    assert renewal_time(behind, None, NOW) == NOW + 3540
    # Without a time of issue it looks old when it comes: it is used until it is refused.
    assert renewal_time(a_token(exp=NOW - 9000), None, NOW) == math.inf


@pytest.mark.parametrize(
    "token",
    [
        "opaque",
        "a.b.c",
        "a.!.c",
        a_token(exp="soon"),
        a_token(exp=10**400),
        a_token(),
        "a.NQ.c",
        "a.W10.c",
        f"a.{'W1tb' * 100_000}.c",
    ],
)
def test_a_token_that_tells_nothing_is_used_until_it_is_refused(token: str):
    assert renewal_time(token, None, NOW) == math.inf


@pytest.mark.parametrize("token", ["", "two words", "line\r\nX-Planted: yes", "caf\u00e9", "a\n"])
def test_a_token_that_no_header_holds_is_refused_without_being_told(token: str):
    granted: type[BaseModel] = _TokenResponse
    with pytest.raises(EngineRefused, match="access_token") as caught:
        parse_as(granted)({"access_token": token})
    assert not token or token not in str(caught.value)
