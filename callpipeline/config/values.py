"""Values that several settings share."""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

_HASH = re.compile(r"scrypt:32768:8:1:[\w-]{22}==:[\w-]{43}=", re.ASCII)


def _web_address(url: str) -> str:
    if not _is_base(url):
        raise ValueError("write it like https://host:8443/path, without ? and #")
    return url


def _is_base(url: str) -> bool:
    """Whether it is an address of HTTP below which others can stand."""
    try:
        parts = urlsplit(url)
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:  # no port, or no address
        return False
    return is_whole and parts.scheme in ("http", "https") and not re.search(r"[\s?#]", url)


WebAddress = Annotated[str, AfterValidator(_web_address)]


def _fit_passwords(users: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
    """Plain ones are long enough, and those that begin like a hash are one."""
    for name, password in users.items():
        plain = password.get_secret_value()
        if not name or len(plain) < 12:
            raise ValueError("each user has a name, and a password of 12 characters or more")
        if plain.startswith("scrypt:") and not _HASH.fullmatch(plain):
            raise ValueError("a hash is made by `callpipeline engines password`")
    return users


Passwords = Annotated[dict[str, SecretStr], AfterValidator(_fit_passwords)]
"""Passwords, or hashes of them, by the name of the user."""


def is_loopback_host(host: str) -> bool:
    """Whether a host, as a setting or a URL names it, is this machine and nothing else."""
    plain = host.strip("[]").lower()
    if plain == "localhost" or plain.endswith(".localhost"):
        return True
    try:
        return ip_address(plain).is_loopback
    except ValueError:  # a name may lead anywhere
        return False
