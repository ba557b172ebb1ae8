"""Measure the queries of Dagster's UI with many partitions.

Run with `python benchmarks/partitions_ui.py --keys 20000`: 95 % of the keys are materialized for
all five assets; code server and webserver are real. `new key` is the first response after a key was
added, which empties the cache of partition statuses; `again` is the next one. It prints results
and asserts nothing, since times depend on the machine.
"""

import argparse
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
from dagster import DagsterEvent, DagsterEventType
from dagster._core.events import AssetMaterializationPlannedData, StepMaterializationData
from dagster._core.events.log import EventLogEntry

from callpipeline.defs.partitions import PROCESS_CALLS_JOB
from callpipeline.domain.calls.call import Stage
from tests.processes import free_port
from tests.soak.installation import PLAIN, Installation, installed

CALLS_A_RUN = 200
MISSING = 0.05
"""Share of failed keys. Each run has some, so each run has failed."""
KEY = {"path": [Stage.TRANSCRIPTS.value]}
KEYS = [{"path": [stage.value]} for stage in Stage]

PARTITIONS_TAB = """
query PartitionHealthQuery($assetKey: AssetKeyInput!) {
  assetNodeOrError(assetKey: $assetKey) {
    ... on AssetNode {
      id
      partitionKeysByDimension { name type partitionKeys }
      assetPartitionStatuses {
        ... on DefaultPartitionStatuses {
          materializedPartitions materializingPartitions failedPartitions
        }
      }
    }
  }
}
"""
ASSET_GRAPH = """
query AssetGraphLiveQuery($assetKeys: [AssetKeyInput!]!) {
  assetNodes(assetKeys: $assetKeys, loadMaterializations: true) {
    id
    opNames
    repository { id }
    assetKey { path }
    assetMaterializations(limit: 1) { timestamp runId stepKey }
    assetObservations(limit: 1) { timestamp runId stepKey }
    partitionStats { numMaterialized numMaterializing numPartitions numFailed }
  }
  assetsLatestInfo(assetKeys: $assetKeys) {
    id
    assetKey { path }
    unstartedRunIds
    inProgressRunIds
    latestRun { id status startTime endTime }
  }
}
"""
ONE_PARTITION = """
query AssetPartitionDetailQuery($assetKey: AssetKeyInput!, $partitionKey: String!) {
  assetNodeOrError(assetKey: $assetKey) {
    ... on AssetNode {
      id
      opNames
      latestRunForPartition(partition: $partitionKey) { id status }
      assetMaterializations(partitions: [$partitionKey]) { timestamp runId }
      assetObservations(partitions: [$partitionKey]) { timestamp runId }
    }
  }
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=20_000)
    count = parser.parse_args().keys
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "data"
        with installed(home, code=PLAIN, daemons=0) as installation:
            keys = [f"2026-01-{n % 28 + 1:02}-{n:012x}" for n in range(count)]
            began = time.monotonic()
            _materialize(installation, keys)
            print(f"{count} keys created in {time.monotonic() - began:.0f} s")
            port = free_port()
            installation.start_webserver(port)
            _ask_all(installation, f"http://127.0.0.1:{port}/graphql", keys)


def _materialize(installation: Installation, keys: Sequence[str]) -> None:
    """Write keys, runs and events in batches, as Dagster does."""
    planned = DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    made = set(keys) - set(keys[:: round(1 / MISSING)])
    with installation.instance() as instance:
        instance.add_dynamic_partitions("calls", list(keys))
        for start in range(0, len(keys), CALLS_A_RUN):
            some = keys[start : start + CALLS_A_RUN]
            run_id = str(uuid.uuid4())
            status = dg.DagsterRunStatus.FAILURE  # some of its calls failed
            instance.add_run(dg.DagsterRun(PROCESS_CALLS_JOB, run_id=run_id, status=status))
            events = instance.event_log_storage
            for stage in Stage:
                events.store_event_batch([_event(planned, stage, key, run_id) for key in some])
                stored = [key for key in some if key in made]
                kind = DagsterEventType.ASSET_MATERIALIZATION
                events.store_event_batch([_event(kind, stage, key, run_id) for key in stored])


def _event(kind: DagsterEventType, stage: Stage, key: str, run_id: str) -> EventLogEntry:
    if kind is DagsterEventType.ASSET_MATERIALIZATION:
        facts = dg.AssetMaterialization(stage.value, partition=key, metadata={"words": 120})
        data = StepMaterializationData(facts, [])
    else:
        data = AssetMaterializationPlannedData(dg.AssetKey(stage.value), partition=key)
    event = DagsterEvent(
        event_type_value=kind.value, job_name=PROCESS_CALLS_JOB, event_specific_data=data
    )
    return EventLogEntry(
        error_info=None,
        level="debug",
        user_message="",
        run_id=run_id,
        timestamp=time.time(),
        dagster_event=event,
    )


def _ask_all(installation: Installation, url: str, keys: Sequence[str]) -> None:
    questions: dict[str, tuple[str, dict[str, Any]]] = {
        "partitions tab of one asset": (PARTITIONS_TAB, {"assetKey": KEY}),
        "asset graph, five assets": (ASSET_GRAPH, {"assetKeys": KEYS}),
        "one partition": (ONE_PARTITION, {"assetKey": KEY, "partitionKey": keys[0]}),
    }
    with httpx.Client(timeout=600) as client:
        print(f"\n{'':32}{'first':>9}{'again':>9}{'new key':>9}{'again':>9}")
        for number, (name, (query, variables)) in enumerate(questions.items()):
            body = {"query": query, "variables": variables}
            times = [_ask(client, url, body), _ask(client, url, body)]
            with installation.instance() as instance:
                instance.add_dynamic_partitions("calls", [f"2026-02-01-{number:012x}"])
            times += [_ask(client, url, body), _ask(client, url, body)]
            print(f"{name:32}" + "".join(f"{seconds:>7.2f} s" for seconds in times))


def _ask(client: httpx.Client, url: str, body: dict[str, Any]) -> float:
    began = time.monotonic()
    reply = client.post(url, json=body)
    if not reply.is_success or "errors" in reply.json():
        raise SystemExit(reply.text[:500])
    return time.monotonic() - began


if __name__ == "__main__":
    main()
