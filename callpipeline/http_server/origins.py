"""Origins of requests: which machine, program or page of a browser sent them."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from callpipeline.config.values import is_loopback_host

Address = IPv4Address | IPv6Address

FORWARDING_HEADERS = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
CROSS_SITE = "This request comes from a page of another site, so it was refused."
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OWN_SITE = frozenset({"same-origin", "none"})
"""Values of Sec-Fetch-Site for our pages, and for an address that was typed or bookmarked."""
EMBEDDED = frozenset({"embed", "iframe", "frame", "object", "fencedframe"})


def peer_address(request: HTTPConnection) -> Address | None:
    """Return the address at the other end of the connection; None for a Unix socket."""
    return parse_address(request.client.host) if request.client else None


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


def parse_address(text: str) -> Address | None:
    """Return an IP address, None for other text; IPv4 in IPv6 becomes IPv4."""
    try:
        address = ip_address(text.strip().strip("[]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def is_from_browser(request: HTTPConnection) -> bool:
    """Recognise browsers by the headers about their origin, which programs don't send."""
    return "origin" in request.headers or "sec-fetch-site" in request.headers


def is_same_site_write(request: HTTPConnection, own_url: str | None, *, https: bool) -> bool:
    """Check that a request that changes something comes from our pages, or from a program.

    Since 2020 every browser sends Sec-Fetch-Site (with https only) or Origin.
    """
    origin = request.headers.get("origin")
    if origin is not None and own_url is not None and origin == origin_of(own_url):
        return True
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in OWN_SITE
    return origin is None or _is_own_origin(origin, request.headers.get("host", ""), https=https)


def is_allowed_read(request: HTTPConnection) -> bool:
    """Check that a request that changes nothing comes from our pages, or follows a link.

    Other sites may link here, but their scripts, images and frames may not load anything.
    """
    headers = request.headers
    if headers.get("sec-fetch-site", "none") in OWN_SITE:
        return True
    is_link = headers.get("sec-fetch-mode") == "navigate" and request.scope["method"] == "GET"
    return is_link and headers.get("sec-fetch-dest") not in EMBEDDED


def origin_of(url: str) -> str:
    """Return a URL's origin as browsers write it: without the scheme's default port."""
    parts = urlsplit(url)
    default_port = {"http": 80, "https": 443}.get(parts.scheme)
    host = parts.hostname or ""
    bracketed = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port not in (None, default_port) else ""
    return f"{parts.scheme}://{bracketed}{port}"


def _is_own_origin(origin: str, host: str, *, https: bool) -> bool:
    """Compare with the Host header. The scheme may differ: a proxy may terminate TLS."""
    scheme, _, rest = origin.partition("://")
    return bool(rest) and rest == host.lower() and (scheme == "https" or not https)
