"""How an app gets its guard, and what its templates need of it."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from starlette.middleware.cors import CORSMiddleware

from callpipeline.config import Settings
from callpipeline.web.access.guard import Guard
from callpipeline.web.access.headers import SecureHeaders, csp_nonce
from callpipeline.web.access.login import LoginPage, login_routes
from callpipeline.web.access.login_page import plain_login_page
from callpipeline.web.access.needs import visitor_of
from callpipeline.web.access.visitors import Identified
from callpipeline.web.bodies import PromptBodies
from callpipeline.web.guarded import Guarded

MAY_SEND = ("Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "Range")
MAY_SEE = ("Content-Disposition", "Content-Range", "ETag", "Link", "Location", "Retry-After")


def install(
    app: FastAPI,
    options: Settings,
    login_page: LoginPage = plain_login_page,
    *,
    streamed: Sequence[str] = (),
) -> None:
    """Put the guard before all that the app has been given until now, and the routes of the login.

    Around it stand what waits for bodies, but for those that are `streamed` (the beginnings of
    their paths), what answers faults, and the headers of every answer. Its door is opened with the
    database: `app.state.door = open_door(options, database)`.
    """
    app.include_router(login_routes(login_page))
    app.add_middleware(Guard)
    if options.web_cors_origins:
        # No cookies: programs in other sites' pages send a key.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=options.web_cors_origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=[*MAY_SEND, "X-API-KEY", "Last-Event-ID"],
            expose_headers=MAY_SEE,
            allow_credentials=False,
            max_age=600,
        )
    app.add_middleware(PromptBodies, streamed=streamed)
    app.add_middleware(Guarded)
    app.add_middleware(SecureHeaders)


def form_token(request: Request) -> str:
    """For the field `csrf_token` of a form, and the header X-CSRF-Token; '' where none is due."""
    identified: Identified | None = request.scope.get("state", {}).get("identified")
    if identified is None or identified.binding is None:
        return ""
    return request.app.state.door.tokens.made(identified.binding)


def in_templates(request: Request) -> dict[str, Any]:
    """For `Jinja2Templates(context_processors=[…])`: visitor, csrf_token and csp_nonce."""
    return {
        "visitor": visitor_of(request),
        "csrf_token": form_token(request),
        "csp_nonce": csp_nonce(request),
    }
