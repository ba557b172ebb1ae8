"""`callpipeline up` in real processes: a dropped file, the UI's buttons, a second `up`."""

import json
from pathlib import Path

import pytest

from tests.e2e.installation import Up, command, recording
from tests.processes import until

pytestmark = pytest.mark.slow

LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
RUN = "query Run($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


def test_a_dropped_file_is_processed_automatically(up: Up) -> None:
    recording(up.home / "recordings", "dropped", "i am switching to vodafone it is cheaper")
    until(
        lambda: up.state_of("dropped.wav") == "COMPLETED",
        f"the call: {up.status()}",
        90,
        every_s=0.5,
    )
    call_id = up.call("dropped.wav")["call_id"]
    shown = json.loads(command(up.home, "show", call_id, "--json").stdout)
    [mention] = shown["mentions"]
    assert (mention["competitor"], mention["sentiment"]["sentiment"]) == ("Vodafone", "positive")


def test_a_partition_materialized_in_the_ui_is_processed(up: Up) -> None:
    """Sends what the UI's Materialize button sends, for two assets of one call."""
    call_id = up.call("good.wav")["call_id"]
    assets = [{"path": [name]} for name in ("competitor_mentions", "competitor_sentiment")]
    params = {
        "selector": {
            "repositoryLocationName": "callpipeline",
            "repositoryName": "__repository__",
            "pipelineName": "__ASSET_JOB",
            "assetSelection": assets,
        },
        "mode": "default",
        "runConfigData": {},
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": call_id}]},
    }
    launched = up.graphql(LAUNCH, {"params": params})["launchPipelineExecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run_id = launched["run"]["runId"]

    def status() -> str:
        return up.graphql(RUN, {"id": run_id})["runOrError"]["status"]

    until(lambda: status() in ("SUCCESS", "FAILURE"), "the run ends", 60, every_s=0.5)
    assert status() == "SUCCESS"


def test_a_second_up_on_the_same_data_is_refused(up: Up) -> None:
    second = command(up.home, "up", "--port", "0")
    assert second.returncode == 1
    assert str(up.process.pid) in second.stderr


def test_a_port_in_use_is_reported(tmp_path: Path, up: Up) -> None:
    port = up.ui.rsplit(":", 1)[1]
    refused = command(tmp_path / "data", "up", "--port", port)
    assert refused.returncode == 1
    assert f"Port {port} is in use" in refused.stderr
