"""Settings of the web app and its API, of uploads, and of fetched recordings."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

from callpipeline.config.values import Passwords, WebAddress, comma_separated, is_loopback_host
from callpipeline.domain.access import Scope, expand_scopes
from callpipeline.domain.egress import EgressPolicy

Network = IPv4Network | IPv6Network


def _network(text: str) -> Network:
    try:
        network = ip_network(text)
    except ValueError:
        raise ValueError(
            f"{text} is not an IP address or network: use the form 172.18.0.0/16"
        ) from None
    if network.prefixlen == 0:
        raise ValueError(f"{text} matches every client: list the addresses of the proxies")
    return network


def _origin(text: str) -> str:
    if text != "*" and not re.fullmatch(r"https?://[a-z0-9.\-\[\]:]+", text):
        raise ValueError(
            f"{text} is not an origin: use the form https://crm.example.com, without a path"
        )
    return text


def _fetch_target(text: str) -> str:
    EgressPolicy.allowing([text])  # raises ValueError
    return text


Names = Annotated[tuple[str, ...], NoDecode, comma_separated(str)]


class WebSettings(BaseSettings):
    """Settings of the web app and its API; see docs/web-access.md."""

    api_key: SecretStr | None = Field(default=None, min_length=16)
    web_host: str = "127.0.0.1"
    web_port: int = Field(default=8100, ge=0, le=65535)
    web_url: WebAddress | None = None
    web_users: Passwords = Field(default_factory=dict)
    web_admins: Names | None = None
    web_readers: Names | None = None
    web_proxy_header: str | None = Field(default=None, pattern=r"^[A-Za-z0-9-]+$")
    web_trusted_proxies: (
        Annotated[tuple[Network, ...], NoDecode, comma_separated(_network)] | None
    ) = None
    web_key: SecretStr | None = Field(default=None, min_length=32)
    web_session_h: float = Field(default=12.0, gt=0)
    web_idle_h: float = Field(default=4.0, gt=0)
    web_cors_origins: Annotated[tuple[str, ...], NoDecode, comma_separated(_origin)] | None = None
    web_api: Literal["native", "legacy"] = "native"
    web_requests_per_min: int = Field(default=1200, ge=0)
    web_uploads_per_min: int = Field(default=600, ge=0)
    web_logins_per_min: int = Field(default=10, ge=0)

    @field_validator("web_users")
    @classmethod
    def _valid_names(cls, users: dict[str, SecretStr]) -> dict[str, SecretStr]:
        """Reject names that can't be written in a comma-separated list."""
        if any("," in name or name != name.strip() for name in users):
            raise ValueError("user names can't contain commas or have spaces around them")
        return users

    @property
    def web_on_loopback(self) -> bool:
        """Return true if only this machine can reach the app."""
        hosts = [self.web_host]
        if self.web_url:
            hosts.append(urlsplit(self.web_url).hostname or "")
        return all(map(is_loopback_host, hosts))

    @property
    def web_is_open(self) -> bool:
        """Return true if no login is required, which is allowed on loopback only."""
        return not self.web_users and not self.web_proxy_header

    @property
    def web_keyless_origins(self) -> frozenset[str]:
        """Return the sites whose pages need no key: those named, if no login is required."""
        named = frozenset(self.web_cors_origins or ()) - {"*"}
        return named if self.web_is_open and self.web_on_loopback else frozenset()

    @property
    def web_is_legacy(self) -> bool:
        """Return true if the old system's formats are used where they differ from ours."""
        return self.web_api == "legacy"

    def scopes_of(self, name: str) -> frozenset[Scope]:
        """Return the scopes of a user who is logged in, here or at a proxy."""
        if name in (self.web_readers or ()):
            return frozenset({Scope.READ})
        admins = self.web_users if self.web_admins is None else self.web_admins
        return expand_scopes({Scope.ADMIN} if name in admins else {Scope.READ, Scope.UPLOAD})


class UploadSettings(BaseSettings):
    """Settings of recordings uploaded over HTTP."""

    upload_max_mb: int = Field(default=2048, ge=1)
    min_free_mb: int = Field(default=500, ge=0)

    @property
    def upload_max_bytes(self) -> int:
        return self.upload_max_mb * 1_000_000


class FetchingSettings(BaseSettings):
    """Settings of recordings that are announced by URL and fetched."""

    fetch_allow: Annotated[tuple[str, ...], NoDecode, comma_separated(_fetch_target)] | None = None
    fetch_max_mb: int = Field(default=1024, ge=1)
    fetch_timeout_s: float = Field(default=900.0, gt=0)
