"""Retention of Dagster's own records: partition keys, runs, events, ticks and backfills.

Keys and runs are deleted by the same age: the pages of a key show its runs' events, and every key
slows down each page (docs/decisions/0015). The ledger and the results stay; retrying an old call
adds its key again.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile

import dagster as dg
from sqlalchemy import ColumnElement, Table, delete, func, select

from callpipeline.defs.dagster_internals.runs import delete_run
from callpipeline.defs.dagster_internals.tables import (
    CALL_ASSETS,
    ENDED_BACKFILL_STATUSES,
    FINISHED_STATUSES,
    MATERIALIZATION,
    NOT_FINISHED_STATUSES,
    RUNLESS_RUN_ID,
    Backfills,
    BackfillTags,
    Events,
    Keys,
    Ticks,
    connect,
    has_ticks,
)
from callpipeline.defs.partitions import PARTITIONS_NAME
from callpipeline.pipeline.erasure import DeletionResult
from callpipeline.storage.erasure import RetentionStore

DELETE_BATCH = 1000
RUN_BATCH = 50
READ_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Purge:
    """Deletes records older than a time in small batches, while calls are being processed."""

    instance: dg.DagsterInstance
    retained: RetentionStore
    older_than: datetime

    def plan(self) -> list[DeletionResult]:
        """Return what would be deleted."""
        counts = {
            "partition_keys": sum(map(len, self._keys())),
            "runs": sum(1 for _ in self._runs()),
            "events": self._count(Events, *self._old_events()),
            "ticks": self._count(Ticks, *self._old_ticks()) if has_ticks(self.instance) else 0,
            "backfills": self._count(Backfills, *self._old_backfills()),
        }
        return [DeletionResult(kind, self.older_than, items) for kind, items in counts.items()]

    def apply(self) -> Iterator[DeletionResult]:
        """Delete the records; yields each kind when it is done."""
        kinds: dict[str, Callable[[], Iterator[int]]] = {
            "partition_keys": self._delete_keys,
            "runs": self._delete_runs,
            "events": lambda: self._delete_rows(Events, self._old_events()),
            "ticks": self._delete_ticks,
            "backfills": self._delete_backfills,
        }
        for kind, batches in kinds.items():
            items = 0
            for count in takewhile(bool, batches()):
                self.retained.record(kind, count, self.older_than)
                items += count
            yield DeletionResult(kind, self.older_than, items)

    def _keys(self) -> Iterator[list[str]]:
        """Yield keys of calls that ended long ago and have no unfinished run, in batches."""
        all_keys = list(self.instance.get_dynamic_partitions(PARTITIONS_NAME))
        busy = self._busy_keys()
        for start in range(0, len(all_keys), READ_BATCH):
            batch = all_keys[start : start + READ_BATCH]
            yield [k for k in self.retained.retirable_keys(batch, self.older_than) if k not in busy]

    def _busy_keys(self) -> set[str]:
        """Return the keys of unfinished runs."""
        runs = self.instance.get_run_ids(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))
        planned = select(Events.c.partition).where(
            Events.c.run_id.in_(runs), Events.c.partition.is_not(None)
        )
        with connect(self.instance, Events) as connection:
            return {row.partition for row in connection.execute(planned)}

    def _delete_keys(self) -> Iterator[int]:
        """Delete each batch of keys in one statement: Dagster deletes them one by one."""
        for batch in filter(None, self._keys()):
            in_batch = Keys.c.partitions_def_name == PARTITIONS_NAME, Keys.c.partition.in_(batch)
            with connect(self.instance, Keys) as connection:
                connection.execute(delete(Keys).where(*in_batch))
            yield len(batch)

    def _runs(self) -> Iterator[str]:
        """Yield runs that ended long ago, but not those whose results are still shown."""
        retained, cursor = self._runs_still_shown(), None
        filters = dg.RunsFilter(statuses=FINISHED_STATUSES, updated_before=self.older_than)
        while True:
            run_ids = self.instance.get_run_ids(filters, cursor=cursor, limit=READ_BATCH)
            yield from (run_id for run_id in run_ids if run_id not in retained)
            if len(run_ids) < READ_BATCH:
                return
            cursor = run_ids[-1]

    def _runs_still_shown(self) -> set[str]:
        """Return runs with the last materialization of a partition of an asset other than calls.

        Dagster shows a day of a mart as materialized as long as that event exists.
        """
        newest = (
            select(func.max(Events.c.id))
            .where(
                Events.c.dagster_event_type == MATERIALIZATION,
                Events.c.asset_key.is_not(None),
                Events.c.asset_key.not_in(CALL_ASSETS),
            )
            .group_by(Events.c.asset_key, Events.c.partition)
        )
        with connect(self.instance, Events) as connection:
            rows = connection.execute(select(Events.c.run_id).where(Events.c.id.in_(newest)))
            return {row.run_id for row in rows}

    def _delete_runs(self) -> Iterator[int]:
        # Listed first: the cursor is a run that would be deleted.
        run_ids = list(self._runs())
        for start in range(0, len(run_ids), RUN_BATCH):
            batch = run_ids[start : start + RUN_BATCH]
            for run_id in batch:
                delete_run(self.instance, run_id)
            yield len(batch)

    def _old_events(self) -> Sequence[ColumnElement[bool]]:
        """Return the condition for events without a run, such as sent notifications."""
        older_than = self.older_than.astimezone(UTC).replace(tzinfo=None)
        return Events.c.run_id == RUNLESS_RUN_ID, Events.c.timestamp < older_than

    def _old_ticks(self) -> Sequence[ColumnElement[bool]]:
        """Return the condition for ticks, also of removed sensors, which Dagster never deletes."""
        return (Ticks.c.timestamp < self.older_than, Ticks.c.status != "STARTED")

    def _delete_ticks(self) -> Iterator[int]:
        """Delete ticks with their logs, which are stored with those of runs."""
        if not has_ticks(self.instance):
            return
        batch = select(Ticks.c.id, Ticks.c.tick_body).where(*self._old_ticks()).limit(DELETE_BATCH)
        rows = [None]
        while rows:
            with connect(self.instance, Ticks) as connection:
                rows = connection.execute(batch).all()
                for row in rows:
                    if log_key := json.loads(row.tick_body).get("log_key"):
                        self.instance.compute_log_manager.delete_logs(log_key=log_key)
                connection.execute(delete(Ticks).where(Ticks.c.id.in_([row.id for row in rows])))
            yield len(rows)

    def _old_backfills(self) -> Sequence[ColumnElement[bool]]:
        has_ended = Backfills.c.status.in_(ENDED_BACKFILL_STATUSES)
        return Backfills.c.timestamp < self.older_than, has_ended

    def _delete_backfills(self) -> Iterator[int]:
        with connect(self.instance, Backfills) as connection:
            old = select(Backfills.c.key).where(*self._old_backfills())
            keys = [row.key for row in connection.execute(old)]
            connection.execute(delete(BackfillTags).where(BackfillTags.c.backfill_id.in_(keys)))
            connection.execute(delete(Backfills).where(Backfills.c.key.in_(keys)))
        yield len(keys)

    def _count(self, table: Table, *conditions: ColumnElement[bool]) -> int:
        with connect(self.instance, table) as connection:
            counted = select(func.count()).select_from(table).where(*conditions)
            return connection.execute(counted).scalar_one()

    def _delete_rows(
        self, table: Table, conditions: Sequence[ColumnElement[bool]]
    ) -> Iterator[int]:
        batch = select(table.c.id).where(*conditions).limit(DELETE_BATCH)
        deleted = DELETE_BATCH
        while deleted == DELETE_BATCH:
            with connect(self.instance, table) as connection:
                deleted = connection.execute(delete(table).where(table.c.id.in_(batch))).rowcount
            yield deleted
