"""An address of HTTP, taken apart once: the host that is checked is the host that is asked.

Addresses of recordings may be signed, which makes them secrets: no error here quotes one.
"""

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote, urljoin, urlsplit

from callpipeline.errors import AddressInvalid

LONGEST = 2048
PORTS = {"http": 80, "https": 443}

IPAddress = IPv4Address | IPv6Address

_NETLOC = re.compile(r"(?:\[([^\[\]]*)\]|([^\[\]:]*))(?::([0-9]{0,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_NEVER = re.compile(r"[\x00-\x20\x7f\\]")
_MAPPED_DIFFERENTLY = re.compile("[ßẞς\u200c\u200d]")
"""Characters that the standard of 2003, which Python has, writes otherwise than that of today."""
_SAFE = "%/:=&?~#+!$,;'@()*[]|^`{}\"<>"

LIKE = "write it like https://host/path/call.wav"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a recording is: `host` is a name in ASCII, or an address of IP in its usual form."""

    scheme: str
    host: str
    port: int
    target: str = field(repr=False)

    @property
    def ip(self) -> IPAddress | None:
        """The host, where it is no name."""
        return ip_of(self.host)

    @property
    def netloc(self) -> str:
        """Host and port as the header `Host` has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    def leading_to(self, location: str) -> "Address":
        """What a redirect from here leads to. Raises AddressInvalid."""
        target = location.strip().replace(" ", "%20")
        return address_of(urljoin(f"{self.scheme}://{self.netloc}{self.target}", target))


def address_of(url: str) -> Address:
    """The address of a URL. Raises AddressInvalid, also for hosts that are spelled oddly.

    What other programs read differently, such as 0x7f.1 for a host, is refused and not guessed.
    """
    if len(url) > LONGEST:
        raise AddressInvalid(f"The address is longer than {LONGEST} characters.")
    if _NEVER.search(url):
        raise AddressInvalid(f"The address has a space, backslash or line break in it: {LIKE}.")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise AddressInvalid(f"This is no address: {LIKE}.") from None
    if parts.scheme not in PORTS:
        raise AddressInvalid("The address must begin with https:// or http://.")
    if "@" in parts.netloc:
        raise AddressInvalid(
            "The address has a name and password in it, which would be kept: announce one that "
            "needs none, such as a signed address that is good for a day."
        )
    found = _NETLOC.fullmatch(parts.netloc)
    if found is None:
        raise AddressInvalid(f"The address names no host: {LIKE}.")
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    target = path if path.startswith("/") else f"/{path}"
    host = _ipv6(found[1]) if found[1] is not None else _name(found[2])
    return Address(
        parts.scheme, host, _port(found[3], parts.scheme), quote(target, _SAFE, errors="replace")
    )


def ip_of(host: str) -> IPAddress | None:
    """The address of IP that a host is spelled as; None where it is a name."""
    for kind in (IPv4Address, IPv6Address):
        try:
            return kind(host)
        except ValueError:
            continue
    return None


def _ipv6(text: str) -> str:
    try:
        if "%" in text:
            raise ValueError
        return str(IPv6Address(text))
    except ValueError:
        raise AddressInvalid("The host in brackets is no address of IPv6.") from None


def _name(text: str) -> str:
    """A host's name, or its address of IPv4, as DNS knows it. Without the dot that may end it."""
    name = _ascii(text.lower()).lower().removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise AddressInvalid(f"The address names no host: {LIKE}.")
    if _NUMBER.fullmatch(labels[-1]) and not isinstance(ip_of(name), IPv4Address):
        raise AddressInvalid("The host is a number: write it as four, like 203.0.113.7.")
    return name


def _ascii(name: str) -> str:
    if name.isascii():
        return name
    try:
        if _MAPPED_DIFFERENTLY.search(name):
            raise UnicodeError
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        raise AddressInvalid(
            "Write the host's name in ASCII, as in xn--bcher-kva.example."
        ) from None


def _port(text: str | None, scheme: str) -> int:
    port = int(text) if text else PORTS[scheme]
    if not 0 < port < 65536:
        raise AddressInvalid("The port in the address is none.")
    return port
