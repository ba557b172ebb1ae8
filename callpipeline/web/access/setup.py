"""Setup: settings that may be served, middleware, security headers, and template context."""

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI, Request
from starlette.datastructures import URL, Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callpipeline.config import Settings
from callpipeline.errors import SettingsInvalid
from callpipeline.http_server.access_log import AccessLogMiddleware
from callpipeline.http_server.connections import HeaderLimit
from callpipeline.http_server.limits import BodyTimeout
from callpipeline.http_server.origins import is_local_host
from callpipeline.web.access.guard import AuthMiddleware
from callpipeline.web.access.login import LoginPage, login_routes, plain_login_page
from callpipeline.web.access.permissions import authentication_of, visitor_of

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
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: with that a browser sends `Origin: null` with the forms of our own pages.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Resource-Policy": "same-origin",
}
HSTS = "max-age=31536000"
OPENER_POLICY = "same-origin"
"""For https and localhost only: elsewhere browsers ignore it, and log a warning on each page."""

UVICORN_OPTIONS: dict[str, Any] = {
    "proxy_headers": False,
    "server_header": False,
    "access_log": False,
    "http": HeaderLimit,
    "ws": "none",
    # Longer than most clients and proxies keep a connection: no request meets its closing.
    "timeout_keep_alive": 75,
}
"""By default uvicorn trusts X-Forwarded-For from any local program, logs URLs (with what people
search for), waits indefinitely for headers, and answers websockets itself."""

CORS_REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "Range",
    "X-API-KEY",
    "Last-Event-ID",
)
CORS_RESPONSE_HEADERS = (
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Link",
    "Location",
    "Retry-After",
)


def csp_nonce(request: HTTPConnection) -> str:
    """Return the nonce that style elements need. wavesurfer.js takes it as `cspNonce`."""
    return request.scope["state"]["csp_nonce"]


def content_security_policy(nonce: str) -> str:
    """Return the Content-Security-Policy: scripts from our files, styles also with the nonce.

    Pages must not be cached, since a nonce is for one response.
    """
    rules = POLICY | {"style-src": f"'self' 'nonce-{nonce}'"}
    return "; ".join(f"{directive} {sources}" for directive, sources in rules.items())


class SecurityHeadersMiddleware:
    """Add the headers that the route has not set. Responses aren't cached by default.

    Files below `public` are the same for all visitors: browsers may cache and revalidate them.
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
        policy = content_security_policy(nonce)
        scope.setdefault("state", {})["csp_nonce"] = nonce
        request_headers = Headers(scope=scope)
        is_public = scope["path"].startswith(self._public)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                added = SECURITY_HEADERS | {"Content-Security-Policy": policy}
                added["Cache-Control"] = "no-cache" if is_public else "no-store"
                is_https = self._https or scope["state"].get("is_https")
                if is_https:
                    added["Strict-Transport-Security"] = HSTS
                if is_https or is_local_host(request_headers.get("host", ""), None):
                    added["Cross-Origin-Opener-Policy"] = OPENER_POLICY
                for name, value in added.items():
                    headers.setdefault(name, value)
                if location := headers.get("location"):
                    headers["location"] = _without_host(location, scope)
            await send(message)

        await self._app(scope, receive, with_headers)


def _without_host(location: str, scope: Scope) -> str:
    """Turn a redirect to ourselves into a path.

    A client can send any Host header, and a proxy may have terminated TLS.
    """
    url = URL(scope=scope)
    path = location.removeprefix(f"{url.scheme}://{url.netloc}")
    return path if path.startswith("/") and not path.startswith("//") else location


def install(
    app: FastAPI,
    options: Settings,
    login_page: LoginPage = plain_login_page,
    *,
    streamed: Sequence[str] = (),
    around: Sequence[Callable[[ASGIApp], ASGIApp]] = (),
) -> None:
    """Add authentication, and the login's routes, around the app's existing middleware.

    `around` is middleware around the authentication.

    Adds body timeouts (except for paths that begin with one of `streamed`), the access log and
    security headers as well. Needs `app.state.authenticator = open_authenticator(...)`.
    """
    app.include_router(login_routes(login_page))
    app.add_middleware(AuthMiddleware)
    for middleware in around:
        app.add_middleware(middleware)  # pyright: ignore[reportArgumentType]
    if options.web_cors_origins:
        # No cookies: scripts on other sites send a key.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=options.web_cors_origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=CORS_REQUEST_HEADERS,
            expose_headers=CORS_RESPONSE_HEADERS,
            allow_credentials=False,
            # Chromium asks before a page of another network may reach this machine.
            allow_private_network="*" not in options.web_cors_origins,
            max_age=600,
        )
    app.add_middleware(BodyTimeout, streamed=streamed)
    app.add_middleware(AccessLogMiddleware)
    app.add_middleware(SecurityHeadersMiddleware)


def check_settings(options: Settings) -> None:
    """Raise SettingsInvalid if strangers would get in, or if login settings are contradictory."""
    if options.web_proxy_header and not options.web_trusted_proxies:
        raise SettingsInvalid(
            "CALLPIPELINE_WEB_PROXY_HEADER needs a list of trusted proxies: set "
            "CALLPIPELINE_WEB_TRUSTED_PROXIES to their addresses."
        )
    if options.web_is_open and not options.web_on_loopback:
        address = options.web_url or options.web_host
        raise SettingsInvalid(
            f"The web app can't be opened to other machines ({address}) without a login: set "
            "CALLPIPELINE_WEB_USERS, or CALLPIPELINE_WEB_PROXY_HEADER if a reverse proxy logs "
            "users in (docs/web-access.md)."
        )
    _check_user_names(options)


def _check_user_names(options: Settings) -> None:
    """Find typos in lists of users. With a proxy any name is possible."""
    if options.web_proxy_header:
        return
    lists = {"ADMINS": options.web_admins, "READERS": options.web_readers}
    for setting, names in lists.items():
        unknown = [name for name in names or () if name not in options.web_users]
        if unknown:
            raise SettingsInvalid(
                f"CALLPIPELINE_WEB_{setting} names {unknown[0]}, who is not in "
                "CALLPIPELINE_WEB_USERS."
            )


def csrf_token(request: Request) -> str:
    """Return the token for a form's `csrf_token` or X-CSRF-Token; '' if none is needed."""
    authentication = authentication_of(request)
    if authentication is None or authentication.binding is None:
        return ""
    return request.app.state.authenticator.tokens.create(authentication.binding)


def template_context(request: Request) -> dict[str, Any]:
    """Return `visitor`, `csrf_token` and `csp_nonce`, for `context_processors` of templates."""
    return {
        "visitor": visitor_of(request),
        "csrf_token": csrf_token(request),
        "csp_nonce": csp_nonce(request),
    }
