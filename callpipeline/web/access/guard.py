"""Asks who is there before anything else is done: no body is read of who may not send it."""

from urllib.parse import parse_qs, quote

from fastapi import HTTPException, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callpipeline.domain import access
from callpipeline.errors import DatabaseUnavailable
from callpipeline.web.access import crossing, tokens
from callpipeline.web.access.door import Door
from callpipeline.web.access.needs import Guards, Needs
from callpipeline.web.access.visitors import Identified
from callpipeline.web.answering import answer_of

MOST_FORM_BYTES = 65_536
FOREIGN = "This request was made by a page of another site: it is refused."
TWO_HOSTS = "This request names two hosts."
STALE = "This page is too old, or was not made here: load it again, and repeat what you did."


class Guard:
    """Lets in who may do what a route `needs`, and nobody whom another site sends.

    FastAPI reads a body in JSON before any dependency is asked; this comes before it. Errors are
    answered by the app's own handlers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._guards = Guards()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            receive = await self._let_in(request, scope.setdefault("state", {}))
        except (HTTPException, DatabaseUnavailable) as error:
            await (await self._answer(request, error))(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _let_in(self, request: Request, state: dict[str, object]) -> Receive:
        """What to receive the body from. Raises HTTPException."""
        door: Door = request.app.state.door
        state["is_https"] = door.is_https(request)
        if len(request.headers.getlist("host")) > 1:
            raise HTTPException(400, TWO_HOSTS)
        door.check_address(request)
        asked = self._guards.of(request.scope)
        if not asked:
            return request.receive
        identified = await door.identify(request)
        is_upload = request.method == "POST" and any(
            access.Scope.UPLOAD in needs.scopes for needs in asked
        )
        door.count(identified, is_upload=is_upload)
        for needs in asked:
            needs.check(identified.visitor)
        state["identified"] = identified
        return await _uncrossed(door, request, identified)

    async def _answer(self, request: Request, error: Exception) -> Response:
        is_unknown = isinstance(error, HTTPException) and error.status_code == 401
        login = _login(request, self._guards.of(request.scope)) if is_unknown else None
        return login or await answer_of(request, error)


async def _uncrossed(door: Door, request: Request, identified: Identified) -> Receive:
    """What to receive from; raises HTTPException (403) for what another site made."""
    binding = identified.binding
    if binding is None:
        return request.receive
    if request.method in crossing.SAFE:
        if not crossing.may_look(request):
            raise HTTPException(403, FOREIGN)
        return request.receive
    https = door.is_https(request)
    if not crossing.may_change(request, door.options.web_url, https=https):
        raise HTTPException(403, FOREIGN)
    # A program of this machine has no page to take a token from, and nobody's cookies.
    if identified.visitor.how == "loopback" and not crossing.is_by_browser(request):
        return request.receive
    token, receive = await _sent_token(request)
    if not door.tokens.accepts(binding, token):
        raise HTTPException(403, STALE)
    return receive


async def _sent_token(request: Request) -> tuple[str, Receive]:
    """The token from the header or the form's field, and what to receive the body from.

    A form with files is not read here: without JavaScript its action carries the token.
    """
    header = request.headers.get(tokens.HEADER)
    if header is not None:
        return header, request.receive
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return request.query_params.get(tokens.FIELD, ""), request.receive
    if kind != "application/x-www-form-urlencoded":
        return "", request.receive
    body = await _small_body(request.receive)
    fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=1000)
    return fields.get(tokens.FIELD, [""])[0], _again(body, request.receive)


async def _small_body(receive: Receive) -> bytes:
    body, is_more = b"", True
    while is_more:
        message = await receive()
        if message["type"] != "http.request":
            break
        body += message.get("body", b"")
        is_more = message.get("more_body", False)
        if len(body) > MOST_FORM_BYTES:
            sentence = f"A form may have {MOST_FORM_BYTES:,} bytes at most."
            raise HTTPException(413, sentence, {"Connection": "close"})
    return body


def _again(body: bytes, receive: Receive) -> Receive:
    """Receives a body once more that was read already, and then what comes after it."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return first.pop() if first else await receive()

    return replayed


def _login(request: Request, asked: tuple[Needs, ...]) -> Response | None:
    """The way to the login, for a person before a page; None for programs."""
    door: Door = request.app.state.door
    if not door.users or not any(needs.page for needs in asked):
        return None
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={"HX-Redirect": "/login"})
    if request.method != "GET" or "text/html" not in request.headers.get("accept", ""):
        return None
    query = f"?{request.url.query}" if request.url.query else ""
    target = quote(request.scope["path"] + query, safe="")
    return RedirectResponse(f"/login?next={target}", 303)
