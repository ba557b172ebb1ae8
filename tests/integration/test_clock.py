"""The clock is set back or forth by an hour: nothing waits longer, and no claim is stolen."""

from datetime import UTC, date, datetime, timedelta

import pytest

from callpipeline.errors import EngineUnavailable
from callpipeline.storage.calls.claims import STALE_AFTER_S
from callpipeline.storage.reading.analytics import DailyMarts
from callpipeline.wiring import Storage
from tests.integration.calls import enter
from tests.integration.databases import execute_sql, move_clock

HOUR_S = 3600.0
FAILED = """
    UPDATE calls SET state = 'FAILED', updated_at = now(), error_stage = 'transcripts',
        error_class = 'EngineUnavailable', error_message = 'busy', error_transient = true
"""


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def settled(storage: Storage) -> Storage:
    storage.queue.settle_clock()
    return storage


def seconds_until(url: str, column: str, table: str) -> float:
    [(found,)] = execute_sql(url, f"SELECT extract(epoch FROM {column} - now()) FROM {table}")
    return float(found)


def test_a_retry_is_due_when_it_was(settled: Storage, database_url: str):
    [call_id] = enter(settled)
    settled.claims.claim([call_id], "run-1")
    settled.claims.begin(call_id, "run-1")
    settled.claims.fail(call_id, "run-1", "transcripts", EngineUnavailable("busy"))
    wait_s = seconds_until(database_url, "next_attempt_at", "calls")
    move_clock(database_url, -HOUR_S)
    assert seconds_until(database_url, "next_attempt_at", "calls") > HOUR_S / 2
    assert settled.queue.settle_clock() > HOUR_S / 2
    assert seconds_until(database_url, "next_attempt_at", "calls") < wait_s + HOUR_S / 2
    assert settled.queue.settle_clock() == 0


def test_a_dead_run_is_dead_at_once(settled: Storage, database_url: str):
    [call_id] = enter(settled)
    settled.claims.claim([call_id], "run-1")
    age = f"interval '{10 * STALE_AFTER_S} seconds'"
    execute_sql(database_url, f"UPDATE runs SET heartbeat_at = now() - {age}")
    move_clock(database_url, -HOUR_S)
    [run] = settled.claims.claiming_runs()
    assert run.heartbeat_age_s < 0, "it would look alive for an hour"
    settled.queue.settle_clock()
    [run] = settled.claims.claiming_runs()
    assert run.heartbeat_age_s > 0, "and a little later it is dead"


def test_a_service_is_tried_when_it_was_due(settled: Storage, database_url: str):
    settled.outages.begin("hub", "It is away.", 1, 120)
    move_clock(database_url, -HOUR_S)
    settled.queue.settle_clock()
    assert seconds_until(database_url, "retry_at", "outages") < HOUR_S / 2


def test_a_clock_that_is_set_forth_delays_nothing(settled: Storage, database_url: str):
    [call_id] = enter(settled)
    settled.claims.claim([call_id], "run-1")
    settled.claims.begin(call_id, "run-1")
    settled.claims.fail(call_id, "run-1", "transcripts", EngineUnavailable("busy"))
    move_clock(database_url, HOUR_S)
    assert settled.queue.settle_clock() == 0
    assert settled.queue.assign_batch("batch", 1), "it is due earlier"


def test_a_small_correction_moves_nothing(settled: Storage, database_url: str):
    settled.outages.begin("hub", "It is away.", 1, 600)
    move_clock(database_url, -20)
    assert settled.queue.settle_clock() == 0
    assert seconds_until(database_url, "retry_at", "outages") > 0


def test_notifications_do_not_wait_for_the_clock(settled: Storage, database_url: str):
    execute_sql(
        database_url,
        """
        INSERT INTO alert_rules (kind, threshold, days, min_calls, channels, has_quotes, is_enabled,
                                 checked_at)
            VALUES ('leaving', 1, 1, 1, '{}', false, true, now());
        INSERT INTO incidents (group_key, kind, recovers, opened_at, last_event_at)
            VALUES ('a', 'call_failed', true, now(), now());
        INSERT INTO notifications (incident_id, channel, part, created_at, next_attempt_at)
            SELECT incident_id, 'log', 'opening', now(), now() FROM incidents;
        INSERT INTO outbox (event_id, kind, severity, group_key, recovers, title, message)
            VALUES (gen_random_uuid(), 'call_failed', 'error', 'b', true, 'Failed', 'busy')
        """,
    )
    move_clock(database_url, -HOUR_S)
    columns = [
        ("checked_at", "alert_rules"),
        ("last_event_at", "incidents"),
        ("opened_at", "incidents"),
        ("created_at", "notifications"),
        ("occurred_at", "outbox"),
    ]
    assert all(seconds_until(database_url, *column) > HOUR_S / 2 for column in columns)
    settled.queue.settle_clock()
    assert all(seconds_until(database_url, *column) < HOUR_S / 2 for column in columns)
    due_s = seconds_until(database_url, "next_attempt_at", "notifications")
    assert due_s > HOUR_S / 2, "quiet hours are times of the day"


def _count_day(url: str, call_id: str) -> None:
    hours = "audio_h, agent_talk_h, customer_talk_h, silence_h"
    execute_sql(
        url,
        f"INSERT INTO daily_calls (day, calls, completed, failed, mentions, {hours}, made_at)"
        " SELECT (coalesce(started_at, last_modified) AT TIME ZONE 'UTC')::date,"
        f" 0, 0, 0, 0, 0, 0, 0, 0, now() FROM calls WHERE call_id = '{call_id}'",
    )


def test_a_day_that_was_counted_before_is_counted_again(settled: Storage, database_url: str):
    [call_id] = enter(settled)
    _count_day(database_url, call_id)
    move_clock(database_url, -HOUR_S)
    scanned_at = datetime.now(UTC) + timedelta(seconds=HOUR_S)
    execute_sql(database_url, FAILED)
    first, marts = date(2000, 1, 1), DailyMarts(settled.database)
    unsettled, _ = marts.stale_days(first, scanned_at)
    assert len(unsettled) == 1, "also before the clock is settled"
    settled.queue.settle_clock()
    assert seconds_until(database_url, "made_at", "daily_calls") < HOUR_S / 2
    assert marts.stale_days(first, scanned_at)[0] == unsettled
