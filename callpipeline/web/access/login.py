"""The login: a form, a cookie, and the way out."""

import asyncio
import logging
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from pydantic import BaseModel, Field
from starlette.responses import RedirectResponse, Response

from callpipeline.web.access import crossing
from callpipeline.web.access.door import SESSION, Door
from callpipeline.web.access.guard import FOREIGN, STALE
from callpipeline.web.access.login_page import plain_login_page
from callpipeline.web.access.needs import needs
from callpipeline.web.access.sessions import cookie_name, set_cookie
from callpipeline.web.access.tokens import Binding

FORM = "callpipeline-login"
"""The cookie of a login form: only who was shown the form may send it."""
FORM_S = 3600
WRONG = "The name or the password is wrong."
_PATH = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]*")

log = logging.getLogger("uvicorn.login")


@dataclass(frozen=True, slots=True)
class LoginForm:
    """What the page of the login shows; its form sends name, password, next and csrf_token."""

    next: str
    csrf_token: str
    problem: str = ""
    name: str = ""


class Sent(BaseModel):
    """The form as it comes."""

    name: Annotated[str, Field(max_length=200)]
    password: Annotated[str, Field(max_length=1000)]
    csrf_token: Annotated[str, Field(max_length=1000)] = ""
    next: Annotated[str, Field(max_length=4000)] = "/"


LoginPage = Callable[[Request, LoginForm], Response]


def local_path(text: str) -> str:
    """A path of ours to go on to; the home page for whatever could lead elsewhere."""
    is_ours = len(text) <= 2000 and _PATH.fullmatch(text) is not None
    leads_back = re.split(r"[?#]", text, maxsplit=1)[0] in ("/login", "/logout")
    return text if is_ours and not leads_back else "/"


def login_routes(page: LoginPage = plain_login_page) -> APIRouter:
    """`/login` and `/logout`. Where a proxy or nobody logs people in, `/login` leads home."""
    router = APIRouter(include_in_schema=False)

    @router.get("/login")
    async def form(request: Request, next: str = "/") -> Response:
        door: Door = request.app.state.door
        target = local_path(next)
        if not door.users or await _is_in(door, request):
            return RedirectResponse(target, 303)
        return _shown(door, request, page, target)

    @router.post("/login")
    async def log_in(request: Request, sent: Annotated[Sent, Form()]) -> Response:
        door: Door = request.app.state.door
        if not door.users:
            raise HTTPException(404, "Nobody logs in here: CALLPIPELINE_WEB_USERS is not set.")
        _refuse_foreign(door, request, sent.csrf_token)
        target = local_path(sent.next)
        if not await _is_right(door, request, sent):
            return _shown(door, request, page, target, problem=WRONG, name=sent.name)
        return await _entered(door, request, sent.name, target)

    @router.post("/logout", dependencies=[Depends(needs())])
    async def log_out(request: Request) -> Response:
        door: Door = request.app.state.door
        cookie = door.session_cookie(request)
        if cookie:
            await door.sessions.end(cookie)
        answer = RedirectResponse("/login", 303)
        secure = door.is_https(request)
        set_cookie(answer, cookie_name(SESSION, secure=secure), "", secure=secure, max_age_s=0)
        return answer

    return router


async def _is_in(door: Door, request: Request) -> bool:
    cookie = door.session_cookie(request)
    return cookie is not None and await door.sessions.user(cookie) is not None


def _refuse_foreign(door: Door, request: Request, token: str) -> None:
    """Another site must not log people in under its own name. Raises HTTPException (403)."""
    https = door.is_https(request)
    if not crossing.may_change(request, door.options.web_url, https=https):
        raise HTTPException(403, FOREIGN)
    nonce = request.cookies.get(cookie_name(FORM, secure=https), "")
    if not nonce or not door.tokens.accepts(Binding(f"form {nonce}"), token):
        raise HTTPException(403, STALE)


async def _is_right(door: Door, request: Request, sent: Sent) -> bool:
    """Raises HTTPException (429) where too many failed, of this name or from this address."""
    address = door.proxies.client(request)
    counted = (f"name {sent.name.casefold()}", f"address {address}")
    for who in counted:
        door.failed_logins.take(who)
    async with door.logins.place(), door.logins.turn():
        is_right = await asyncio.to_thread(door.users.accepts, sent.name, sent.password)
    if is_right:
        for who in counted:
            door.failed_logins.give_back(who)
    # Of a name that nobody has nothing is logged: people type passwords there.
    known = repr(sent.name) if sent.name in door.users else "an unknown name"
    log.info("login of %s from %s: %s", known, address, "ok" if is_right else "refused")
    return is_right


async def _entered(door: Door, request: Request, name: str, target: str) -> Response:
    """A session of its own, whatever cookie came along: that one ends."""
    before = door.session_cookie(request)
    if before:
        await door.sessions.end(before)
    secure = door.is_https(request)
    answer = RedirectResponse(target, 303)
    cookie = await door.sessions.begin(name)
    lifetime_s = int(door.options.web_session_h * 3600)
    named = cookie_name(SESSION, secure=secure)
    set_cookie(answer, named, cookie, secure=secure, max_age_s=lifetime_s)
    set_cookie(answer, cookie_name(FORM, secure=secure), "", secure=secure, max_age_s=0)
    return answer


def _shown(
    door: Door, request: Request, page: LoginPage, target: str, *, problem: str = "", name: str = ""
) -> Response:
    secure = door.is_https(request)
    named = cookie_name(FORM, secure=secure)
    nonce = request.cookies.get(named) or secrets.token_urlsafe(16)
    token = door.tokens.made(Binding(f"form {nonce}"))
    answer = page(request, LoginForm(target, token, problem, name))
    if problem:
        answer.status_code = 401
    set_cookie(answer, named, nonce, secure=secure, max_age_s=FORM_S)
    return answer
