"""Which engines there are, where their services are, and how long they may take."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from callpipeline.config.values import WebAddress


class EngineSettings(BaseSettings):
    """Of splitter, transcriber and sentiment; docs/engines.md tells of them."""

    splitter: str = "auto"
    transcriber: str = "auto"
    sentiment: str = "auto"
    split_url: WebAddress | None = None
    transcription_url: WebAddress | None = None
    sentiment_url: WebAddress | None = None
    auth_url: WebAddress | None = None
    auth_username: str | None = None
    auth_password: SecretStr | None = None
    auth_fresh_tokens: bool = False
    transcription_fields: dict[str, str] = Field(default_factory=dict)
    transcription_hint_field: str | None = None
    openai_url: WebAddress | None = None
    openai_transcription_url: WebAddress | None = None
    openai_sentiment_url: WebAddress | None = None
    openai_api_key: SecretStr | None = None
    openai_transcription_model: str | None = None
    openai_sentiment_model: str | None = None
    openai_max_mb: float = Field(default=25.0, ge=0.1)
    connect_timeout_s: float = Field(default=10.0, gt=0)
    read_timeout_s: float = Field(default=600.0, gt=0)
    request_timeout_s: float = Field(default=1800.0, gt=0)
    outage_patience_h: float = Field(default=24.0, ge=0)
    agent_channel: Literal["left", "right"] = "left"
    language: str = Field(default="en", pattern=r"^(auto|[a-z]{2,3})$")
    whisper_model: str | None = None
    whisper_device: Literal["cpu", "cuda"] = "cpu"
    whisper_compute_type: str = "int8"
    vosk_model: Path | None = None

    recogniser_workers: int | None = Field(default=None, ge=1)
    splitter_requests: int | None = Field(default=None, ge=1)
    transcriber_requests: int | None = Field(default=None, ge=1)
    sentiment_requests: int | None = Field(default=None, ge=1)
