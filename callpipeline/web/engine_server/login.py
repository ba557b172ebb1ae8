"""The token service, and who is let in by its tokens."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send

from callpipeline.config import Settings
from callpipeline.web.engine_server.opened import Here

PURPOSE = "access"
NOBODY = "No users are set here: set CALLPIPELINE_SERVE_USERS where the engines are served."
_CHALLENGE = {"WWW-Authenticate": "Bearer"}

router = APIRouter(tags=["login"])
bearer = HTTPBearer(auto_error=False, description="A token from /api/v1/login/access-token.")


class Token(BaseModel):
    """What to send as `Authorization: Bearer <access_token>`, and for how many seconds."""

    access_token: str
    token_type: str = "bearer"
    expires_in: int


@router.post("/api/v1/login/access-token")
async def log_in(
    here: Here,
    username: Annotated[str, Form(max_length=200)],
    password: Annotated[str, Form(max_length=1000)],
) -> Token:
    """A token for a name and a password. 401: they are wrong; 429: too many try at once."""
    if not here.users:
        raise HTTPException(401, NOBODY, _CHALLENGE)
    async with here.logins.place(), here.logins.turn():
        is_right = await asyncio.to_thread(here.users.accepts, username, password)
    if not is_right:
        raise HTTPException(401, "The name or the password is wrong.", _CHALLENGE)
    for_s = here.options.serve_token_s
    return Token(access_token=here.signer.sign(PURPOSE, username, for_s), expires_in=int(for_s))


def known(
    here: Here, sent: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> None:
    """Lets in who sends a token that holds; before anything of a form is read."""
    if not here.users:
        raise HTTPException(401, NOBODY, _CHALLENGE)
    token = here.signer.read(PURPOSE, sent.credentials) if sent else None
    if token is None:
        raise _refused("Send a token of this server: Authorization: Bearer <token>.")
    if token.is_expired:
        raise _refused("The token has expired: log in again.", error="invalid_token")
    if token.text not in here.users:
        raise _refused("The user of this token is not known any more.", error="invalid_token")


class TokenFirst:
    """Asks for a token below some paths before FastAPI looks at the request at all.

    It reads a body in JSON before any dependency is asked.
    """

    def __init__(self, app: ASGIApp, paths: tuple[str, ...]) -> None:
        self._app = app
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(self._paths):
            request = Request(scope)
            try:
                known(request.app.state.opened, await bearer(request))
            except HTTPException as error:
                reply = JSONResponse({"detail": error.detail}, error.status_code, error.headers)
                await reply(scope, receive, send)
                return
        await self._app(scope, receive, send)


def needs_token_everywhere(options: Settings) -> bool:
    """As set; where nothing is set, as soon as others than this machine can connect."""
    if options.serve_auth is not None:
        return options.serve_auth == "all"
    return not options.serves_loopback


def _refused(sentence: str, *, error: str | None = None) -> HTTPException:
    challenge = f'Bearer error="{error}"' if error else "Bearer"
    return HTTPException(401, sentence, {"WWW-Authenticate": challenge})
