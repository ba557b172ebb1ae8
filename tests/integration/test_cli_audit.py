"""Commands in the audit log."""

from datetime import UTC, datetime, timedelta

from callpipeline.domain.access import AuditAction
from callpipeline.storage.access import AuditLog
from callpipeline.storage.erasure import RetentionStore
from callpipeline.storage.postgres.database import Database
from tests.integration.databases import execute_sql
from tests.integration.test_cli import Installation, here, wav

__all__ = ["here"]


def test_commands_are_entries_with_user_call_and_address(
    here: Installation, database: Database
) -> None:
    [entered] = here.json("ingest", wav(here.home / "mine" / "call.wav"))
    call_id = entered["call_id"]
    here.environment["SSH_CONNECTION"] = "192.0.2.7 50000 192.0.2.1 22"
    here.run("show", call_id)
    here.run("erase", call_id, "--dry-run")
    here.run("erase", call_id, "--yes")
    found = [
        (each.action, each.what, each.target, each.address)
        for each in reversed(AuditLog(database).page())
    ]
    assert found == [
        (AuditAction.UPLOADED, "callpipeline ingest", None, None),
        (AuditAction.READ, "callpipeline show", call_id, "192.0.2.7"),
        (AuditAction.ERASED, "callpipeline erase", call_id, "192.0.2.7"),
    ]
    [actor] = {each.actor for each in AuditLog(database).page()}
    assert " on " in actor


def test_calls_that_a_command_finds_are_named_however_many(
    here: Installation, database_url: str
) -> None:
    """`erase --customer` names none itself; more than a hundred are named too."""
    files = [wav(here.home / "mine" / f"call-{number}.wav", seed=number) for number in range(105)]
    call_ids = {each["call_id"] for each in here.json("ingest", *files)}
    assert len(call_ids) == len(files)
    execute_sql(database_url, """UPDATE calls SET metadata = '{"customer": "Acme"}'""")
    here.run("show", "call-7.wav")
    here.run("erase", "--customer", "Acme", "--dry-run")
    here.run("erase", "--customer", "Acme", "--yes")
    named = execute_sql(database_url, "SELECT action, target FROM audit_log WHERE target <> ''")
    assert {target for action, target in named if action == "erased"} == call_ids
    assert [action for action, _ in named].count("read") == 1


def test_deletion_by_retention_is_an_entry_and_its_preview_is_none(
    here: Installation, database: Database
) -> None:
    here.run("retention")
    assert AuditLog(database).page() == []
    here.run("retention", "--now")
    [entry] = AuditLog(database).page()
    assert (entry.action, entry.what) == (AuditAction.ERASED, "callpipeline retention --now")


def test_entries_go_after_a_period_of_their_own(here: Installation, database: Database) -> None:
    here.run("status")
    kept = RetentionStore(database)
    now = datetime.now(UTC)
    assert kept.delete_audit(now - timedelta(days=1)) == 0
    assert kept.due_audit(now + timedelta(days=1)) == 1
    assert "audit 365 days 0" in [
        " ".join(line.split()) for line in here.run("retention").stdout.splitlines()
    ]
    assert kept.delete_audit(now + timedelta(days=1)) == 1
