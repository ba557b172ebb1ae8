"""Settings, and the errors of invalid ones."""

import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from callpipeline import config
from callpipeline.config import Settings
from callpipeline.errors import SettingsInvalid

Read = Callable[[], Settings]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Read:
    """Read the settings in an empty folder, without our variables in the environment."""
    import os

    for name in os.environ:
        if name.startswith("CALLPIPELINE_") or name == "DATABASE_URL":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return config.settings.__wrapped__


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONCURRENCY", "0"),
        ("CONCURRENCY", "many"),
        ("BATCH_SIZE", "1001"),
        ("DATABASE_URL", "mysql://host/name"),
        ("SETTLE_S", "-1"),
        ("REDACT", "card,names"),
        ("REDACT_REGIONS", "England"),
        ("PORT", "65536"),
        ("AGENT_CHANNEL", "middle"),
        ("SPLIT_URL", "split.example.com"),
        ("SPLIT_URL", "htp://split.example.com"),
        ("SPLIT_URL", "http://"),
        ("SPLIT_URL", "http://split.example.com:80x"),
        ("SPLIT_URL", "http://split.example.com:0"),
        ("SPLIT_URL", "http://[::1"),
        ("SPLIT_URL", "http://split.example.com/?key=planted"),
        ("SPLIT_URL", "http://split .example.com"),
    ],
)
def test_an_invalid_value_is_refused_naming_the_variable(
    read: Read, monkeypatch: pytest.MonkeyPatch, name: str, value: str
):
    monkeypatch.setenv(f"CALLPIPELINE_{name}", value)
    with pytest.raises(SettingsInvalid, match=rf"CALLPIPELINE_{name}: "):
        read()


@pytest.mark.parametrize(
    ("name", "value"),
    [("NOTIFY_RULES", "{call_failed: [slack]}"), ("RETRY_WAITS_S", "1,2")],
)
def test_invalid_json_is_refused_in_one_sentence(
    read: Read, monkeypatch: pytest.MonkeyPatch, name: str, value: str
):
    monkeypatch.setenv(f"CALLPIPELINE_{name}", value)
    with pytest.raises(SettingsInvalid, match=f"CALLPIPELINE_{name} is not JSON"):
        read()


@pytest.mark.parametrize(
    ("name", "value", "explanation"),
    [
        ("LANGUAGE", "english", "see .env.example for its format"),
        ("SERVE_KEY", "short", "use 32 characters or more"),
    ],
)
def test_errors_are_in_plain_words(
    read: Read, monkeypatch: pytest.MonkeyPatch, name: str, value: str, explanation: str
):
    monkeypatch.setenv(f"CALLPIPELINE_{name}", value)
    with pytest.raises(SettingsInvalid, match=f"CALLPIPELINE_{name}: {explanation}") as error:
        read()
    assert value not in str(error.value)


def test_all_invalid_values_are_reported_together(read: Read, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CALLPIPELINE_PORT", "x")
    monkeypatch.setenv("CALLPIPELINE_CONCURRENCY", "y")
    with pytest.raises(SettingsInvalid, match=r"(?s)CONCURRENCY.*PORT"):
        read()


@pytest.mark.parametrize("name", ["DATABASE_URL", "CALLPIPELINE_DATABASE_URL"])
def test_the_database_may_be_set_under_both_names(
    read: Read, monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.setenv(name, "postgresql://somewhere/db")
    url = read().database_url
    assert url
    assert url.get_secret_value() == "postgresql://somewhere/db"


def test_our_own_variable_of_the_database_takes_precedence(
    read: Read, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DATABASE_URL", "postgresql://theirs/db")
    monkeypatch.setenv("CALLPIPELINE_DATABASE_URL", "postgresql://ours/db")
    url = read().database_url
    assert url
    assert url.get_secret_value() == "postgresql://ours/db"


def test_an_env_file_is_read(read: Read, tmp_path: Path):
    (tmp_path / ".env").write_text("CALLPIPELINE_CONCURRENCY=3\nSOMETHING_ELSE=1\n")
    assert read().concurrency == 3


def test_no_secret_is_in_the_repr_or_in_an_error(read: Read, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CALLPIPELINE_DATABASE_URL", "postgresql://me:hunter2@host/name")
    for name in ("S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"CALLPIPELINE_{name}", "hunter2")
    assert "hunter2" not in repr(read())
    assert "hunter2" not in str(read().model_dump_json())
    monkeypatch.setenv("CALLPIPELINE_PORT", "hunter2")
    with pytest.raises(SettingsInvalid) as refused:
        read()
    text = "".join(traceback.format_exception(refused.value))
    assert "hunter2" not in text


@pytest.mark.parametrize("scheme", ["postgres", "postgresql+psycopg", "postgresql+psycopg2"])
def test_all_postgres_schemes_are_accepted(
    read: Read, monkeypatch: pytest.MonkeyPatch, scheme: str
):
    monkeypatch.setenv("DATABASE_URL", f"{scheme}://me@host/name")
    url = read().database_url
    assert url
    assert url.get_secret_value() == "postgresql://me@host/name"


def test_an_empty_setting_counts_as_unset(read: Read, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CALLPIPELINE_RECOGNISER_WORKERS", "")
    monkeypatch.setenv("CALLPIPELINE_PORT", "")
    assert (read().recogniser_workers, read().port) == (None, 3000)


def test_default_folders_are_inside_home(read: Read, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CALLPIPELINE_HOME", "/srv/calls")
    monkeypatch.setenv("CALLPIPELINE_STORAGE", "s3://kept/here")
    options = read()
    assert options.recordings_url == "/srv/calls/recordings"
    assert options.storage_url == "s3://kept/here"
    assert options.catalog_path == Path("/srv/calls/competitors.yaml")


def test_settings_cannot_be_changed(read: Read):
    with pytest.raises(ValueError, match="frozen"):
        read().port = 1  # pyright: ignore[reportAttributeAccessIssue]
