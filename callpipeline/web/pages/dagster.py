"""Dagster's UI at the web app's address, for visitors who are logged in.

Requests are passed on to the UI's own server, with the role of the visitor: admins may change
things there, everyone else reads. Its server accepts the signed role from us only. Sockets are
not passed on; without one, the UI polls.
"""

import json
from collections.abc import AsyncIterator

import httpx
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from starlette.background import BackgroundTask

from callpipeline.domain.access import Scope
from callpipeline.errors import ServiceUnavailable
from callpipeline.web.access import visitor_of
from callpipeline.web.state import State

PURPOSE = "dagster"
ROLE_HEADER = "X-Callpipeline-Role"
ROLE_LIFETIME_S = 60.0
CONNECT_S, READ_S = 2.0, 120.0
UNAVAILABLE = "Dagster's UI isn't running. `callpipeline up` or `callpipeline ui` starts it."

PASSED_ON = ("accept", "accept-language", "content-type", "if-none-match", "if-modified-since")
PASSED_BACK = (
    "content-type",
    "content-disposition",
    "content-security-policy",
    "content-encoding",
    "content-length",
    "etag",
    "last-modified",
    "location",
    "vary",
)
MAX_QUERY_BYTES = 5_000_000

router = APIRouter(prefix="/dagster")


@router.get("")
def dagster_without_slash() -> RedirectResponse:
    """Redirect to where the UI's relative addresses work."""
    return RedirectResponse("/dagster/", 307)


@router.api_route("/{path:path}", methods=["GET", "HEAD", "POST"])
async def dagster_ui(request: Request, path: str, state: State) -> Response:
    """Pass a request on to Dagster's UI."""
    visitor = visitor_of(request)
    role = "admin" if visitor is not None and visitor.may(Scope.ADMIN) else "reader"
    headers = {n: request.headers[n] for n in PASSED_ON if n in request.headers}
    headers["Accept-Encoding"] = request.headers.get("accept-encoding", "identity")
    headers[ROLE_HEADER] = state.signer.sign(PURPOSE, _vouch(request, role), ROLE_LIFETIME_S)
    headers["Host"] = "localhost"  # whatever its name is: it refuses foreign names
    host, port = state.options.ui_address(state.options.port)
    client = httpx.AsyncClient(timeout=httpx.Timeout(READ_S, connect=CONNECT_S), trust_env=False)
    try:
        sent = client.build_request(
            request.method,
            f"http://{f'[{host}]' if ':' in host else host}:{port}{_raw_path(request)}",
            headers=headers,
            content=await request.body() if request.method == "POST" else None,
        )
        received = await client.send(sent, stream=True)
    except httpx.TransportError:
        await client.aclose()
        raise ServiceUnavailable(UNAVAILABLE, retry_after_s=5, service=None) from None
    returned = {n: received.headers[n] for n in PASSED_BACK if n in received.headers}
    if "etag" in returned:
        returned["Cache-Control"] = "private, no-cache"
    return StreamingResponse(
        _content(received), received.status_code, returned, background=BackgroundTask(client.aclose)
    )


def _vouch(request: Request, role: str) -> str:
    """Return the role of a visitor, and who that is, for the audit log."""
    visitor = visitor_of(request)
    address = request.app.state.authenticator.proxies.address(request)
    known = [visitor.name, visitor.method] if visitor else ["unknown", "link"]
    return f"{role} {json.dumps([*known, str(address) if address else None])}"


def _raw_path(request: Request) -> str:
    """Return the path and the query as they were sent."""
    path = request.scope["raw_path"].decode("ascii", "replace")
    query = request.scope["query_string"].decode("ascii", "replace")
    return f"{path}?{query}" if query else path


async def _content(received: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in received.aiter_raw():
            yield chunk
    finally:
        await received.aclose()
