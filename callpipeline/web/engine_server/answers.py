"""Errors as answers: a sentence in `detail` that quotes nothing of what was sent."""

import asyncio
import logging
import time
import traceback
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callpipeline.errors import (
    CallpipelineError,
    EmptyRecording,
    PermanentError,
    TranscriptInvalid,
    TransientError,
    UnsupportedAudio,
)
from callpipeline.web.engine_server.places import RETRY_AFTER_S

Model = TypeVar("Model")
log = logging.getLogger("uvicorn.engines")

STATUS: Mapping[type[CallpipelineError], int] = {
    UnsupportedAudio: 415,
    EmptyRecording: 422,
    TranscriptInvalid: 422,
    TransientError: 503,
    PermanentError: 500,
    CallpipelineError: 500,
}


class Problem(BaseModel):
    """What went wrong, for a person; `error` is the class where an engine gave it."""

    detail: str
    error: str | None = None


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a route, for its description."""
    return {code: {"model": Problem, "description": HTTPStatus(code).phrase} for code in codes}


def explain_errors(app: FastAPI) -> None:
    """Let every error of this app be answered in this way."""
    app.add_exception_handler(CallpipelineError, _of_engine)
    app.add_exception_handler(RequestValidationError, _of_request)


def of_fields(of: TypeAdapter[Model], fields: object) -> Model:
    """The fields of a form as they are meant. Raises HTTPException (422)."""
    try:
        return of.validate_python(fields)
    except ValidationError as error:
        raise HTTPException(422, sentence_of(error.errors(include_input=False))) from None


def sentence_of(errors: Iterable[Any]) -> str:
    """What is wrong with a request and where, without the values."""
    said = [f"{_place(error['loc'])}: {_rule(error['msg'])}" for error in errors]
    more = f" … and {len(said) - 5} more" if len(said) > 5 else ""
    return "The request cannot be used. " + "; ".join(said[:5]) + more + "."


def _place(loc: Iterable[str | int]) -> str:
    parts = [str(part) for part in loc if part not in ("body", "query", "path")]
    return ".".join(parts) or "the body"


def _rule(message: str) -> str:
    plain = message.removeprefix("Value error, ")
    return plain[:1].lower() + plain[1:]


async def _of_engine(request: Request, error: Exception) -> JSONResponse:
    kind = type(error)
    status = next(code for known, code in STATUS.items() if issubclass(kind, known))
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None
    problem = Problem(detail=str(error), error=kind.__name__)
    return JSONResponse(problem.model_dump(), status, headers)


async def _of_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"detail": sentence_of(error.errors())}, 422)


class Guarded:
    """The outermost layer: a line in the log for each request, and an answer for every fault.

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
                await _stopping(scope, receive, noted)
        except Exception as error:
            _log_fault(error)
            if not status:
                await _fault(scope, receive, noted)
        finally:
            took_s = time.monotonic() - started
            log.info("%s %s %d %.3f s", scope["method"], _route(scope), status, took_s)


_stopping = JSONResponse(
    {"detail": "The server is being stopped: try again."}, 503, {"Retry-After": str(RETRY_AFTER_S)}
)
_fault = JSONResponse({"detail": "A fault of the server: its log says where."}, 500)


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", "(no route)")


def _log_fault(error: Exception) -> None:
    # Without its text, which may quote what was said in a call.
    at = "".join(traceback.format_tb(error.__traceback__))
    log.error("fault: %s\n%s", type(error).__name__, at)
