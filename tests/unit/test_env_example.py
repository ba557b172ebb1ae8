"""`.env.example` documents every setting, with its default, and none that does not exist."""

import re
from pathlib import Path

import pytest

from callpipeline.config import CHECKOUT, Settings


def documented() -> dict[str, str]:
    """What is told of each setting; nothing where its default is none."""
    lines = (CHECKOUT / ".env.example").read_text().splitlines()
    found = (re.fullmatch(r"#(\w+)=(.*)", line) for line in lines)
    return {match[1].removeprefix("CALLPIPELINE_").lower(): match[2] for match in found if match}


TOLD = documented()
EXAMPLES = {"database_url"}
"""An example stands there: without it there is no URL."""


def effective(settings: Settings, name: str) -> object:
    """What a setting comes to: folders that are not set lie below `home`."""
    places = {
        "home": lambda: settings.home,
        "recordings": lambda: Path(settings.recordings_url),
        "storage": lambda: Path(settings.storage_url),
        "catalog": lambda: settings.catalog_path,
    }
    if name not in places:
        return getattr(settings, name)
    return CHECKOUT / places[name]()


def read_from(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> Settings:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"CALLPIPELINE_{name.upper()}", raising=False)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(f"CALLPIPELINE_{name.upper()}", value)
    return Settings(_env_file=None)  # pyright: ignore[reportCallIssue]


def test_every_setting_is_documented_and_no_other() -> None:
    assert set(TOLD) == set(Settings.model_fields)


@pytest.mark.parametrize("name", sorted(set(TOLD) - EXAMPLES))
def test_the_default_told_is_the_default(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    default = effective(read_from(monkeypatch, {}), name)
    if TOLD[name]:
        assert effective(read_from(monkeypatch, {name: TOLD[name]}), name) == default
    else:
        assert default is None


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_can_be_used(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert effective(read_from(monkeypatch, {}), name) is None
    assert effective(read_from(monkeypatch, {name: TOLD[name]}), name)
