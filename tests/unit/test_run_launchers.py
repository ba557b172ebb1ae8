"""The choice of the run launcher, and batches that are spread over its slots."""

from typing import Any

import dagster as dg
import pytest

from callpipeline.config import Settings, settings
from callpipeline.defs.dagster_internals.run_launchers import ChosenRunLauncher, celery_app
from callpipeline.defs.jobs.process_calls import spread_over_slots
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


@pytest.mark.parametrize(
    ("waiting", "slots", "size"),
    [(200, 2, 56), (200, 10, 16), (16, 2, 8), (1, 10, 1), (3, 2, 2), (100_000, 4, 200), (0, 4, 1)],
)
def test_batches_of_workers_fit_to_calls_and_slots(waiting: int, slots: int, size: int):
    assert spread_over_slots(options(run_launcher="celery", max_runs=slots), waiting) == size


def test_batches_of_one_machine_are_large():
    assert spread_over_slots(options(batch_size=150), 200) == 150
