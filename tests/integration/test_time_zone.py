"""Days in a time zone: lists, charts, views, marts, exports and alerts agree about each of them."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
import pytest

from callpipeline.cli.doctor import operations
from callpipeline.cli.doctor.findings import FindingLevel
from callpipeline.config import Settings, settings
from callpipeline.domain.calls.call import CallState
from callpipeline.domain.calls.filters import CallFilters
from callpipeline.domain.notifications import AlertKind, AlertRule
from callpipeline.errors import CallsBusy, SettingsInvalid
from callpipeline.pipeline.notifications.alerts import AlertMonitor
from callpipeline.storage.erasure import RetentionStore
from callpipeline.storage.ports.analytics import PeriodRates
from callpipeline.storage.postgres.database import Database
from callpipeline.storage.postgres.sql import SCHEMA
from callpipeline.storage.reading.analytics import Analytics, DailyMarts
from callpipeline.storage.reading.calls import CallReader
from callpipeline.storage.reading.export import Dataset, ExportFormat, open_export, write_export
from callpipeline.storage.reading.filtered import DayZone
from tests.integration.databases import execute_sql, new_database
from tests.processes import until

CHANGES = {
    "Pacific/Auckland": datetime(2026, 4, 4, 14, tzinfo=UTC),
    "America/Los_Angeles": datetime(2026, 3, 8, 10, tzinfo=UTC),
    "Atlantic/Azores": datetime(2026, 10, 25, 1, tzinfo=UTC),
    "America/Havana": datetime(2026, 3, 8, 5, tzinfo=UTC),
    "Asia/Kathmandu": datetime(2026, 3, 1, 18, 15, tzinfo=UTC),
}
"""When clocks change (in Kathmandu: midnight). Those of the Azores go back over midnight, and those
of Havana go forth at midnight, which does not exist."""
EVERY = timedelta(minutes=20)
CALLS = 216
INSERT = f"""
INSERT INTO calls (call_id, bucket, key, etag, size_bytes, last_modified, started_at, state,
                   updated_at)
SELECT format('2026-01-01-%%s', lpad(to_hex(n), 12, '0')), 'b', n || '.wav', 'e', 1, '2026-01-01',
       %(from)s::timestamptz + n * interval '20 minutes' - interval '1 second' * (n %% 2),
       'COMPLETED', now() - interval '1 hour'
FROM generate_series(0, {CALLS - 1}) AS n;
INSERT INTO call_metrics SELECT call_id, 100, 30, 50, 0, 20, 1, 0, 'by hand' FROM calls;
INSERT INTO mentions SELECT call_id, 'm', 'EE', 'ee', 'ee', 'left', 'agent', 0, 0, 2, 1, 2, 0.9,
                            'counted', 'r' FROM calls;
INSERT INTO sentiment SELECT call_id, 'm', 'EE', 'neutral', 0, 'r', 'q', 'by hand' FROM calls;
"""


def insert(url: str, around: datetime) -> None:
    """Store calls on both sides of a time, 36 hours each."""
    with psycopg.connect(url, options=f"-c search_path={SCHEMA}") as connection:
        for statement in INSERT.split(";\n"):
            if statement.strip():
                connection.execute(statement.encode(), {"from": around - EVERY * CALLS / 2})


def days_by_python(url: str, zone: str) -> dict[str, date]:
    """Return the day of each call, without the database's time zones."""
    rows = execute_sql(url, "SELECT call_id, started_at FROM calls")
    return {call_id: at.astimezone(ZoneInfo(zone)).date() for call_id, at in rows}


@pytest.fixture(params=sorted(CHANGES))
def zone(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def database(postgres: str, template: str, zone: str) -> Iterator[Database]:
    """A database in the zone; half of its calls came while days were in UTC."""
    with new_database(postgres, template) as url:
        insert(url, CHANGES[zone])
        with Database(url) as database:
            assert DayZone(database).set(zone)
            yield database


def test_every_reader_puts_a_call_on_the_day_of_its_zone(database: Database, zone: str) -> None:
    expected = days_by_python(database.url, zone)
    days = sorted(set(expected.values()))
    assert len(days) >= 4
    calls, analytics = CallReader(database), Analytics(database)
    of_views = dict(execute_sql(database.url, "SELECT call_id, day FROM analytics.mentions"))
    assert of_views == expected
    trend = analytics.over_time(CallFilters(from_day=days[0], to_day=days[-1]))
    counted = Counter(expected.values())
    assert [bucket.first for bucket in trend.buckets] == days
    assert list(trend.by_competitor["EE"]) == [counted[day] for day in days]
    for day in days:
        filters = CallFilters(from_day=day, to_day=day)
        wanted = {call_id for call_id, of in expected.items() if of == day}
        assert {each.call_id for each in calls.list(filters, limit=CALLS).calls} == wanted, day
        assert {
            each.call_id for each in analytics.mentions(filters, limit=CALLS).mentions
        } == wanted
        assert analytics.rates(filters).completed == len(wanted)
        assert [row["calls"] for row in DailyMarts(database).competitors([day])] == [len(wanted)]


def test_a_call_that_comes_later_is_on_the_day_of_the_zone(database: Database, zone: str) -> None:
    midnight = datetime(2026, 7, 1, tzinfo=ZoneInfo(zone))
    moved = f"UPDATE calls SET started_at = '{midnight.isoformat()}' WHERE key = '0.wav'"
    execute_sql(database.url, moved)
    day = "SELECT day FROM reading_mentions JOIN calls USING (call_id) WHERE key = '0.wav'"
    assert execute_sql(database.url, day) == [(date(2026, 7, 1),)]
    execute_sql(database.url, moved.replace("' WHERE", "'::timestamptz - interval '1 s' WHERE"))
    assert execute_sql(database.url, day) == [(date(2026, 6, 30),)]


def test_exports_have_the_same_days_and_times_of_the_zone(database: Database, zone: str) -> None:
    expected, file = days_by_python(database.url, zone), io.BytesIO()
    day = sorted(expected.values())[CALLS // 2]
    filters = CallFilters(from_day=day, to_day=day)
    with open_export(database, Dataset.CALLS, filters=filters) as table:
        write_export(table, ExportFormat.CSV, file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue().decode())))
    assert {row["call_id"] for row in rows} == {i for i, of in expected.items() if of == day}
    for row in rows:
        at = datetime.fromisoformat(row["took_place_at"])
        assert at.utcoffset() == at.astimezone(ZoneInfo(zone)).utcoffset()
        assert at.date() == day
        assert row["day"] == day.isoformat()


def test_days_of_alerts_begin_with_those_of_the_zone(database: Database, zone: str) -> None:
    local, reading, rules = ZoneInfo(zone), ReadDays(), OneRule()
    monitor = AlertMonitor(rules, reading, None, DayZone(database).today)  # pyright: ignore
    for at in (datetime(2026, 6, 1, 23, 59, 59, tzinfo=local), datetime(2026, 6, 2, tzinfo=local)):
        monitor.check(at.astimezone(UTC))
    assert reading.days == [
        *[date(2026, 6, 1), date(2026, 5, 31)],  # each period, and the one before
        *[date(2026, 6, 2), date(2026, 6, 1)],
    ]


class ReadDays:
    """Analytics that record the last day of each period they are asked about."""

    def __init__(self) -> None:
        self.days: list[date | None] = []

    def rates(self, filters: CallFilters) -> PeriodRates:
        self.days.append(filters.to_day)
        return PeriodRates(0, 0, {})


class OneRule:
    """A rule about one day that is always due."""

    def due(self, now: datetime, every_s: float) -> list[AlertRule]:
        return [AlertRule(AlertKind.SPIKE, threshold=1, days=1, min_calls=1)]


# A change of the setting


@pytest.fixture
def in_utc(postgres: str, template: str) -> Iterator[Database]:
    with new_database(postgres, template) as url, Database(url) as database:
        insert(url, CHANGES["Pacific/Auckland"])
        yield database


COUNT = """INSERT INTO daily_calls (day, calls, completed, failed, mentions, audio_h, agent_talk_h,
                                    customer_talk_h, silence_h, made_at)
           SELECT day, 1, 1, 0, 0, 0, 0, 0, 0, now() - interval '1 minute'
           FROM (SELECT DISTINCT day FROM reading_calls) AS days"""


def test_the_marts_of_all_days_are_stale_after_a_change_and_only_then(in_utc: Database) -> None:
    late = "UPDATE calls SET started_at = '2026-05-01T23:00Z' WHERE key = '0.wav'"
    execute_sql(in_utc.url, f"{late}; {COUNT}")
    marts = DailyMarts(in_utc)
    before = {row[0] for row in execute_sql(in_utc.url, "SELECT day FROM daily_calls")}
    since = datetime.now(UTC) - timedelta(minutes=10)
    assert marts.stale_days(date(2026, 1, 1), since)[0] == []
    assert DayZone(in_utc).set("Pacific/Auckland")
    after = set(days_by_python(in_utc.url, "Pacific/Auckland").values())
    assert after - before == {date(2026, 5, 2)}
    assert before - after == {date(2026, 5, 1)}
    stale, _ = marts.stale_days(date(2026, 1, 1), since)
    assert {each.day for each in stale} == before | after
    assert not DayZone(in_utc).set("Pacific/Auckland")
    execute_sql(in_utc.url, "UPDATE daily_calls SET made_at = now() + interval '1 ms'")
    execute_sql(in_utc.url, COUNT.replace("- interval '1 minute'", "") + " ON CONFLICT DO NOTHING")
    execute_sql(in_utc.url, "UPDATE time_zone SET changed_at = now() - interval '5 minutes'")
    assert marts.stale_days(date(2026, 1, 1), since)[0] == []


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles"])
def test_totals_of_calls_that_retention_deleted_are_kept(in_utc: Database, zone: str) -> None:
    url = in_utc.url
    execute_sql(url, COUNT)
    deleted = "SELECT call_id FROM reading_calls WHERE day = '2026-04-04'"
    execute_sql(
        url,
        f"INSERT INTO erasures (call_id, by_retention, keep_recording)"
        f" SELECT call_id, true, true FROM ({deleted}) AS c;"
        "DELETE FROM mentions USING erasures e WHERE e.call_id = mentions.call_id;"
        "UPDATE calls SET state = 'ERASED', started_at = NULL, last_modified = '2026-04-04'"
        " FROM erasures e WHERE e.call_id = calls.call_id",
    )
    marts, since = DailyMarts(in_utc), datetime.now(UTC) - timedelta(minutes=10)
    assert marts.closed_days([date(2026, 4, n) for n in (3, 4, 5)]) == [date(2026, 4, 4)]
    DayZone(in_utc).set(zone)
    assert marts.closed_days([date(2026, 4, n) for n in (3, 4, 5)]) == [date(2026, 4, 4)]
    stale = {each.day for each in marts.stale_days(date(2026, 1, 1), since)[0]}
    assert date(2026, 4, 4) not in stale and date(2026, 4, 5) in stale
    DayZone(in_utc).set("UTC")
    assert marts.closed_days([date(2026, 4, n) for n in (3, 4, 5)]) == [date(2026, 4, 4)]


def test_deletions_are_counted_by_the_days_of_the_zone(in_utc: Database) -> None:
    at = datetime(2026, 5, 1, 23, tzinfo=UTC)
    execute_sql(
        in_utc.url,
        f"INSERT INTO deletions (at, what, why, items) VALUES ('{at}', 'call', 'retention', 1),"
        f" ('{at - timedelta(hours=12)}', 'call', 'retention', 1)",
    )
    store = RetentionStore(in_utc)
    assert [row["day"] for row in store.history(at - timedelta(1))] == [date(2026, 5, 1)]
    DayZone(in_utc).set("Pacific/Auckland")
    days = [row["day"] for row in store.history(at - timedelta(1))]
    assert days == [date(2026, 5, 2), date(2026, 5, 1)]


def test_an_unknown_zone_changes_nothing(in_utc: Database) -> None:
    with pytest.raises(SettingsInvalid, match="CALLPIPELINE_TIMEZONE: Postgres does not know"):
        DayZone(in_utc).set("Mars/Olympus")
    assert DayZone(in_utc).get().key == "UTC"
    assert days_by_python(in_utc.url, "UTC") == dict(
        execute_sql(in_utc.url, "SELECT call_id, day FROM reading_calls")
    )


def test_a_change_waits_for_calls_that_are_written(in_utc: Database) -> None:
    """A call that another transaction writes meanwhile is on the right day, too."""
    options = f"-c search_path={SCHEMA} -c lock_timeout=500"
    with psycopg.connect(in_utc.url, options=options) as writer:
        writer.execute("UPDATE calls SET started_at = '2026-07-01T11:59:59Z' WHERE key = '0.wav'")
        with (
            psycopg.connect(in_utc.url, options=options) as other,
            pytest.raises(psycopg.errors.LockNotAvailable),
        ):
            other.execute("SELECT set_time_zone('Pacific/Auckland')")
    DayZone(in_utc).set("Pacific/Auckland")
    day = "SELECT day FROM reading_calls r JOIN calls USING (call_id) WHERE key = '0.wav'"
    assert execute_sql(in_utc.url, day) == [(date(2026, 7, 1),)]
    states = CallFilters(states=(CallState.COMPLETED,), from_day=date(2026, 7, 1))
    assert CallReader(in_utc).count(states) == 1


def test_pages_can_be_read_while_a_change_waits_for_an_export(in_utc: Database) -> None:
    options = f"-c search_path={SCHEMA} -c lock_timeout=2000"
    with (
        psycopg.connect(in_utc.url, options=options) as export,
        psycopg.connect(in_utc.url, options=options, autocommit=True) as page,
        ThreadPoolExecutor(1) as threads,
    ):
        export.execute("SELECT count(*) FROM calls")
        change = threads.submit(DayZone(in_utc).set, "Pacific/Auckland")
        try:
            while not change.done():
                page.execute("SELECT count(*) FROM calls")
        finally:
            export.rollback()
        with pytest.raises(CallsBusy, match=r"an export, a backup .* uses the calls. Repeat"):
            change.result()
    assert DayZone(in_utc).get().key == "UTC"
    assert DayZone(in_utc).set("Pacific/Auckland")
    assert execute_sql(in_utc.url, "SELECT count(*) FROM pg_indexes WHERE indexname LIKE '%new_day'"
                       " OR indexname = 'calls_by_day'") == [(1,)]  # fmt: skip


def test_a_change_gives_way_to_a_reader_that_then_writes(in_utc: Database) -> None:
    options = f"-c search_path={SCHEMA}"
    held = """SELECT count(*) FROM pg_locks WHERE relation = 'callpipeline.calls'::regclass
              AND mode = 'ExclusiveLock' AND granted"""
    with psycopg.connect(in_utc.url, options=options) as call, ThreadPoolExecutor(1) as threads:
        call.execute("SELECT count(*) FROM calls")
        change = threads.submit(DayZone(in_utc).set, "Pacific/Auckland")
        until(lambda: execute_sql(in_utc.url, held) == [(1,)], "the change has begun")
        call.execute("UPDATE calls SET started_at = '2026-07-01T11:59:59Z' WHERE key = '0.wav'")
        call.commit()
        assert change.result()
    day = "SELECT day FROM reading_calls r JOIN calls USING (call_id) WHERE key = '0.wav'"
    assert execute_sql(in_utc.url, day) == [(date(2026, 7, 1),)]


def test_doctor_reports_a_setting_that_was_not_applied(in_utc: Database, tmp_path: Path) -> None:
    wanted = Settings(home=tmp_path, timezone="Europe/London", _env_file=None)  # pyright: ignore
    [before] = operations.time_zone(wanted, in_utc)
    assert before.level is FindingLevel.WARN
    assert "days are counted in UTC, but CALLPIPELINE_TIMEZONE is Europe/London" in before.detail
    DayZone(in_utc).set(wanted.day_zone)
    [after] = operations.time_zone(wanted, in_utc)
    assert after.level is FindingLevel.OK


def test_a_time_zone_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLPIPELINE_TIMEZONE", "Mars/Olympus")
    settings.cache_clear()
    with pytest.raises(SettingsInvalid, match="Mars/Olympus is not a time zone"):
        settings()
    settings.cache_clear()
