"""Dagster's tables, tags and run statuses, and connections to the storages with the tables."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import dagster as dg
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES
from dagster._core.instance.utils import RUNLESS_RUN_ID
from dagster._core.storage.dagster_run import FINISHED_STATUSES, NOT_FINISHED_STATUSES
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable as Checks
from dagster._core.storage.event_log.schema import AssetEventTagsTable as EventTags
from dagster._core.storage.event_log.schema import AssetKeyTable as Assets
from dagster._core.storage.event_log.schema import DynamicPartitionsTable as Keys
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Events
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.runs.schema import BackfillTagsTable as BackfillTags
from dagster._core.storage.runs.schema import BulkActionsTable as Backfills
from dagster._core.storage.runs.schema import RunsTable as Runs
from dagster._core.storage.runs.schema import RunTagsTable as RunTags
from dagster._core.storage.schedules import SqlScheduleStorage
from dagster._core.storage.schedules.schema import JobTickTable as Ticks
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    BACKFILL_ID_TAG,
    PARTITION_NAME_TAG,
    PRIORITY_TAG,
)
from sqlalchemy import Connection, Table

from callpipeline.domain.calls.call import Stage

ENDED_BACKFILL_STATUSES = [status.value for status in BULK_ACTION_TERMINAL_STATUSES]

__all__ = [
    "ASSET_PARTITION_RANGE_END_TAG",
    "ASSET_PARTITION_RANGE_START_TAG",
    "BACKFILL_ID_TAG",
    "ENDED_BACKFILL_STATUSES",
    "FINISHED_STATUSES",
    "NOT_FINISHED_STATUSES",
    "PARTITION_NAME_TAG",
    "PRIORITY_TAG",
    "RUNLESS_RUN_ID",
    "Assets",
    "BackfillTags",
    "Backfills",
    "Checks",
    "EventTags",
    "Events",
    "Keys",
    "RunTags",
    "Runs",
    "Ticks",
]

MATERIALIZATION = dg.DagsterEventType.ASSET_MATERIALIZATION.value
CALL_ASSETS = [dg.AssetKey(stage.value).to_string() for stage in Stage]
"""Keys of the assets of a call, as column `asset_key` has them."""


def run_days(context: dg.InputContext) -> Sequence[str] | None:
    """Return the daily partitions of the run; None for other partitions, and outside of runs."""
    if not context.has_input_name:
        return None
    partitions = context.step_context.entity_partitions_def
    if not isinstance(partitions, dg.DailyPartitionsDefinition):
        return None
    return partitions.get_partition_keys_in_range(context.step_context.partition_key_range)


@contextmanager
def connect(instance: dg.DagsterInstance, table: Table) -> Iterator[Connection]:
    """Open a connection to the storage that contains a table."""
    if table is Ticks:
        ticks = instance.schedule_storage
        assert isinstance(ticks, SqlScheduleStorage)
        context = ticks.connect()
    elif table in (Runs, RunTags, Backfills, BackfillTags):
        runs = instance.run_storage
        assert isinstance(runs, SqlRunStorage)
        context = runs.connect()
    else:
        events = instance.event_log_storage
        assert isinstance(events, SqlEventLogStorage)
        context = events.index_connection()
    with context as connection:
        yield connection


def has_ticks(instance: dg.DagsterInstance) -> bool:
    """Return False for the ephemeral instances of tests, which store no ticks."""
    return isinstance(instance.schedule_storage, SqlScheduleStorage)
