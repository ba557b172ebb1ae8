"""The app: what is opened for it, who may ask, and how much they may send."""

import hmac
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callpipeline import wiring
from callpipeline.config import Settings
from callpipeline.errors import DatabaseUnavailable, SettingsInvalid
from callpipeline.web import notify

MOST_BYTES = 1_000_000
"""Of a request's body."""


def create_app(options: Settings) -> FastAPI:
    """The app for these settings. Raises SettingsInvalid where no API key is set."""
    if options.api_key is None:
        raise SettingsInvalid("The API needs a key: set CALLPIPELINE_API_KEY.")

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncIterator[None]:
        with ExitStack() as stack:
            url = stack.enter_context(wiring.open_database_url(options))
            storage = stack.enter_context(wiring.open_storage(options, url))
            app.state.storage = storage
            app.state.dispatcher = wiring.open_dispatcher(options, storage.outbox)
            yield

    # FastAPI's own pages of the API load scripts from elsewhere.
    app = FastAPI(title="callpipeline", lifespan=opened, docs_url=None, redoc_url=None)
    app.state.api_key = options.api_key.get_secret_value()
    app.add_middleware(LimitedBodies)
    app.add_exception_handler(DatabaseUnavailable, _unavailable)
    app.include_router(notify.router, dependencies=[Depends(known)])

    @app.get("/health")
    def health(request: Request) -> JSONResponse:
        """Whether Postgres answers: 200 or 503."""
        request.app.state.storage.notifications.backlog()
        return JSONResponse({"database": "ok"})

    return app


def known(request: Request, x_api_key: Annotated[str | None, Header()] = None) -> None:
    """Lets in who sends the key; the time it takes tells nothing of how much of it was right."""
    expected: str = request.app.state.api_key
    if not hmac.compare_digest((x_api_key or "").encode(), expected.encode()):
        raise HTTPException(401, "Send the key of this installation in the header X-API-KEY.")


def _unavailable(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"database": "down", "detail": str(error)}, status_code=503)


class LimitedBodies:
    """Answers 413 to a body that is too large, without reading more of it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MOST_BYTES:
                raise HTTPException(413, f"A request may have {MOST_BYTES:,} bytes at most.")
            return message

        await self._app(scope, counted, send)
