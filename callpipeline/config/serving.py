"""How `callpipeline engines serve` listens, to whom, and how much it takes."""

from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from callpipeline.config.values import Passwords, is_loopback_host


class ServingSettings(BaseSettings):
    """Of our own server of engines."""

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
    def serves_loopback(self) -> bool:
        """Whether engines are served to this machine alone."""
        return is_loopback_host(self.serve_host)
