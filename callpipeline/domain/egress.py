"""Outgoing HTTP: the egress policy for recordings' hosts, and outages of services."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Self
from urllib.parse import quote, urljoin, urlsplit

from callpipeline.errors import AddressInvalid

MAX_URL_CHARS = 2048
PORTS = {"http": 80, "https": 443}

IPAddress = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NETLOC = re.compile(r"(?:\[([^\[\]]*)\]|([^\[\]:]*))(?::([0-9]{0,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_NEVER = re.compile(r"[\x00-\x20\x7f\\]")
_MAPPED_DIFFERENTLY = re.compile("[ßẞς\u200c\u200d]")
"""Characters that IDNA 2003, which Python implements, maps differently from IDNA 2008."""
_SAFE = "%/:=&?~#+!$,;'@()*[]|^`{}\"<>"

URL_EXAMPLE = "use the form https://host/path/call.wav"

NOT_PUBLIC = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # behind a provider's NAT; Alibaba's metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's wire server
        "169.254.0.0/16",  # link-local; the metadata of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
)
PUBLIC_IPV6 = IPv6Network("2000::/3")
"""All other IPv6 addresses are local, multicast, reserved, or embed IPv4 addresses."""
NOT_PUBLIC_IPV6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocols such as Teredo, which embed IPv4 addresses
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)
NAT64 = IPv6Network("64:ff9b::/96")
"""Prefix of IPv4 addresses in IPv6-only networks; the embedded address decides."""


@dataclass(frozen=True, slots=True)
class Outage:
    """An unavailable service; `attempts` counts the probes so far."""

    reason: str
    attempts: int
    retry_after_s: float


def parse_retry_after(header: str | None, now: datetime) -> float | None:
    """Return the seconds to wait by a `Retry-After` header; None if invalid.

    Source: RFC 9110, section 10.2.3.
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max((aware - now).total_seconds(), 0.0)


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """A parsed HTTP URL; `host` is an ASCII name or an IP address in canonical form."""

    scheme: str
    host: str
    port: int
    target: str = field(repr=False)

    @property
    def ip(self) -> IPAddress | None:
        """Return the host as an IP address; None if it is a name."""
        return parse_ip(self.host)

    @property
    def netloc(self) -> str:
        """Return host and port as in the `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    def resolve_redirect(self, location: str) -> "HttpAddress":
        """Return the target of a redirect from here. Raises AddressInvalid."""
        target = location.strip().replace(" ", "%20")
        return parse_http_address(urljoin(f"{self.scheme}://{self.netloc}{self.target}", target))


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """Permits the public internet, and the hosts and networks that an operator allows besides."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def allowing(cls, entries: Iterable[str]) -> Self:
        """Build a policy that also allows host names, IP addresses or networks like 10.0.0.0/8.

        Raises ValueError naming an invalid entry.
        """
        hosts, networks = set[str](), list[Network]()
        for entry in entries:
            try:
                networks.append(ip_network(entry))
            except ValueError:
                hosts.add(_host(entry))
        return cls(frozenset(hosts), tuple(networks))

    def allows(self, host: str, ip: IPAddress) -> bool:
        """Return true if the host may be contacted at this address."""
        effective = embedded_ipv4(ip) or ip
        return host in self.hosts or _is_public(effective) or self._is_allowed(ip, effective)

    def refuse_private_literal(self, address: HttpAddress) -> None:
        """Raise AddressInvalid if the host is private even without a DNS lookup."""
        is_local = address.host == "localhost" or address.host.endswith(".localhost")
        ip = IPv4Address("127.0.0.1") if is_local else address.ip
        if ip is not None and not self.allows(address.host, ip):
            raise AddressInvalid(
                "Recordings can't be fetched from this machine or a private network: announce a "
                "public URL, or ask the operator to add the host to CALLPIPELINE_FETCH_ALLOW."
            )

    def _is_allowed(self, *addresses: IPAddress) -> bool:
        return any(ip in network for ip in addresses for network in self.networks)


def parse_http_address(url: str) -> HttpAddress:
    """Parse a URL. Raises AddressInvalid.

    Spellings that other programs read differently, such as 0x7f.1 for a host, are refused.
    """
    if len(url) > MAX_URL_CHARS:
        raise AddressInvalid(f"The URL is longer than {MAX_URL_CHARS} characters.")
    if _NEVER.search(url):
        raise AddressInvalid(f"The URL contains a space, backslash or line break: {URL_EXAMPLE}.")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise AddressInvalid(f"Not a valid URL: {URL_EXAMPLE}.") from None
    if parts.scheme not in PORTS:
        raise AddressInvalid("The URL must start with https:// or http://.")
    if "@" in parts.netloc:
        raise AddressInvalid(
            "The URL contains a user name and password, which would be stored: announce one "
            "without, such as a signed URL that is valid for a day."
        )
    match = _NETLOC.fullmatch(parts.netloc)
    if match is None:
        raise AddressInvalid(f"The URL has no valid host: {URL_EXAMPLE}.")
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    target = path if path.startswith("/") else f"/{path}"
    host = _ipv6(match[1]) if match[1] is not None else _name(match[2])
    return HttpAddress(
        parts.scheme, host, _port(match[3], parts.scheme), quote(target, _SAFE, errors="replace")
    )


def parse_ip(host: str) -> IPAddress | None:
    """Return the host as an IP address; None if it is a name."""
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
        raise AddressInvalid("The host in brackets is not an IPv6 address.") from None


def _name(text: str) -> str:
    """Normalise a host name or IPv4 address as in DNS, without a trailing dot."""
    name = _ascii(text.lower()).lower().removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise AddressInvalid(f"The URL has no valid host: {URL_EXAMPLE}.")
    if _NUMBER.fullmatch(labels[-1]) and not isinstance(parse_ip(name), IPv4Address):
        raise AddressInvalid(
            "The host is a number: write it as an IPv4 address, such as 203.0.113.7."
        )
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
            "Write the host name in ASCII, such as xn--bcher-kva.example."
        ) from None


def _port(text: str | None, scheme: str) -> int:
    port = int(text) if text else PORTS[scheme]
    if not 0 < port < 65536:
        raise AddressInvalid("The port in the URL is out of range.")
    return port


def embedded_ipv4(ip: IPAddress) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address embeds, mapped or by NAT64."""
    if isinstance(ip, IPv4Address):
        return None
    if ip in NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped


def _is_public(ip: IPAddress) -> bool:
    if isinstance(ip, IPv4Address):
        return not any(ip in network for network in NOT_PUBLIC)
    if ip not in PUBLIC_IPV6:
        return False
    return not any(ip in network for network in NOT_PUBLIC_IPV6)


def _host(entry: str) -> str:
    try:
        address = parse_http_address(f"http://{entry}/")
    except AddressInvalid:
        address = None
    if address is None or re.search("[:/]", entry):
        raise ValueError(
            f"{entry} is neither a host nor a network: use the form media.local or 10.0.0.0/8"
        )
    return address.host
