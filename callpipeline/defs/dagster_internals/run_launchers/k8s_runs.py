"""Launcher of runs as Jobs of Kubernetes: importing this module needs the extra k8s.

The pod of a run executes `callpipeline execute`, and is described by a file of the chart
(deploy/chart), which CALLPIPELINE_K8S_RUNS names.
"""

from pathlib import Path

from dagster import DagsterRun
from dagster._core.errors import DagsterInvalidConfigError
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._serdes import ConfigurableClassData
from dagster_k8s.launcher import K8sRunLauncher
from kubernetes.config import ConfigException

from callpipeline.errors import SettingsInvalid


class PodRunLauncher(K8sRunLauncher):
    """Launcher whose runs do not depend on the API of Kubernetes once they have started."""

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Return FAILED only if the Job failed.

        Dagster ends runs whose health is unknown. The API may be away while the control plane is
        upgraded, and a Job may be deleted: heartbeats show whether the process is alive.
        """
        result = super().check_run_worker_health(run)
        if result.status is WorkerStatus.UNKNOWN:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return result

    @property
    def supports_resume_run(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return False: a new run continues with the stages that are stored."""
        return False


def pod_launcher(path: Path) -> PodRunLauncher:
    """Return the launcher that a file of K8sRunLauncher's options describes.

    Raises SettingsInvalid.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise SettingsInvalid(
            f"CALLPIPELINE_K8S_RUNS: {path} can't be read ({error.strerror})."
        ) from None
    try:
        return ConfigurableClassData(__name__, PodRunLauncher.__name__, text).rehydrate(
            as_type=PodRunLauncher
        )
    except DagsterInvalidConfigError as error:
        reasons = "; ".join(problem.message for problem in error.errors)
        raise SettingsInvalid(f"{path} has options that don't fit: {reasons}") from None
    except ConfigException as error:
        raise SettingsInvalid(
            f"Kubernetes can't be reached from here ({error}): the service needs a service account "
            "whose token is mounted (deploy/chart)."
        ) from None
