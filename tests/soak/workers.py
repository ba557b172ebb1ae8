"""An installation whose runs are executed by Celery workers, with a Redis as the queue."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.processes import free_port, until
from tests.soak.installation import PLAIN, Installation, installed

REDIS = shutil.which("redis-server")
NO_REDIS = "redis-server is not installed: apt-get install redis-server"


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Run a Redis without persistence; yields its URL."""
    assert REDIS, NO_REDIS
    port = free_port()
    options = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--dir", str(folder)]
    with (folder / "redis.log").open("ab") as log:
        server = subprocess.Popen([REDIS, "--port", str(port), *options], stdout=log)
    try:
        until(lambda: "Ready to accept" in (folder / "redis.log").read_text(), "Redis is ready", 30)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait()


@contextmanager
def with_workers(
    folder: Path,
    *,
    runs: int,
    slots: int,
    extra: Mapping[str, str] | None = None,
    code: str = PLAIN,
) -> Iterator[Installation]:
    """Run an installation without a worker yet; each will execute `runs` runs at once."""
    with redis_server(folder) as url:
        environment = {
            "CALLPIPELINE_RUN_LAUNCHER": "celery",
            "CALLPIPELINE_CELERY_BROKER": url,
            "CALLPIPELINE_MAX_RUNS": str(slots),
            "CALLPIPELINE_WORKER_RUNS": str(runs),
            **(extra or {}),
        }
        with installed(folder / "data", environment, code=code) as installation:
            yield installation


def kill_machine(installation: Installation, name: str) -> None:
    """Kill a worker with all its processes at once, as if its machine had lost power."""
    pid = installation.running[name].pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for group in map(int, children):
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    installation.kill(name)
