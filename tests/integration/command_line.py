"""Run commands of callpipeline in processes of their own, forked from one that has imported it all.

Importing takes a second and a half, a fork a few milliseconds. Each command still has its own
process, environment, working directory and exit code.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

Done = subprocess.CompletedProcess[str]
OURS = ("CALLPIPELINE_", "DATABASE_URL", "DAGSTER_")
"""The environment of the test run that commands do not see."""
TIMEOUT_S = 300
_RUN = "from callpipeline.cli import app; app()"
_COLUMNS = "200"


class Installation:
    """A data folder, and a database that its commands use."""

    def __init__(self, home: Path, database_url: str | None = None) -> None:
        self.home = home
        self.environment = _inherited() | {
            "CALLPIPELINE_HOME": str(home),
            "CALLPIPELINE_MODEL_DOWNLOAD": "off",
        }
        if database_url:
            self.environment["DATABASE_URL"] = database_url
        home.mkdir(exist_ok=True)

    def run(self, *words: str | Path, exit_code: int = 0, **environment: str) -> Done:
        """Run `callpipeline <words>`; fails on another exit code, and on any traceback."""
        arguments = tuple(map(str, words))
        # What is read at import (the terminal, the locale) needs a process of its own.
        forked = all(name.startswith(("CALLPIPELINE_", "DATABASE_URL")) for name in environment)
        run = _forked if forked else _started
        done = run(arguments, self.environment | environment, self.home)
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == exit_code, (done.stdout, done.stderr)
        return done

    def json(self, *words: str | Path, exit_code: int = 0) -> Any:
        """Run a command with `--json`; returns what it printed."""
        return json.loads(self.run(*words, "--json", exit_code=exit_code).stdout)


def _inherited() -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return clean | {"COLUMNS": _COLUMNS}


def _started(words: tuple[str, ...], environment: dict[str, str], folder: Path) -> Done:
    return subprocess.run(
        [sys.executable, "-c", _RUN, *words],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=TIMEOUT_S,
        check=False,
    )


def _forked(words: tuple[str, ...], environment: dict[str, str], folder: Path) -> Done:
    with tempfile.TemporaryDirectory() as out:
        asked = {"words": words, "environment": environment, "folder": str(folder), "out": out}
        code = _server().ask(asked)
        read = [Path(out, name).read_text(errors="surrogateescape") for name in ("1", "2")]
    return subprocess.CompletedProcess(words, code, *read)


@cache
def _server() -> "_ForkServer":
    return _ForkServer()


class _ForkServer:
    """The process that has imported everything, and forks once for each command."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env=_inherited() | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self._process.kill)

    def ask(self, command: dict[str, Any]) -> int:
        """Return the exit code of a command."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        if code == -14:
            raise subprocess.TimeoutExpired(command["words"], TIMEOUT_S)
        return code


def _serve() -> None:
    """Fork for each line of stdin, and answer with the exit code of the child."""
    import dagster  # noqa: F401  # imported by doctor and demo
    import dagster_postgres  # noqa: F401

    from callpipeline import cli, config  # noqa: F401

    assert config.settings.cache_info().currsize == 0  # each child reads its own

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(**json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(words: list[str], environment: dict[str, str], folder: str, out: str) -> None:
    """Run a command in this process, as if it had been started for it; never returns."""
    import signal

    from callpipeline.cli import app

    signal.alarm(TIMEOUT_S)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number in (1, 2):
        os.dup2(os.open(f"{out}/{number}", os.O_WRONLY | os.O_CREAT), number)
    sys.argv = ["callpipeline", *words]
    code = 1
    try:
        app()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve()
