"""Login and logout: the form, its routes, and the session cookie."""

import asyncio
import logging
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from pydantic import BaseModel, Field
from starlette.responses import HTMLResponse, RedirectResponse, Response

from callpipeline.http_server import origins
from callpipeline.web.access import csrf
from callpipeline.web.access.authenticator import (
    SESSION_COOKIE,
    Authenticator,
    cookie_name,
    set_cookie,
)
from callpipeline.web.access.permissions import require

FORM_COOKIE = "callpipeline-login"
"""Ties a login form to the browser that loaded it."""
FORM_LIFETIME_S = 3600
WRONG_PASSWORD = "Incorrect name or password."
_PATH = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]*")

log = logging.getLogger("uvicorn.login")


@dataclass(frozen=True, slots=True)
class LoginForm:
    """Context of the login page. Its form sends name, password, next and csrf_token."""

    next: str
    csrf_token: str
    problem: str = ""
    name: str = ""


class LoginRequest(BaseModel):
    """The login form as it is sent."""

    name: Annotated[str, Field(max_length=200)]
    password: Annotated[str, Field(max_length=1000)]
    csrf_token: Annotated[str, Field(max_length=1000)] = ""
    next: Annotated[str, Field(max_length=4000)] = "/"


LoginPage = Callable[[Request, LoginForm], Response]


def local_path(text: str) -> str:
    """Return the path if it is one of ours, and the home page if it could lead elsewhere."""
    is_local = len(text) <= 2000 and _PATH.fullmatch(text) is not None
    leads_back = re.split(r"[?#]", text, maxsplit=1)[0] in ("/login", "/logout")
    return text if is_local and not leads_back else "/"


def plain_login_page(request: Request, form: LoginForm) -> HTMLResponse:
    """Render an unstyled login page, for apps that have no page of their own."""
    return HTMLResponse(f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Log in · callpipeline</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<main><h1>Log in</h1><p role="alert">{escape(form.problem)}</p>
<form method="post" action="/login">
<input type="hidden" name="csrf_token" value="{escape(form.csrf_token)}">
<input type="hidden" name="next" value="{escape(form.next)}">
<p><label>Name <input name="name" value="{escape(form.name)}" autocomplete="username"
required autofocus></label></p>
<p><label>Password <input name="password" type="password" autocomplete="current-password"
required></label></p>
<p><button>Log in</button></p></form></main></html>""")


def login_routes(page: LoginPage = plain_login_page) -> APIRouter:
    """Return `/login` and `/logout`. Without users of our own, `/login` redirects home."""
    router = APIRouter(include_in_schema=False)

    @router.get("/login")
    async def form(request: Request, next: str = "/") -> Response:
        authenticator: Authenticator = request.app.state.authenticator
        target = local_path(next)
        if not authenticator.users or await _is_logged_in(authenticator, request):
            return RedirectResponse(target, 303)
        return _login_page(authenticator, request, page, target)

    @router.post("/login")
    async def log_in(request: Request, sent: Annotated[LoginRequest, Form()]) -> Response:
        authenticator: Authenticator = request.app.state.authenticator
        if not authenticator.users:
            raise HTTPException(404, "There is no login: CALLPIPELINE_WEB_USERS is not set.")
        _check_form(authenticator, request, sent.csrf_token)
        target = local_path(sent.next)
        if not await _verify_password(authenticator, request, sent):
            return _login_page(
                authenticator, request, page, target, problem=WRONG_PASSWORD, name=sent.name
            )
        return await _start_session(authenticator, request, sent.name, target)

    @router.post("/logout", dependencies=[Depends(require())])
    async def log_out(request: Request) -> Response:
        authenticator: Authenticator = request.app.state.authenticator
        cookie = authenticator.session_cookie(request)
        if cookie:
            await authenticator.sessions.end(cookie)
        response = RedirectResponse("/login", 303)
        secure = authenticator.is_https(request)
        set_cookie(
            response, cookie_name(SESSION_COOKIE, secure=secure), "", secure=secure, max_age_s=0
        )
        return response

    return router


async def _is_logged_in(authenticator: Authenticator, request: Request) -> bool:
    cookie = authenticator.session_cookie(request)
    return cookie is not None and await authenticator.sessions.user(cookie) is not None


def _check_form(authenticator: Authenticator, request: Request, token: str) -> None:
    """Raise HTTPException (403) if another site sent the form, to log people in as someone else."""
    https = authenticator.is_https(request)
    if not origins.is_same_site_write(request, authenticator.options.web_url, https=https):
        raise HTTPException(403, origins.CROSS_SITE)
    nonce = request.cookies.get(cookie_name(FORM_COOKIE, secure=https), "")
    if not nonce or not authenticator.tokens.verify(csrf.CsrfBinding(f"form {nonce}"), token):
        raise HTTPException(403, csrf.STALE_FORM)


async def _verify_password(
    authenticator: Authenticator, request: Request, sent: LoginRequest
) -> bool:
    """Check the password. Raises HTTPException (429) after many failures."""
    address = authenticator.proxies.client(request)
    authenticator.failed_logins.acquire(sent.name, address)
    account = await authenticator.accounts.find(sent.name, is_fresh=True)
    stored = account.password_hash if account and account.is_enabled else None
    async with authenticator.logins.admit(), authenticator.logins.run():
        is_correct = await asyncio.to_thread(
            authenticator.users.verify, sent.name, sent.password, stored
        )
    if is_correct:
        authenticator.failed_logins.succeeded(sent.name, address)
    # Unknown names aren't logged: people type passwords into that field.
    name = repr(sent.name) if account else "an unknown name"
    log.info("login of %s from %s: %s", name, address, "ok" if is_correct else "refused")
    return is_correct


async def _start_session(
    authenticator: Authenticator, request: Request, name: str, target: str
) -> Response:
    """Create a new session; end the one that the request came with."""
    previous = authenticator.session_cookie(request)
    if previous:
        await authenticator.sessions.end(previous)
    secure = authenticator.is_https(request)
    response = RedirectResponse(target, 303)
    cookie = await authenticator.sessions.create(name)
    lifetime_s = int(authenticator.options.web_session_h * 3600)
    session_cookie = cookie_name(SESSION_COOKIE, secure=secure)
    set_cookie(response, session_cookie, cookie, secure=secure, max_age_s=lifetime_s)
    set_cookie(response, cookie_name(FORM_COOKIE, secure=secure), "", secure=secure, max_age_s=0)
    return response


def _login_page(
    authenticator: Authenticator,
    request: Request,
    page: LoginPage,
    target: str,
    *,
    problem: str = "",
    name: str = "",
) -> Response:
    secure = authenticator.is_https(request)
    form_cookie = cookie_name(FORM_COOKIE, secure=secure)
    nonce = request.cookies.get(form_cookie) or secrets.token_urlsafe(16)
    token = authenticator.tokens.create(csrf.CsrfBinding(f"form {nonce}"))
    response = page(request, LoginForm(target, token, problem, name))
    if problem:
        response.status_code = 401
    set_cookie(response, form_cookie, nonce, secure=secure, max_age_s=FORM_LIFETIME_S)
    return response
