"""Errors as answers: a sentence in `detail` that quotes nothing of what was sent."""

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
from callpipeline.web.places import RETRY_AFTER_S
from callpipeline.web.sentences import sentence_of

Model = TypeVar("Model")

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


async def _of_engine(request: Request, error: Exception) -> JSONResponse:
    kind = type(error)
    status = next(code for known, code in STATUS.items() if issubclass(kind, known))
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None
    problem = Problem(detail=str(error), error=kind.__name__)
    return JSONResponse(problem.model_dump(), status, headers)


async def _of_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"detail": sentence_of(error.errors())}, 422)
