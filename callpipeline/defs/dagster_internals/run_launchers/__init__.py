"""Run launcher, chosen by CALLPIPELINE_RUN_LAUNCHER: the code server, Celery or Kubernetes.

With `celery`, each run is a task that a worker (`callpipeline worker`) on any machine takes from a
queue in Redis. With `k8s`, it is a pod. The ledger's claims and heartbeats decide what becomes of
its calls, so a lost task, result or pod costs time, never a call.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from dagster._core.launcher.base import RunLauncher
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._serdes import ConfigurableClassData

from callpipeline.config import Settings, settings
from callpipeline.defs.dagster_internals.probes import QUEUE
from callpipeline.errors import SettingsInvalid

if TYPE_CHECKING:
    from celery import Celery

START_S = 3600
"""Time after which Redis offers a task again that a worker took and did not start."""
NO_CELERY = (
    "CALLPIPELINE_RUN_LAUNCHER is celery, which needs the extra celery: "
    "pip install 'callpipeline[celery]'."
)
NO_K8S = (
    "CALLPIPELINE_RUN_LAUNCHER is k8s, which needs the extra k8s: pip install 'callpipeline[k8s]'."
)


class ChosenRunLauncher(DefaultRunLauncher):
    """Class for `run_launcher:` in dagster.yaml; returns the launcher that the settings choose."""

    @classmethod
    def from_config_value(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> RunLauncher:
        options = settings()
        if options.run_launcher == "celery":
            return _celery_launcher(options, inst_data)
        if options.run_launcher == "k8s":
            return _pod_launcher(options)
        return DefaultRunLauncher(inst_data)


def celery_app(options: Settings) -> "Celery":
    """Return the Celery app with the tasks that execute runs. Raises SettingsInvalid."""
    from dagster_celery.tasks import create_execute_job_task, create_resume_job_task

    app = _celery_launcher(options, None).celery
    create_execute_job_task(app)
    create_resume_job_task(app)
    return app


def _celery_launcher(options: Settings, inst_data: ConfigurableClassData | None) -> Any:
    try:
        from callpipeline.defs.dagster_internals.run_launchers.celery_runs import (
            CancelableCeleryLauncher,
        )
    except ImportError:
        raise SettingsInvalid(NO_CELERY) from None
    return CancelableCeleryLauncher(
        default_queue=QUEUE,
        broker=_broker(options),
        backend=_backend(options),
        config_source={
            "broker_connection_retry_on_startup": True,
            "broker_transport_options": {"visibility_timeout": START_S},
            "result_expires": 7 * 86_400,
            "task_default_queue": QUEUE,
            "task_track_started": True,
            # A worker takes a run only when it can start it: the rest waits for others.
            "worker_prefetch_multiplier": 1,
            "worker_disable_prefetch": urlsplit(_broker(options)).scheme.startswith("redis"),
            "worker_hijack_root_logger": False,
            "worker_redirect_stdouts": False,
        },
        inst_data=inst_data,
    )


def _pod_launcher(options: Settings) -> RunLauncher:
    try:
        from callpipeline.defs.dagster_internals.run_launchers.k8s_runs import pod_launcher
    except ImportError:
        raise SettingsInvalid(NO_K8S) from None
    if options.k8s_runs is None:
        raise SettingsInvalid(
            "Set CALLPIPELINE_K8S_RUNS to a file that describes the pods of runs: see deploy/chart."
        )
    return pod_launcher(options.k8s_runs)


def _broker(options: Settings) -> str:
    if options.celery_broker is None:
        raise SettingsInvalid("Set CALLPIPELINE_CELERY_BROKER, such as redis://redis:6379/0.")
    return options.celery_broker.get_secret_value()


def _backend(options: Settings) -> str:
    """Return where the states of tasks are stored: our Postgres.

    A Redis that forgets them on a restart would make healthy runs look lost.
    """
    if options.celery_backend is not None:
        return options.celery_backend.get_secret_value()
    if options.database_url is None:
        raise SettingsInvalid("Set DATABASE_URL: workers on several machines share a database.")
    plain = options.database_url.get_secret_value().removeprefix("postgresql://")
    separator = "&" if "?" in plain else "?"
    search_path = quote("-c search_path=public")
    return f"db+postgresql+psycopg2://{plain}{separator}options={search_path}"
