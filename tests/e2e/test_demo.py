"""The README's first command, on real sound, as a stranger would run it."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


PASSWORD = "a password of the tests"


@pytest.fixture(scope="module")
def over_http(first: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data folder of a demo whose engines are all services of another process."""
    there, here = (tmp_path_factory.mktemp(name) / "data" for name in ("server", "client"))
    users = {"CALLPIPELINE_SERVE_USERS": json.dumps({"demo": PASSWORD})}
    with subprocess.Popen(
        [*CALLPIPELINE, "engines", "serve", "--port", "0"],
        cwd=ROOT,
        env=environment(there) | users | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout
        try:
            url = next(m[0] for line in server.stdout if (m := re.search(r"http://\S+", line)))
            services = ("SPLIT_URL", "TRANSCRIPTION_URL", "SENTIMENT_URL", "AUTH_URL")
            settings = {f"CALLPIPELINE_{name}": url for name in services}
            login = {"CALLPIPELINE_AUTH_USERNAME": "demo", "CALLPIPELINE_AUTH_PASSWORD": PASSWORD}
            done = command(here, "demo", timeout_s=280, settings=settings | login)
            assert done.returncode == 0, done.stdout + done.stderr
        finally:
            server.terminate()
        yield here


OF_THE_FILE = {"call_id", "took_place_at", "day"}
"""Of a copy of a sample: by them no two installations agree."""


def results(home: Path) -> dict[str, Any]:
    """By sample what became of it: its flags, what was said, the mentions with their sentiment."""
    listed = json.loads(command(home, "status", "--json", "--limit", "100").stdout)["calls"]
    names = {call["call_id"]: Path(call["key"]).name for call in listed}
    kept = ("state", "duration_s", "flags", "doubt", "error_message")
    found = {names[call["call_id"]]: {k: call.get(k) for k in kept} for call in listed}
    for what in ("segments", "mentions"):
        for line in command(home, "export", what, "--format", "json").stdout.splitlines():
            row = json.loads(line)
            told = {name: value for name, value in row.items() if name not in OF_THE_FILE}
            found[names[row["call_id"]]].setdefault(what, []).append(told)
    return found


def test_the_demo_gives_the_same_over_http(over_http: Path, home: Path) -> None:
    here, there = results(home), results(over_http)
    assert sum(len(call.get("mentions", ())) for call in here.values()) > 30
    for name, call in here.items():
        assert there[name] == call, name


def test_engines_of_another_process_are_named_as_such(over_http: Path) -> None:
    calls = json.loads(command(over_http, "status", "--json").stdout)["calls"]
    call_id = next(call["call_id"] for call in calls if "/02-" in call["key"])
    document = json.loads(command(over_http, "show", call_id, "--json").stdout)
    assert "remote pocketsphinx" in json.dumps(document)


def test_nothing_is_left_running(first: str, home: Path) -> None:
    until(
        lambda: not processes_of(home),
        f"the demo's processes end: {processes_of(home)}",
        10,
        every_s=0.5,
    )
