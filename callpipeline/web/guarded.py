"""The outermost layer of our servers: what is logged of a request, and the answer to a fault."""

import asyncio
import logging
import time
import traceback

from fastapi import HTTPException
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callpipeline.web.answering import answer_of

log = logging.getLogger("uvicorn.callpipeline")


class Guarded:
    """A line in the log for each request, and an answer for every fault.

    Neither holds words of the request: of an address only its pattern, of an error its class.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.monotonic(), 0

        async def noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except ClientDisconnect:
            status = status or 499
        except asyncio.CancelledError:  # its grace is over: nothing is above this but uvicorn
            if not status:
                await (await _answer(scope, STOPPING))(scope, receive, noted)
        except Exception as error:
            _log_fault(error)
            if not status:
                await (await _answer(scope, FAULT))(scope, receive, noted)
        finally:
            took_s = time.monotonic() - started
            log.info("%s %s %d %.3f s", scope["method"], _route(scope), status, took_s)


STOPPING = HTTPException(503, "The server is being stopped: try again.", {"Retry-After": "5"})
FAULT = HTTPException(500, "A fault of the server: its log says where.")


async def _answer(scope: Scope, error: HTTPException) -> Response:
    """As the app answers its other errors, unless that is where the fault is."""
    try:
        return await answer_of(Request(scope), error)
    except Exception:
        return JSONResponse({"detail": error.detail}, error.status_code, error.headers)


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", "(no route)")


def _log_fault(error: Exception) -> None:
    # Without its text, which may quote what was said in a call.
    at = "".join(traceback.format_tb(error.__traceback__))
    log.error("fault: %s\n%s", type(error).__name__, at)
