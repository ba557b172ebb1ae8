"""Settings of notifications."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode

from callpipeline.config.values import TimeZoneName, WebAddress, comma_separated
from callpipeline.domain.notifications import EventKind, NotificationChannel

_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


def _email_address(text: str) -> str:
    if not re.fullmatch(r"\S+@\S+", text):
        raise ValueError(f"{text} is not an email address: use the form ops@example.com, b@c.org")
    return text


def _channel(text: str) -> NotificationChannel:
    if text not in list(NotificationChannel):
        raise ValueError(f"{text} is not a channel: use some of {', '.join(NotificationChannel)}")
    return NotificationChannel(text)


class NotificationSettings(BaseSettings):
    """Settings of notifications; see docs/notifications.md."""

    notify_rules: dict[EventKind, tuple[NotificationChannel, ...]] = Field(default_factory=dict)
    notify_window_s: float = Field(default=600.0, gt=0)
    notify_timezone: TimeZoneName | None = None
    notify_quiet_hours: str | None = None
    notify_digest_at: str | None = None
    notify_quotes: Annotated[
        tuple[NotificationChannel, ...] | None, NoDecode, comma_separated(_channel)
    ] = None
    ingestion_quiet_h: float = Field(default=24.0, ge=0)
    slack_bot_token: SecretStr | None = None
    slack_channel: str | None = None
    slack_webhook_url: SecretStr | None = None
    slack_api_url: WebAddress | None = None
    smtp_host: str | None = None
    smtp_port: int | None = Field(default=None, ge=1, le=65535)
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    smtp_ca_file: Path | None = None
    email_from: str | None = None
    email_to: Annotated[tuple[str, ...], NoDecode, comma_separated(_email_address)] | None = None
    notify_webhook_url: SecretStr | None = None
    notify_webhook_secret: SecretStr | None = None

    @field_validator("notify_digest_at", "notify_quiet_hours")
    @classmethod
    def _times_of_day(cls, text: str | None, info: ValidationInfo) -> str | None:
        """Remove spaces, and check for one time, or two separated by a dash."""
        example = "22:00-07:00" if info.field_name == "notify_quiet_hours" else "08:00"
        plain = re.sub(r"\s", "", text) if text else None
        times = plain.split("-") if plain else []
        is_valid = len(times) == 1 + example.count("-") and all(map(_TIME.fullmatch, times))
        if plain and not is_valid:
            raise ValueError(f"use the form {example}")
        return plain
