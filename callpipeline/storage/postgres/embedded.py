"""Embedded Postgres, shared by all callpipeline processes on a data folder.

Each user holds a shared lock on `users.lock`. The first one starts a supervisor
(`embedded_server`), which stops Postgres as soon as no process holds the lock. The kernel releases
the locks of killed processes.
"""

import fcntl
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psycopg

from callpipeline.errors import DatabaseUnavailable

DATABASE = "callpipeline"
START_TIMEOUT_S = 300.0
"""initdb takes 1-3 s, recovery after a kill 2 s; a slow disk may need much more."""
ANSWER_TIMEOUT_S = 60.0


class EmbeddedPostgres:
    """Postgres with its data in `folder`; `durable=False` turns fsync off."""

    def __init__(self, folder: Path, *, major: int = 18, durable: bool = True) -> None:
        self._folder = folder
        self._major = major
        self._durable = durable

    @contextmanager
    def running(self) -> Iterator[str]:
        """Start the server if necessary and yield its URL; it runs at least until exit.

        Raises DatabaseUnavailable with the end of the server log if it does not start.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._folder / "users.lock").open("w") as users:
            fcntl.flock(users, fcntl.LOCK_SH)
            with (self._folder / "start.lock").open("w") as start:
                fcntl.flock(start, fcntl.LOCK_EX)
                url = self._running_server() or self._start()
            yield url

    def _running_server(self) -> str | None:
        """Return the URL of a running server; None if it has to be started.

        A server that has a supervisor may be slow, or just be started again. It is waited for: a
        second supervisor would delete the file by which others find the server.
        """
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while (url := self._server_url()) is None and self._has_supervisor():
            if time.monotonic() > deadline:
                raise DatabaseUnavailable(
                    f"The embedded Postgres in {self._folder} has not answered for "
                    f"{ANSWER_TIMEOUT_S:.0f} s. Its log is postgres.log."
                )
            time.sleep(0.05)
        return url

    def _server_url(self) -> str | None:
        """Return the URL of a running server, unless it lacks a supervisor and is shutting down."""
        # An earlier version had no supervisor's lock.
        if (self._folder / "supervisor.lock").exists() and not self._has_supervisor():
            return None
        try:
            server = json.loads((self._folder / "server.json").read_text())
            password = (self._folder / "password").read_text().strip()
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        url = f"postgresql://callpipeline:{password}@127.0.0.1:{server['port']}/{DATABASE}"
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return None
        return url

    def _has_supervisor(self) -> bool:
        try:
            with (self._folder / "supervisor.lock").open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:  # before the first start
            return False
        except BlockingIOError:
            return True
        return False

    def _start(self) -> str:
        log = self._folder / "postgres.log"
        with log.open("ab") as sink:
            supervisor = self._spawn(sink)
        # It may outlive this context, for other users; the thread reaps it when it ends.
        threading.Thread(target=supervisor.wait, daemon=True).start()
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and supervisor.poll() is None:
            if (self._folder / "server.json").exists() and (url := self._server_url()):
                return url
            time.sleep(0.05)
        raise DatabaseUnavailable(_start_error(log))

    def _spawn(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "callpipeline.storage.postgres.embedded_server"]
        arguments = [str(self._folder), str(self._major), "on" if self._durable else "off"]
        (self._folder / "server.json").unlink(missing_ok=True)
        # In a separate session: Ctrl-C in the terminal must not stop the database first.
        return subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _start_error(log: Path) -> str:
    log_end = " | ".join(log.read_text(errors="replace").splitlines()[-5:])
    return (
        f"The embedded Postgres did not start. Its log {log} ends with: {log_end}. "
        "Set DATABASE_URL to use another Postgres server."
    )
