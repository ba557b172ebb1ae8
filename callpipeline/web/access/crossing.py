"""Requests that a page of another site lets a browser make, which sends our cookies along."""

from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
OWN = frozenset({"same-origin", "none"})
"""Of Sec-Fetch-Site: a page of ours, or the person: an address typed, a bookmark."""
EMBEDDED = frozenset({"embed", "iframe", "frame", "object", "fencedframe"})


def is_by_browser(request: HTTPConnection) -> bool:
    """Whether a browser says where its request comes from; programs do not."""
    return "origin" in request.headers or "sec-fetch-site" in request.headers


def may_change(request: HTTPConnection, own_url: str | None, *, https: bool) -> bool:
    """Whether a request that changes something is one of our own pages, or of a program.

    Every browser says so since 2020: in Sec-Fetch-Site, which without https is not sent, or in
    Origin.
    """
    origin = request.headers.get("origin")
    if origin is not None and own_url is not None and origin == origin_of(own_url):
        return True
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in OWN
    return origin is None or _is_same(origin, request.headers.get("host", ""), https=https)


def may_look(request: HTTPConnection) -> bool:
    """Whether a request that changes nothing is one of our pages, or leads a person to one.

    A link on another site may lead here; a script or an image there may take nothing from here.
    """
    headers = request.headers
    if headers.get("sec-fetch-site", "none") in OWN:
        return True
    leads_here = headers.get("sec-fetch-mode") == "navigate" and request.scope["method"] == "GET"
    return leads_here and headers.get("sec-fetch-dest") not in EMBEDDED


def origin_of(url: str) -> str:
    """The origin of an address, as a browser writes it: without the port that goes without."""
    parts = urlsplit(url)
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port not in (None, usual) else ""
    return f"{parts.scheme}://{shown}{port}"


def _is_same(origin: str, host: str, *, https: bool) -> bool:
    """Host and port are those we were asked under. A proxy may have taken https off on the way."""
    scheme, _, rest = origin.partition("://")
    return bool(rest) and rest == host.lower() and (scheme == "https" or not https)
