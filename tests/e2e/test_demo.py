"""The README's first command, on real sound, as a stranger would run it."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.installation import CALLPIPELINE, ROOT, command, environment, processes_of
from tests.processes import until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "data"


def counts(home: Path) -> dict[str, int]:
    return json.loads(command(home, "status", "--json").stdout)["counts"]


@pytest.fixture(scope="module")
def first(home: Path) -> str:
    """What the demo prints on a data folder on which it was killed in the middle."""
    killed = subprocess.Popen(
        [*CALLPIPELINE, "demo"], cwd=ROOT, env=environment(home), stdout=subprocess.DEVNULL
    )
    until((home / "postgres" / "server.json").exists, "Postgres runs", 60)
    until(lambda: counts(home).get("PROCESSING", 0) > 0, "calls are under way", 60, every_s=1)
    killed.kill()
    killed.wait()
    assert counts(home).get("PROCESSING", 0) > 0
    done = command(home, "demo", timeout_s=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_killed_demo_goes_on_where_it_was(first: str, home: Path) -> None:
    assert "12 sample calls, 0 of them new" in first
    assert counts(home) == {"COMPLETED": 11, "FAILED": 1}
    assert len(list((home / "recordings").rglob("*.*"))) == 12


def test_the_demo_finds_what_was_said(first: str) -> None:
    figures = re.search(r"recall (\d\.\d+)\s+precision (\d\.\d+)", first)
    assert figures, first
    assert float(figures[1]) >= 0.9, first
    assert float(figures[2]) >= 0.9, first


def test_every_sample_ends_as_it_is_meant_to(first: str, home: Path) -> None:
    calls = json.loads(command(home, "status", "--json", "--limit", "100").stdout)["calls"]
    ended = {Path(call["key"]).name: call["state"] for call in calls}
    truths = [json.loads(path.read_text()) for path in (ROOT / "samples").glob("*.truth.json")]
    assert ended == {truth["recording"]: truth["expected"] for truth in truths}


def test_a_second_demo_processes_nothing_again(first: str, home: Path) -> None:
    logged = (home / "logs" / "demo.log").stat().st_size
    again = command(home, "demo")
    assert again.returncode == 0, again.stdout + again.stderr
    assert " 0 of them new" in again.stdout
    assert "recall" in again.stdout
    assert (home / "logs" / "demo.log").stat().st_size == logged


def test_a_call_can_be_shown_with_its_words(first: str, home: Path) -> None:
    calls = json.loads(command(home, "status", "--json").stdout)["calls"]
    call_id = next(call["call_id"] for call in calls if "/02-" in call["key"])
    document = json.loads(command(home, "show", call_id, "--json").stdout)
    assert {mention["competitor"] for mention in document["mentions"]} >= {"Orange"}
    assert {segment["speaker"] for segment in document["segments"]} == {"agent", "customer"}


def test_nothing_is_left_running(first: str, home: Path) -> None:
    until(
        lambda: not processes_of(home),
        f"the demo's processes end: {processes_of(home)}",
        10,
        every_s=0.5,
    )
