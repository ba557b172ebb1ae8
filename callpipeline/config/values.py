"""Types of values that several settings share."""

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, SecretStr

_HASH = re.compile(r"scrypt:32768:8:1:[\w-]{22}==:[\w-]{43}=", re.ASCII)


def _web_address(url: str) -> str:
    if not _is_base_url(url):
        raise ValueError("use the form https://host:8443/path, without ? and #")
    return url


def _is_base_url(url: str) -> bool:
    """Return true for an HTTP URL that paths can be appended to."""
    try:
        parts = urlsplit(url)
        is_complete = bool(parts.hostname) and parts.port != 0
    except ValueError:  # invalid port or host
        return False
    return is_complete and parts.scheme in ("http", "https") and not re.search(r"[\s?#]", url)


WebAddress = Annotated[str, AfterValidator(_web_address)]


def _time_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"{name} is not a time zone: use a name such as Europe/London")
    return name


TimeZoneName = Annotated[str, AfterValidator(_time_zone)]


def _valid_passwords(users: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
    """Check that plain passwords are long enough, and that hashes are well-formed."""
    for name, password in users.items():
        plain = password.get_secret_value()
        if not name or len(plain) < 12:
            raise ValueError("each user needs a name, and a password of 12 characters or more")
        if plain.startswith("scrypt:") and not _HASH.fullmatch(plain):
            raise ValueError("create a hash with `callpipeline engines password`")
    return users


Passwords = Annotated[dict[str, SecretStr], AfterValidator(_valid_passwords)]
"""Passwords, or their hashes, by user name."""


def comma_separated(parse: Callable[[str], object]) -> BeforeValidator:
    """Return a validator that splits a value at commas and parses each part."""

    def split(value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(parse(part.strip()) for part in value.split(",") if part.strip())

    return BeforeValidator(split)


def is_loopback_host(host: str) -> bool:
    """Return true if a host in a setting or URL is this machine."""
    plain = host.strip("[]").lower()
    if plain == "localhost" or plain.endswith(".localhost"):
        return True
    try:
        return ip_address(plain).is_loopback
    except ValueError:  # a name may resolve to anything
        return False
