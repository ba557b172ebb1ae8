"""Settings from the environment and `.env`; all other code reads them from here."""

import re
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import phonenumbers
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from callpipeline.config.engines import EngineSettings, ServingSettings
from callpipeline.config.legacy import OldNamesSource, variable_of
from callpipeline.config.notifications import NotificationSettings
from callpipeline.config.services import ServiceSettings
from callpipeline.config.values import TimeZoneName, WebAddress, comma_separated
from callpipeline.config.web import FetchingSettings, UploadSettings, WebSettings
from callpipeline.domain.redaction.tokens import Kind
from callpipeline.errors import SettingsInvalid

_PACKAGED = Path(__file__).resolve().parent.parent / "packaged"
"""In an installed wheel, the copy of the files that a checkout has beside the package."""
CHECKOUT = _PACKAGED if _PACKAGED.is_dir() else _PACKAGED.parent.parent
"""The folder of dagster.yaml, workspace.yaml and samples/: the checkout, or the wheel's copy."""
IS_CHECKOUT = CHECKOUT != _PACKAGED


_OWNER = r"^(team:\S+|[a-zA-Z0-9_.+-]+@[a-zA-Z0-9-]+\.[a-zA-Z0-9-.]+)$"


def _default_home() -> Path:
    return (CHECKOUT if IS_CHECKOUT else Path.cwd()) / "data"


def _kind(text: str) -> Kind:
    try:
        return Kind(text)
    except ValueError:
        raise ValueError(f"{text} is none of {', '.join(Kind)}") from None


def _region(text: str) -> str:
    if text.upper() not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError(f"{text} is not a country: use two letters, such as GB")
    return text.upper()


class Settings(
    EngineSettings,
    FetchingSettings,
    ServingSettings,
    NotificationSettings,
    ServiceSettings,
    UploadSettings,
    WebSettings,
):
    """All settings, each set as `CALLPIPELINE_<NAME>`; documented in `.env.example`."""

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
    count_addresses: bool = True
    mention_labels: Path | None = None
    sentiment_labels: Path | None = None

    batch_size: int = Field(default=200, ge=1, le=1000)
    concurrency: int = Field(default=8, ge=1, le=256)
    stage_timeout_s: float = Field(default=14400, gt=0)
    settle_s: float = Field(default=10.0, ge=0)
    retry_waits_s: tuple[Annotated[float, Field(ge=0)], ...] = (30.0, 120.0, 480.0)

    keep_dagster_days: int = Field(default=30, ge=0)
    keep_recordings_days: int = Field(default=0, ge=0)
    keep_audio_days: int = Field(default=0, ge=0)
    keep_transcripts_days: int = Field(default=0, ge=0)
    keep_results_days: int = Field(default=0, ge=0)
    keep_notifications_days: int = Field(default=90, ge=0)
    keep_audit_days: int = Field(default=365, ge=0)

    redact: Annotated[tuple[Kind, ...], NoDecode, comma_separated(_kind)] | None = None
    redact_regions: Annotated[tuple[str, ...], NoDecode, comma_separated(_region)] = ("GB", "US")

    teams: Path | None = None
    timezone: TimeZoneName | None = None
    marts_from: date = date(2020, 1, 1)

    owners: tuple[Annotated[str, Field(pattern=_OWNER)], ...] = ()
    """Owners of the assets in Dagster's catalog: email addresses, or `team:<name>`."""

    port: int = Field(default=3000, ge=0, le=65535)
    dagster_ui_url: WebAddress | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the names of the old system as well, after all others."""
        known = (env_settings, dotenv_settings)
        return (
            init_settings,
            *known,
            file_secret_settings,
            OldNamesSource(settings_cls, known),
        )

    @field_validator("database_url")
    @classmethod
    def _one_scheme(cls, url: SecretStr | None) -> SecretStr | None:
        """Use `postgresql://`, the only scheme that all drivers accept."""
        if url is None:
            return None
        plain = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url.get_secret_value())
        if not plain.startswith("postgresql://"):
            raise ValueError("use the form postgresql://user:password@host:5432/name")
        return SecretStr(plain)

    @property
    def day_zone(self) -> str:
        """Return the name of the time zone in which days are counted."""
        return self.timezone or "UTC"

    @property
    def message_zone(self) -> str:
        """Return the name of the time zone of messages and quiet hours."""
        return self.notify_timezone or self.day_zone

    @property
    def mention_labels_path(self) -> Path | None:
        """Return the file of labelled mentions; None if none is set and none in the data folder."""
        return self.mention_labels or _present(self.home / "labels" / "mentions.csv")

    @property
    def sentiment_labels_path(self) -> Path | None:
        """Return the file of labelled utterances, None without one."""
        return self.sentiment_labels or _present(self.home / "labels" / "sentiment.jsonl")

    @property
    def recordings_url(self) -> str:
        """Return where recordings arrive: a folder, or `s3://bucket/prefix`."""
        return self.recordings or str(self.home / "recordings")

    @property
    def storage_url(self) -> str:
        """Return where channel audio and transcripts are stored: a folder or `s3://bucket/prefix`."""
        return self.storage or str(self.home / "storage")

    @property
    def catalog_path(self) -> Path:
        """Return the path of the competitor list; the default is created on first use."""
        return self.catalog or self.home / "competitors.yaml"


def environment() -> dict[str, str]:
    """Return the variables of the environment and of `.env`, by name in lower case."""
    found = {**DotEnvSettingsSource(Settings).env_vars, **EnvSettingsSource(Settings).env_vars}
    return {name.lower(): value for name, value in found.items() if value}


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return the settings of this process. Raises SettingsInvalid naming the variable."""
    try:
        return Settings()
    except ValidationError as error:
        # Not chained: pydantic's message quotes the value, which may be a password.
        raise SettingsInvalid(_explain(error)) from None
    except SettingsError as error:
        field = re.search(r'field "(\w+)"', str(error))
        name = f"CALLPIPELINE_{field[1].upper()}" if field else "A setting"
        raise SettingsInvalid(f"{name} is not JSON: see the example in .env.example.") from None


def _explain(error: ValidationError) -> str:
    given = environment()
    problems = [
        f"{variable_of(str(problem['loc'][0]).lower().removeprefix('callpipeline_'), given)}: "
        f"{_describe(problem)}"
        for problem in error.errors(include_input=False, include_url=False)
    ]
    return "Invalid settings: " + "; ".join(problems) + "."


def _describe(problem: Any) -> str:
    match problem["type"]:
        case "string_pattern_mismatch":
            return "see .env.example for its format"
        case "too_short":
            return f"use {problem['ctx']['min_length']} characters or more"
        case _:
            return problem["msg"].removeprefix("Value error, ")


def _present(path: Path) -> Path | None:
    return path if path.exists() else None
