"""Resources of assets, sensors and I/O managers, opened by `wiring` when they are used.

No resource field holds a secret or a setting, since Dagster stores fields in its database.
"""

import atexit
import multiprocessing
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import dagster as dg
from dagster_slack import SlackResource
from slack_sdk import WebClient

from callpipeline.config import Settings
from callpipeline.defs.dagster_internals.tables import BACKFILL_ID_TAG, run_days
from callpipeline.defs.errors import expose_errors
from callpipeline.defs.interruption import end_suspended_run
from callpipeline.defs.partitions import LANE_TAG
from callpipeline.domain.audio import Channel
from callpipeline.domain.calls.call import Lane, Stage
from callpipeline.domain.transcripts import Transcript
from callpipeline.engines.processes import lower_priority
from callpipeline.notify.slack import web_client
from callpipeline.pipeline.notifications.dispatch import Dispatcher
from callpipeline.pipeline.notifications.monitor import PipelineMonitor
from callpipeline.pipeline.processing.stages import Stages
from callpipeline.storage.postgres import tables
from callpipeline.wiring import Storage
from callpipeline.wiring.recognisers import NICENESS

if TYPE_CHECKING:
    import pandas as pd

OpenStorage = Callable[[str | None], AbstractContextManager[Storage]]
"""Takes the id of the run; None outside of runs."""
OpenStages = Callable[[Storage, Lane], AbstractContextManager[Stages]]
OpenDispatcher = Callable[[Storage, object], Dispatcher]
"""The second argument is a Slack client; None without a bot token."""

TABLES: Mapping[str, str] = {
    "recordings": "analytics.calls",
    Stage.CALL_METRICS: "call_metrics",
    Stage.COMPETITOR_MENTIONS: "mentions",
    Stage.COMPETITOR_SENTIMENT: "sentiment",
}
"""Tables of the assets of a call, by `call_id`."""
VIEWS: Mapping[str, str] = {
    "recordings": "analytics.calls",
    Stage.CALL_METRICS: "analytics.call_metrics",
    Stage.COMPETITOR_MENTIONS: "analytics.mentions",
    Stage.COMPETITOR_SENTIMENT: "analytics.sentiment",
}
"""Views of the same assets by `day`, without duplicates and erased calls."""


class SlackBot(SlackResource):
    """Slack resource whose client does not retry, and can use another API URL.

    The token is passed by the name of its variable: Dagster stores field values in its database.
    """

    api_url: str | None = None

    def get_client(self) -> WebClient:
        """Return a client of Slack's Web API."""
        return web_client(self.token, self.api_url)


@dataclass(frozen=True, slots=True)
class ResourceFactories:
    """Factories of the resources; tests pass their own."""

    storage: OpenStorage
    stages: OpenStages
    dispatcher: OpenDispatcher
    monitor: Callable[[Storage], PipelineMonitor]


class KeptStorage:
    """The storage of a process that evaluates sensors, opened once and kept open.

    Opening it for each tick costs as much as most ticks: Postgres starts two processes.
    """

    def __init__(self, open_storage: Callable[[], AbstractContextManager[Storage]]) -> None:
        self._open = open_storage
        self._lock = threading.Lock()
        self._storage: Storage | None = None

    def get(self) -> Storage:
        """Return the storage; it is open until the process ends."""
        with self._lock:
            if self._storage is None:
                stack = ExitStack()
                self._storage = stack.enter_context(self._open())
                atexit.register(stack.close)
            return self._storage


def resources(factories: ResourceFactories, slack: Mapping[str, SlackBot]) -> dict[str, object]:
    """Return the resources by the names that assets and sensors use."""
    return {
        **slack,
        "storage": _storage(factories),
        "stages": _stages(factories),
        "dispatcher": _dispatcher(factories, slack),
        "monitor": _monitor(factories),
    }


def _storage(factories: ResourceFactories) -> dg.ResourceDefinition:
    def storage(context: dg.InitResourceContext) -> Iterator[Storage]:
        run_id = context.run.run_id if context.run else None
        with expose_errors(), factories.storage(run_id) as opened:
            try:
                yield opened
            finally:
                if run_id:
                    end_suspended_run(run_id)

    return dg.ResourceDefinition(storage, description="Postgres and both object stores.")


def _stages(factories: ResourceFactories) -> dg.ResourceDefinition:
    def stages(context: dg.InitResourceContext) -> Iterator[Stages]:
        tags = context.run.tags if context.run else {}
        # A backfill is as little urgent as a backlog.
        default = Lane.BULK if BACKFILL_ID_TAG in tags else Lane.LIVE
        lane = Lane(tags.get(LANE_TAG, default))
        # Not if it runs in the process of a person's command, or of a test.
        if lane is Lane.BULK and multiprocessing.parent_process() is not None:
            lower_priority(NICENESS[lane])
        with expose_errors(), factories.stages(context.resources.storage, lane) as opened:
            yield opened

    return dg.ResourceDefinition(
        stages,
        required_resource_keys={"storage"},
        description="Configured engines and the competitor list.",
    )


def _dispatcher(
    factories: ResourceFactories, slack: Mapping[str, SlackBot]
) -> dg.ResourceDefinition:
    def dispatcher(context: dg.InitResourceContext) -> Dispatcher:
        bot = getattr(context.resources, "slack", None)
        with expose_errors():
            client = bot.get_client() if bot else None
            return factories.dispatcher(context.resources.storage, client)

    return dg.ResourceDefinition(
        dispatcher,
        required_resource_keys={"storage", *slack},
        description="Notification channels: Slack, email and webhook.",
    )


def _monitor(factories: ResourceFactories) -> dg.ResourceDefinition:
    def monitor(context: dg.InitResourceContext) -> PipelineMonitor:
        return factories.monitor(context.resources.storage)

    return dg.ResourceDefinition(
        monitor,
        required_resource_keys={"storage"},
        description="Monitor for problems outside calls.",
    )


def slack_resources(options: Settings) -> dict[str, SlackBot]:
    """Return the resource `slack` if a bot token is set."""
    if options.slack_bot_token is None:
        return {}
    token = dg.EnvVar("CALLPIPELINE_SLACK_BOT_TOKEN")
    return {"slack": SlackBot(token=token, api_url=options.slack_api_url)}


class PostgresIOManager(dg.IOManager):
    """Stores pandas DataFrames as table rows; replaces the run's partitions in one transaction.

    A downstream asset sets `table` and `partition_column` in its metadata. `attrs["read_at"]` of a
    loaded frame is the database's time before it was read.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def handle_output(self, context: dg.OutputContext, obj: "pd.DataFrame") -> None:
        if context.asset_key.path[-1] in TABLES:
            raise _not_writable(context.asset_key)
        table, by = _table(context.asset_key, context.definition_metadata)
        keys = context.asset_partition_keys
        unexpected = {str(key) for key in obj[by]} - set(keys)
        if unexpected:
            raise ValueError(f"{table}: rows of partitions outside this run: {unexpected}")
        rows = [{str(name): value for name, value in row.items()} for row in _records(obj)]
        with self._storage.database.transaction() as connection:
            # Serializes runs of the same partitions.
            tables.lock(connection, table)
            tables.replace(connection, table, by, keys, rows)
        if len(keys) == 1:  # Dagster would show the total at each partition
            context.add_output_metadata({"rows": len(rows)})

    def load_input(self, context: dg.InputContext) -> "pd.DataFrame":
        import pandas as pd

        table, by, keys = _query(context)
        with self._storage.database.transaction() as connection:
            read_at = tables.transaction_time(connection)
            columns = tables.columns(connection, table)
            rows = tables.select(connection, table, by, keys)
        frame = pd.DataFrame(rows, columns=columns)
        frame.attrs["read_at"] = read_at
        return frame


class ObjectStoreIOManager(dg.IOManager):
    """Loads transcripts and channel audio; several partitions give a dict by call id."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        raise _not_writable(context.asset_key)

    def load_input(self, context: dg.InputContext) -> object:
        keys = context.asset_partition_keys
        stage = Stage(context.asset_key.path[-1])
        load = self._transcripts if stage is Stage.TRANSCRIPTS else self._audio
        loaded = {call_id: load(call_id) for call_id in keys}
        return loaded if len(keys) != 1 else loaded[keys[0]]

    def _transcripts(self, call_id: str) -> Sequence[Transcript]:
        return self._storage.results.transcripts(call_id)

    def _audio(self, call_id: str) -> Mapping[Channel, bytes]:
        """Return the channels as FLAC files."""
        results = self._storage.results
        with TemporaryDirectory() as folder:
            path = Path(folder) / "channel.flac"
            audio: dict[Channel, bytes] = {}
            for channel in results.audio(call_id).channels:
                results.fetch_channel(call_id, channel.channel, path)
                audio[channel.channel] = path.read_bytes()
        return audio


def _query(context: dg.InputContext) -> tuple[str, str, Sequence[str]]:
    """Return the table or view to load from, the column to select by, and its values."""
    days = run_days(context) if context.asset_key.path[-1] in VIEWS else None
    if days is not None:
        # Not by partition keys: those of old calls are retired, and 20,000 remain.
        return VIEWS[context.asset_key.path[-1]], "day", days
    upstream = context.upstream_output
    metadata = upstream.definition_metadata if upstream else {}
    return *_table(context.asset_key, metadata), context.asset_partition_keys


def _not_writable(key: dg.AssetKey) -> dg.DagsterInvariantViolationError:
    return dg.DagsterInvariantViolationError(
        f"{key.to_user_string()} is stored by process_calls, under its claim on the call."
    )


def _table(key: dg.AssetKey, metadata: Mapping[str, object]) -> tuple[str, str]:
    """Return the asset's table and the column with its partition key."""
    if key.path[-1] in TABLES:
        return TABLES[key.path[-1]], "call_id"
    if not {"table", "partition_column"} <= set(metadata):
        raise dg.DagsterInvariantViolationError(
            f"{key.to_user_string()} needs metadata `table` and `partition_column` to be stored "
            "in Postgres."
        )
    return str(metadata["table"]), str(metadata["partition_column"])


def _records(frame: "pd.DataFrame") -> list[dict[object, object]]:
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def io_managers() -> dict[str, dg.IOManagerDefinition]:
    """Return the I/O managers by name, and a default that does not pickle to the local disk."""

    def postgres(context: dg.InitResourceContext) -> PostgresIOManager:
        return PostgresIOManager(context.resources.storage)

    def object_store(context: dg.InitResourceContext) -> ObjectStoreIOManager:
        return ObjectStoreIOManager(context.resources.storage)

    in_postgres = dg.IOManagerDefinition(postgres, required_resource_keys={"storage"})
    in_store = dg.IOManagerDefinition(object_store, required_resource_keys={"storage"})
    return {"postgres": in_postgres, "object_store": in_store, "io_manager": in_postgres}
