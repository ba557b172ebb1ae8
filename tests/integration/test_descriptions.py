"""What is known about calls: side files, and corrections by people."""

from datetime import UTC, date, datetime, timedelta

import pytest

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
