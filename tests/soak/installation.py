"""An installation in real processes, with its own data folder and scripted engines."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
from pydantic import SecretStr

from callpipeline import wiring
from callpipeline.cli.installation import guardian
from callpipeline.cli.installation.services import Services
from callpipeline.cli.installation.up import RUN
from callpipeline.config import CHECKOUT, Settings
from callpipeline.domain.calls.call import Lane, Registration
from callpipeline.errors import DatabaseUnavailable
from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from callpipeline.storage.postgres.migrations import migrate
from tests.integration.databases import execute_sql
from tests.processes import free_port, until
from tests.soak.engines import end_of_wait
from tests.soak.faults import Faults
from tests.soak.script import Script

FAULTY, PLAIN = "tests.soak.definitions", "tests.soak.scripted_definitions"
WORKER = "callpipeline.defs.dagster_internals.run_launchers.celery_runs"
START_S = 90.0
OWN_PREFIXES = ("CALLPIPELINE_", "DAGSTER_", "DATABASE_URL", "AWS_")
QUICK = {
    "CALLPIPELINE_SETTLE_S": "3",
    "CALLPIPELINE_RETRY_WAITS_S": "[1, 1, 1, 1, 1]",
    "CALLPIPELINE_CONCURRENCY": "24",
}
"""Settings that make tests take seconds instead of minutes."""


@dataclass
class Installation:
    """Postgres, a code server and a daemon, which can be killed and restarted."""

    home: Path
    url: str
    settings: Settings
    storage: wiring.Storage
    services: Services
    code: str
    environment: Mapping[str, str]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def faults(self) -> Faults:
        return Faults(self.home / "soak")

    @property
    def recordings(self) -> Path:
        return self.home / "recordings"

    @property
    def store(self) -> Path:
        return self.home / "storage"

    @property
    def code_port(self) -> int:
        return int((self.home / "code-port").read_text())

    @property
    def workspace(self) -> list[str]:
        """Return the command-line arguments that name the code server."""
        return ["-w", str(wiring.write_workspace(self.home / "dagster", self.code_port))]

    def start_code_server(self) -> None:
        """Start the code server on its port and wait until it accepts connections."""
        port = str(self.code_port)
        server = ["-m", "dagster", "api", "grpc", "-m", self.code, "-h", "127.0.0.1", "-p", port]
        location = ["--location-name", "callpipeline", "--use-python-environment-entry-point"]
        process = self._start("code-server", [*server, *location])

        def is_listening() -> bool:
            assert process.poll() is None, self.services.log_tail("code-server")
            return _listens(self.code_port)

        until(is_listening, "the code server", START_S, every_s=0.1)

    def start_daemon(self, name: str = "daemon") -> None:
        """Start Dagster's own daemon."""
        self._start(name, ["-m", "dagster._daemon", "run", *self.workspace])

    def start_daemon_as_up_does(self) -> None:
        """Start the daemon with what callpipeline adds to it."""
        self._start("daemon", [*RUN, "dagster._daemon", "run", *self.workspace])

    def start_webserver(self, port: int) -> None:
        ui = ["-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port), *self.workspace]
        ui += ["--live-data-poll-rate", "30000"]
        self._start("webserver", ui)
        until(lambda: _listens(port), "the webserver", START_S, every_s=0.1)

    def start_worker(self, name: str) -> subprocess.Popen[bytes]:
        """Start a Celery worker, as `callpipeline worker` does."""
        run = [guardian.__file__, "60", sys.executable, "-m", WORKER]
        process = self._start(name, run)
        log = self.services.log(name)
        already = log.read_text().count(" ready.")
        until(lambda: log.read_text().count(" ready.") > already, f"{name} is ready", START_S)
        return process

    def _start(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        self.running[name] = self.services.start(name, command)
        return self.running[name]

    def kill(self, name: str) -> None:
        """Kill a service with SIGKILL; its runs continue."""
        self.running[name].kill()
        self.running[name].wait()

    def kill_postgres(self) -> None:
        """Kill Postgres with SIGKILL; its supervisor restarts it on the same port."""
        pid = json.loads((self.home / "postgres" / "server.json").read_text())["pid"]
        os.kill(pid, signal.SIGKILL)

    def pid_of_run(self, run_id: str) -> int | None:
        with contextlib.suppress(FileNotFoundError):
            return int((self.home / "soak" / "runs" / run_id).read_text())
        return None

    def record(self, script: Script, name: str | None = None) -> str:
        """Write a recording atomically to the folder of recordings; return its key."""
        key = name or script.name
        path = self.recordings / key
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.parent / f".{path.name}"
        partial.write_text(script.text)
        partial.rename(path)
        return key

    def end_wait(self, number: int) -> None:
        """End the waits of the engines for the recording with this number."""
        folder = self.home / "soak"
        folder.mkdir(exist_ok=True)
        end_of_wait(folder, number).touch()

    def call_id(self, key: str) -> str:
        """Return the ID that the call of a recording has or will have."""
        return self.storage.inbox.recording(key).call_id

    def register(self, keys: Sequence[str], lane: Lane = Lane.LIVE, priority: int = 0) -> list[str]:
        """Register recordings that exist already; return the IDs of their calls."""
        recordings = [self.storage.inbox.recording(key) for key in keys]
        self.storage.ledger.register(
            [Registration(recording, lane=lane, priority=priority) for recording in recordings]
        )
        return [recording.call_id for recording in recordings]

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """Open the Dagster instance of this installation, to read its runs and events."""
        with _isolated(self.environment), dg.DagsterInstance.get() as instance:
            yield instance

    def states(self, call_ids: Sequence[str]) -> list[str]:
        return [str(call.state) for call in self.storage.ledger.calls(call_ids=call_ids)]

    def run_at_work(self, call_id: str, within_s: float = 120.0) -> str:
        """Wait until a run is at work on a call; return its id."""
        begun = f"SELECT claimed_by FROM calls WHERE call_id = '{call_id}' AND attempts > 0"
        found: list[str] = []

        def is_at_work() -> bool:
            found.extend(run_id for (run_id,) in execute_sql(self.url, begun) if run_id)
            return bool(found)

        until(is_at_work, "a run is at work on the call", within_s, every_s=0.2)
        return found[0]

    def wait_until_final(self, call_ids: Sequence[str], within_s: float = 90.0) -> float:
        """Wait until all calls have ended; return the seconds. Postgres may be unavailable."""
        began = time.monotonic()

        def have_ended() -> bool:
            try:
                calls = self.storage.ledger.calls(call_ids=call_ids)
            except DatabaseUnavailable:
                return False
            return len(calls) == len(set(call_ids)) and all(c.state.is_final for c in calls)

        until(have_ended, f"a final state of {len(call_ids)} calls", within_s, every_s=0.25)
        return time.monotonic() - began


@contextmanager
def installed(
    home: Path,
    environment: Mapping[str, str] | None = None,
    *,
    code: str = FAULTY,
    durable: bool = False,
    daemons: int = 1,
    schema: str = "head",
) -> Iterator[Installation]:
    """Run an installation; `environment` overrides the QUICK settings and those of dagster.yaml."""
    (home / "soak" / "struck").mkdir(parents=True)
    (home / "recordings").mkdir()
    (home / "code-port").write_text(str(free_port()))
    with ExitStack() as stack:
        url = stack.enter_context(EmbeddedPostgres(home / "postgres", durable=durable).running())
        migrate(url, schema)
        settings = Settings(home=home, database_url=SecretStr(url), _env_file=None)  # pyright: ignore
        chosen = _environment(settings, url) | QUICK | dict(environment or {})
        slots = int(chosen.get("CALLPIPELINE_MAX_RUNS", settings.max_runs))
        wiring.write_dagster_home(home / "dagster", slots)
        if (code_folder := Path(chosen["PYTHONPATH"])) != CHECKOUT:  # another version
            shutil.copy(code_folder / "dagster.yaml", home / "dagster")
        storage = stack.enter_context(wiring.open_storage(settings, url))
        wiring.load_catalog(settings, storage.catalogs)
        with _isolated(chosen):
            services = Services(home / "logs", chosen)
        stack.enter_context(services)
        installation = Installation(home, url, settings, storage, services, code, chosen)
        installation.start_code_server()
        for number in range(daemons):
            installation.start_daemon("daemon" if number == 0 else f"daemon-{number + 1}")
        yield installation


def _environment(settings: Settings, url: str) -> dict[str, str]:
    wiring.write_dagster_home(settings.home / "dagster")
    return wiring.dagster_environment(settings, url) | {"PYTHONPATH": str(CHECKOUT)}


@contextmanager
def _isolated(environment: Mapping[str, str]) -> Iterator[None]:
    """Replace this process's settings of callpipeline by others for a while."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith(OWN_PREFIXES)]:
        del os.environ[name]
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
