"""Runs as pods of Kubernetes, with a fake of its API: canceled, evicted, killed; none lost."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack

import dagster as dg
import pytest

from callpipeline.domain.calls.call import CallState
from tests.fakes.cluster import NAMESPACE, FakeCluster
from tests.integration.databases import execute_sql
from tests.processes import until
from tests.soak.installation import PLAIN, Installation, installed
from tests.soak.script import Script

pytestmark = pytest.mark.slow

DESCRIBED = {
    "job_image": "callpipeline:test",
    "job_namespace": NAMESPACE,
    "service_account_name": "callpipeline",
    "instance_config_map": "callpipeline-files",
    "run_k8s_config": {"container_config": {"command": ["callpipeline", "execute"]}},
}
COUNTED = "SELECT state, attempts, releases, idle_runs FROM calls WHERE call_id = '{}'"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeCluster]:
    with FakeCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def installation(
    cluster: FakeCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    environment = {
        "CALLPIPELINE_RUN_LAUNCHER": "k8s",
        "CALLPIPELINE_K8S_RUNS": str(cluster.options(DESCRIBED)),
        "CALLPIPELINE_MAX_RUNS": "2",
        "CALLPIPELINE_TRANSCRIBER": "pocketsphinx",  # needs no model; the scripted one is used
    }
    with ExitStack() as stack:
        home = tmp_path_factory.mktemp("pods") / "data"
        installation = stack.enter_context(installed(home, environment, code=PLAIN))
        # The pods write the workspace of the daemon, whose home they share here.
        port = {"CALLPIPELINE_CODE_PORT": str(installation.code_port)}
        cluster.environment = {**installation.environment, **port}
        yield installation


def test_runs_are_pods(installation: Installation, cluster: FakeCluster) -> None:
    call_ids = installation.register(
        [installation.record(Script(number, 2)) for number in range(3)]
    )
    installation.wait_until_final(call_ids, 240)
    assert installation.states(call_ids) == [CallState.COMPLETED] * 3
    with installation.instance() as instance:
        runs = [run for run in instance.get_runs() if run.job_name == "process_waiting_calls"]
        ids = {run.run_id for run in runs}
        until(lambda: _ended(instance, ids) == {"SUCCESS"}, "the runs have ended", 60)
    assert {f"dagster-run-{run_id}" for run_id in ids} <= set(cluster.pods)


def test_a_canceled_run_ends_canceled_and_its_calls_are_processed_later(
    installation: Installation,
) -> None:
    call_ids = installation.register([installation.record(Script(100, 1, wait_s=30.0))])
    run_id = installation.run_at_work(call_ids[0])
    with installation.instance() as instance:
        assert instance.run_launcher.terminate(run_id)
        until(lambda: _ended(instance, {run_id}) == {"CANCELED"}, "the run is canceled", 60)
    installation.end_wait(100)
    assert execute_sql(installation.url, COUNTED.format(call_ids[0]))[0][1] == 0
    installation.wait_until_final(call_ids, 240)
    assert installation.states(call_ids) == [CallState.COMPLETED]


def test_an_evicted_pod_hands_its_calls_back_and_they_lose_no_attempt(
    installation: Installation, cluster: FakeCluster
) -> None:
    """SIGTERM of the kubelet also reaches pods whose node is drained, and of a rolling upgrade."""
    call_ids = installation.register([installation.record(Script(200, 1, wait_s=30.0))])
    run_id = installation.run_at_work(call_ids[0])
    pod = cluster.pods[f"dagster-run-{run_id}"]
    installation.kill("daemon")  # so that no other run takes the call before it is looked at
    pod.send_signal(signal.SIGTERM)
    assert pod.wait(120) == 0
    assert execute_sql(installation.url, COUNTED.format(call_ids[0])) == [("PENDING", 0, 0, 0)]
    with installation.instance() as instance:
        assert _ended(instance, {run_id}) == {"CANCELED"}
    installation.end_wait(200)
    installation.start_daemon()
    installation.wait_until_final(call_ids, 240)
    assert installation.states(call_ids) == [CallState.COMPLETED]


def test_an_api_that_is_away_ends_no_run_and_a_failed_pod_does(
    installation: Installation, cluster: FakeCluster
) -> None:
    call_ids = installation.register([installation.record(Script(300, 1, wait_s=30.0))])
    run_id = installation.run_at_work(call_ids[0])
    with installation.instance() as instance:
        run = instance.get_run_by_id(run_id)
        assert run
        cluster.is_away = True
        try:
            assert instance.run_launcher.check_run_worker_health(run).status.name == "RUNNING"
        finally:
            cluster.is_away = False
        pod = cluster.pods[f"dagster-run-{run_id}"]
        cluster.kill(pod)
        assert instance.run_launcher.check_run_worker_health(run).status.name == "FAILED"
    installation.end_wait(300)
    installation.wait_until_final(call_ids, 300)
    assert installation.states(call_ids) == [CallState.COMPLETED]


def _ended(instance: dg.DagsterInstance, run_ids: set[str]) -> set[str]:
    runs = (instance.get_run_by_id(run_id) for run_id in run_ids)
    return {run.status.name for run in runs if run}
