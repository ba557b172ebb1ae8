"""What `callpipeline up` refuses before it starts anything, and where it looks for the web app."""

import os
from pathlib import Path

import pytest

from callpipeline.cli.installation.up import address, reached, up
from callpipeline.errors import SettingsInvalid


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the data would be, with no setting but its folder."""
    for name in os.environ:
        if name.startswith(("CALLPIPELINE_", "DATABASE_URL")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CALLPIPELINE_HOME", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("CALLPIPELINE_WEB_HOST", "0.0.0.0", "set CALLPIPELINE_WEB_USERS"),
        ("CALLPIPELINE_WEB_ADMINS", "zoe", "names zoe, who is not in CALLPIPELINE_WEB_USERS"),
    ],
)
def test_logins_that_do_not_fit_are_told_before_anything_starts(
    home: Path, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, told: str
):
    monkeypatch.setenv(setting, value)
    with pytest.raises(SettingsInvalid, match=told):
        up(None)
    assert not home.exists()


@pytest.mark.parametrize(
    ("listens_on", "reached_at"),
    [
        ("127.0.0.1", "http://127.0.0.1:8100"),
        ("0.0.0.0", "http://127.0.0.1:8100"),
        ("[::]", "http://[::1]:8100"),
        ("::1", "http://[::1]:8100"),
        ("192.0.2.7", "http://192.0.2.7:8100"),
    ],
)
def test_the_web_app_is_waited_for_where_it_listens(listens_on: str, reached_at: str):
    assert address(8100, reached(listens_on)) == reached_at
