"""Client addresses, and trusted reverse proxies."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

from starlette.requests import HTTPConnection

from callpipeline.config.web import Network
from callpipeline.http_server.origins import Address, parse_address, peer_address

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
        address = self.address(request)
        return _rate_limit_key(address) if address else "unknown"

    def address(self, request: HTTPConnection) -> Address | None:
        """Return the client's address, as far as it can be trusted; None if it is unknown."""
        nearest = peer_address(request)
        if nearest is None:
            return None
        hops = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
        for hop in reversed(hops):
            further = parse_address(hop)
            if not self._is_trusted(nearest) or further is None:
                break
            nearest = further
        return nearest

    def is_https(self, request: HTTPConnection) -> bool:
        """Check whether the browser uses https, to us or to a trusted proxy."""
        if self.trusts(request):
            schemes = ",".join(request.headers.getlist("x-forwarded-proto"))
            if schemes:
                return schemes.rpartition(",")[2].strip().lower() == "https"
        return request.scope.get("scheme") == "https"

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def _rate_limit_key(address: Address) -> str:
    """Return the address, or its /64 network for IPv6, since each client has a whole one."""
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Address(int(address) >> 64 << 64))
