"""`callpipeline backup` and `restore`: everything comes back, and nothing that was erased."""

import json
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest

from callpipeline.config import Settings
from callpipeline.errors import SettingsInvalid
from callpipeline.pipeline.ingest.registration import ingest_file
from callpipeline.storage.objects.urls import S3Access, open_store
from callpipeline.storage.postgres import dumps
from callpipeline.storage.postgres.dumps import ANALYST, analyst_problem
from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from callpipeline.wiring import Storage, open_storage
from tests.integration.command_line import Installation
from tests.integration.databases import execute_sql, new_database
from tests.integration.dumps import in_files, rows
from tests.integration.test_cli import here, wav
from tests.integration.test_erasure import NAME, processed

__all__ = ["here"]


@pytest.fixture
def empty_url(postgres: str) -> Iterator[str]:
    """A database without any table."""
    with new_database(postgres) as url:
        yield url


def settings_of(installation: Installation) -> Settings:
    return Settings(home=installation.home, _env_file=None)  # pyright: ignore[reportCallIssue]


def contents(url: str) -> list[tuple[str, str]]:
    """Return the rows of all tables but those of sessions and of the backup's own audit entry."""
    passing = ("callpipeline.web_sessions", "callpipeline.audit_log")
    return sorted(each for each in rows(url, "callpipeline") if each[0] not in passing)


def objects(storage: Storage) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for name, store in (("recordings", storage.inbox), ("storage", storage.store)):
        found |= {f"{name}/{each.key}": store.read(each.key) for each in store.list()}
    return found


def test_everything_is_restored(
    here: Installation, database_url: str, empty_url: str, tmp_path: Path
):
    for number in range(3):
        here.run("ingest", wav(here.home / "mine" / f"{number}.wav", number))
    with open_storage(settings_of(here), database_url) as storage:
        processed(storage, tmp_path)
        before = objects(storage)
    (here.home / "competitors.yaml").write_text("competitors: [Vodafone]")
    kept = tmp_path / "backup"
    said = here.run("backup", kept).stdout
    assert "4 calls" in said
    assert kept.stat().st_mode & 0o777 == 0o700
    there = Installation(tmp_path / "there", empty_url)
    assert "4 calls" in there.run("restore", kept).stdout
    restored = "SELECT action FROM audit_log WHERE what = 'callpipeline restore'"
    assert execute_sql(empty_url, restored) == [("changed",)]
    assert contents(empty_url) == contents(database_url)
    assert (there.home / "competitors.yaml").read_text() == "competitors: [Vodafone]"
    assert analyst_problem(empty_url) is None
    with open_storage(settings_of(there), empty_url) as storage:
        assert objects(storage) == before
        found = list(storage.inbox.list())
        recordings = [each for each in found if each.key.endswith(".wav")]
        assert storage.ledger.unknown(recordings) == [], "discovery sees no new calls"
        waiting = [call for call in storage.ledger.calls() if call.state == "PENDING"]
        for call in storage.claims.claim([each.call_id for each in waiting], "run-1"):
            storage.recordings.fetch(call.recording, tmp_path / "copy")
    refused = there.run("restore", kept, exit_code=1)
    assert "already has calls" in refused.stderr
    there.run("restore", tmp_path / "nothing", exit_code=1)
    assert execute_sql(empty_url, restored) == [("changed",)]
    there.run("status")
    stopped = "SELECT count(*) FROM audit_log WHERE what = 'callpipeline restore (stopped)'"
    assert execute_sql(empty_url, stopped) == [(2,)], "an attempt is an entry, too"


def test_a_second_backup_copies_what_is_new_and_deletes_what_was_erased(
    here: Installation, database_url: str, tmp_path: Path
):
    with open_storage(settings_of(here), database_url) as storage:
        call_id = processed(storage, tmp_path)
    kept = tmp_path / "backup"
    here.run("backup", kept)
    assert in_files(kept / "objects", [NAME])
    here.run("ingest", wav(here.home / "mine" / "new.wav", 7))
    here.run("erase", call_id, "--yes")
    said = here.run("backup", kept).stdout
    assert "1 copied, 0 unchanged" in said
    assert in_files(kept / "objects", [NAME]) == []
    assert len(list(kept.glob("*.dump"))) == 1
    assert "0 copied, 1 unchanged" in here.run("backup", kept).stdout


def test_secrets_are_not_in_a_backup(here: Installation, tmp_path: Path):
    secrets: dict[str, Any] = {
        "CALLPIPELINE_API_KEY": "planted-api-key-123456",
        "CALLPIPELINE_WEB_USERS": '{"ann": "planted-password-1"}',
        "CALLPIPELINE_WEB_ADMINS": "ann",
        "CALLPIPELINE_SMTP_PASSWORD": "planted-smtp",
        "CALLPIPELINE_SMTP_USERNAME": "ann",
        "CALLPIPELINE_SMTP_HOST": "mail.example.com",
        "CALLPIPELINE_EMAIL_TO": "a@example.com",
        "CALLPIPELINE_NOTIFY_WEBHOOK_URL": "https://example.com/?token=planted-url",
    }
    here.run("backup", tmp_path / "backup", **secrets)
    assert in_files(tmp_path / "backup", ["planted"]) == []
    saved = json.loads((tmp_path / "backup" / "settings.json").read_text())
    assert saved["smtp_host"] == "mail.example.com"


@pytest.mark.parametrize("damage", ["object", "missing object", "list", "manifest", "dump"])
def test_a_damaged_backup_is_refused_with_a_reason(
    here: Installation, empty_url: str, tmp_path: Path, damage: str
):
    here.run("ingest", wav(here.home / "mine" / "a.wav"))
    kept = tmp_path / "backup"
    here.run("backup", kept)
    [stored] = (kept / "objects").rglob("*.wav")
    match damage:
        case "object":
            stored.write_bytes(b"x" + stored.read_bytes()[1:])
        case "missing object":
            stored.unlink()
        case "list":
            next(kept.glob("*.jsonl")).write_text("{")
        case "manifest":
            (kept / "backup.json").unlink()
        case _:
            next(kept.glob("*.dump")).write_bytes(b"PGDMP")
    refused = Installation(tmp_path / "there", empty_url).run("restore", kept, exit_code=1)
    reason = {
        "object": "is damaged",
        "missing object": "is missing",
        "list": "cannot be read",
        "manifest": "not a complete backup",
        "dump": "pg_restore failed",
    }[damage]
    assert reason in refused.stderr


def test_a_backup_under_load_is_consistent(
    here: Installation, database_url: str, empty_url: str, tmp_path: Path
):
    """Recordings that arrive meanwhile are in the backup completely, or not at all."""
    stop = threading.Event()

    def work() -> None:
        with open_storage(settings_of(here), database_url) as storage:
            number = 0
            while not stop.is_set():
                number += 1
                path = wav(tmp_path / "arriving" / f"{number}.wav", number)
                ingest_file(path, storage.inbox, storage.ledger, storage.home)

    arriving = threading.Thread(target=work)
    arriving.start()
    try:
        here.run("backup", tmp_path / "backup")
        here.run("backup", tmp_path / "backup")
    finally:
        stop.set()
        arriving.join()
    there = Installation(tmp_path / "there", empty_url)
    there.run("restore", tmp_path / "backup")
    with open_storage(settings_of(there), empty_url) as storage:
        calls = storage.ledger.calls()
        assert calls
        for call in storage.claims.claim([each.call_id for each in calls], "run-1"):
            storage.recordings.fetch(call.recording, tmp_path / "copy")


def test_a_backup_of_buckets_is_restored_into_folders(
    here: Installation, empty_url: str, tmp_path: Path, s3_server: str
):
    access = S3Access(s3_server, access_key_id="x", secret_access_key="y")
    bucket = f"b-{uuid.uuid4().hex}"
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y"}
    boto3.client("s3", endpoint_url=s3_server, region_name="us-east-1", **keys).create_bucket(
        Bucket=bucket
    )
    s3: dict[str, Any] = {
        "CALLPIPELINE_RECORDINGS": f"s3://{bucket}/recordings",
        "CALLPIPELINE_STORAGE": f"s3://{bucket}/storage",
        "CALLPIPELINE_S3_ENDPOINT": s3_server,
        "CALLPIPELINE_S3_ACCESS_KEY_ID": "x",
        "CALLPIPELINE_S3_SECRET_ACCESS_KEY": "y",
    }
    here.run("ingest", wav(here.home / "mine" / "a.wav"), **s3)
    here.run("backup", tmp_path / "backup", **s3)
    assert list(open_store(f"s3://{bucket}/recordings", access).list())
    there = Installation(tmp_path / "there", empty_url)
    there.run("restore", tmp_path / "backup")
    with open_storage(settings_of(there), empty_url) as storage:
        [call] = storage.ledger.calls()
        [claimed] = storage.claims.claim([call.call_id], "run-1")
        storage.recordings.fetch(claimed.recording, tmp_path / "copy")
        assert storage.ledger.unknown(list(storage.inbox.list())) == []


def test_the_embedded_database_is_backed_up_and_restored(tmp_path: Path):
    here, there = Installation(tmp_path / "here"), Installation(tmp_path / "there")
    call_id = here.json("ingest", wav(here.home / "mine" / "a.wav"))[0]["call_id"]
    here.run("backup", tmp_path / "backup")
    there.run("restore", tmp_path / "backup")
    assert there.json("status")["counts"] == {"PENDING": 1}
    assert there.json("show", call_id)["call_id"] == call_id
    with EmbeddedPostgres(there.home / "postgres").running() as url:
        assert analyst_problem(url) is None
        execute_sql(url, f"REVOKE SELECT ON analytics.calls FROM {ANALYST}")
        assert "cannot read 1 views" in str(analyst_problem(url))
        execute_sql(url, f"GRANT SELECT ON analytics.calls TO {ANALYST}")
        execute_sql(url, f"GRANT USAGE ON SCHEMA callpipeline TO {ANALYST}")
        execute_sql(url, f"GRANT SELECT ON callpipeline.segments TO {ANALYST}")
        assert "can read 1 tables besides" in str(analyst_problem(url))
        with psycopg.connect(url) as connection:
            connection.execute(f"DROP OWNED BY {ANALYST}".encode())
            connection.execute(f"DROP ROLE {ANALYST}".encode())
        assert "does not exist" in str(analyst_problem(url))


@pytest.mark.parametrize(
    ("installed", "reason"),
    [(None, "it is missing"), ("pg_dump (PostgreSQL) 9.6.24", "that of version 9 is older")],
)
def test_a_tool_that_is_missing_or_too_old_is_named_with_its_package(
    installed: str | None,
    reason: str,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """As in an image without the tools of the embedded Postgres."""
    monkeypatch.setattr(dumps, "bundled_tool", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    if installed:
        (tmp_path / "pg_dump").write_text(f"#!/bin/sh\necho '{installed}'\n")
        (tmp_path / "pg_dump").chmod(0o755)
    with pytest.raises(SettingsInvalid, match=reason) as raised:
        dumps.dump_database(database_url, tmp_path / "database.dump")
    assert "apt-get install postgresql-client-18" in str(raised.value)


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("pg_dump (PostgreSQL) 18.4", 18),
        ("pg_dump (PostgreSQL) 17.6 (Debian 17.6-0+deb13u1)", 17),
        ("pg_dump (PostgreSQL) 19beta1", 19),
        ("nothing", 0),
    ],
)
def test_the_version_of_a_tool_is_read(printed: str, version: int, tmp_path: Path):
    tool = tmp_path / "pg_dump"
    tool.write_text(f"#!/bin/sh\necho '{printed}'\n")
    tool.chmod(0o755)
    assert dumps.major_version(str(tool)) == version
