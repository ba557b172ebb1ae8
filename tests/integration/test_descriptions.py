"""What is known about calls: side files, and corrections by people."""

from datetime import UTC, date, datetime, timedelta

import pytest

from callpipeline.domain.audio import Flag, QualityFlag
from callpipeline.domain.calls.call import Call
from callpipeline.domain.calls.sources import CallAttributes
from callpipeline.errors import ClaimLost, UnknownCall
from callpipeline.storage.reading.analytics import DailyMarts
from callpipeline.wiring import Storage
from tests.integration.calls import change, enter, erase, row

MONDAY = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


def claimed(storage: Storage, **options: object) -> Call:
    [call_id] = enter(storage, "call.wav", **options)
    [call] = storage.claims.claim([call_id], "run-1")
    return call


def test_a_side_file_adds_to_what_the_name_says(storage: Storage) -> None:
    call = claimed(storage, metadata={"agent": "A", "queue": "Sales"})
    said = CallAttributes({"agent": "Ann", "external_id": "7"}, MONDAY, "right")
    storage.descriptions.describe(call, "run-1", said)
    found = row(storage, call.call_id)
    assert found["metadata"] == {"agent": "Ann", "queue": "Sales", "external_id": "7"}
    assert (found["started_at"], found["agent_channel"]) == (MONDAY, "right")
    storage.descriptions.describe(call, "run-1", CallAttributes({}, None, None))
    again = row(storage, call.call_id)
    assert (again["started_at"], again["agent_channel"]) == (MONDAY, "right")


def test_only_the_run_that_holds_a_call_describes_it(storage: Storage) -> None:
    call = claimed(storage)
    with pytest.raises(ClaimLost):
        storage.descriptions.describe(call, "run-2", CallAttributes({"agent": "Ann"}))
    assert row(storage, call.call_id)["metadata"] == {}


def test_a_correction_has_precedence_over_a_later_side_file(storage: Storage) -> None:
    call = claimed(storage, metadata={"agent": "A", "queue": "Sales"}, started_at=MONDAY)
    tuesday = MONDAY + timedelta(days=1)
    storage.descriptions.correct(call.call_id, {"agent": "X"}, by="anna")
    corrected = storage.descriptions.correct(
        call.call_id,
        {"agent": "Ann", "queue": None, "started_at": tuesday.isoformat()},
        started_at=tuesday,
    )
    assert (corrected.metadata, corrected.started_at) == ({"agent": "Ann"}, tuesday)
    newest, oldest = corrected.corrections
    assert (newest.corrected_by, oldest.corrected_by) == (None, "anna")
    assert oldest.fields == {"agent": "X"}
    said = CallAttributes({"agent": "B", "queue": "Other", "customer": "Bob"}, MONDAY, None)
    storage.descriptions.describe(call, "run-1", said)
    found = storage.descriptions.find(call.call_id)
    assert found.metadata == {"agent": "Ann", "customer": "Bob"}
    assert found.started_at == tuesday


def test_analytics_follow_a_correction(storage: Storage) -> None:
    [call_id] = enter(storage, "call.wav", metadata={"agent": "A"}, started_at=MONDAY)
    change(storage, [call_id], state="'COMPLETED'", updated_at="now() - interval '1 day'")
    moved = MONDAY - timedelta(days=7)
    fields = {"agent": "Ann", "started_at": moved.isoformat()}
    storage.descriptions.correct(call_id, fields, started_at=moved)
    with storage.database.transaction() as connection:
        found = connection.execute(
            "SELECT day, agent_name FROM reading_calls WHERE call_id = %s", [call_id]
        ).fetchone()
        seen = connection.execute("SELECT agent FROM analytics.calls").fetchone()
    assert found == {"day": date(2026, 2, 23), "agent_name": "Ann"}
    assert seen == {"agent": "Ann"}
    # The day that it left and the day that it came to are both counted again.
    stale, _ = DailyMarts(storage.database).stale_days(date(2026, 1, 1))
    assert [each.day for each in stale] == [date(2026, 2, 23), date(2026, 3, 2)]


def test_a_removed_start_falls_back_to_the_time_of_the_recording(storage: Storage) -> None:
    [call_id] = enter(storage, "call.wav", started_at=MONDAY)
    assert storage.descriptions.correct(call_id, {"started_at": None}).started_at is None


def test_erased_and_unknown_calls_cannot_be_corrected(storage: Storage) -> None:
    [call_id] = enter(storage, "call.wav")
    erase(storage, call_id)
    for each in (call_id, "2026-03-02-000000000000"):
        with pytest.raises(UnknownCall):
            storage.descriptions.correct(each, {"agent": "Ann"})
        with pytest.raises(UnknownCall):
            storage.descriptions.find(each)


def ended(storage: Storage, since: str, **options: object) -> str:
    """Return a call that ended some time ago, whose side file was not there."""
    call = claimed(storage, **options)
    storage.descriptions.await_file(call, "run-1")
    end = f"now() - interval '{since}'"
    change(
        storage,
        [call.call_id],
        state="'COMPLETED'",
        claimed_by="NULL",
        first_ended_at=end,
        updated_at="now() - interval '1 day'",
        metadata_due_at="now()",
    )
    return call.call_id


def due_in_s(storage: Storage, call_id: str) -> float | None:
    due = row(storage, call_id)["metadata_due_at"]
    return None if due is None else (due - datetime.now(UTC)).total_seconds()


@pytest.mark.parametrize(
    ("since", "wait_s"),
    [("10 seconds", 30), ("4 minutes", 120), ("6 days", 12 * 3600), ("8 days", None)],
)
def test_a_missing_side_file_is_looked_for_again(
    storage: Storage, since: str, wait_s: float | None
) -> None:
    call_id = ended(storage, since)
    assert [call.call_id for call in storage.descriptions.due(10)] == [call_id]
    storage.descriptions.postpone(call_id)
    assert storage.descriptions.due(10) == []
    found = due_in_s(storage, call_id)
    # A slow machine may take a while between the two clocks.
    assert found is None if wait_s is None else found == pytest.approx(wait_s, abs=25)


def test_a_call_in_progress_is_not_described_late(storage: Storage) -> None:
    call = claimed(storage)
    storage.descriptions.await_file(call, "run-1")
    change(storage, [call.call_id], metadata_due_at="now()")
    assert storage.descriptions.due(10) == []
    assert not storage.descriptions.describe_late(call.call_id, CallAttributes({"agent": "Ann"}))
    assert row(storage, call.call_id)["metadata"] == {}


def test_a_late_side_file_adds_to_the_call_and_moves_its_day(storage: Storage) -> None:
    call_id = ended(storage, "1 hour", metadata={"queue": "Sales"}, started_at=MONDAY)
    storage.descriptions.correct(call_id, {"agent": "Ann"}, by="anna")
    change(storage, [call_id], updated_at="now() - interval '1 day'")
    flag = QualityFlag(Flag.UNREADABLE_METADATA, "*.json cannot be read")
    with storage.database.transaction() as connection:
        connection.execute(
            "INSERT INTO recordings VALUES (%s, 'wav', 'pcm', 8000, 1, 1.0, NULL, 0, '[]')",
            [call_id],
        )
    storage.descriptions.postpone(call_id, flag)
    storage.descriptions.postpone(call_id, flag)
    assert [each.flag for each in storage.ledger.find(call_id).flags] == [flag.flag]
    moved = MONDAY - timedelta(days=7)
    said = CallAttributes({"agent": "A", "customer": "Bob"}, moved, "right")
    assert storage.descriptions.describe_late(call_id, said)
    found = storage.descriptions.find(call_id)
    assert found.metadata == {"queue": "Sales", "agent": "Ann", "customer": "Bob"}
    assert (found.started_at, len(found.corrections)) == (moved, 1)
    assert storage.ledger.find(call_id).flags == ()
    assert row(storage, call_id)["agent_channel"] == "left"
    assert storage.descriptions.due(10) == []
    stale, _ = DailyMarts(storage.database).stale_days(date(2026, 1, 1))
    assert [each.day for each in stale] == [moved.date(), MONDAY.date()]
