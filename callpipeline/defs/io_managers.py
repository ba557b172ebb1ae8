"""How Dagster and notebooks read and write assets: DataFrames in Postgres, documents in the store.

The assets of a call are written by `process_calls` itself, under its claim; these load them, and
write what is made downstream of them. An asset that is made by day is given the calls of its days.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import dagster as dg

from callpipeline.domain.audio import Channel
from callpipeline.domain.call import Stage
from callpipeline.domain.transcript import Transcript
from callpipeline.storage import tables
from callpipeline.wiring import Storage

if TYPE_CHECKING:  # pandas takes a second to import, which every process of Dagster would pay
    import pandas as pd

TABLES: Mapping[str, str] = {
    "recordings": "analytics.calls",
    Stage.CALL_METRICS: "call_metrics",
    Stage.COMPETITOR_MENTIONS: "mentions",
    Stage.COMPETITOR_SENTIMENT: "sentiment",
}
"""The tables of the assets of a call, all by `call_id`."""
VIEWS: Mapping[str, str] = {
    "recordings": "analytics.calls",
    Stage.CALL_METRICS: "analytics.call_metrics",
    Stage.COMPETITOR_MENTIONS: "analytics.mentions",
    Stage.COMPETITOR_SENTIMENT: "analytics.sentiment",
}
"""The same by `day`, with what a day does not count left out: duplicates and erased calls."""


class PostgresIOManager(dg.IOManager):
    """pandas DataFrame ⇄ the rows of the given partitions, replaced in one transaction.

    An asset made downstream names its place in its metadata: `table`, and `partition_column`,
    the column that holds the partition key. A frame's `attrs["read_at"]` is the database's clock
    before it was read.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def handle_output(self, context: dg.OutputContext, obj: "pd.DataFrame") -> None:
        if context.asset_key.path[-1] in TABLES:
            raise _written_under_claim(context.asset_key)
        table, by = _place(context.asset_key, context.definition_metadata)
        keys = context.asset_partition_keys
        strangers = {str(key) for key in obj[by]} - set(keys)
        if strangers:
            raise ValueError(f"{table}: rows of partitions that are not this run's: {strangers}")
        rows = [{str(name): value for name, value in row.items()} for row in _records(obj)]
        with self._storage.database.transaction() as connection:
            # Of two runs that make the same partitions, one after the other.
            tables.lock(connection, table)
            tables.replace(connection, table, by, keys, rows)
        if len(keys) == 1:  # Dagster would show the rows of all partitions at each of them
            context.add_output_metadata({"rows": len(rows)})

    def load_input(self, context: dg.InputContext) -> "pd.DataFrame":
        import pandas as pd

        table, by, keys = _wanted(context)
        with self._storage.database.transaction() as connection:
            read_at = tables.clock(connection)
            columns = tables.columns(connection, table)
            rows = tables.select(connection, table, by, keys)
        frame = pd.DataFrame(rows, columns=columns)
        frame.attrs["read_at"] = read_at
        return frame


class ObjectStoreIOManager(dg.IOManager):
    """Transcripts and channel audio by call; several partitions give a dict by call id."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        raise _written_under_claim(context.asset_key)

    def load_input(self, context: dg.InputContext) -> object:
        keys = context.asset_partition_keys
        stage = Stage(context.asset_key.path[-1])
        load = self._transcripts if stage is Stage.TRANSCRIPTS else self._audio
        loaded = {call_id: load(call_id) for call_id in keys}
        return loaded if len(keys) != 1 else loaded[keys[0]]

    def _transcripts(self, call_id: str) -> Sequence[Transcript]:
        return self._storage.results.transcripts(call_id)

    def _audio(self, call_id: str) -> Mapping[Channel, bytes]:
        """The channels as FLAC files."""
        results = self._storage.results
        with TemporaryDirectory() as folder:
            path = Path(folder) / "channel.flac"
            audio: dict[Channel, bytes] = {}
            for channel in results.audio(call_id).channels:
                results.fetch_channel(call_id, channel.channel, path)
                audio[channel.channel] = path.read_bytes()
        return audio


def _wanted(context: dg.InputContext) -> tuple[str, str, Sequence[str]]:
    """The table or view to load from, the column to choose by, and what is chosen."""
    days = _days_made(context) if context.asset_key.path[-1] in VIEWS else None
    if days is not None:
        # Never by the calls' keys: those of old calls are gone, the others are 20,000.
        return VIEWS[context.asset_key.path[-1]], "day", days
    upstream = context.upstream_output
    metadata = upstream.definition_metadata if upstream else {}
    return *_place(context.asset_key, metadata), context.asset_partition_keys


def _days_made(context: dg.InputContext) -> Sequence[str] | None:
    """The days that a run makes; None for what is not made by day, and outside of runs."""
    if not context.has_input_name:
        return None
    made = context.step_context.entity_partitions_def
    if not isinstance(made, dg.DailyPartitionsDefinition):
        return None
    return made.get_partition_keys_in_range(context.step_context.partition_key_range)


def _written_under_claim(key: dg.AssetKey) -> dg.DagsterInvariantViolationError:
    return dg.DagsterInvariantViolationError(
        f"{key.to_user_string()} is stored by process_calls, under its claim on the call."
    )


def _place(key: dg.AssetKey, metadata: Mapping[str, object]) -> tuple[str, str]:
    """The asset's table and the column that holds the partition key."""
    if key.path[-1] in TABLES:
        return TABLES[key.path[-1]], "call_id"
    if not {"table", "partition_column"} <= set(metadata):
        raise dg.DagsterInvariantViolationError(
            f"{key.to_user_string()} needs metadata `table` and `partition_column` to be kept in "
            "Postgres."
        )
    return str(metadata["table"]), str(metadata["partition_column"])


def _records(frame: "pd.DataFrame") -> list[dict[object, object]]:
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def io_managers() -> dict[str, dg.IOManagerDefinition]:
    """By name; also the default, since Dagster's own pickles to the local disk."""

    def postgres(context: dg.InitResourceContext) -> PostgresIOManager:
        return PostgresIOManager(context.resources.storage)

    def object_store(context: dg.InitResourceContext) -> ObjectStoreIOManager:
        return ObjectStoreIOManager(context.resources.storage)

    in_postgres = dg.IOManagerDefinition(postgres, required_resource_keys={"storage"})
    in_store = dg.IOManagerDefinition(object_store, required_resource_keys={"storage"})
    return {"postgres": in_postgres, "object_store": in_store, "io_manager": in_postgres}
