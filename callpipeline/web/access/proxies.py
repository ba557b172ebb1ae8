"""Client addresses, trusted reverse proxies, and local hosts."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from callpipeline.config.values import is_loopback_host
from callpipeline.config.web import Network

Address = IPv4Address | IPv6Address

FORWARDING_HEADERS = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
MAX_NAME_CHARS = 200


class TrustedProxies:
    """Reverse proxies whose headers are trusted; needs uvicorn's `proxy_headers` to be off.

    Of a list in a header, only the entries that trusted proxies added count: a client can send
    the rest.
    """

    def __init__(self, trusted: Sequence[Network], name_header: str | None) -> None:
        self._trusted = tuple(trusted)
        self._name_header = name_header

    def trusts(self, request: HTTPConnection) -> bool:
        """Check whether the request comes from a trusted proxy."""
        peer = peer_address(request)
        return peer is not None and self._is_trusted(peer)

    def user_name(self, request: HTTPConnection) -> str | None:
        """Return the user that a proxy has logged in; None if it names none, or several."""
        if not self._name_header or not self.trusts(request):
            return None
        names = request.headers.getlist(self._name_header)
        if len(names) != 1:
            return None
        try:
            name = names[0].encode("latin-1").decode().strip()
        except UnicodeError:
            return None
        is_valid = 0 < len(name) <= MAX_NAME_CHARS and name.isprintable()
        return name if is_valid else None

    def client(self, request: HTTPConnection) -> str:
        """Return the client's address, as far as it can be trusted, for rate limits."""
        nearest = peer_address(request)
        if nearest is None:
            return "unknown"
        hops = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
        for hop in reversed(hops):
            further = _address(hop)
            if not self._is_trusted(nearest) or further is None:
                break
            nearest = further
        return _rate_limit_key(nearest)

    def is_https(self, request: HTTPConnection) -> bool:
        """Check whether the browser uses https, to us or to a trusted proxy."""
        if self.trusts(request):
            schemes = ",".join(request.headers.getlist("x-forwarded-proto"))
            if schemes:
                return schemes.rpartition(",")[2].strip().lower() == "https"
        return request.scope.get("scheme") == "https"

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def peer_address(request: HTTPConnection) -> Address | None:
    """Return the address at the other end of the connection; None for a Unix socket."""
    return _address(request.client.host) if request.client else None


def is_from_loopback(request: HTTPConnection) -> bool:
    """Check that a request comes from this machine, and not through a proxy that runs on it."""
    peer = peer_address(request)
    is_direct = not any(name in request.headers for name in FORWARDING_HEADERS)
    return peer is not None and peer.is_loopback and is_direct


def is_local_host(host: str, own_url: str | None) -> bool:
    """Check that a Host header names this machine, or the host of our own URL.

    This stops DNS rebinding: a page of another site reaches us under its own host name.
    """
    name = _hostname(host)
    if name is None:
        return False
    return is_loopback_host(name) or (own_url is not None and name == urlsplit(own_url).hostname)


def _hostname(host: str) -> str | None:
    """Return the name in `name:port`, or None if the text isn't valid."""
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


def _rate_limit_key(address: Address) -> str:
    """Return the address, or its /64 network for IPv6, since each client has a whole one."""
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Address(int(address) >> 64 << 64))
