"""Configuration of channels, and the errors of incomplete ones."""

from datetime import time
from pathlib import Path

import pytest

from callpipeline.config import Settings
from callpipeline.domain.notifications import EventKind, NotificationChannel
from callpipeline.errors import SettingsInvalid
from callpipeline.wiring import notification_policy, open_notifiers

WHOLE = {
    "slack_bot_token": "xoxb-planted",
    "slack_channel": "#calls",
    "smtp_host": "mail.example.com",
    "email_from": "callpipeline@example.com",
    "email_to": "ops@example.com, ci@example.com",
    "notify_webhook_url": "https://hooks.example.com/x?token=planted",
    "notify_webhook_secret": "whsec_cGxhbnRlZC1zZWNyZXQtb2Ytb3Vycw==",
}


def settings(monkeypatch: pytest.MonkeyPatch, home: Path, **values: str) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(f"CALLPIPELINE_{name.upper()}", value)
    return Settings(home=home, _env_file=None)  # pyright: ignore[reportCallIssue]


def test_no_channel_is_configured_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert open_notifiers(settings(monkeypatch, tmp_path)) == []


def test_channels_describe_their_destinations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    destinations = [n.destination for n in open_notifiers(settings(monkeypatch, tmp_path, **WHOLE))]
    assert destinations == [
        "ops@example.com, ci@example.com by mail.example.com:587",
        "Slack channel #calls",
        "https://hooks.example.com/…",
    ]


def test_slack_may_be_an_incoming_webhook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    url = "https://hooks.slack.com/services/T/B/planted"
    [notifier] = open_notifiers(settings(monkeypatch, tmp_path, slack_webhook_url=url))
    assert "planted" not in notifier.destination


@pytest.mark.parametrize(
    ("left_out", "named"),
    [
        ("slack_channel", "SLACK_CHANNEL"),
        ("slack_bot_token", "SLACK_BOT_TOKEN"),
        ("smtp_host", "SMTP_HOST"),
        ("email_to", "EMAIL_TO"),
        ("email_from", "EMAIL_FROM"),
        ("notify_webhook_url", "NOTIFY_WEBHOOK_URL"),
    ],
)
def test_an_incomplete_channel_is_refused_naming_the_missing_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, left_out: str, named: str
):
    half = {name: value for name, value in WHOLE.items() if name != left_out}
    with pytest.raises(SettingsInvalid, match=f"CALLPIPELINE_{named} is not") as refused:
        open_notifiers(settings(monkeypatch, tmp_path, **half))
    assert "planted" not in str(refused.value)


def test_rules_quiet_hours_and_a_digest_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    chosen = settings(
        monkeypatch,
        tmp_path,
        notify_rules='{"call_completed": ["webhook"], "custom": []}',
        notify_quiet_hours="22:00 - 07:00",
        notify_digest_at=" 08:30",
        notify_timezone="Europe/London",
        **WHOLE,
    )
    policy = notification_policy(chosen)
    assert policy.routing.channels(EventKind.CALL_COMPLETED) == [NotificationChannel.WEBHOOK]
    assert policy.routing.channels(EventKind.CUSTOM) == []
    assert policy.quiet
    assert (policy.quiet.begin, policy.quiet.end) == (time(22), time(7))
    assert policy.digest_at == time(8, 30)
    assert policy.zone.key == "Europe/London"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("notify_rules", '{"call_exploded": ["slack"]}'),
        ("notify_rules", '{"call_failed": ["pigeon"]}'),
        ("notify_quiet_hours", "22-7"),
        ("notify_quiet_hours", "22:00"),
        ("notify_quiet_hours", "22:00--07:00"),
        ("notify_quiet_hours", "22:00-07:00-08:00"),
        ("notify_digest_at", "25:00"),
        ("notify_digest_at", "8"),
        ("notify_timezone", "Mars/Olympus"),
        ("notify_window_s", "0"),
        ("smtp_security", "maybe"),
        ("dagster_ui_url", "postgresql://user:planted@host/name"),
        ("ingestion_quiet_h", "-1"),
        ("email_to", "ops at example"),
    ],
)
def test_invalid_values_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str
):
    from callpipeline import config

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"CALLPIPELINE_{name.upper()}", value)
    with pytest.raises(SettingsInvalid, match=f"CALLPIPELINE_{name.upper()}") as refused:
        config.settings.__wrapped__()
    assert "planted" not in str(refused.value)
