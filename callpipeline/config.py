"""Settings, from the environment and `.env`; only `doctor` looks at the names there besides."""

import re
from datetime import date
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from callpipeline.domain.notification import EventKind, NotificationChannel
from callpipeline.errors import SettingsInvalid

CHECKOUT = Path(__file__).resolve().parent.parent
"""The folder that holds the package: in a checkout, where dagster.yaml and samples/ are."""

_HASH = re.compile(r"scrypt:32768:8:1:[\w-]{22}==:[\w-]{43}=", re.ASCII)
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


def _default_home() -> Path:
    in_checkout = (CHECKOUT / "dagster.yaml").exists()
    return (CHECKOUT if in_checkout else Path.cwd()) / "data"


class Settings(BaseSettings):
    """Everything that can be set, each as `CALLPIPELINE_<NAME>`; documented in `.env.example`."""

    model_config = SettingsConfigDict(
        env_prefix="CALLPIPELINE_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    home: Path = Field(default_factory=_default_home)
    database_url: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("CALLPIPELINE_DATABASE_URL", "DATABASE_URL")
    )
    recordings: str | None = None
    sources: Path | None = None
    storage: str | None = None
    s3_endpoint: str | None = None
    s3_region: str | None = None
    s3_access_key_id: SecretStr | None = None
    s3_secret_access_key: SecretStr | None = None
    catalog: Path | None = None

    splitter: str = "auto"
    transcriber: str = "auto"
    sentiment: str = "auto"
    split_url: str | None = None
    transcription_url: str | None = None
    sentiment_url: str | None = None
    auth_url: str | None = None
    auth_username: str | None = None
    auth_password: SecretStr | None = None
    auth_fresh_tokens: bool = False
    transcription_fields: dict[str, str] = Field(default_factory=dict)
    transcription_hint_field: str | None = None
    openai_url: str | None = None
    openai_transcription_url: str | None = None
    openai_sentiment_url: str | None = None
    openai_api_key: SecretStr | None = None
    openai_transcription_model: str | None = None
    openai_sentiment_model: str | None = None
    openai_language: str = Field(default="en", pattern=r"^(auto|[a-z]{2,3})$")
    openai_max_mb: float = Field(default=25.0, ge=0.1)
    connect_timeout_s: float = Field(default=10.0, gt=0)
    read_timeout_s: float = Field(default=600.0, gt=0)
    request_timeout_s: float = Field(default=1800.0, gt=0)
    outage_patience_h: float = Field(default=24.0, ge=0)
    agent_channel: Literal["left", "right"] = "left"
    language: str = Field(default="en", pattern="^[a-z]{2,3}$")
    whisper_model: str | None = None
    whisper_device: Literal["cpu", "cuda"] = "cpu"
    whisper_compute_type: str = "int8"
    vosk_model: Path | None = None

    batch_size: int = Field(default=200, ge=1, le=1000)
    concurrency: int = Field(default=8, ge=1, le=256)
    recogniser_workers: int | None = Field(default=None, ge=1)
    splitter_requests: int | None = Field(default=None, ge=1)
    transcriber_requests: int | None = Field(default=None, ge=1)
    sentiment_requests: int | None = Field(default=None, ge=1)
    stage_timeout_s: float = Field(default=14400, gt=0)
    settle_s: float = Field(default=10.0, ge=0)
    retry_waits_s: tuple[Annotated[float, Field(ge=0)], ...] = (30.0, 120.0, 480.0)

    keep_dagster_days: int = Field(default=30, ge=0)
    keep_recordings_days: int = Field(default=0, ge=0)
    keep_audio_days: int = Field(default=0, ge=0)
    keep_transcripts_days: int = Field(default=0, ge=0)
    keep_results_days: int = Field(default=0, ge=0)
    keep_notifications_days: int = Field(default=90, ge=0)

    marts_from: date = date(2020, 1, 1)

    port: int = Field(default=3000, ge=0, le=65535)
    dagster_ui_url: str | None = None

    notify_rules: dict[EventKind, tuple[NotificationChannel, ...]] = Field(default_factory=dict)
    notify_window_s: float = Field(default=600.0, gt=0)
    notify_timezone: str = "UTC"
    notify_quiet_hours: str | None = None
    notify_digest_at: str | None = None
    ingestion_quiet_h: float = Field(default=24.0, ge=0)
    slack_bot_token: SecretStr | None = None
    slack_channel: str | None = None
    slack_webhook_url: SecretStr | None = None
    slack_api_url: str | None = None
    smtp_host: str | None = None
    smtp_port: int | None = Field(default=None, ge=1, le=65535)
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    smtp_ca_file: Path | None = None
    email_from: str | None = None
    email_to: Annotated[tuple[str, ...] | None, NoDecode] = None
    notify_webhook_url: SecretStr | None = None
    notify_webhook_secret: SecretStr | None = None
    api_key: SecretStr | None = Field(default=None, min_length=16)
    web_port: int = Field(default=8100, ge=0, le=65535)

    serve_host: str = "127.0.0.1"
    serve_port: int = Field(default=8200, ge=0, le=65535)
    serve_users: dict[str, SecretStr] = Field(default_factory=dict)
    serve_auth: Literal["contract", "all"] | None = None
    serve_key: SecretStr | None = Field(default=None, min_length=32)
    serve_token_s: float = Field(default=3600, gt=0)
    serve_keep_s: float = Field(default=3600, gt=0)
    serve_timeout_s: float = Field(default=3600, gt=0)
    serve_concurrency: int = Field(default=4, ge=1, le=256)
    serve_queue: int = Field(default=64, ge=0, le=10_000)
    serve_max_upload_mb: int = Field(default=2048, ge=1)

    @field_validator("database_url")
    @classmethod
    def _one_scheme(cls, url: SecretStr | None) -> SecretStr | None:
        """The drivers disagree on the schemes they take; all take `postgresql://`."""
        if url is None:
            return None
        plain = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url.get_secret_value())
        if not plain.startswith("postgresql://"):
            raise ValueError("write it as postgresql://user:password@host:5432/name")
        return SecretStr(plain)

    @field_validator("serve_users")
    @classmethod
    def _fit_passwords(cls, users: dict[str, SecretStr]) -> dict[str, SecretStr]:
        """Plain ones are long enough, and those that begin like a hash are one."""
        for name, password in users.items():
            plain = password.get_secret_value()
            if not name or len(plain) < 12:
                raise ValueError("each user has a name, and a password of 12 characters or more")
            if plain.startswith("scrypt:") and not _HASH.fullmatch(plain):
                raise ValueError("a hash is made by `callpipeline engines password`")
        return users

    @field_validator("email_to", mode="before")
    @classmethod
    def _addresses(cls, value: object) -> object:
        """Several addresses have commas between them."""
        if not isinstance(value, str):
            return value
        addresses = tuple(part.strip() for part in value.split(",") if part.strip())
        if wrong := [each for each in addresses if not re.fullmatch(r"\S+@\S+", each)]:
            raise ValueError(f"{wrong[0]} is no address: write them like ops@example.com, b@c.org")
        return addresses

    @field_validator(
        "dagster_ui_url",
        "slack_api_url",
        "split_url",
        "transcription_url",
        "sentiment_url",
        "auth_url",
        "openai_url",
        "openai_transcription_url",
        "openai_sentiment_url",
    )
    @classmethod
    def _web_address(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError("write it like https://host")
        return url

    @field_validator("notify_timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError(f"{name} is no time zone: write it like Europe/London")
        return name

    @field_validator("notify_digest_at", "notify_quiet_hours")
    @classmethod
    def _times_of_day(cls, text: str | None, info: ValidationInfo) -> str | None:
        """Without spaces: a time, or two with a dash between."""
        example = "22:00-07:00" if info.field_name == "notify_quiet_hours" else "08:00"
        plain = re.sub(r"\s", "", text) if text else None
        times = plain.split("-") if plain else []
        is_fit = len(times) == 1 + example.count("-") and all(map(_TIME.fullmatch, times))
        if plain and not is_fit:
            raise ValueError(f"write it like {example}")
        return plain

    @property
    def recordings_url(self) -> str:
        """Where recordings arrive: a folder, or `s3://bucket/prefix`."""
        return self.recordings or str(self.home / "recordings")

    @property
    def storage_url(self) -> str:
        """Where channel audio and transcripts are kept: a folder, or `s3://bucket/prefix`."""
        return self.storage or str(self.home / "storage")

    @property
    def serves_loopback(self) -> bool:
        """Whether engines are served to this machine alone."""
        host = self.serve_host.strip("[]")
        if host == "localhost":
            return True
        try:
            return ip_address(host).is_loopback
        except ValueError:  # a name may lead anywhere
            return False

    @property
    def catalog_path(self) -> Path:
        """The competitor list; a starter list is put at the default place on first use."""
        return self.catalog or self.home / "competitors.yaml"


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once. Raises SettingsInvalid naming the variable."""
    try:
        return Settings()
    except ValidationError as error:
        # Not chained: pydantic's own text quotes the value, which may be a password.
        raise SettingsInvalid(_explain(error)) from None
    except SettingsError as error:
        found = re.search(r'field "(\w+)"', str(error))
        name = f"CALLPIPELINE_{found[1].upper()}" if found else "A setting"
        raise SettingsInvalid(f"{name} is not JSON: see its example in .env.example.") from None


def _explain(error: ValidationError) -> str:
    wrong = [
        f"CALLPIPELINE_{str(problem['loc'][0]).upper().removeprefix('CALLPIPELINE_')}: "
        f"{problem['msg'].removeprefix('Value error, ')}"
        for problem in error.errors(include_input=False, include_url=False)
    ]
    return "A setting cannot be used. " + "; ".join(wrong) + "."
