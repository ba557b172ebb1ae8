"""Errors as HTTP responses: JSON with a sentence, and the class of an engine's error."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, TypeAdapter, ValidationError

from callpipeline.errors import (
    CallpipelineError,
    EmptyRecording,
    PermanentError,
    TranscriptInvalid,
    TransientError,
    UnsupportedAudio,
)
from callpipeline.http_server.limits import RETRY_AFTER_S
from callpipeline.http_server.responses import validation_message

Model = TypeVar("Model")

STATUS: Mapping[type[CallpipelineError], int] = {
    UnsupportedAudio: 415,
    EmptyRecording: 422,
    TranscriptInvalid: 422,
    TransientError: 503,
    PermanentError: 500,
    CallpipelineError: 500,
}


class ErrorResponse(BaseModel):
    """A sentence about the error; `error` is the class of an engine's error."""

    detail: str
    error: str | None = None


def error_responses(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Return the errors of a route for its OpenAPI description."""
    return {
        code: {"model": ErrorResponse, "description": HTTPStatus(code).phrase} for code in codes
    }


def add_error_handlers(app: FastAPI) -> None:
    """Add handlers for the errors of engines and for invalid requests."""
    app.add_exception_handler(CallpipelineError, _engine_error)
    app.add_exception_handler(RequestValidationError, _request_error)


def validate_fields(adapter: TypeAdapter[Model], fields: object) -> Model:
    """Validate the fields of a form. Raises HTTPException (422)."""
    try:
        return adapter.validate_python(fields)
    except ValidationError as error:
        raise unprocessable(error) from None


def unprocessable(error: ValidationError) -> HTTPException:
    """Return a 422 error without the invalid input."""
    return HTTPException(422, validation_message(error.errors(include_input=False)))


async def _engine_error(request: Request, error: Exception) -> JSONResponse:
    kind = type(error)
    status = next(code for listed, code in STATUS.items() if issubclass(kind, listed))
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None
    response = ErrorResponse(detail=str(error), error=kind.__name__)
    return JSONResponse(response.model_dump(), status, headers)


async def _request_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"detail": validation_message(error.errors())}, 422)
