"""How `callpipeline engines serve` listens, to whom, and how much it takes."""

import re
from ipaddress import ip_address
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

_HASH = re.compile(r"scrypt:32768:8:1:[\w-]{22}==:[\w-]{43}=", re.ASCII)


class ServingSettings(BaseSettings):
    """Of our own server of engines."""

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
