"""Settings of the engines, and of the engine server."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from callpipeline.config.values import Passwords, WebAddress, is_loopback_host
from callpipeline.domain.calls.sources import MonoFirstSpeaker


class EngineSettings(BaseSettings):
    """Settings of splitter, transcriber and sentiment; see docs/engines.md."""

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
    diarization: Literal["auto", "off"] = "auto"
    mono_first_speaker: MonoFirstSpeaker = MonoFirstSpeaker.AUTO
    language: str = Field(default="en", pattern=r"^(auto|[a-z]{2,3})$")
    whisper_model: str | None = None
    whisper_device: Literal["cpu", "cuda"] = "cpu"
    whisper_compute_type: str = "int8"
    model_download: Literal["auto", "off"] = "auto"
    vosk_model: Path | None = None

    recogniser_workers: int | None = Field(default=None, ge=1)
    splitter_requests: int | None = Field(default=None, ge=1)
    transcriber_requests: int | None = Field(default=None, ge=1)
    sentiment_requests: int | None = Field(default=None, ge=1)


class ServingSettings(BaseSettings):
    """Settings of `callpipeline engines serve`."""

    serve_host: str = "127.0.0.1"
    serve_port: int = Field(default=8200, ge=0, le=65535)
    serve_users: Passwords = Field(default_factory=dict)
    serve_auth: Literal["contract", "all"] | None = None
    serve_key: SecretStr | None = Field(default=None, min_length=32)
    serve_token_s: float = Field(default=3600, gt=0)
    serve_keep_s: float = Field(default=3600, gt=0)
    serve_timeout_s: float = Field(default=3600, gt=0)
    serve_concurrency: int = Field(default=4, ge=1, le=256)
    serve_queue: int = Field(default=64, ge=0, le=10_000)
    serve_max_upload_mb: int = Field(default=2048, ge=1)

    @property
    def serve_on_loopback(self) -> bool:
        """Return true if only this machine can reach the engine server."""
        return is_loopback_host(self.serve_host)
