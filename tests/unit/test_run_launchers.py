"""The choice of the run launcher, and batches that are spread over its slots."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from callpipeline.config import Settings, settings
from callpipeline.defs.dagster_internals.run_launchers import ChosenRunLauncher, celery_app
from callpipeline.defs.jobs.process_calls import max_open_batches, spread_over_slots
from callpipeline.errors import SettingsInvalid

URL = "postgresql://u:p@db:5432/calls"


def options(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)  # pyright: ignore[reportCallIssue]


def test_the_code_server_executes_runs_by_default():
    launcher = ChosenRunLauncher.from_config_value(None, {})
    assert type(launcher) is dg.DefaultRunLauncher


def test_celery_is_chosen_by_one_setting(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CALLPIPELINE_RUN_LAUNCHER", "celery")
    monkeypatch.setenv("CALLPIPELINE_DATABASE_URL", URL)
    settings.cache_clear()
    with pytest.raises(SettingsInvalid, match="CALLPIPELINE_CELERY_BROKER"):
        ChosenRunLauncher.from_config_value(None, {})
    monkeypatch.setenv("CALLPIPELINE_CELERY_BROKER", "redis://redis:6379/0")
    settings.cache_clear()
    launcher = ChosenRunLauncher.from_config_value(None, {})
    assert type(launcher).__name__ == "CancelableCeleryLauncher"


def test_workers_take_a_run_only_when_they_can_start_it():
    app = celery_app(
        options(run_launcher="celery", celery_broker="redis://redis:6379/0", database_url=URL)
    )
    assert {"execute_job", "resume_job"} <= set(app.tasks)
    assert app.conf.worker_prefetch_multiplier == 1 and app.conf.worker_disable_prefetch
    assert app.conf.result_backend == (
        "db+postgresql+psycopg2://u:p@db:5432/calls?options=-c%20search_path%3Dpublic"
    )


def test_kubernetes_needs_a_description_of_the_pods(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    def refused(**environment: str) -> str:
        for name, value in environment.items():
            monkeypatch.setenv(f"CALLPIPELINE_{name}", value)
        settings.cache_clear()
        with pytest.raises(SettingsInvalid) as raised:
            ChosenRunLauncher.from_config_value(None, {})
        return str(raised.value)

    assert "Set CALLPIPELINE_K8S_RUNS" in refused(RUN_LAUNCHER="k8s")
    described = tmp_path / "runs.yaml"
    assert "can't be read (No such file" in refused(K8S_RUNS=str(described))
    described.write_text("image: callpipeline:1")
    said = refused()
    assert str(described) in said and '"image"' in said
    described.write_text("{service_account_name: me, instance_config_map: files}")
    assert "service account" in refused(), "there is no cluster around this process"


@pytest.mark.parametrize(
    ("waiting", "slots", "size", "open_batches"),
    [(500, 5, 56, 5), (100, 5, 24, 4), (10, 5, 24, 2), (0, 1, 24, 1), (100_000, 4, 200, 4)],
)
def test_pods_get_batches_that_are_worth_their_start(
    waiting: int, slots: int, size: int, open_batches: int
):
    chosen = options(run_launcher="k8s", max_runs=slots)
    assert spread_over_slots(chosen, waiting) == size
    assert max_open_batches(chosen, waiting) == open_batches


@pytest.mark.parametrize(
    ("waiting", "slots", "size"),
    [(200, 2, 56), (200, 10, 16), (16, 2, 8), (1, 10, 1), (3, 2, 2), (100_000, 4, 200), (0, 4, 1)],
)
def test_batches_of_workers_fit_to_calls_and_slots(waiting: int, slots: int, size: int):
    assert spread_over_slots(options(run_launcher="celery", max_runs=slots), waiting) == size


def test_batches_of_one_machine_are_large():
    assert spread_over_slots(options(batch_size=150), 200) == 150
