"""Celery launcher and worker: importing this module needs the extra celery.

`python -m callpipeline.defs.dagster_internals.run_launchers.celery_runs` runs a worker.
"""

import os

from dagster import DagsterRun
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from callpipeline.config import settings
from callpipeline.defs.dagster_internals.probes import QUEUE, worker_name
from callpipeline.engines.processes import available_cpus

RUNS_OF_A_PROCESS = 50
"""Runs after which a worker replaces a process, which bounds what libraries leak."""


class CancelableCeleryLauncher(CeleryRunLauncher):
    """Launcher whose runs end as canceled when a person cancels them."""

    def terminate(self, run_id: str) -> bool:
        """Cancel a run. Reported first: otherwise it ends as failed, and its calls run again."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        if task_id := run.tags.get(DAGSTER_CELERY_TASK_ID_TAG):
            self.celery.control.revoke(task_id, terminate=True)
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Return FAILED only if the task failed: heartbeats show whether its process is alive."""
        task_id = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        if task_id and self.celery.AsyncResult(task_id).state == "FAILURE":
            return CheckRunHealthResult(WorkerStatus.FAILED, "The worker's process died.")
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    @property
    def supports_resume_run(self) -> bool:
        """Return False: a new run continues with the stages that are stored."""
        return False


def run_worker() -> None:
    """Execute runs until asked to stop; SIGTERM also reaches the runs, which hand calls back."""
    from callpipeline.defs.dagster_internals import preload  # noqa: F401 - before it forks
    from callpipeline.defs.dagster_internals.run_launchers import celery_app

    options = settings()
    app = celery_app(options)
    runs = options.worker_runs or max(1, available_cpus() // 2)
    name = worker_name(os.getpid())
    once = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    app.worker_main(
        [
            *("worker", "--pool=prefork", f"--concurrency={runs}", f"--hostname={name}"),
            *(f"--queues={QUEUE}", "--loglevel=INFO", *once),
            f"--max-tasks-per-child={RUNS_OF_A_PROCESS}",
        ]
    )


if __name__ == "__main__":
    run_worker()
