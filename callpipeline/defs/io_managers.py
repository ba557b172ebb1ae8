"""How Dagster and notebooks read and write assets: DataFrames in Postgres, documents in the store.

The assets of a call are written by `process_calls` itself, under its claim; these load them, and
write what is made downstream of them.
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
    Stage.CALL_METRICS: "call_metrics",
    Stage.COMPETITOR_MENTIONS: "mentions",
    Stage.COMPETITOR_SENTIMENT: "sentiment",
}
"""The tables of the assets of a call, all by `call_id`."""


class PostgresIOManager(dg.IOManager):
    """pandas DataFrame ⇄ the rows of the given partitions, replaced in one transaction.

    An asset made downstream names its place in its metadata: `table`, and `partition_column`,
    the column that holds the partition key.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def handle_output(self, context: dg.OutputContext, obj: "pd.DataFrame") -> None:
        if context.asset_key.path[-1] in TABLES:
            raise _written_under_claim(context.asset_key)
        table, by = _place(context.asset_key, context.definition_metadata)
        keys = context.asset_partition_keys
        strangers = set(obj[by]) - set(keys)
        if strangers:
            raise ValueError(f"{table}: rows of partitions that are not this run's: {strangers}")
        rows = [{str(name): value for name, value in row.items()} for row in _records(obj)]
        with self._storage.database.transaction() as connection:
            tables.replace(connection, table, by, keys, rows)
        context.add_output_metadata({"rows": len(rows)})

    def load_input(self, context: dg.InputContext) -> "pd.DataFrame":
        import pandas as pd

        upstream = context.upstream_output
        metadata = upstream.definition_metadata if upstream else {}
        table, by = _place(context.asset_key, metadata)
        with self._storage.database.transaction() as connection:
            columns = tables.columns(connection, table)
            rows = tables.select(connection, table, by, context.asset_partition_keys)
        return pd.DataFrame(rows, columns=columns)


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
