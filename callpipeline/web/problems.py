"""Error responses: `application/problem+json` (RFC 9457) for programs, a page for browsers.

Also the advice on what to do about a failed call.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from callpipeline import errors
from callpipeline.errors import CallpipelineError
from callpipeline.http_server.responses import validation_message
from callpipeline.web import access
from callpipeline.web.pages.rendering import page

STATUS: Mapping[type[CallpipelineError], int] = {
    errors.UnknownCall: 404,
    errors.UnknownMention: 404,
    errors.UnknownVoices: 409,
    errors.ReviewOutdated: 409,
    errors.CorrectionOutdated: 409,
    errors.UnknownSegment: 404,
    errors.AlertRuleOutdated: 409,
    errors.UnknownView: 404,
    errors.ViewRefused: 409,
    errors.UnknownKey: 404,
    errors.UnknownUser: 404,
    errors.KeyRefused: 422,
    errors.UserRefused: 409,
    errors.CatalogConflict: 409,
    errors.UnknownCatalog: 404,
    errors.MissingObject: 404,
    errors.PathRefused: 422,
    errors.AnnouncementInvalid: 422,
    errors.UnsupportedAudio: 415,
    errors.EmptyRecording: 422,
    errors.CursorInvalid: 422,
    errors.TransientError: 503,
    errors.PermanentError: 500,
    CallpipelineError: 500,
}
DATABASE_MESSAGE = "The database is unavailable. We'll retry; try again in a minute."
STORE_MESSAGES: Mapping[type[CallpipelineError], str] = {
    errors.MissingObject: "The object no longer exists.",
    errors.StoreUnavailable: "The object store is unavailable. Try again in a minute.",
}
"""Replacements for a bucket's errors, which name the bucket."""

HTTP_MESSAGES = {404: "Page not found", 405: "This method isn't allowed here."}
RETRY_AFTER = {"Retry-After": "5"}

ADVICE: Mapping[type[CallpipelineError], str] = {
    errors.UnsupportedAudio: (
        "Export it again from the phone system, or convert it to WAV, MP3, M4A, FLAC or Opus, and "
        "upload that file."
    ),
    errors.EmptyRecording: (
        "Play the original file. If it has sound, upload it again; if not, nothing was recorded."
    ),
    errors.DuplicateRecording: (
        "No action needed: this call already exists. To process duplicates as calls of their own, "
        "set `duplicates: process` for the source."
    ),
    errors.CatalogInvalid: (
        "Fix the competitor list (`callpipeline doctor` shows what is wrong), then retry."
    ),
    errors.TranscriptInvalid: "Fix or remove the transcript next to the recording, then retry.",
    errors.EngineRefused: (
        "Contact the operator of the service, or check its settings with `callpipeline doctor`; "
        "then retry."
    ),
    errors.MissingObject: (
        "The file was moved or deleted after it was imported. Put it back, or upload it again."
    ),
    errors.SettingsInvalid: "Fix the setting (`callpipeline doctor` checks them all), then retry.",
    errors.PoisonCall: (
        "Something in this recording, or a lack of memory, crashed the process that worked on it. "
        "Other calls are not affected. Retry once; if it fails again, keep the file and report it."
    ),
    errors.UnexpectedError: (
        "This is a bug in callpipeline. Retry once; if it fails again, report it with the log of "
        "its run in Dagster."
    ),
    errors.ServiceUnavailable: "Retry when the service responds; check with `callpipeline doctor`.",
    errors.EngineUnavailable: (
        "The engine didn't respond, several times. Retry when it does; check with `callpipeline "
        "doctor`."
    ),
    errors.StoreUnavailable: (
        "The object store didn't respond, several times. Retry when it does; check with "
        "`callpipeline doctor`."
    ),
    errors.DatabaseUnavailable: (
        "Retry when Postgres responds again; check with `callpipeline doctor`."
    ),
    errors.ModelUnavailable: (
        "Download the recogniser's model with `callpipeline models pull`, then retry."
    ),
    errors.MachineExhausted: (
        "Free up disk space and memory on the machine that processes calls, then retry."
    ),
}
DEFAULT_ADVICE = "Retry; if it fails again, check its run in Dagster."


class Problem(BaseModel):
    """An error: `detail` is a sentence for people, `error` the class of our exception."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    error: str | None = None


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Return a route's error responses for the OpenAPI document."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {code: {"description": HTTPStatus(code).phrase, "content": content} for code in codes}


def advice(error_class: str | None) -> str:
    """Return what to do about a failed call, by the error class in the ledger."""
    by_name = {kind.__name__: text for kind, text in ADVICE.items()}
    return by_name.get(error_class or "", DEFAULT_ADVICE)


def install_error_handlers(app: FastAPI) -> None:
    """Respond to all errors of the app with problem documents."""
    app.add_exception_handler(CallpipelineError, _handle_pipeline_error)
    app.add_exception_handler(RequestValidationError, _handle_validation_error)
    app.add_exception_handler(HTTPException, _handle_http_error)


def problem_response(
    request: Request, problem: Problem, headers: Mapping[str, str] | None
) -> Response:
    """Respond with a page to a browser, else with the document."""
    if "text/html" in request.headers.get("accept", ""):
        return page(request, "error.html", problem.status, headers, problem=problem)
    document = problem.model_dump(exclude_none=True)
    return JSONResponse(
        document, problem.status, dict(headers or {}), media_type="application/problem+json"
    )


def make_problem(status: int, detail: str, error: str | None = None) -> Problem:
    return Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, error=error)


async def _handle_pipeline_error(request: Request, error: Exception) -> Response:
    kind = type(error)
    status = next(code for base, code in STATUS.items() if issubclass(kind, base))
    problem = make_problem(status, _public_detail(request, error), kind.__name__)
    return problem_response(request, problem, RETRY_AFTER if status == 503 else None)


def _public_detail(request: Request, error: Exception) -> str:
    """Return the message, without bucket names unless the visitor is an admin."""
    if isinstance(error, errors.DatabaseUnavailable):
        return DATABASE_MESSAGE
    visitor = access.visitor_of(request)
    is_admin = visitor is not None and visitor.may(access.Scope.ADMIN)
    names_bucket = "s3://" in str(error)
    public = next((text for kind, text in STORE_MESSAGES.items() if isinstance(error, kind)), None)
    return public if public is not None and names_bucket and not is_admin else str(error)


async def _handle_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem_response(request, make_problem(422, validation_message(error.errors())), None)


async def _handle_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    has_own_detail = error.detail != HTTPStatus(error.status_code).phrase
    default = HTTP_MESSAGES.get(error.status_code, error.detail)
    detail = error.detail if has_own_detail else default
    return problem_response(request, make_problem(error.status_code, detail), error.headers)
