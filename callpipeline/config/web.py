"""Where the web app listens, who may ask it, and how much."""

import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

from callpipeline.config.values import Passwords, WebAddress, is_loopback_host
from callpipeline.domain.access import Scope, granted

Network = IPv4Network | IPv6Network


def _listed(each: Callable[[str], object]) -> BeforeValidator:
    """Several values have commas between them."""

    def split(value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(each(part.strip()) for part in value.split(",") if part.strip())

    return BeforeValidator(split)


def _network(text: str) -> Network:
    try:
        network = ip_network(text)
    except ValueError:
        raise ValueError(f"{text} is no address or network: write it like 172.18.0.0/16") from None
    if network.prefixlen == 0:
        raise ValueError(f"{text} is everybody: name the addresses of the proxies")
    return network


def _origin(text: str) -> str:
    if text != "*" and not re.fullmatch(r"https?://[a-z0-9.\-\[\]:]+", text):
        raise ValueError(f"{text} is no origin: write it like https://crm.example.com, without a /")
    return text


Names = Annotated[tuple[str, ...], NoDecode, _listed(str)]


class WebSettings(BaseSettings):
    """Of the web app and its API; docs/web-access.md tells of them."""

    api_key: SecretStr | None = Field(default=None, min_length=16)
    web_host: str = "127.0.0.1"
    web_port: int = Field(default=8100, ge=0, le=65535)
    web_url: WebAddress | None = None
    web_users: Passwords = Field(default_factory=dict)
    web_admins: Names | None = None
    web_readers: Names | None = None
    web_proxy_header: str | None = Field(default=None, pattern=r"^[A-Za-z0-9-]+$")
    web_trusted_proxies: Annotated[tuple[Network, ...], NoDecode, _listed(_network)] | None = None
    web_key: SecretStr | None = Field(default=None, min_length=32)
    web_session_h: float = Field(default=12.0, gt=0)
    web_idle_h: float = Field(default=4.0, gt=0)
    web_cors_origins: Annotated[tuple[str, ...], NoDecode, _listed(_origin)] | None = None
    web_requests_per_min: int = Field(default=1200, ge=0)
    web_uploads_per_min: int = Field(default=600, ge=0)
    web_logins_per_min: int = Field(default=10, ge=0)

    @field_validator("web_users")
    @classmethod
    def _fit_names(cls, users: dict[str, SecretStr]) -> dict[str, SecretStr]:
        """They stand in lists with commas between."""
        if any("," in name or name != name.strip() for name in users):
            raise ValueError("names of users have no commas, and no spaces around them")
        return users

    @property
    def web_on_loopback(self) -> bool:
        """Whether the app is for this machine alone."""
        hosts = [self.web_host]
        if self.web_url:
            hosts.append(urlsplit(self.web_url).hostname or "")
        return all(map(is_loopback_host, hosts))

    @property
    def web_is_open(self) -> bool:
        """Whether nobody has to say who he is, which is for this machine alone."""
        return not self.web_users and not self.web_proxy_header

    def scopes_of(self, name: str) -> frozenset[Scope]:
        """What a user may do who has logged in, here or at a proxy."""
        if name in (self.web_readers or ()):
            return frozenset({Scope.READ})
        admins = self.web_users if self.web_admins is None else self.web_admins
        return granted({Scope.ADMIN} if name in admins else {Scope.READ, Scope.UPLOAD})
