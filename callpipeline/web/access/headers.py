"""What browsers are told of every answer: what a page may load, and who may embed it."""

import secrets

from starlette.datastructures import URL, Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callpipeline.web.access.addresses import is_for_this_machine

POLICY = {
    "default-src": "'self'",
    "img-src": "'self' data:",
    "media-src": "'self' blob:",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "script-src": "'self'",
}
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: with that a browser sends `Origin: null` with the forms of our own pages.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Resource-Policy": "same-origin",
}
HSTS = "max-age=31536000"
OPENER = "same-origin"
"""Of origins that browsers trust: with others they ignore it, and complain on every page."""


def csp_nonce(request: HTTPConnection) -> str:
    """What a style element of this answer must carry. wavesurfer.js takes it as `cspNonce`."""
    return request.scope["state"]["csp_nonce"]


def policy(nonce: str) -> str:
    """The Content-Security-Policy of one answer: no script but our files, no style but those and
    what carries the nonce. A page with it must not be kept, since the nonce is of one answer.
    """
    rules = POLICY | {"style-src": f"'self' 'nonce-{nonce}'"}
    return "; ".join(f"{what} {whence}" for what, whence in rules.items())


class SecureHeaders:
    """Sets them where the route has not. Nobody keeps an answer unless its route says so.

    Below `public` lie files that are the same for everybody, which browsers may keep if they ask
    whether they have changed.
    """

    def __init__(self, app: ASGIApp, *, public: str = "/static/", https: bool = False) -> None:
        self._app = app
        self._public = public
        self._https = https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        nonce = secrets.token_urlsafe(16)
        scope.setdefault("state", {})["csp_nonce"] = nonce
        asked = Headers(scope=scope)
        is_public = scope["path"].startswith(self._public)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                wanted = ALWAYS | {"Content-Security-Policy": policy(nonce)}
                wanted["Cache-Control"] = "no-cache" if is_public else "no-store"
                is_https = self._https or scope["state"].get("is_https")
                if is_https:
                    wanted["Strict-Transport-Security"] = HSTS
                if is_https or is_for_this_machine(asked.get("host", ""), None):
                    wanted["Cross-Origin-Opener-Policy"] = OPENER
                for name, value in wanted.items():
                    headers.setdefault(name, value)
                if location := headers.get("location"):
                    headers["location"] = _without_host(location, scope)
            await send(message)

        await self._app(scope, receive, with_headers)


def _without_host(location: str, scope: Scope) -> str:
    """A redirect of ours as a path: the Host header says whatever a client likes, and a proxy has
    taken https off it."""
    asked = URL(scope=scope)
    path = location.removeprefix(f"{asked.scheme}://{asked.netloc}")
    return path if path.startswith("/") and not path.startswith("//") else location
