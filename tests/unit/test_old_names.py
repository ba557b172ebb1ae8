"""Environment names of the old system: understood, or reported one by one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from callpipeline import config
from callpipeline.cli.doctor.findings import FindingLevel
from callpipeline.cli.doctor.settings import examine, old_names
from callpipeline.config import Settings
from callpipeline.config.legacy import NOT_UNDERSTOOD, UNDERSTOOD
from callpipeline.errors import SettingsInvalid

Read = Callable[[], Settings]
CONTRACT = """
    DATABASE_URL, REDIS_URL, MINIO_ENDPOINT, MINIO_ACCESS_KEY, MINIO_SECRET_KEY, MINIO_BUCKET,
    MINIO_SECURE, API_KEY, AUTH_URL, AUTH_USERNAME, AUTH_PASSWORD, SPLIT_URL, TRANSCRIPTION_URL,
    SENTIMENT_URL, ANALYSIS_URL, STORAGE_URL, NOTIFICATION_URL, FRONTEND_URL, SMTP_HOST, SMTP_PORT,
    SMTP_USERNAME, SMTP_PASSWORD, SMTP_FROM_EMAIL, SMTP_FROM_NAME, SMTP_USE_TLS,
    NOTIFICATION_EMAILS, WEBHOOK_URL, WEBHOOK_SECRET, SLACK_WEBHOOK_URL, ENABLE_EMAIL,
    ENABLE_WEBHOOK, ENABLE_SLACK, NOTIFY_ON_JOB_FAILURE, NOTIFY_ON_JOB_SUCCESS,
    NOTIFY_ON_TASK_FAILURE, NOTIFY_ON_SYSTEM_ERROR
"""
NAMES = [name.strip() for name in CONTRACT.split(",")]
OLD_ENV = """
AUTH_URL=https://auth.example.com
AUTH_USERNAME=worker
AUTH_PASSWORD=a password
SPLIT_URL=http://split:8001
TRANSCRIPTION_URL=http://whisper:8002
SENTIMENT_URL=http://sentiment:8003
API_KEY=a key of sixteen or more
SMTP_HOST=mail.example.com
SMTP_PORT=2525
SMTP_FROM_EMAIL=calls@example.com
SMTP_USE_TLS=True
NOTIFICATION_EMAILS=ann@example.com, ben@example.com
WEBHOOK_URL=https://hooks.example.com/calls
SLACK_WEBHOOK_URL=https://hooks.slack.example.com/services/x
"""


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Read:
    """Read the settings in an empty folder, without any of these variables."""
    import os

    for name in os.environ:
        if name.startswith("CALLPIPELINE_") or name in NAMES:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return config.settings.__wrapped__


def _variables(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if line)
    return {name: value for name, _, value in pairs}


def test_every_name_of_the_contract_is_known() -> None:
    assert {name.lower() for name in NAMES} == UNDERSTOOD.keys() | NOT_UNDERSTOOD.keys()
    fields = Settings.model_fields.keys()
    assert all(old.field in fields for old in UNDERSTOOD.values())


def test_an_old_file_is_understood(read: Read, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(OLD_ENV)
    found = read()
    assert (found.split_url, found.transcription_url) == (
        "http://split:8001",
        "http://whisper:8002",
    )
    assert (found.sentiment_url, found.auth_url) == (
        "http://sentiment:8003",
        "https://auth.example.com",
    )
    assert found.auth_username == "worker"
    assert found.auth_password and found.auth_password.get_secret_value() == "a password"
    assert found.api_key and found.api_key.get_secret_value() == "a key of sixteen or more"
    assert (found.smtp_host, found.smtp_port, found.smtp_security) == (
        "mail.example.com",
        2525,
        "starttls",
    )
    assert found.email_from == "calls@example.com"
    assert found.email_to == ("ann@example.com", "ben@example.com")
    assert found.slack_webhook_url and found.notify_webhook_url


def test_new_names_win_and_empty_ones_do_not(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text(
        f"{OLD_ENV}\nCALLPIPELINE_SPLIT_URL=http://new:1\nCALLPIPELINE_SENTIMENT_URL=\n"
    )
    assert read().split_url == "http://new:1"
    assert read().sentiment_url == "http://sentiment:8003"
    monkeypatch.setenv("TRANSCRIPTION_URL", "http://process:2")
    assert read().transcription_url == "http://process:2", "as for our own names"


def test_names_of_any_program_mean_nothing_alone(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "a key of another program")
    monkeypatch.setenv("SMTP_HOST", "mail.example.com")
    monkeypatch.setenv("WEBHOOK_URL", "https://other.example.com")
    found = read()
    assert (found.api_key, found.smtp_host, found.notify_webhook_url) == (None, None, None)
    assert list(old_names({"API_KEY": "x", "SMTP_HOST": "x", "DATABASE_URL": "x"})) == []


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("ENABLE_EMAIL", "false", "smtp_host"),
        ("NOTIFICATION_EMAILS", "", "smtp_host"),
        ("ENABLE_SLACK", "0", "slack_webhook_url"),
        ("ENABLE_WEBHOOK", "False", "notify_webhook_url"),
        ("API_KEY", "short", "api_key"),
    ],
)
def test_what_cannot_be_used_is_left_alone_and_reported(
    read: Read, tmp_path: Path, name: str, value: str, field: str
) -> None:
    (tmp_path / ".env").write_text(f"{OLD_ENV}\n{name}={value}\n")
    assert getattr(read(), field) is None
    environment = _variables(OLD_ENV) | {name: value}
    reported = {finding.detail.split()[0]: finding for finding in old_names(environment)}
    old = next(old.upper() for old, each in UNDERSTOOD.items() if each.field == field)
    assert reported[old].level is FindingLevel.WARN
    assert f"CALLPIPELINE_{field.upper()}" in reported[old].detail


def test_doctor_reports_each_name_once(read: Read, tmp_path: Path) -> None:
    text = "\n".join(f"{name}=" + ("1" if name != "SPLIT_URL" else "http://a") for name in NAMES)
    values = {"AUTH_URL": "http://a", "TRANSCRIPTION_URL": "http://b", "SENTIMENT_URL": "http://c"}
    values |= {
        "DATABASE_URL": "postgresql://u@h/d",
        "NOTIFICATION_EMAILS": "a@b",
        "SMTP_PORT": "25",
    }
    values |= {"CALLPIPELINE_SENTIMENT_URL": "http://new"}
    (tmp_path / ".env").write_text(text + "".join(f"\n{n}={v}" for n, v in values.items()) + "\n")
    findings = [f for f in examine(read()) if f.detail.split()[0] in NAMES]
    reported = [finding.detail.split()[0] for finding in findings]
    assert sorted(set(reported)) == sorted(NAMES)
    by_name = {each.detail.split()[0]: each for each in findings}
    assert by_name["SPLIT_URL"].detail.endswith("is read as CALLPIPELINE_SPLIT_URL: rename it")
    assert "is ignored, since" in by_name["SENTIMENT_URL"].detail
    assert "CALLPIPELINE_S3_ENDPOINT" in by_name["MINIO_ENDPOINT"].detail
    assert "import-legacy" in next(f.detail for f in findings if "DATABASE_URL (of" in f.detail)


def test_an_invalid_value_is_reported_by_the_name_that_was_used(read: Read, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SPLIT_URL=split:8001\n")
    with pytest.raises(SettingsInvalid, match=r"Invalid settings: SPLIT_URL: "):
        read()
    (tmp_path / ".env").write_text("SPLIT_URL=http://a\nCALLPIPELINE_SPLIT_URL=split:8001\n")
    with pytest.raises(SettingsInvalid, match=r"Invalid settings: CALLPIPELINE_SPLIT_URL: "):
        read()
