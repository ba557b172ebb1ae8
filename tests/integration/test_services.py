"""Processes that live no longer than the command which started them."""

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from callpipeline.cli.installation import guardian
from callpipeline.cli.installation.services import (
    Services,
    Supervisor,
    refuse_second_operator,
    sole_operator,
)
from callpipeline.errors import EngineUnavailable, SettingsInvalid
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
import signal, sys, time
from pathlib import Path
from callpipeline.cli.installation.services import Services
# As a shell starts a command, whatever the process of the tests ignores or blocks.
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_SETMASK, ())
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
    try:
        # First, since the guardian holds its output: who does not die is named, not waited for.
        until(lambda: starter.poll() is not None, "the starter is gone")
    except AssertionError as error:
        status = Path(f"/proc/{starter.pid}/status").read_text()
        raise AssertionError(f"{error}\n{status}") from None
    finally:
        starter.kill()
        starter.wait()
        starter.stdout.close()
    assert starter.returncode == -kind
    until(lambda: not is_alive(child), "the child is gone", within_s=20)
    until(lambda: not is_alive(grandchild), "the grandchild is gone", within_s=5)


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path):
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True)\n"
    with Services(tmp_path, {}) as services:
        # The guardian's patience is 15 s: here it is one of our own, with less.
        child = services.start("deaf", ["-c", deaf + "time.sleep(600)"])
        until(lambda: "up" in services.log_tail("deaf"), "the deaf child is up")
        stop_impatiently([child.pid])
        until(lambda: child.poll() is not None, "it is killed")
    assert child.returncode == -signal.SIGKILL


def stop_impatiently(groups: list[int]) -> None:
    code = "import sys; from callpipeline.cli.installation import guardian; guardian.GRACE_S = 0.2;"
    code += f"guardian.stop({groups})"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_service_that_ended_is_named_with_its_log_tail(tmp_path: Path):
    with Services(tmp_path, {}) as services:
        services.start("well", ["-c", "import time; time.sleep(600)"])
        services.start("broken", ["-c", "print('one'); print('two'); raise SystemExit('three')"])
        until(lambda: services.ended() is not None, "one has ended")
        assert services.ended() == "broken"
        assert services.log_tail("broken", lines=2) == "two\nthree"


def test_services_get_the_environment_they_need(tmp_path: Path):
    with Services(tmp_path, {"CALLPIPELINE_X": "set"}) as services:
        started = services.start("child", ["-c", "import os; print(os.environ['CALLPIPELINE_X'])"])
        until(lambda: started.poll() is not None, "it has ended")
        assert services.log_tail("child") == "set"


SLEEP = ["-c", "import time; time.sleep(600)"]
DIE = ["-c", "raise SystemExit('no luck')"]


class Supervised:
    """Services under supervision, whose clock goes as the test says."""

    def __init__(self, services: Services) -> None:
        self.now = 0.0
        self.messages: list[str] = []
        self.services = services
        self._supervisor = Supervisor(services, self.messages.append, clock=lambda: self.now)

    def check(self, after_s: float = 0.0) -> None:
        self.now += after_s
        self._supervisor.restart_dead()

    def wait_for_death(self, name: str = "service") -> None:
        until(lambda: name in self.services.dead(), "it died")


@pytest.fixture
def supervised(tmp_path: Path):
    with Services(tmp_path / "logs", {}) as services:
        yield Supervised(services)


def test_a_service_that_was_killed_is_started_again_at_once(supervised: Supervised):
    first = supervised.services.start("service", SLEEP)
    other = supervised.services.start("other", SLEEP)
    supervised.check()
    assert supervised.messages == []
    first.kill()
    supervised.wait_for_death()
    supervised.check()
    assert supervised.services.dead() == {}
    assert not is_alive(first.pid)
    assert is_alive(other.pid)
    died, again = supervised.messages
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d service died \(killed by SIGKILL\); restarting now\.", died
    )
    assert re.match(r"\d\d:\d\d:\d\d service restarted", again)


def test_it_waits_longer_each_time_and_gives_up_with_the_log_tail(supervised: Supervised):
    supervised.services.start("service", DIE)
    for wait_s in (0, 1, 2, 5):
        supervised.wait_for_death()
        if wait_s:
            supervised.check()
            supervised.check(after_s=wait_s - 0.5)
            assert "service" in supervised.services.dead()
        supervised.check(after_s=0.5)
    supervised.wait_for_death()
    with pytest.raises(EngineUnavailable, match=r"(?s)service died 5 times within 10.*no luck"):
        supervised.check()


def test_a_service_may_die_now_and_then(supervised: Supervised):
    supervised.services.start("service", DIE)
    for _ in range(6):
        supervised.wait_for_death()
        supervised.check(after_s=601)
    assert sum("restarting now" in sentence for sentence in supervised.messages) == 6


def test_what_a_dead_service_had_started_lives_on_until_the_end(tmp_path: Path):
    with Services(tmp_path / "logs", {}) as services:
        child = services.start("child", ["-c", CHILD, str(tmp_path / "grandchild")])
        grandchild = pid_in(tmp_path / "grandchild")
        child.kill()
        until(lambda: "child" in services.dead(), "it died")
        Supervisor(services, print).restart_dead()
        assert is_alive(grandchild)
    assert not is_alive(grandchild)


def test_the_guardian_forgets_groups_that_have_ended(tmp_path: Path):
    """Their ids may be somebody else's by the end."""
    gone = subprocess.Popen([sys.executable, "-c", ""], process_group=0)
    gone.wait()
    source, sink = os.pipe()
    os.write(sink, f"{gone.pid}\n{os.getpgid(0)}\n".encode())
    closing = threading.Timer(0.5, os.close, [sink])
    closing.start()
    assert guardian.read_groups(source, forget_s=0.1) == [os.getpgid(0)]
    closing.join()
    os.close(source)


def in_another_process(home: Path, code: str) -> str:
    begin = "from pathlib import Path\n"
    begin += "from callpipeline.cli.installation.services import sole_operator\n"
    code = f"{begin}home = Path({str(home)!r})\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
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
