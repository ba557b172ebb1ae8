"""Stopping `callpipeline up` with each signal."""

import shutil
import signal
from pathlib import Path

import pytest

from tests.e2e.installation import processes_of, start_up
from tests.processes import until

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_after_any_signal(tmp_path: Path, kind: signal.Signals) -> None:
    home = tmp_path / "data"
    up = start_up(home)
    code = up.stop(kind)
    assert code == (0 if kind is not signal.SIGKILL else -signal.SIGKILL)
    until(lambda: not processes_of(home), "the end of its processes", 30, every_s=0.5)
    assert not (home / "postgres" / "server.json").exists()
    shutil.rmtree(home)
