"""Access log and last-resort error handling, the outermost middleware of the servers."""

import asyncio
import json
import logging
import time
import traceback
from datetime import UTC, datetime
from typing import Any

from fastapi import HTTPException
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callpipeline.http_server.responses import error_response

STOPPING = HTTPException(
    503, "The server is shutting down. Try again in a moment.", {"Retry-After": "5"}
)
INTERNAL_ERROR = HTTPException(500, "Internal server error. The server's log has the details.")

log = logging.getLogger("uvicorn.callpipeline")


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry = {"time": at, "level": record.levelname, "logger": record.name}
        entry["message"] = record.getMessage()
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def log_config(log_format: str) -> dict[str, Any]:
    """Return the configuration of a server's logging to standard output, as `text` or `json`."""
    text = {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}
    formatter = {"()": JsonFormatter} if log_format == "json" else text
    stream = {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stdout"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": formatter},
        "handlers": {"stdout": stream},
        "loggers": {"uvicorn": {"handlers": ["stdout"], "level": "INFO", "propagate": False}},
        "root": {"handlers": ["stdout"], "level": "WARNING"},
    }


class AccessLogMiddleware:
    """Log each request and respond to unhandled exceptions.

    The log has no data of the request: the route's pattern instead of the URL, the class of an
    exception instead of its message.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.monotonic(), 0

        async def record_status(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, record_status)
        except ClientDisconnect:
            status = status or 499
        except asyncio.CancelledError:  # the grace period is over; only uvicorn is above this
            if not status:
                await (await _response(scope, STOPPING))(scope, receive, record_status)
        except Exception as error:
            _log_exception(error)
            if not status:
                await (await _response(scope, INTERNAL_ERROR))(scope, receive, record_status)
        finally:
            took_s = time.monotonic() - started
            log.info("%s %s %d %.3f s", scope["method"], _route(scope), status, took_s)


async def _response(scope: Scope, error: HTTPException) -> Response:
    """Respond with the app's handler, or plainly if the handler is what fails."""
    try:
        return await error_response(Request(scope), error)
    except Exception:
        return JSONResponse({"detail": error.detail}, error.status_code, error.headers)


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", "(no route)")


def _log_exception(error: Exception) -> None:
    # Without the message, which may quote a transcript.
    stack = "".join(traceback.format_tb(error.__traceback__))
    log.error("unhandled %s\n%s", type(error).__name__, stack)
