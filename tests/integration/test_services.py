"""Processes that live no longer than the command which started them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from callpipeline.cli.services import Services, refuse_second_operator, sole_operator
from callpipeline.errors import SettingsInvalid
from tests.processes import is_alive, until

CHILD = """
import subprocess, sys, time
from pathlib import Path
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
Path(sys.argv[1]).write_text(str(grandchild.pid))
print("child is up", flush=True)
time.sleep(600)
"""
STARTER = """
import sys, time
from pathlib import Path
from callpipeline.cli.services import Services
with Services(Path(sys.argv[1]), {}) as services:
    child = services.start("child", ["-c", sys.argv[3], sys.argv[2]])
    print(child.pid, flush=True)
    time.sleep(600)
"""


def pid_in(file: Path) -> int:
    until(lambda: file.exists() and file.read_text() != "", f"{file.name} is written")
    return int(file.read_text())


def test_the_end_stops_children_and_their_children(tmp_path: Path):
    with Services(tmp_path / "logs", {}) as services:
        child = services.start("child", ["-c", CHILD, str(tmp_path / "grandchild")])
        grandchild = pid_in(tmp_path / "grandchild")
        assert services.ended() is None
    assert not is_alive(child.pid)
    assert not is_alive(grandchild)


def test_an_error_in_the_middle_stops_them_too(tmp_path: Path):
    started: list[int] = []

    def fail_with_a_child() -> None:
        with Services(tmp_path, {}) as services:
            started.append(services.start("child", ["-c", "import time; time.sleep(600)"]).pid)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_with_a_child()
    assert not is_alive(started[0])


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_stays_when_the_starter_is_killed(tmp_path: Path, kind: signal.Signals):
    arguments = [str(tmp_path / "logs"), str(tmp_path / "grandchild"), CHILD]
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, *arguments], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout
    child = int(starter.stdout.readline())
    grandchild = pid_in(tmp_path / "grandchild")
    os.kill(starter.pid, kind)
    starter.communicate()
    until(lambda: not is_alive(child), "the child is gone", within_s=5)
    until(lambda: not is_alive(grandchild), "the grandchild is gone", within_s=5)


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path):
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True)\n"
    with Services(tmp_path, {}) as services:
        # The guardian's patience is 15 s: here it is one of our own, with less.
        child = services.start("deaf", ["-c", deaf + "time.sleep(600)"])
        until(lambda: "up" in services.last_words("deaf"), "the deaf child is up")
        stop_impatiently([child.pid])
        until(lambda: child.poll() is not None, "it is killed")
    assert child.returncode == -signal.SIGKILL


def stop_impatiently(groups: list[int]) -> None:
    code = "import sys; from callpipeline.cli import guardian; guardian.GRACE_S = 0.2;"
    code += f"guardian.stop({groups})"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_service_that_ended_is_named_with_its_last_words(tmp_path: Path):
    with Services(tmp_path, {}) as services:
        services.start("well", ["-c", "import time; time.sleep(600)"])
        services.start("broken", ["-c", "print('one'); print('two'); raise SystemExit('three')"])
        until(lambda: services.ended() is not None, "one has ended")
        assert services.ended() == "broken"
        assert services.last_words("broken", lines=2) == "two\nthree"


def test_services_get_the_environment_they_need(tmp_path: Path):
    with Services(tmp_path, {"CALLPIPELINE_X": "set"}) as services:
        started = services.start("child", ["-c", "import os; print(os.environ['CALLPIPELINE_X'])"])
        until(lambda: started.poll() is not None, "it has ended")
        assert services.last_words("child") == "set"


def in_another_process(home: Path, code: str) -> str:
    begin = "from pathlib import Path\nfrom callpipeline.cli.services import sole_operator\n"
    code = f"{begin}home = Path({str(home)!r})\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20
    )
    return done.stdout.strip()


ASK = "with sole_operator(home) as alone: print(alone)"


def test_a_second_operator_is_refused_naming_the_first(tmp_path: Path):
    with sole_operator(tmp_path / "home") as alone:
        assert alone
        assert in_another_process(tmp_path / "home", ASK) == "False"
        with pytest.raises(SettingsInvalid, match=rf"process {os.getpid()}\b.*CALLPIPELINE_HOME"):
            refuse_second_operator(tmp_path / "home")
        assert in_another_process(tmp_path / "elsewhere", ASK) == "True"
    assert in_another_process(tmp_path / "home", ASK) == "True"


def test_an_operator_that_was_killed_makes_room(tmp_path: Path):
    die = "import os\nwith sole_operator(home) as alone: os._exit(0)"
    in_another_process(tmp_path, die)
    with sole_operator(tmp_path) as alone:
        assert alone
