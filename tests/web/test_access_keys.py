"""API keys: what is stored of them, and when they expire or are revoked."""

import asyncio
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cachetools import TTLCache
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.config import Settings
from callpipeline.domain.access import ApiKey, Scope, expand_scopes
from callpipeline.storage.access import ApiKeys
from callpipeline.storage.postgres.database import Database
from callpipeline.web.access.authenticator import CACHE_TTL_S, ApiKeyCache, ApiKeyVerifier
from callpipeline.web.access.permissions import Visitor
from tests.integration.databases import execute_sql
from tests.processes import until
from tests.web.protected_app import WITH_USERS, ProtectedApp, serving_protected


@pytest.fixture
def api_keys(database: Database) -> ApiKeys:
    return ApiKeys(database)


def added(api_keys: ApiKeys, *scopes: Scope, **more: Any) -> ApiKey:
    key = ApiKey.generate()
    api_keys.add(key, "a program", scopes or (Scope.READ,), by="a test", **more)
    return key


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


def verified(verifier: ApiKeyVerifier, text: str) -> Visitor | None:
    return asyncio.run(verifier.verify(text))


def test_a_key_round_trips() -> None:
    key = ApiKey.generate()
    assert ApiKey.parse(key.to_text()) == key
    assert key.secret not in repr(key) and len(key.secret) == 43
    assert len({ApiKey.generate().key_id for _ in range(200)}) == 200


@given(st.text(max_size=80))
def test_other_text_does_not_parse_as_a_key(text: str) -> None:
    assert ApiKey.parse(text) is None


def test_only_the_digest_of_a_key_is_stored(api_keys: ApiKeys, database_url: str) -> None:
    key = added(api_keys)
    row = str(execute_sql(database_url, "SELECT k::text FROM api_keys k"))
    assert key.key_id in row and key.digest.hex() in row
    assert key.secret not in row and key.secret.encode().hex() not in row


def test_only_the_correct_key_is_accepted(api_keys: ApiKeys) -> None:
    key, verifier = added(api_keys, Scope.ADMIN), ApiKeyVerifier(api_keys)
    visitor = verified(verifier, key.to_text())
    assert visitor and visitor.scopes == frozenset(Scope) == expand_scopes([Scope.ADMIN])
    wrong = [
        ApiKey(key.key_id, ApiKey.generate().secret).to_text(),
        ApiKey(ApiKey.generate().key_id, key.secret).to_text(),
        ApiKey(key.key_id, "A" * 43).to_text(),
        key.to_text()[:-1],
        key.to_text() + "A",
        key.to_text().upper(),
        key.secret,
        key.digest.hex(),
        "",
        "ключ",
    ]
    for text in wrong:
        assert verified(verifier, text) is None, text


def test_secrets_are_compared_in_constant_time(
    api_keys: ApiKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Digests of 32 bytes are compared, also for unknown keys."""
    lengths: list[tuple[int, int]] = []
    honest = hmac.compare_digest

    def noted(one: Any, other: Any) -> bool:
        lengths.append((len(one), len(other)))
        return honest(one, other)

    monkeypatch.setattr(hmac, "compare_digest", noted)
    verifier = ApiKeyVerifier(api_keys, "a key of the settings")
    for text in (added(api_keys).to_text(), ApiKey.generate().to_text()):
        lengths.clear()
        verified(verifier, text)
        assert lengths == [(32, 32), (32, 32)]


def test_a_key_expires(api_keys: ApiKeys) -> None:
    now = datetime.now(UTC)
    key = added(api_keys, expires_at=now + timedelta(hours=1))
    assert verified(ApiKeyVerifier(api_keys, now=lambda: now), key.to_text())
    assert not verified(
        ApiKeyVerifier(api_keys, now=lambda: now + timedelta(hours=1)), key.to_text()
    )


def test_a_revoked_key_is_refused_once_the_cache_expires(api_keys: ApiKeys) -> None:
    clock, key = Clock(), added(api_keys)
    verifier = ApiKeyVerifier(api_keys, cache=TTLCache(10, CACHE_TTL_S, timer=clock))
    assert verified(verifier, key.to_text())
    api_keys.revoke(key.key_id, by="a test")
    clock.s = CACHE_TTL_S - 0.01
    assert verified(verifier, key.to_text()), "what was found holds that long"
    clock.s = CACHE_TTL_S
    assert not verified(verifier, key.to_text())
    assert CACHE_TTL_S <= 5


def test_keys_are_cached(api_keys: ApiKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    find = api_keys.find

    def counted(key_id: str) -> Any:
        looks.append(key_id)
        return find(key_id)

    monkeypatch.setattr(api_keys, "find", counted)
    cache: ApiKeyCache = TTLCache(10, CACHE_TTL_S, timer=Clock())
    verifier = ApiKeyVerifier(api_keys, cache=cache)
    key, unknown = added(api_keys), ApiKey.generate()
    for _ in range(3):
        assert verified(verifier, key.to_text())
        assert not verified(verifier, unknown.to_text())
    assert looks == [key.key_id, unknown.key_id]


def test_the_cache_is_bounded_and_expires(
    api_keys: ApiKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, queries = Clock(), list[str]()
    monkeypatch.setattr(api_keys, "find", queries.append)
    cache: ApiKeyCache = TTLCache(10, 5, timer=clock)
    verifier = ApiKeyVerifier(api_keys, cache=cache)
    keys = [ApiKey.generate() for _ in range(100)]
    for key in keys:
        assert not verified(verifier, key.to_text())
    assert len(cache) == 10 and len(queries) == 100
    verified(verifier, keys[99].to_text())
    assert len(queries) == 100, "the newest result is cached"
    verified(verifier, keys[0].to_text())
    assert len(queries) == 101, "the oldest one is not"
    clock.s = 5
    verified(verifier, keys[99].to_text())
    assert len(queries) == 102


def test_last_use_is_recorded_to_the_minute(api_keys: ApiKeys, database_url: str) -> None:
    key = added(api_keys)
    assert api_keys.all()[0].last_used_at is None
    verified(ApiKeyVerifier(api_keys), key.to_text())
    first = api_keys.all()[0].last_used_at
    verified(ApiKeyVerifier(api_keys), key.to_text())
    assert first and api_keys.all()[0].last_used_at == first
    ago = "UPDATE api_keys SET last_used_at = now() - interval '61 s' RETURNING 1"
    execute_sql(database_url, ago)
    verified(ApiKeyVerifier(api_keys), key.to_text())
    last = api_keys.all()[0].last_used_at
    assert last and last >= first


def test_a_second_revocation_keeps_the_first(api_keys: ApiKeys) -> None:
    key = added(api_keys)
    for who in ("ann", "ben"):
        api_keys.revoke(key.key_id, by=who)
    assert api_keys.all()[0].revoked_by == "ann"


@pytest.fixture(scope="module")
def running(module_settings: Settings, module_url: str) -> Iterator[ProtectedApp]:
    with serving_protected(module_settings, module_url, **WITH_USERS) as running:
        yield running


@pytest.fixture
def served(running: ProtectedApp, database_url: str) -> Iterator[ProtectedApp]:
    with running.new_visitor() as served:
        yield served


def test_a_running_app_refuses_a_revoked_key_within_seconds(served: ProtectedApp) -> None:
    key = served.key(Scope.READ)
    assert served.http.get("/results", headers=key).status_code == 200
    served.keys.revoke(key["X-API-KEY"].split("_")[1], by="a test")

    def is_refused() -> bool:
        return served.http.get("/results", headers=key).status_code == 401

    until(is_refused, "the key to be refused", CACHE_TTL_S + 2, every_s=0.2)


def test_wrong_keys_are_rate_limited(served: ProtectedApp, monkeypatch: pytest.MonkeyPatch) -> None:
    # Five more are allowed with each second, in which a busy machine sends fewer than that.
    monkeypatch.setattr(served.authenticator.wrong_keys, "_now", lambda: 0.0)
    wrong = [{"X-API-KEY": ApiKey.generate().to_text()} for _ in range(310)]
    statuses = [served.http.get("/results", headers=each).status_code for each in wrong]
    assert statuses == [401] * 300 + [429] * 10
