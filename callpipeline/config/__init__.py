"""Settings, from the environment and `.env`; only `doctor` looks at the names there besides."""

import re
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import SettingsConfigDict, SettingsError

from callpipeline.config.engines import EngineSettings
from callpipeline.config.fetching import FetchingSettings
from callpipeline.config.serving import ServingSettings
from callpipeline.config.telling import TellingSettings
from callpipeline.config.uploading import UploadSettings
from callpipeline.config.values import WebAddress
from callpipeline.config.web import WebSettings
from callpipeline.errors import SettingsInvalid

CHECKOUT = Path(__file__).resolve().parent.parent.parent
"""The folder that holds the package: in a checkout, where dagster.yaml and samples/ are."""


def _default_home() -> Path:
    in_checkout = (CHECKOUT / "dagster.yaml").exists()
    return (CHECKOUT if in_checkout else Path.cwd()) / "data"


class Settings(
    EngineSettings, FetchingSettings, ServingSettings, TellingSettings, UploadSettings, WebSettings
):
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

    marts_from: date = date(2020, 1, 1)

    port: int = Field(default=3000, ge=0, le=65535)
    dagster_ui_url: WebAddress | None = None

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

    @property
    def recordings_url(self) -> str:
        """Where recordings arrive: a folder, or `s3://bucket/prefix`."""
        return self.recordings or str(self.home / "recordings")

    @property
    def storage_url(self) -> str:
        """Where channel audio and transcripts are kept: a folder, or `s3://bucket/prefix`."""
        return self.storage or str(self.home / "storage")

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
        f"{_said(problem)}"
        for problem in error.errors(include_input=False, include_url=False)
    ]
    return "A setting cannot be used. " + "; ".join(wrong) + "."


def _said(problem: Any) -> str:
    match problem["type"]:
        case "string_pattern_mismatch":
            return "write it as .env.example says"
        case "too_short":
            return f"it needs {problem['ctx']['min_length']} characters or more"
        case _:
            return problem["msg"].removeprefix("Value error, ")
