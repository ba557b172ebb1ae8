"""The README's first command, with a real speech recogniser, on some of the samples.

The recogniser is Whisper with the model base, or pocketsphinx where the model is missing. The test
of the wheel runs the command on all samples.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.installation import (
    CALLPIPELINE,
    ROOT,
    command,
    environment,
    processes_of,
    recogniser_settings,
)
from tests.models import find_model
from tests.processes import until

pytestmark = pytest.mark.slow

SAMPLES = ("02-coming-from-virgin", "07-customer-not-recorded", "08-mono-billing", "12-not-audio")
"""One sample for each kind of recording: stereo, half of it silent, mono, and no audio."""
WITH_SAMPLES = """
import sys
from pathlib import Path
from callpipeline import wiring
from callpipeline.cli import app
samples = Path(sys.argv.pop(1))
wiring.sample_recordings = lambda: samples
app()
"""
PASSWORD = "a password of the tests"
RECOGNISER = recogniser_settings()
LEAST = 1.0 if find_model("base") else 0.9
"""Least recall and precision; pocketsphinx doesn't know all names."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "data"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the program with a folder of some samples instead of all."""
    folder = tmp_path_factory.mktemp("samples")
    for name in (*SAMPLES, "competitors"):
        for path in (ROOT / "samples").glob(f"{name}.*"):
            shutil.copy2(path, folder)
    return [sys.executable, "-c", WITH_SAMPLES, str(folder)]


def counts(home: Path) -> dict[str, int]:
    """Return the number of calls by state."""
    return json.loads(command(home, "status", "--json").stdout)["counts"]


@pytest.fixture(scope="module")
def first(home: Path, program: list[str]) -> str:
    """Kill the demo in the middle and run it again; return its output."""
    killed = subprocess.Popen(
        [*program, "demo"], cwd=ROOT, env=environment(home) | RECOGNISER, stdout=subprocess.DEVNULL
    )
    until((home / "postgres" / "server.json").exists, "a running Postgres", 60)
    until(lambda: counts(home).get("PROCESSING", 0) > 0, "calls in progress", 60, every_s=1)
    killed.kill()
    killed.wait()
    left = counts(home)
    # The run may have handed its calls back: its guardian stops it more gently.
    assert left.get("PROCESSING", 0) + left.get("PENDING", 0) > 0
    done = command(home, "demo", timeout_s=560, settings=RECOGNISER, program=program)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_killed_demo_continues(first: str, home: Path) -> None:
    assert "4 sample calls, 0 of them new" in first
    assert counts(home) == {"COMPLETED": 3, "FAILED": 1}
    assert len(list((home / "recordings").rglob("*.*"))) == 4


def test_the_demo_finds_the_spoken_mentions(first: str) -> None:
    figures = re.search(r"recall (\d\.\d+)\s+precision (\d\.\d+)", first)
    assert figures, first
    assert min(map(float, figures.groups())) >= LEAST, first


def test_every_sample_ends_in_the_expected_state(first: str, home: Path) -> None:
    calls = json.loads(command(home, "status", "--json", "--limit", "100").stdout)["calls"]
    ended = {Path(call["key"]).name: call["state"] for call in calls}
    files = [ROOT / "samples" / f"{name}.truth.json" for name in SAMPLES]
    truths = [json.loads(file.read_text()) for file in files]
    assert ended == {truth["recording"]: truth["expected"] for truth in truths}


def test_a_second_demo_processes_nothing_again(first: str, home: Path, program: list[str]) -> None:
    logged = (home / "logs" / "demo.log").stat().st_size
    again = command(home, "demo", settings=RECOGNISER, program=program)
    assert again.returncode == 0, again.stdout + again.stderr
    assert " 0 of them new" in again.stdout
    assert "recall" in again.stdout
    assert (home / "logs" / "demo.log").stat().st_size == logged


def test_a_call_is_shown_with_its_transcript(first: str, home: Path) -> None:
    calls = json.loads(command(home, "status", "--json").stdout)["calls"]
    call_id = next(call["call_id"] for call in calls if "/02-" in call["key"])
    document = json.loads(command(home, "show", call_id, "--json").stdout)
    assert {mention["competitor"] for mention in document["mentions"]} >= {"Orange"}
    assert {segment["speaker"] for segment in document["segments"]} == {"agent", "customer"}


@pytest.fixture(scope="module")
def over_http(
    first: str, program: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Run a demo with an engine server for all engines; return its data folder."""
    server_home, client_home = (
        tmp_path_factory.mktemp(name) / "data" for name in ("server", "client")
    )
    users = {"CALLPIPELINE_SERVE_USERS": json.dumps({"demo": PASSWORD})}
    with subprocess.Popen(
        [*CALLPIPELINE, "engines", "serve", "--port", "0"],
        cwd=ROOT,
        env=environment(server_home) | RECOGNISER | users | {"PYTHONUNBUFFERED": "1"},
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
            settings["CALLPIPELINE_TRANSCRIPTION_HINT_FIELD"] = "vocabulary"
            done = command(
                client_home, "demo", timeout_s=560, settings=settings | login, program=program
            )
            assert done.returncode == 0, done.stdout + done.stderr
        finally:
            server.terminate()
        yield client_home


FILE_FIELDS = {"call_id", "took_place_at", "day", "link"}
"""Fields that depend on the copy of the sample, so they differ between installations."""


def results(home: Path) -> dict[str, Any]:
    """Return by sample its flags, its segments, and its mentions with their sentiment."""
    listed = json.loads(command(home, "status", "--json", "--limit", "100").stdout)["calls"]
    names = {call["call_id"]: Path(call["key"]).name for call in listed}
    fields = ("state", "duration_s", "flags", "doubt", "error_message")
    by_sample = {names[call["call_id"]]: {k: call.get(k) for k in fields} for call in listed}
    for kind in ("segments", "mentions"):
        for line in command(home, "export", kind, "--format", "json").stdout.splitlines():
            row = json.loads(line)
            comparable = {name: value for name, value in row.items() if name not in FILE_FIELDS}
            by_sample[names[row["call_id"]]].setdefault(kind, []).append(comparable)
    return by_sample


def test_the_results_are_the_same_over_http(over_http: Path, home: Path) -> None:
    local, remote = results(home), results(over_http)
    assert sum(len(call.get("mentions", ())) for call in local.values()) >= 10
    for name, call in local.items():
        assert remote[name] == call, name


def test_remote_engines_are_named_as_remote(over_http: Path) -> None:
    calls = json.loads(command(over_http, "status", "--json").stdout)["calls"]
    call_id = next(call["call_id"] for call in calls if "/02-" in call["key"])
    document = json.loads(command(over_http, "show", call_id, "--json").stdout)
    used = "faster-whisper" if RECOGNISER else "pocketsphinx"
    assert f"remote {used}" in json.dumps(document)


def test_no_process_is_left_running(first: str, home: Path) -> None:
    until(lambda: not processes_of(home), "the end of the demo's processes", 10, every_s=0.5)
