"""The README and the docs name commands, files and settings that exist."""

import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from callpipeline.cli import COMMANDS, app, keys, models, notifications
from callpipeline.config import Settings
from callpipeline.domain.notification import EventKind, NotificationChannel
from callpipeline.pipeline.dispatch import WAITS_S

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_every_make_target_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"make ([a-z]+)", README))
    assert named >= {"demo", "test", "up", "check"}
    assert named <= targets


def test_every_command_named_exists_and_every_command_is_named() -> None:
    named = set(re.findall(r"bin/callpipeline ([a-z]+)", README)) | {"demo", "up"}
    nested = (group.typer_instance for group in app.registered_groups)
    groups = {each.info.name for each in nested if each}
    assert named == {command.__name__ for command in COMMANDS} | groups


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
@pytest.mark.parametrize(
    "group", [notifications, models, keys], ids=lambda group: group.app.info.name
)
def test_every_command_below_a_group_that_is_named_exists(
    document: Path, group: ModuleType
) -> None:
    named = re.findall(rf"callpipeline {group.app.info.name} ([a-z]+)", document.read_text())
    assert set(named) <= set(group.COMMANDS)


def test_what_is_told_of_events_and_rules_is_so() -> None:
    told = (ROOT / "docs" / "notifications.md").read_text()
    assert set(re.findall(r"^\| `([a-z_]+)` \|", told, re.MULTILINE)) == set(EventKind)
    assert f"{sum(WAITS_S) / 3600:.0f} hours" in told
    rules = re.search(r"CALLPIPELINE_NOTIFY_RULES=(\{.*\})", told)
    assert rules
    for kind, channels in json.loads(rules[1]).items():
        assert EventKind(kind) and [NotificationChannel(channel) for channel in channels]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_named_exists(document: Path) -> None:
    named = re.findall(
        r"`((?:callpipeline|docs|samples|tests|data)/[\w./-]*)`", document.read_text()
    )
    made_at_run_time = {name for name in named if name.startswith("data/")}
    assert [n for n in named if n not in made_at_run_time and not (ROOT / n).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_setting_named_exists(document: Path) -> None:
    named = set(re.findall(r"CALLPIPELINE_([A-Z0-9_]+)", document.read_text()))
    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_no_figure_is_left_to_be_filled_in() -> None:
    assert "@@" not in README
