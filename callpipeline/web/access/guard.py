"""Middleware that authenticates and authorizes each request before its body is read."""

from urllib.parse import parse_qs, quote

from fastapi import HTTPException, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callpipeline.domain import access
from callpipeline.errors import DatabaseUnavailable
from callpipeline.http_server import origins
from callpipeline.http_server.responses import error_response
from callpipeline.web.access import csrf
from callpipeline.web.access.authenticator import Authenticator
from callpipeline.web.access.permissions import (
    Authentication,
    RouteRequirements,
    ScopeRequirement,
)

MAX_FORM_BYTES = 65_536
DAGSTER_QUERIES = "/dagster/graphql"
MULTIPLE_HOSTS = "This request has more than one Host header."


class AuthMiddleware:
    """Let a request pass if it meets its route's requirements and no other site has forged it.

    FastAPI parses a JSON body before any dependency runs; this runs earlier. The app's exception
    handlers format the errors.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._requirements = RouteRequirements()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            receive = await self._authorize(request, scope.setdefault("state", {}))
        except (HTTPException, DatabaseUnavailable) as error:
            await (await self._refuse(request, error))(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _authorize(self, request: Request, state: dict[str, object]) -> Receive:
        """Return the channel to receive the body from. Raises HTTPException."""
        authenticator: Authenticator = request.app.state.authenticator
        state["is_https"] = authenticator.is_https(request)
        if len(request.headers.getlist("host")) > 1:
            raise HTTPException(400, MULTIPLE_HOSTS)
        authenticator.check_address(request)
        requirements = self._requirements.of(request.scope)
        if not requirements:
            return request.receive
        authentication = await authenticator.authenticate(request)
        is_upload = request.method == "POST" and any(
            access.Scope.UPLOAD in each.scopes for each in requirements
        )
        authenticator.check_rate(authentication, is_upload=is_upload)
        for requirement in requirements:
            requirement.check(authentication.visitor)
        state["authentication"] = authentication
        if _is_keyless(authenticator, request, authentication, requirements):
            return request.receive
        return await _check_csrf(authenticator, request, authentication)

    async def _refuse(self, request: Request, error: Exception) -> Response:
        is_unknown = isinstance(error, HTTPException) and error.status_code == 401
        requirements = self._requirements.of(request.scope)
        login = _login_redirect(request, requirements) if is_unknown else None
        return login or await error_response(request, error)


def _is_keyless(
    authenticator: Authenticator,
    request: Request,
    authentication: Authentication,
    requirements: tuple[ScopeRequirement, ...],
) -> bool:
    """Check for a script of a site that may use the API without a key. Pages stay closed to it.

    A browser sends the header Origin with each request of a script to another site, and no script
    can change it.
    """
    return (
        authentication.visitor.method == "loopback"
        and request.headers.get("origin") in authenticator.options.web_keyless_origins
        and not any(each.page for each in requirements)
    )


async def _check_csrf(
    authenticator: Authenticator, request: Request, authentication: Authentication
) -> Receive:
    """Return the channel to receive from. Raises HTTPException (403) for forged requests."""
    binding = authentication.binding
    if binding is None:
        return request.receive
    if request.method in origins.SAFE_METHODS:
        if not origins.is_allowed_read(request):
            raise HTTPException(403, origins.CROSS_SITE)
        return request.receive
    https = authenticator.is_https(request)
    if not origins.is_same_site_write(request, authenticator.options.web_url, https=https):
        raise HTTPException(403, origins.CROSS_SITE)
    if _is_dagster_request(request):
        # Its pages send no token; no other site can send JSON without asking first.
        return request.receive
    # A local program has no page to take a token from, and sends no cookies of other users.
    if authentication.visitor.method == "loopback" and not origins.is_from_browser(request):
        return request.receive
    token, receive = await _sent_token(request)
    if not authenticator.tokens.verify(binding, token):
        raise HTTPException(403, csrf.STALE_FORM)
    return receive


def _is_dagster_request(request: Request) -> bool:
    """Return whether this is a query of a page of Dagster's UI."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return request.scope["path"] == DAGSTER_QUERIES and kind == "application/json"


async def _sent_token(request: Request) -> tuple[str, Receive]:
    """Return the token from the header or the form, and the channel to receive the body from.

    Multipart forms aren't read here: without JavaScript, their action carries the token.
    """
    header = request.headers.get(csrf.HEADER)
    if header is not None:
        return header, request.receive
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return request.query_params.get(csrf.FIELD, ""), request.receive
    if kind != "application/x-www-form-urlencoded":
        return "", request.receive
    body = await _read_form(request.receive)
    fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=1000)
    return fields.get(csrf.FIELD, [""])[0], _replay(body, request.receive)


async def _read_form(receive: Receive) -> bytes:
    body, is_more = b"", True
    while is_more:
        message = await receive()
        if message["type"] != "http.request":
            break
        body += message.get("body", b"")
        is_more = message.get("more_body", False)
        if len(body) > MAX_FORM_BYTES:
            detail = f"The form is too large; the limit is {MAX_FORM_BYTES:,} bytes."
            raise HTTPException(413, detail, {"Connection": "close"})
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """Receive a body again that has been read, then what comes after it."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return first.pop() if first else await receive()

    return replayed


def _login_redirect(
    request: Request, requirements: tuple[ScopeRequirement, ...]
) -> Response | None:
    """Return the redirect to the login for pages; None for the API and for programs."""
    authenticator: Authenticator = request.app.state.authenticator
    if not authenticator.users or not any(each.page for each in requirements):
        return None
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={"HX-Redirect": "/login"})
    if request.method != "GET" or "text/html" not in request.headers.get("accept", ""):
        return None
    query = f"?{request.url.query}" if request.url.query else ""
    target = quote(request.scope["path"] + query, safe="")
    return RedirectResponse(f"/login?next={target}", 303)
