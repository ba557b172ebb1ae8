"""`.env.example` documents exactly the existing settings, with their defaults."""

import re
from pathlib import Path

import pytest

from callpipeline.config import CHECKOUT, Settings


def documented() -> dict[str, str]:
    """Return the documented defaults by setting; empty if there is no default."""
    lines = (CHECKOUT / ".env.example").read_text().splitlines()
    found = (re.fullmatch(r"#(\w+)=(.*)", line) for line in lines)
    return {match[1].removeprefix("CALLPIPELINE_").lower(): match[2] for match in found if match}


DOCUMENTED = documented()
EXAMPLES = {"database_url"}
"""Settings documented with an example, since they have no default."""


def effective(settings: Settings, name: str) -> object:
    """Return the effective value of a setting; unset folders are inside `home`."""
    folders = {
        "home": lambda: settings.home,
        "recordings": lambda: Path(settings.recordings_url),
        "storage": lambda: Path(settings.storage_url),
        "catalog": lambda: settings.catalog_path,
    }
    if name not in folders:
        return getattr(settings, name)
    return CHECKOUT / folders[name]()


def read_from(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> Settings:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"CALLPIPELINE_{name.upper()}", raising=False)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(f"CALLPIPELINE_{name.upper()}", value)
    return Settings(_env_file=None)  # pyright: ignore[reportCallIssue]


def test_exactly_the_existing_settings_are_documented() -> None:
    assert set(DOCUMENTED) == set(Settings.model_fields)


@pytest.mark.parametrize("name", sorted(set(DOCUMENTED) - EXAMPLES))
def test_the_documented_default_is_the_default(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    default = effective(read_from(monkeypatch, {}), name)
    if DOCUMENTED[name]:
        assert effective(read_from(monkeypatch, {name: DOCUMENTED[name]}), name) == default
    else:
        assert default is None


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_is_valid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert effective(read_from(monkeypatch, {}), name) is None
    assert effective(read_from(monkeypatch, {name: DOCUMENTED[name]}), name)
