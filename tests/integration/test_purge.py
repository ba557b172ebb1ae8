"""Old records of Dagster are deleted in batches; recent, unfinished and shown ones stay."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickData, TickStatus

from callpipeline.defs.dagster_internals.purge import Purge
from callpipeline.domain.calls.call import Recording, Registration
from callpipeline.storage.calls.ledger import Ledger
from callpipeline.storage.erasure import RetentionStore
from callpipeline.storage.postgres.database import Database
from tests.integration.dagster_home import KINDS, Home, execute, home, span
from tests.integration.databases import execute_sql
from tests.integration.dumps import in_database, in_files
from tests.integration.test_records import TRANSCRIPTS, job

__all__ = ["home"]
NOW = datetime.now(UTC)
MONTH = timedelta(days=30)


@pytest.fixture(params=KINDS)
def instance(home: Home, request: pytest.FixtureRequest) -> Iterator[dg.DagsterInstance]:
    with home.instance(request.param) as instance:
        yield instance


@pytest.fixture
def retained(database: Database) -> RetentionStore:
    return RetentionStore(database)


def add_old_calls(
    database: Database, instance: dg.DagsterInstance, count: int, *, days: int
) -> list[str]:
    """Return calls that were completed some days ago, with their partition keys."""
    batch = uuid.uuid4().hex
    found = [
        Recording("b", f"{batch}/{n}", "e", 1, NOW - timedelta(days=days)) for n in range(count)
    ]
    ids = [recording.call_id for recording in found]
    Ledger(database).register(map(Registration, found))
    ended = f"now() - interval '{days} days'"
    with database.transaction() as connection:
        statement = (
            f"UPDATE calls SET state = 'COMPLETED', completed_at = {ended} WHERE call_id = ANY(%s)"
        )
        connection.execute(statement.encode(), [ids])
    instance.add_dynamic_partitions("calls", ids)
    return ids


def age(home: Home, run_id: str, days: int) -> None:
    """Make a run look as if it ended some days ago."""
    then = f"now() - interval '{days} days'"
    execute_sql(
        home.database_url,
        f"UPDATE public.runs SET update_timestamp = {then} WHERE run_id = '{run_id}'",
    )


def purge(
    instance: dg.DagsterInstance, retained: RetentionStore, older_than: datetime
) -> dict[str, int]:
    records = Purge(instance, retained, older_than)
    planned = {deleted.what: deleted.items for deleted in records.plan()}
    applied = {deleted.what: deleted.items for deleted in records.apply()}
    assert planned == applied
    return applied


def test_keys_and_runs_of_old_calls_are_deleted_and_recent_ones_stay(
    home: Home, instance: dg.DagsterInstance, database: Database, retained: RetentionStore
):
    old, young = (add_old_calls(database, instance, 3, days=days) for days in (31, 29))
    old_run, young_run = (execute(job(), instance, keys).run_id for keys in (old, young))
    age(home, old_run, 31)
    age(home, young_run, 29)
    done = purge(instance, retained, NOW - MONTH)
    assert (done["partition_keys"], done["runs"]) == (3, 1)
    keys = instance.get_dynamic_partitions("calls")
    assert not set(old) & set(keys) and set(young) <= set(keys)
    assert instance.get_run_by_id(old_run) is None and instance.get_run_by_id(young_run)
    names = ("event_logs", "runs", "run_tags", "asset_event_tags", "dynamic_partitions")
    found = in_database(home.database_url, [old_run, *old], "public")
    assert not set(found) & {f"public.{name}" for name in names}
    assert in_files(home.folder / "dagster", [old_run]) == []
    assert instance.get_materialized_partitions(TRANSCRIPTS) >= set(young[:2])
    # The calls themselves are unchanged.
    assert len(Ledger(database).calls(call_ids=old)) == 3


def test_retrying_a_call_adds_its_key_again(
    home: Home, instance: dg.DagsterInstance, database: Database, retained: RetentionStore
):
    old = add_old_calls(database, instance, 2, days=31)
    purge(instance, retained, NOW - MONTH)
    instance.add_dynamic_partitions("calls", old)
    run = execute(job(), instance, old)
    assert instance.get_run_by_id(run.run_id)


def test_unfinished_calls_keep_their_keys(
    instance: dg.DagsterInstance, database: Database, retained: RetentionStore
):
    waiting = add_old_calls(database, instance, 2, days=31)
    execute_sql(database.url, "UPDATE calls SET state = 'PENDING', completed_at = NULL")
    assert purge(instance, retained, NOW - MONTH)["partition_keys"] == 0
    assert set(waiting) <= set(instance.get_dynamic_partitions("calls"))


def test_keys_of_an_unfinished_run_stay(
    instance: dg.DagsterInstance, database: Database, retained: RetentionStore
):
    """For example of a backfill over old calls that is queued."""
    old = add_old_calls(database, instance, 3, days=31)
    run = instance.create_run_for_job(job(), tags=span(old[:2]))
    assert purge(instance, retained, NOW - MONTH)["partition_keys"] == 1
    assert set(old[:2]) <= set(instance.get_dynamic_partitions("calls"))
    instance.report_run_canceled(run)
    assert purge(instance, retained, NOW - MONTH)["partition_keys"] == 2


def test_unfinished_runs_stay_however_old(
    home: Home, instance: dg.DagsterInstance, database: Database, retained: RetentionStore
):
    keys = add_old_calls(database, instance, 2, days=1)
    run = instance.create_run_for_job(job(), tags=span(keys))
    age(home, run.run_id, 400)
    assert purge(instance, retained, NOW - MONTH)["runs"] == 0
    assert instance.get_run_by_id(run.run_id)


def test_a_run_that_refreshed_a_day_of_a_mart_stays_until_the_next_refresh(
    home: Home, instance: dg.DagsterInstance, retained: RetentionStore
):
    @dg.asset(
        name=f"mart_{uuid.uuid4().hex}", partitions_def=dg.DailyPartitionsDefinition("2026-01-01")
    )
    def a_mart() -> None: ...

    def refresh() -> str:
        run = dg.materialize([a_mart], instance=instance, partition_key="2026-03-02")
        age(home, run.run_id, 90)
        return run.run_id

    first = refresh()
    assert purge(instance, retained, NOW - MONTH)["runs"] == 0
    second = refresh()
    assert purge(instance, retained, NOW - MONTH)["runs"] == 1
    assert instance.get_run_by_id(first) is None and instance.get_run_by_id(second)


def test_many_runs_are_deleted_in_recorded_batches(
    home: Home, instance: dg.DagsterInstance, database: Database, retained: RetentionStore
):
    run_ids = [str(uuid.uuid4()) for _ in range(120)]
    for run_id in run_ids:
        instance.add_run(dg.DagsterRun("old_job", run_id, status=dg.DagsterRunStatus.SUCCESS))
        age(home, run_id, 40)
    assert purge(instance, retained, NOW - MONTH)["runs"] == 120
    recorded = execute_sql(
        database.url, "SELECT items, why FROM deletions WHERE what = 'runs' ORDER BY 1"
    )
    assert recorded == [(20, "retention"), (50, "retention"), (50, "retention")]


def test_events_without_a_run_are_deleted_by_age(
    home: Home, instance: dg.DagsterInstance, retained: RetentionStore
):
    name = f"asset_{uuid.uuid4().hex}"
    for _ in range(3):
        instance.report_runless_asset_event(dg.AssetObservation(name))
    ids = f"SELECT id FROM public.event_logs WHERE asset_key LIKE '%{name}%' ORDER BY id LIMIT 2"
    old = "timestamp = now() - interval '40 days'"
    execute_sql(home.database_url, f"UPDATE public.event_logs SET {old} WHERE id IN ({ids})")
    assert purge(instance, retained, NOW - MONTH)["events"] == 2
    left = f"SELECT count(*) FROM public.event_logs WHERE asset_key LIKE '%{name}%'"
    assert execute_sql(home.database_url, left) == [(1,)]


def test_ticks_of_removed_sensors_are_deleted_too(
    instance: dg.DagsterInstance, retained: RetentionStore
):
    origin = uuid.uuid4().hex

    def tick(days: int, status: TickStatus) -> None:
        then = (NOW - timedelta(days=days)).timestamp()
        data = TickData(
            origin, "gone", InstigatorType.SENSOR, status, then, run_ids=[], selector_id=origin
        )
        instance.create_tick(data)

    for days, status in (
        (40, TickStatus.SUCCESS),
        (40, TickStatus.STARTED),
        (9, TickStatus.SKIPPED),
    ):
        tick(days, status)
    assert purge(instance, retained, NOW - MONTH)["ticks"] == 1
    assert len(instance.get_ticks(origin, origin)) == 2
