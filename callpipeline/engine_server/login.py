"""Login with name and password for an access token, and verification of tokens."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send

from callpipeline.config import Settings
from callpipeline.engine_server.state import CurrentState

PURPOSE = "access"
NO_USERS = "No users are configured: set CALLPIPELINE_SERVE_USERS on the engine server."
_CHALLENGE = {"WWW-Authenticate": "Bearer"}

router = APIRouter(tags=["login"])
bearer = HTTPBearer(auto_error=False, description="A token from /api/v1/login/access-token.")


class AccessToken(BaseModel):
    """A token for `Authorization: Bearer <access_token>`, and its lifetime in seconds."""

    access_token: str
    token_type: str = "bearer"
    expires_in: int


@router.post("/api/v1/login/access-token")
async def log_in(
    request: Request,
    state: CurrentState,
    username: Annotated[str, Form(max_length=200)],
    password: Annotated[str, Form(max_length=1000)],
) -> AccessToken:
    """Return a token. 401: wrong name or password; 429: too many logins at once, or failed ones."""
    if not state.users:
        raise HTTPException(401, NO_USERS, _CHALLENGE)
    address = request.client.host if request.client else "unknown"
    state.failed_logins.acquire(username, address)
    async with state.logins.admit(), state.logins.run():
        is_valid = await asyncio.to_thread(state.users.verify, username, password)
    if is_valid:
        state.failed_logins.succeeded(username, address)
    if not is_valid:
        raise HTTPException(401, "Wrong username or password.", _CHALLENGE)
    for_s = state.options.serve_token_s
    return AccessToken(
        access_token=state.signer.sign(PURPOSE, username, for_s), expires_in=int(for_s)
    )


def require_token(
    state: CurrentState,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> None:
    """Raise HTTPException (401) without a valid token, before the form is read."""
    if not state.users:
        raise HTTPException(401, NO_USERS, _CHALLENGE)
    token = state.signer.verify(PURPOSE, credentials.credentials) if credentials else None
    if token is None:
        raise _unauthorized("Send an access token of this server: Authorization: Bearer <token>.")
    if token.is_expired:
        raise _unauthorized("The token has expired. Log in again.", error="invalid_token")
    if token.text not in state.users:
        raise _unauthorized("The user of this token no longer exists.", error="invalid_token")


class TokenMiddleware:
    """Requires a token below some paths before FastAPI handles the request.

    FastAPI itself parses a JSON body before it calls any dependency.
    """

    def __init__(self, app: ASGIApp, paths: tuple[str, ...]) -> None:
        self._app = app
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(self._paths):
            request = Request(scope)
            try:
                require_token(request.app.state.engine_server, await bearer(request))
            except HTTPException as error:
                reply = JSONResponse({"detail": error.detail}, error.status_code, error.headers)
                await reply(scope, receive, send)
                return
        await self._app(scope, receive, send)


def needs_token_everywhere(options: Settings) -> bool:
    """Return the setting, by default True if other machines can connect."""
    if options.serve_auth is not None:
        return options.serve_auth == "all"
    return not options.serve_on_loopback


def _unauthorized(message: str, *, error: str | None = None) -> HTTPException:
    challenge = f'Bearer error="{error}"' if error else "Bearer"
    return HTTPException(401, message, {"WWW-Authenticate": challenge})
