"""Each command of docs/operations.md runs; its files, metrics and services exist."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from callpipeline.config import CHECKOUT, Settings
from callpipeline.domain.calls.call import Registration
from callpipeline.storage.calls.queue import Outages
from callpipeline.storage.postgres.database import Database
from callpipeline.web.services.monitoring import Metrics
from callpipeline.wiring import open_storage
from tests.builders import a_recording
from tests.integration.command_line import Installation
from tests.integration.databases import new_database
from tests.processes import free_port

TEXT = (CHECKOUT / "docs" / "operations.md").read_text()
BLOCK = re.compile(r"(?:^    \S.*\n)+", re.MULTILINE)
LINES = [line.strip() for block in BLOCK.findall(TEXT) for line in block.splitlines()]
COMMANDS = [line for line in LINES if line.startswith("callpipeline ")]
INLINE = re.findall(r"`(callpipeline [^`…]+)`", TEXT)
SERVICES = {"code-server", "daemon", "ui", "web", "worker", "engines"}
MAY_FAIL = (["doctor"], ["engines", "check"])
"""Commands that exit with 1 if they find something, as in an installation without services."""


@pytest.fixture
def installation(postgres: str, template: str, tmp_path: Path) -> Iterator[Installation]:
    with new_database(postgres, template) as url:
        home = tmp_path / "data"
        options = Settings(home=home, _env_file=None)  # pyright: ignore[reportCallIssue]
        with open_storage(options, url) as storage:
            recording = a_recording(key="a.wav")
            storage.ledger.register([Registration(recording, metadata={"customer": "Ann Abbot"})])
        yield Installation(home, url)


def test_every_command_of_a_block_runs(installation: Installation, tmp_path: Path, postgres: str):
    ports = {name: str(free_port()) for name in ("CODE_PORT", "PORT", "WEB_PORT", "SERVE_PORT")}
    environment = {f"CALLPIPELINE_{name}": port for name, port in ports.items()}
    assert len(COMMANDS) >= 9
    for command in COMMANDS:
        _, *words = shlex.split(command.replace("/mnt/backup", str(tmp_path)))
        if words[0] == "restore":
            with new_database(postgres) as url:
                restored = Installation(tmp_path / "restored", url)
                _run(restored, words, environment)
                assert restored.json("status")["calls"] == installation.json("status")["calls"]
            continue
        _run(installation, words, environment)


def _run(installation: Installation, words: list[str], environment: dict[str, str]) -> None:
    if words[:2] in MAY_FAIL:
        words = [*words, "--json"]
        for code in (0, 1):
            try:
                installation.run(*words, exit_code=code, **environment)
            except AssertionError:
                continue
            return
        raise AssertionError(words)
    installation.run(*words, exit_code=0, **environment)


def test_every_command_in_the_text_has_these_words(installation: Installation):
    call_id = installation.json("status")["calls"][0]["call_id"]
    for command in sorted(set(INLINE)):
        _, *words = shlex.split(command.replace("CALL", call_id))
        if words[0] in SERVICES:
            words.append("--help")
        elif words[:2] == ["keys", "create"]:
            words += ["monitoring", "--scope", "read"]
        elif words[:2] == ["keys", "revoke"]:
            words.append("monitoring")
        elif words[0] in ("health", "env", "migrate", "doctor", "users"):
            words.append("--help")
        _run(installation, words, {})


def test_dagsters_own_commands_work_in_this_environment(installation: Installation):
    instructions = [line for line in LINES if line.startswith(("eval", "dagster instance"))]
    assert len(instructions) == 2
    shell = 'callpipeline() { python -m callpipeline "$@"; }; '
    code = f"{sys.executable} -c 'from callpipeline.cli import app; app()' \"$@\""
    shell = f"callpipeline() {{ {code}; }}; " + "; ".join(instructions)
    done = subprocess.run(
        ["sh", "-ec", shell],
        env=installation.environment
        | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "schedule_storage" in done.stdout


def test_containers_and_targets_that_are_named_exist():
    compose = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
    docker = [line for line in LINES if line.startswith("docker compose ")]
    assert len(docker) >= 6
    words = {"compose", "up", "-d", "ps", "down", "build", "run", "--rm", "restart", "docker"}
    words |= {"-v", "/mnt/backup:/backup", "backup", "/backup/callpipeline"}
    named = {word for line in docker for word in line.split()} - words
    assert named <= set(compose["services"])
    profiles = {
        profile for each in compose["services"].values() for profile in each.get("profiles", ())
    }
    assert set(re.findall(r"--profile (\w+)", TEXT)) == profiles
    variables = set(re.findall(r"\$\{(\w+)", (CHECKOUT / "docker-compose.yml").read_text()))
    images = set(re.findall(r"`(\w+_(?:IMAGE|BUCKET|KEY|COMMAND|MEMORY))[`=]", TEXT))
    assert images - {"CALLPIPELINE_WEB_KEY"} <= variables
    assert set(re.findall(r"^    make (\S+)", TEXT, re.MULTILINE)) == {"secrets"}


def test_commands_of_the_chart_name_what_it_has():
    chart = CHECKOUT / "deploy" / "chart"
    values = yaml.safe_load((chart / "values.yaml").read_text())
    commands = [shlex.split(line) for line in LINES if line.startswith("helm ")]
    assert len(commands) == 2
    assert all("deploy/chart" in words for words in commands)
    written = [
        words[n + 1] for words in commands for n, word in enumerate(words) if word == "--set"
    ]
    written += re.findall(r"`--set (\S+?)`", TEXT)
    assert len(written) >= 5
    for path in written:
        found: Any = values
        for name in path.partition("=")[0].split("."):
            assert name in found, path
            found = found[name]
    kept = re.search(r"kubectl -n speech create secret generic (\S+)", TEXT)
    assert kept and kept[1] == values["secret"]


SELECTOR = re.compile(r"(callpipeline_\w+)(?:\{([^}]*)\})?")
AGGREGATION = re.compile(r"\bby \(([^)]*)\)")


@pytest.fixture(scope="module")
def samples(postgres: str, template: str) -> dict[str, list[dict[str, str]]]:
    """The labels of the samples of each metric, as the web app serves them."""
    metrics = Metrics()
    metrics.requests.labels("GET", "/jobs", 200).inc()
    metrics.durations.labels("GET", "/jobs").observe(0.1)
    with new_database(postgres, template) as url, Database(url) as database:
        Outages(database).begin("transcriber", "refused", attempts=1, retry_after_s=60)
        metrics.watch(database)
        text = metrics.text().decode()
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def expressions() -> list[str]:
    """Return the expressions of all alerts, and of all panels of the dashboard."""
    folder = CHECKOUT / "deploy" / "monitoring"
    alerts = yaml.safe_load((folder / "alerts.yaml").read_text())
    dashboard = json.loads((folder / "dashboard.json").read_text())
    found = [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]
    return found + [each["expr"] for panel in dashboard["panels"] for each in panel["targets"]]


def test_alerts_and_dashboard_use_metrics_and_labels_that_exist(
    samples: dict[str, list[dict[str, str]]],
):
    assert len(expressions()) >= 12
    for expression in expressions():
        selectors = SELECTOR.findall(expression)
        assert selectors, expression
        for name, matchers in selectors:
            assert name in samples, (name, expression)
            for label, value in re.findall(r'(\w+)="([^"]*)"', matchers):
                values = {labels.get(label) for labels in samples[name]}
                assert value in values, (name, label, value)
        labels = {label for name, _ in selectors for each in samples[name] for label in each}
        for names in AGGREGATION.findall(expression):
            assert set(names.split(", ")) <= labels, expression


def test_alerts_have_the_form_of_prometheus():
    alerts = yaml.safe_load((CHECKOUT / "deploy" / "monitoring" / "alerts.yaml").read_text())
    for rule in alerts["groups"][0]["rules"]:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("warning", "critical")
        for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
            assert label in AGGREGATION.search(rule["expr"])[1].split(", ")  # pyright: ignore
