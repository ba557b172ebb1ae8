"""Asset checks with the project's dagster.yaml: planned and stored like by the stock storage."""

from collections.abc import Sequence
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.definitions import build
from callpipeline.defs.checks import JOB
from callpipeline.pipeline.quality.checks import CHECKS
from tests.integration.dagster_home import KINDS, Home, events_of, home

__all__ = ["home"]

KEYS = [dg.AssetCheckKey(dg.AssetKey(check.asset), check.name) for check in CHECKS]


@pytest.fixture
def job(settings: Settings, database_url: str) -> dg.JobDefinition:
    chosen = settings.model_copy(update={"database_url": SecretStr(database_url)})
    return build(chosen).resolve_job_def(JOB)


def executions_of(home: Home, run_id: str) -> list[tuple[Any, ...]]:
    query = (
        "SELECT asset_key, check_name, partition, execution_status, "
        "evaluation_event_storage_id > 0 "
        "FROM asset_check_executions WHERE run_id = %s ORDER BY check_name"
    )
    return home.rows(query, run_id)


def kinds(events: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return type, asset and step of each event; bodies contain times."""
    return [(kind, asset, step) for kind, asset, _, step, _ in events]


def test_planned_checks_equal_those_of_stock(home: Home, job: dg.JobDefinition) -> None:
    planned: dict[str, Any] = {}
    for kind in KINDS:
        with home.instance(kind) as instance:
            run = instance.create_run_for_job(job)
        planned[kind] = events_of(home, run.run_id), executions_of(home, run.run_id)
    assert planned["pooled"] == planned["stock"]
    events, executions = planned["pooled"]
    assert {kind for kind, *_ in events} == {"ASSET_CHECK_EVALUATION_PLANNED"}
    assert len(events) == len(executions) == len(CHECKS)
    assert {status for *_, status, _ in executions} == {"PLANNED"}


def test_check_results_equal_those_of_stock(home: Home, job: dg.JobDefinition) -> None:
    stored: dict[str, Any] = {}
    for kind in KINDS:
        with home.instance(kind) as instance:
            result = job.execute_in_process(instance=instance)
            events = instance.event_log_storage
            latest = events.get_latest_asset_check_execution_by_key(KEYS)
            assert {record.status for record in latest.values()} == {
                AssetCheckExecutionRecordStatus.SUCCEEDED
            }
            assert {record.run_id for record in latest.values()} == {result.run_id}
            for key, record in latest.items():
                assert record.event
                evaluation = record.event.asset_check_evaluation
                assert evaluation and evaluation.passed and evaluation.asset_check_key == key
                assert evaluation.description
        stored[kind] = kinds(events_of(home, result.run_id)), executions_of(home, result.run_id)
    assert stored["pooled"] == stored["stock"]
    _, executions = stored["pooled"]
    assert [row[1] for row in executions] == sorted(check.name for check in CHECKS)
    assert {row[3:] for row in executions} == {("SUCCEEDED", True)}


def test_the_history_of_a_check_is_executions_of(home: Home, job: dg.JobDefinition) -> None:
    with home.instance() as instance:
        runs = [job.execute_in_process(instance=instance).run_id for _ in range(2)]
        history = instance.event_log_storage.get_asset_check_execution_history(KEYS[0], limit=2)
    assert [record.run_id for record in history] == list(reversed(runs))
