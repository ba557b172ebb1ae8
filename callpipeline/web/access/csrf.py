"""CSRF protection: where a browser's request comes from, and tokens of forms."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from callpipeline.http_server.security import Signer

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OWN_SITE = frozenset({"same-origin", "none"})
"""Values of Sec-Fetch-Site for our pages, and for an address that was typed or bookmarked."""
EMBEDDED = frozenset({"embed", "iframe", "frame", "object", "fencedframe"})
CROSS_SITE = "This request comes from a page of another site, so it was refused."
STALE_FORM = "This page has expired. Reload it and try again."

PURPOSE = "form"
TOKEN_LIFETIME_S = 12 * 3600.0
FIELD = "csrf_token"
HEADER = "x-csrf-token"


@dataclass(frozen=True, slots=True)
class CsrfBinding:
    """Subject of tokens. `key`, a secret of the visitor, replaces the server's key."""

    subject: str = field(repr=False)
    key: bytes | None = field(default=None, repr=False)


class CsrfTokens:
    """Create and verify the tokens of forms. Stateless."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def create(self, binding: CsrfBinding) -> str:
        """Return a token for one visitor's forms that is valid for half a day."""
        return self._signer_for(binding).sign(PURPOSE, binding.subject, TOKEN_LIFETIME_S)

    def verify(self, binding: CsrfBinding, token: str) -> bool:
        """Check that the token was created for this visitor and hasn't expired."""
        signed = self._signer_for(binding).verify(PURPOSE, token)
        return signed is not None and not signed.is_expired and signed.text == binding.subject

    def _signer_for(self, binding: CsrfBinding) -> Signer:
        return Signer(binding.key) if binding.key else self._signer


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
