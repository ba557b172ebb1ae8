"""Where a request comes from, by which proxies, and under which address we were asked."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from callpipeline.config.values import is_loopback_host
from callpipeline.config.web import Network

Address = IPv4Address | IPv6Address

FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
LONGEST_NAME = 200


class Proxies:
    """The proxies whose word is taken. uvicorn must not rewrite addresses before (`proxy_headers`).

    Of a list in a header only what the nearest proxies wrote is believed: the rest is the client's.
    """

    def __init__(self, trusted: Sequence[Network], name_header: str | None) -> None:
        self._trusted = tuple(trusted)
        self._name_header = name_header

    def trusts(self, request: HTTPConnection) -> bool:
        """Whether the request was handed to us by one of them."""
        peer = peer_of(request)
        return peer is not None and self._is_trusted(peer)

    def name(self, request: HTTPConnection) -> str | None:
        """Whom a proxy says that it has let in; None where it says nobody, or two at once."""
        if not self._name_header or not self.trusts(request):
            return None
        said = request.headers.getlist(self._name_header)
        if len(said) != 1:
            return None
        try:
            name = said[0].encode("latin-1").decode().strip()
        except UnicodeError:
            return None
        is_name = 0 < len(name) <= LONGEST_NAME and name.isprintable()
        return name if is_name else None

    def client(self, request: HTTPConnection) -> str:
        """The address of whoever asked, as far as it can be believed; for counting."""
        nearest = peer_of(request)
        if nearest is None:
            return "unknown"
        said = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
        for hop in reversed(said):
            further = _address(hop)
            if not self._is_trusted(nearest) or further is None:
                break
            nearest = further
        return _counted_as(nearest)

    def is_https(self, request: HTTPConnection) -> bool:
        """Whether the browser speaks https, to us or to a proxy."""
        if self.trusts(request):
            said = ",".join(request.headers.getlist("x-forwarded-proto"))
            if said:
                return said.rpartition(",")[2].strip().lower() == "https"
        return request.scope.get("scheme") == "https"

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def peer_of(request: HTTPConnection) -> Address | None:
    """The address at the other end of the connection; None for a socket without one."""
    return _address(request.client.host) if request.client else None


def is_of_this_machine(request: HTTPConnection) -> bool:
    """Whether it comes from here, and from nobody else through a proxy that runs here."""
    peer = peer_of(request)
    is_direct = not any(name in request.headers for name in FORWARDED)
    return peer is not None and peer.is_loopback and is_direct


def is_for_this_machine(host: str, own_url: str | None) -> bool:
    """Whether a Host header names this machine, or the host of our own address.

    A page of another site reaches us under its own name, whatever address it lets that lead to.
    """
    asked = _hostname(host)
    if asked is None:
        return False
    return is_loopback_host(asked) or (own_url is not None and asked == urlsplit(own_url).hostname)


def _hostname(host: str) -> str | None:
    """The name in `name:port`; None where it is no such thing."""
    if not host or any(c in "/\\@?#, \t" or not c.isprintable() for c in host):
        return None
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    return parts.hostname


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text.strip().strip("[]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _counted_as(address: Address) -> str:
    """Of IPv6 everybody has a network of 64 bits."""
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Address(int(address) >> 64 << 64))
