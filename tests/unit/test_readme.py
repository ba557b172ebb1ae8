"""The README and the docs name commands, files and settings that exist."""

import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from callpipeline.cli import COMMANDS, app, keys, models, notifications
from callpipeline.config import Settings
from callpipeline.domain.notifications import EventKind, NotificationChannel
from callpipeline.pipeline.notifications.dispatch import RETRY_WAITS_S

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def test_make_targets_in_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"make ([a-z-]+)", README))
    assert named >= {"demo", "test", "test-fast", "test-all", "up", "check"}
    assert named <= targets


def test_the_readme_lists_exactly_the_existing_commands() -> None:
    named = set(re.findall(r"bin/callpipeline ([a-z-]+)", README)) | {"demo", "up"}
    nested = (group.typer_instance for group in app.registered_groups)
    groups = {each.info.name for each in nested if each}
    assert named == {command.__name__.replace("_", "-") for command in COMMANDS} | groups


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
@pytest.mark.parametrize(
    "group", [notifications, models, keys], ids=lambda group: group.app.info.name
)
def test_commands_of_groups_exist(document: Path, group: ModuleType) -> None:
    named = re.findall(rf"callpipeline {group.app.info.name} ([a-z]+)", document.read_text())
    assert set(named) <= set(group.COMMANDS)


def test_documented_events_and_rules_exist() -> None:
    text = (ROOT / "docs" / "notifications.md").read_text()
    assert set(re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE)) == set(EventKind)
    assert f"{sum(RETRY_WAITS_S) / 3600:.0f} hours" in text
    rules = re.search(r"CALLPIPELINE_NOTIFY_RULES=(\{.*\})", text)
    assert rules
    for kind, channels in json.loads(rules[1]).items():
        assert EventKind(kind) and [NotificationChannel(channel) for channel in channels]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_in_the_documents_exist(document: Path) -> None:
    named = re.findall(
        r"`((?:callpipeline|docs|samples|tests|data)/[\w./-]*)`", document.read_text()
    )
    in_the_repository = [name for name in named if not name.startswith("data/")]
    assert [name for name in in_the_repository if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_settings_in_the_documents_exist(document: Path) -> None:
    named = set(re.findall(r"CALLPIPELINE_([A-Z0-9_]+)", document.read_text()))
    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_no_placeholder_is_left() -> None:
    assert re.findall(r"@@|TIME_[A-Z]+", README) == []
