"""What people do in Dagster's UI, by the requests that its buttons send.

The calls of these tests are made here: the others look at those of the installation's start.
"""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from callpipeline.domain.call import Stage
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
AGAIN = """
mutation Again($params: ReexecutionParams!) {
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
STORED = """
query Stored($asset: AssetKeyInput!, $partitions: [String!]) {
  assetNodeOrError(assetKey: $asset) { ... on AssetNode {
    assetMaterializations(partitions: $partitions, limit: 10) { partition runId }
  } }
}
"""


@pytest.fixture(scope="module")
def calls(up: Up) -> dict[str, str]:
    """Ids by name: three calls that completed, and one whose supplied transcript is broken."""
    names = ["one", "two", "three"]
    for name in names:
        recording(up.home / "recordings", name, "i am switching to vodafone it is cheaper")
    broken = recording(up.home / "recordings", "broken", "i am leaving virgin media")
    broken.with_suffix(".transcript.json").write_text("{ no json")
    for name in names:
        becomes(up, name, "COMPLETED")
    becomes(up, "broken", "FAILED")
    return {name: up.call(f"{name}.wav")["call_id"] for name in (*names, "broken")}


def becomes(up: Up, name: str, state: str, within_s: float = 120) -> None:
    def described() -> str:
        return f"{name} is {state}: {up.call(f'{name}.wav')}"

    until(lambda: up.state_of(f"{name}.wav") == state, described(), within_s, every_s=0.5)


def backfill(up: Up, call_ids: Sequence[str], *assets: str) -> dict[str, int]:
    """Backfill assets of calls to its end; how many partitions of each asset were made."""
    selection = [{"path": [asset]} for asset in assets]
    params = {"assetSelection": selection, "partitionNames": list(call_ids)}
    launched = up.graphql(BACKFILL, {"params": params})["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched

    def ended() -> dict[str, Any]:
        asked = up.graphql(BACKFILL_STATUS, {"id": launched["backfillId"]})
        return asked["partitionBackfillOrError"]

    until(lambda: not ended()["status"].startswith("REQUESTED"), "the end", 150, every_s=1)
    found = ended()
    assert found["status"].startswith("COMPLETED"), found
    counts = found["assetBackfillData"]["assetBackfillStatuses"]
    return {c["assetKey"]["path"][0]: c["numPartitionsMaterialized"] for c in counts}


def runs_storing(up: Up, asset: str, call_id: str) -> list[str]:
    """The runs that made an asset of a call, the newest first."""
    asked = {"asset": {"path": [asset]}, "partitions": [call_id]}
    found = up.graphql(STORED, asked)["assetNodeOrError"]["assetMaterializations"]
    return [event["runId"] for event in found]


def test_a_backfill_over_a_range_makes_two_assets_and_transcribes_nothing(
    up: Up, calls: dict[str, str]
) -> None:
    call_ids = [calls[name] for name in ("one", "two", "three")]
    transcribed = {call_id: runs_storing(up, "transcripts", call_id) for call_id in call_ids}
    made = backfill(up, call_ids, "competitor_mentions", "competitor_sentiment")
    assert made == {"competitor_mentions": 3, "competitor_sentiment": 3}
    for call_id in call_ids:
        assert runs_storing(up, "transcripts", call_id) == transcribed[call_id]
        assert len(runs_storing(up, "competitor_sentiment", call_id)) == 2
        shown = json.loads(command(up.home, "show", call_id, "--json").stdout)
        assert shown["state"] == "COMPLETED"


def test_a_failed_partition_that_was_mended_is_run_again(up: Up, calls: dict[str, str]) -> None:
    """First in vain, by re-executing the failed run; then, mended, as a backfill of the failed."""
    call_id = calls["broken"]
    [failed] = [run for run in _runs(up) if _failed_over(up, run, call_id)][:1]
    params = {"parentRunId": failed["runId"], "strategy": "FROM_FAILURE"}
    again = up.graphql(AGAIN, {"params": params})["launchRunReexecution"]
    assert again["__typename"] == "LaunchRunSuccess", again

    def status() -> str:
        return next(r["status"] for r in _runs(up) if r["runId"] == again["run"]["runId"])

    until(lambda: status() in ("SUCCESS", "FAILURE"), "the run's end", 90, every_s=0.5)
    assert status() == "FAILURE"
    assert up.state_of("broken.wav") == "FAILED"
    transcript(up.home / "recordings", "broken", "i am leaving virgin media they are terrible")
    assets = [stage.value for stage in Stage]
    assert backfill(up, [call_id], *assets) == dict.fromkeys(assets, 1)
    becomes(up, "broken", "COMPLETED")


def _runs(up: Up) -> list[dict[str, Any]]:
    return up.graphql(RUNS)["runsOrError"]["results"]


def _failed_over(up: Up, run: dict[str, Any], call_id: str) -> bool:
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    first = tags.get("dagster/asset_partition_range_start", tags.get("dagster/partition", ""))
    last = tags.get("dagster/asset_partition_range_end", first)
    return run["status"] == "FAILURE" and first <= call_id <= last
