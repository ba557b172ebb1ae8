"""Remembered checks of the tables of Dagster's database.

Before nearly every query Dagster asks Postgres which of its tables, columns and indexes exist, for
databases that were not migrated yet. That took a third of the daemon's time, and 100 ms of a run.
"""

import json
import os
from collections.abc import Callable
from functools import wraps
from typing import Any

from dagster import DagsterInstance
from dagster._core.storage.event_log.migration import ASSET_KEY_INDEX_COLS

CHECKS = (
    "_has_asset_key_col_on_connection",
    "_has_instigators_table",
    "has_backfill_id_column",
    "has_backfill_tags_table",
    "has_built_index",
    "has_bulk_action_job_name_column",
    "has_bulk_actions_selector_cols",
    "has_instigators_table",
    "has_run_stats_index_cols",
    "has_secondary_index",
    "has_secondary_index_table",
    "has_table",
)
"""Methods of the storages; some of them take a connection, or the name of what they look for."""

INHERITED = "CALLPIPELINE_DAGSTER_SCHEMA"
"""Variable with what the parent process found, as JSON."""

_present: set[tuple[str, ...]] = {
    tuple(key) for key in json.loads(os.environ.get(INHERITED) or "[]")
}
"""URL, storage, method and names of the checks that were true; nothing is ever removed."""


def remember(*key: str, check: Callable[[], bool]) -> bool:
    """Return the result of a check, which is asked again only as long as it is False."""
    if key not in _present and check():
        _present.add(key)
    return key in _present


def remember_checks(storage: type) -> None:
    """Replace the `CHECKS` that a storage class has."""
    for name in CHECKS:
        if method := getattr(storage, name, None):
            setattr(storage, name, _remembered(method))


def _remembered(method: Callable[..., bool]) -> Callable[..., bool]:
    @wraps(method)
    def remembered(self: Any, *arguments: Any) -> bool:
        names = [argument for argument in arguments if isinstance(argument, str)]
        key = (self.postgres_url, type(self).__name__, method.__name__, *names)
        return remember(*key, check=lambda: method(self, *arguments))

    return remembered


def inherit_schema(instance: DagsterInstance) -> None:
    """Make the checks of a run now, so that the runs started by this process need not."""
    for storage, name, *names in (
        (instance.run_storage, "has_run_stats_index_cols"),
        (instance.run_storage, "has_backfill_id_column"),
        (instance.event_log_storage, "has_table", "dynamic_partitions"),
        (instance.event_log_storage, "has_secondary_index", ASSET_KEY_INDEX_COLS),
        (instance.event_log_storage, "has_asset_key_col", "cached_status_data"),
        (instance.event_log_storage, "has_asset_key_index_cols"),
        (instance.schedule_storage, "has_instigators_table"),
    ):
        getattr(storage, name)(*names)
    os.environ[INHERITED] = json.dumps(sorted(_present))
