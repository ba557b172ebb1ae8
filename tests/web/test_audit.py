"""The audit log: who listened to, read, exported, corrected and changed what, and from where."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from callpipeline.config import Settings
from callpipeline.domain.access import AuditAction, AuditEntry
from callpipeline.storage.access import AuditSpool
from callpipeline.storage.postgres.database import Database
from callpipeline.web import access
from callpipeline.web.app import create_app
from callpipeline.web.services.audit import AUDITED, UNAUDITED, AuditTrail
from callpipeline.wiring import Storage
from tests.integration.dumps import rows
from tests.processes import until
from tests.web.processed_calls import ProcessedCall
from tests.web.protected_app import PASSWORD, WITH_USERS, token_in
from tests.web.served import Served, served

LISTENED, READ, EXPORTED = AuditAction.LISTENED, AuditAction.READ, AuditAction.EXPORTED


@pytest.fixture(scope="module")
def app(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("app"), module_url, **WITH_USERS) as app:
        yield app


@pytest.fixture
def storage(empty_app: Served) -> Storage:
    return empty_app.storage


@pytest.fixture
def call_id(storage: Storage, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Store a call of the test's own: what was read in another test is not recorded again."""
    return ProcessedCall(f"{request.node.name}.wav").store(storage, tmp_path / "sound")


@pytest.fixture
def ann(empty_app: Served) -> Iterator[httpx.Client]:
    with empty_app.client() as client:
        yield logged_in(client, "ann")


def logged_in(client: httpx.Client, name: str) -> httpx.Client:
    token = token_in(client.get("/login").text)
    entered = {"name": name, "password": PASSWORD, "csrf_token": token}
    assert client.post("/login", data=entered).status_code == 303
    return client


def entries(storage: Storage, action: AuditAction, least: int = 1) -> list[AuditEntry]:
    """Return the entries of an action, as soon as there are some, oldest first."""

    def found() -> list[AuditEntry]:
        return storage.audit.page(action=action)

    until(lambda: len(found()) >= least, f"{least} entries of {action}", 60)
    return list(reversed(found()))


def test_every_route_of_visitors_is_audited_or_left_out_on_purpose(settings: Settings) -> None:
    routes = access.protected_routes(create_app(settings).routes)
    known = {
        f"{method} {route.path}"
        for route in routes
        if route.requirements
        for method in route.methods
    }
    classified = AUDITED.keys() | UNAUDITED
    assert known - classified == set(), "decide whether the audit log records them"
    assert classified - known == {"GET /storage/signed/{token}"}, "routes that do not exist"
    assert not AUDITED.keys() & UNAUDITED


def test_playback_in_many_ranges_is_one_entry_with_user_and_address(
    storage: Storage, ann: httpx.Client, call_id: str
) -> None:
    for start in range(0, 200_000, 10_000):
        asked = {"Range": f"bytes={start}-{start + 9_999}"}
        assert ann.get(f"/calls/{call_id}/audio.wav", headers=asked).status_code == 206
    ann.get(f"/calls/{call_id}/call.json")
    entries(storage, EXPORTED)  # later than all of the above
    [entry] = entries(storage, LISTENED)
    assert (entry.actor, entry.method, entry.address) == ("ann", "login", "127.0.0.1")
    assert (entry.what, entry.target) == ("GET /calls/{call_id}/audio.wav", call_id)


def test_each_export_is_an_entry_with_what_was_exported(
    storage: Storage, ann: httpx.Client, call_id: str
) -> None:
    for _ in range(2):
        assert ann.get(f"/calls/{call_id}/transcript.srt").status_code == 200
    assert ann.get("/export/mentions.csv").status_code == 200
    found = entries(storage, EXPORTED, 3)
    assert [(each.what, each.target) for each in found] == [
        ("GET /calls/{call_id}/transcript.srt", call_id),
        ("GET /calls/{call_id}/transcript.srt", call_id),
        ("GET /export/mentions.csv", None),
    ]


def test_corrections_and_changes_of_patterns_are_entries(
    storage: Storage, ann: httpx.Client, call_id: str
) -> None:
    token = token_in(ann.get(f"/calls/{call_id}").text)
    headers = {"X-CSRF-Token": token}
    changed = ann.patch(f"/calls/{call_id}/metadata", json={"agent": "ben"}, headers=headers)
    assert changed.status_code == 200, changed.text
    added = ann.put("/patterns/positive", json={"patterns": ["love it"]}, headers=headers)
    assert added.status_code == 200, added.text
    [corrected] = entries(storage, AuditAction.CORRECTED)
    assert (corrected.actor, corrected.target) == ("ann", call_id)
    [change] = entries(storage, AuditAction.CHANGED)
    assert change.what == "PUT /patterns/positive"


def test_an_entry_never_has_words_of_a_call_or_a_search(
    storage: Storage, ann: httpx.Client, call_id: str, module_url: str
) -> None:
    assert ann.get("/search", params={"words": "zanzibar vodafone"}).status_code == 200
    assert ann.get("/review", params={"competitor": "Vodafone"}).status_code == 200
    entries(storage, READ, 2)
    kept = [text for table, text in rows(module_url) if table == "callpipeline.audit_log"]
    assert kept
    assert not any("zanzibar" in text or "odafone" in text for text in kept)


def test_what_is_refused_is_no_entry(empty_app: Served, storage: Storage, call_id: str) -> None:
    with empty_app.client() as stranger:
        assert stranger.get(f"/calls/{call_id}/audio.wav").status_code == 401
        eve = logged_in(stranger, "eve")
        assert eve.get("/audit").status_code == 403
        assert eve.get("/calls/2026-03-02-ffffffffffff").status_code == 404
        assert eve.get(f"/calls/{call_id}").status_code == 200
    [entry] = entries(storage, READ)
    assert (entry.actor, entry.target) == ("eve", call_id)


def test_admins_see_the_log_and_filter_it(
    storage: Storage, ann: httpx.Client, call_id: str
) -> None:
    ann.get(f"/calls/{call_id}/audio.wav")
    ann.get("/export/calls.csv")
    entries(storage, EXPORTED)
    shown = ann.get("/audit", params={"action": "listened"}).text
    assert "127.0.0.1" in shown and f'href="/calls/{call_id}"' in shown
    assert "GET /export/calls.csv" not in shown
    assert "GET /export/calls.csv" in ann.get("/audit", params={"actor": "ann"}).text
    assert "No entries." in ann.get("/audit", params={"actor": "eve"}).text


def an_entry(what: str = "GET /calls", action: AuditAction = EXPORTED) -> AuditEntry:
    return AuditEntry(action, "ann", "login", "10.0.0.1", what)


def test_entries_wait_while_the_database_is_away(
    storage: Storage, database: Database, tmp_path: Path
) -> None:
    is_away = True
    trail = AuditTrail(AuditSpool(tmp_path / "audit"), storage.audit, lambda: is_away)
    trail.add(an_entry("first"))
    assert trail.flush() == 0
    trail.add(an_entry("second"))
    is_away = False
    assert trail.flush() == 2
    assert {each.what for each in storage.audit.page()} >= {"first", "second"}
    assert list((tmp_path / "audit").iterdir()) == []


def test_entries_of_a_killed_process_are_stored_once(storage: Storage, tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    killed = AuditSpool(folder)
    killed.append(an_entry("before the kill"))
    [left] = folder.iterdir()
    copy = left.read_bytes()
    killed.drain(lambda _: None)
    left.write_bytes(copy)  # as it is after a kill: complete, and not locked
    living = AuditSpool(folder)
    living.append(an_entry("of the next process"))
    assert living.drain(storage.audit.add) == 2
    left.write_bytes(copy + b'{"torn": ')  # as if it had died after the commit
    living.drain(storage.audit.add)
    found = [each.what for each in storage.audit.page()]
    assert found.count("before the kill") == 1


def test_a_file_that_a_living_process_writes_is_left_to_it(
    storage: Storage, tmp_path: Path
) -> None:
    folder = tmp_path / "audit"
    writing, other = AuditSpool(folder), AuditSpool(folder)
    writing.append(an_entry("one"))
    assert other.drain(storage.audit.add) == 0
    writing.append(an_entry("two"))
    assert writing.drain(storage.audit.add) == 2


def test_a_failing_write_loses_nothing(
    storage: Storage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "audit"
    folder.write_text("a file where the folder should be")
    spool = AuditSpool(folder)
    spool.append(an_entry("during the outage"))
    assert "could not be written" in caplog.text
    folder.unlink()
    assert spool.drain(storage.audit.add) == 1


def test_entries_of_one_instant_are_on_one_page_or_the_next(storage: Storage) -> None:
    at = datetime(2026, 3, 2, tzinfo=UTC)
    entry = AuditEntry(READ, "ann on desk", "command", None, "callpipeline show")
    given = [replace(entry, at=at, entry_id=str(uuid.uuid4())) for _ in range(5)]
    storage.audit.record(*given)
    filters: dict[str, Any] = {"actor": "ann on desk", "limit": 2}
    first = storage.audit.page(**filters)
    second = storage.audit.page(**filters, before=at, after_id=first[-1].entry_id)
    third = storage.audit.page(**filters, before=at, after_id=second[-1].entry_id)
    found = [each.entry_id for each in (*first, *second, *third)]
    assert sorted(found) == sorted(each.entry_id for each in given)


def test_an_actor_that_postgres_cannot_store_has_no_entries(storage: Storage) -> None:
    assert storage.audit.page(actor="\0", target="\0") == []


def test_a_file_that_cannot_be_stored_keeps_no_others_waiting(
    storage: Storage, tmp_path: Path
) -> None:
    (tmp_path / "0.jsonl").write_text('{"entry_id": "no uuid"}\n')
    spool = AuditSpool(tmp_path)
    spool.append(AuditEntry(READ, "bob on desk", "command", None, "callpipeline show"))
    assert spool.drain(storage.audit.add) == 1
    assert [each.actor for each in storage.audit.page(actor="bob on desk")] == ["bob on desk"]
    assert (tmp_path / "0.jsonl").exists()


def test_reading_by_a_signed_link_names_the_call(
    storage: Storage, empty_app: Served, ann: httpx.Client, call_id: str
) -> None:
    keys = [each.key for each in storage.store.list("calls/") if call_id in each.key]
    path = next(key for key in keys if "transcript" in key)
    link = ann.get(f"/storage/presigned-url/{path}").raise_for_status().json()
    with empty_app.client() as other:
        [url] = [value for value in link.values() if "/signed/" in str(value)]
        assert other.get(url).status_code == 200
    until(lambda: bool(storage.audit.page(action=READ, target=call_id)), "the reading was recorded")
    [entry] = storage.audit.page(action=READ, target=call_id)
    assert (entry.actor, entry.method) == ("holder of a signed link", "link")
