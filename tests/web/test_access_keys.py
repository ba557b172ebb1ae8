"""Keys: what is kept of them, how long they hold, and how soon they do not."""

import asyncio
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.config import Settings
from callpipeline.domain.access import ApiKey, Scope, granted
from callpipeline.storage.api_keys import ApiKeys
from callpipeline.storage.database import Database
from callpipeline.web.access.kept import FOR_S, Lately
from callpipeline.web.access.keys import KeyRing
from callpipeline.web.access.visitors import Visitor
from tests.integration.databases import asked
from tests.processes import until
from tests.web.guarded import WITH_USERS, Guarded, guarding


@pytest.fixture
def kept(database: Database) -> ApiKeys:
    return ApiKeys(database)


def added(kept: ApiKeys, *scopes: Scope, **more: Any) -> ApiKey:
    key = ApiKey.made()
    kept.add(key, "a program", scopes or (Scope.READ,), by="a test", **more)
    return key


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


def seen(ring: KeyRing, text: str) -> Visitor | None:
    return asyncio.run(ring.visitor(text))


def test_a_key_is_written_and_read() -> None:
    key = ApiKey.made()
    assert ApiKey.read(key.written()) == key
    assert key.secret not in repr(key) and len(key.secret) == 43
    assert len({ApiKey.made().key_id for _ in range(200)}) == 200


@given(st.text(max_size=80))
def test_what_is_no_key_is_none(text: str) -> None:
    assert ApiKey.read(text) is None


def test_of_a_key_only_its_digest_is_kept(kept: ApiKeys, database_url: str) -> None:
    key = added(kept)
    row = str(asked(database_url, "SELECT k::text FROM api_keys k"))
    assert key.key_id in row and key.digest.hex() in row
    assert key.secret not in row and key.secret.encode().hex() not in row


def test_a_key_that_is_right_is_known_and_any_other_is_not(kept: ApiKeys) -> None:
    key, ring = added(kept, Scope.ADMIN), KeyRing(kept)
    visitor = seen(ring, key.written())
    assert visitor and visitor.scopes == frozenset(Scope) == granted([Scope.ADMIN])
    wrong = [
        ApiKey(key.key_id, ApiKey.made().secret).written(),
        ApiKey(ApiKey.made().key_id, key.secret).written(),
        ApiKey(key.key_id, "A" * 43).written(),
        key.written()[:-1],
        key.written() + "A",
        key.written().upper(),
        key.secret,
        key.digest.hex(),
        "",
        "ключ",
    ]
    for text in wrong:
        assert seen(ring, text) is None, text


def test_secrets_are_compared_in_constant_time(
    kept: ApiKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is compared are digests of 32 bytes, also for a key that nobody has."""
    lengths: list[tuple[int, int]] = []
    honest = hmac.compare_digest

    def noted(one: Any, other: Any) -> bool:
        lengths.append((len(one), len(other)))
        return honest(one, other)

    monkeypatch.setattr(hmac, "compare_digest", noted)
    ring = KeyRing(kept, "a key of the settings")
    for text in (added(kept).written(), ApiKey.made().written()):
        lengths.clear()
        seen(ring, text)
        assert lengths == [(32, 32), (32, 32)]


def test_a_key_is_over_at_its_end(kept: ApiKeys) -> None:
    now = datetime.now(UTC)
    key = added(kept, expires_at=now + timedelta(hours=1))
    assert seen(KeyRing(kept, now=lambda: now), key.written())
    assert not seen(KeyRing(kept, now=lambda: now + timedelta(hours=1)), key.written())


def test_a_revoked_key_opens_nothing_after_a_few_seconds(kept: ApiKeys) -> None:
    clock, key = Clock(), added(kept)
    ring = KeyRing(kept, lately=Lately(now=clock))
    assert seen(ring, key.written())
    kept.revoke(key.key_id, by="a test")
    clock.s = FOR_S - 0.01
    assert seen(ring, key.written()), "what was found holds that long"
    clock.s = FOR_S
    assert not seen(ring, key.written())
    assert FOR_S <= 5


def test_a_key_is_not_looked_up_for_each_request(
    kept: ApiKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    find = kept.find

    def counted(key_id: str) -> Any:
        looks.append(key_id)
        return find(key_id)

    monkeypatch.setattr(kept, "find", counted)
    ring, key, unknown = KeyRing(kept), added(kept), ApiKey.made()
    for _ in range(3):
        assert seen(ring, key.written())
        assert not seen(ring, unknown.written())
    assert looks == [key.key_id, unknown.key_id]


def test_what_was_found_takes_no_more_memory_than_it_may() -> None:
    clock = Clock()
    lately: Lately[int | None] = Lately(for_s=5, most=10, now=clock)
    for number in range(100):
        lately.put(number, None)
    assert len(lately) == 10
    assert lately.get(99) == (None,)
    assert lately.get(0) is None
    clock.s = 5
    assert lately.get(99) is None


def test_when_a_key_was_used_is_known_to_a_minute(kept: ApiKeys, database_url: str) -> None:
    key = added(kept)
    assert kept.all()[0].last_used_at is None
    seen(KeyRing(kept), key.written())
    first = kept.all()[0].last_used_at
    seen(KeyRing(kept), key.written())
    assert first and kept.all()[0].last_used_at == first
    ago = "UPDATE api_keys SET last_used_at = now() - interval '61 s' RETURNING 1"
    asked(database_url, ago)
    seen(KeyRing(kept), key.written())
    last = kept.all()[0].last_used_at
    assert last and last >= first


def test_to_revoke_twice_keeps_who_did_it_first(kept: ApiKeys) -> None:
    key = added(kept)
    for who in ("ann", "ben"):
        kept.revoke(key.key_id, by=who)
    assert kept.all()[0].revoked_by == "ann"


@pytest.fixture
def served(settings: Settings, database_url: str) -> Iterator[Guarded]:
    with guarding(settings, database_url, **WITH_USERS) as served:
        yield served


def test_a_running_app_refuses_a_revoked_key_within_seconds(served: Guarded) -> None:
    key = served.key(Scope.READ)
    assert served.http.get("/results", headers=key).status_code == 200
    served.keys.revoke(key["X-API-KEY"].split("_")[1], by="a test")

    def is_refused() -> bool:
        return served.http.get("/results", headers=key).status_code == 401

    until(is_refused, "the key to be refused", FOR_S + 2, every_s=0.2)


def test_many_wrong_keys_are_not_looked_up_without_end(
    served: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Five more are allowed with each second, in which a busy machine sends fewer than that.
    monkeypatch.setattr(served.door.wrong_keys, "_now", lambda: 0.0)
    wrong = [{"X-API-KEY": ApiKey.made().written()} for _ in range(310)]
    statuses = [served.http.get("/results", headers=each).status_code for each in wrong]
    assert statuses == [401] * 300 + [429] * 10
