"""Actions in Dagster's UI, through the requests that its buttons send.

These tests create their own calls; other tests count those created at startup.
"""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from callpipeline.domain.calls.call import Stage
from tests.e2e.installation import Up, command, recording, transcript
from tests.processes import until

pytestmark = pytest.mark.slow

BACKFILL = """
mutation Backfill($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
BACKFILL_STATUS = """
query Status($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill {
      status
      assetBackfillData { assetBackfillStatuses {
        ... on AssetPartitionsStatusCounts { assetKey { path } numPartitionsMaterialized }
      } }
    }
  }
}
"""
REEXECUTION = """
mutation Reexecute($params: ReexecutionParams!) {
  launchRunReexecution(reexecutionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
RUNS = """
query Runs { runsOrError { ... on Runs { results {
  runId status rootRunId tags { key value } assetSelection { path }
} } } }
"""
MATERIALIZATIONS = """
query Materializations($asset: AssetKeyInput!, $partitions: [String!]) {
  assetNodeOrError(assetKey: $asset) { ... on AssetNode {
    assetMaterializations(partitions: $partitions, limit: 10) { partition runId }
  } }
}
"""


@pytest.fixture(scope="module")
def calls(up: Up) -> dict[str, str]:
    """Call IDs by name: three completed calls, and one with a broken supplied transcript."""
    names = ["one", "two", "three"]
    for name in names:
        recording(up.home / "recordings", name, "i am switching to vodafone it is cheaper")
    broken = recording(up.home / "recordings", "broken", "i am leaving virgin media")
    broken.with_suffix(".transcript.json").write_text("{ no json")
    for name in names:
        wait_for_state(up, name, "COMPLETED")
    wait_for_state(up, "broken", "FAILED")
    return {name: up.call(f"{name}.wav")["call_id"] for name in (*names, "broken")}


def wait_for_state(up: Up, name: str, state: str, within_s: float = 120) -> None:
    def description() -> str:
        return f"{name} is {state}: {up.call(f'{name}.wav')}"

    until(lambda: up.state_of(f"{name}.wav") == state, description(), within_s, every_s=0.5)


def backfill(up: Up, call_ids: Sequence[str], *assets: str) -> dict[str, int]:
    """Run a backfill; return the number of materialized partitions by asset."""
    selection = [{"path": [asset]} for asset in assets]
    params = {"assetSelection": selection, "partitionNames": list(call_ids)}
    launched = up.graphql(BACKFILL, {"params": params})["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched

    def status() -> dict[str, Any]:
        reply = up.graphql(BACKFILL_STATUS, {"id": launched["backfillId"]})
        return reply["partitionBackfillOrError"]

    until(lambda: not status()["status"].startswith("REQUESTED"), "the end", 150, every_s=1)
    ended = status()
    assert ended["status"].startswith("COMPLETED"), ended
    counts = ended["assetBackfillData"]["assetBackfillStatuses"]
    return {c["assetKey"]["path"][0]: c["numPartitionsMaterialized"] for c in counts}


def runs_storing(up: Up, asset: str, call_id: str) -> list[str]:
    """Return the runs that materialized an asset of a call, newest first."""
    params = {"asset": {"path": [asset]}, "partitions": [call_id]}
    events = up.graphql(MATERIALIZATIONS, params)["assetNodeOrError"]["assetMaterializations"]
    return [event["runId"] for event in events]


def test_a_backfill_of_two_assets_does_not_transcribe_again(up: Up, calls: dict[str, str]) -> None:
    call_ids = [calls[name] for name in ("one", "two", "three")]
    transcribed = {call_id: runs_storing(up, "transcripts", call_id) for call_id in call_ids}
    counts = backfill(up, call_ids, "competitor_mentions", "competitor_sentiment")
    assert counts == {"competitor_mentions": 3, "competitor_sentiment": 3}
    for call_id in call_ids:
        assert runs_storing(up, "transcripts", call_id) == transcribed[call_id]
        assert len(runs_storing(up, "competitor_sentiment", call_id)) == 2
        shown = json.loads(command(up.home, "show", call_id, "--json").stdout)
        assert shown["state"] == "COMPLETED"


def test_a_fixed_partition_is_run_again(up: Up, calls: dict[str, str]) -> None:
    """Re-executing fails again; a backfill succeeds once the transcript is fixed."""
    call_id = calls["broken"]
    [failed] = [run for run in _runs(up) if _failed_over(up, run, call_id)][:1]
    params = {"parentRunId": failed["runId"], "strategy": "FROM_FAILURE"}
    reexecution = up.graphql(REEXECUTION, {"params": params})["launchRunReexecution"]
    assert reexecution["__typename"] == "LaunchRunSuccess", reexecution

    def status() -> str:
        return next(r["status"] for r in _runs(up) if r["runId"] == reexecution["run"]["runId"])

    until(lambda: status() in ("SUCCESS", "FAILURE"), "the run's end", 90, every_s=0.5)
    assert status() == "FAILURE"
    assert up.state_of("broken.wav") == "FAILED"
    transcript(up.home / "recordings", "broken", "i am leaving virgin media they are terrible")
    assets = [stage.value for stage in Stage]
    assert backfill(up, [call_id], *assets) == dict.fromkeys(assets, 1)
    wait_for_state(up, "broken", "COMPLETED")


def _runs(up: Up) -> list[dict[str, Any]]:
    return up.graphql(RUNS)["runsOrError"]["results"]


def _failed_over(up: Up, run: dict[str, Any], call_id: str) -> bool:
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    first = tags.get("dagster/asset_partition_range_start", tags.get("dagster/partition", ""))
    last = tags.get("dagster/asset_partition_range_end", first)
    return run["status"] == "FAILURE" and first <= call_id <= last
