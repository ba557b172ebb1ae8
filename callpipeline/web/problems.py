"""Errors as answers: `application/problem+json` (RFC 9457) to programs, a page to people."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from callpipeline.errors import (
    AnnouncementInvalid,
    CallpipelineError,
    CursorInvalid,
    EmptyRecording,
    MissingObject,
    PathRefused,
    PermanentError,
    ReviewOutdated,
    StoreUnavailable,
    TransientError,
    UnknownCall,
    UnknownMention,
    UnsupportedAudio,
)
from callpipeline.web import access
from callpipeline.web.pages.rendering import page
from callpipeline.web.sentences import sentence_of

STATUS: Mapping[type[CallpipelineError], int] = {
    UnknownCall: 404,
    UnknownMention: 404,
    ReviewOutdated: 409,
    MissingObject: 404,
    PathRefused: 422,
    AnnouncementInvalid: 422,
    UnsupportedAudio: 415,
    EmptyRecording: 422,
    CursorInvalid: 422,
    TransientError: 503,
    PermanentError: 500,
    CallpipelineError: 500,
}
OF_STORES: Mapping[type[CallpipelineError], str] = {
    MissingObject: "The object is not there any more.",
    StoreUnavailable: "The object store did not answer: try again.",
}
"""In place of what a bucket's error says."""

RETRY_AFTER = {"Retry-After": "5"}


class Problem(BaseModel):
    """What went wrong: `detail` is a sentence for a person, `error` the class of ours."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    error: str | None = None


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a route, for its description."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {code: {"description": HTTPStatus(code).phrase, "content": content} for code in codes}


def explain_errors(app: FastAPI) -> None:
    """Let every error of this app be answered in this way."""
    app.add_exception_handler(CallpipelineError, _of_ours)
    app.add_exception_handler(RequestValidationError, _of_request)
    app.add_exception_handler(HTTPException, _of_http)


def answer(request: Request, problem: Problem, headers: Mapping[str, str] | None) -> Response:
    """A page where a browser asks for one, else the document."""
    if "text/html" in request.headers.get("accept", ""):
        return page(request, "error.html", problem.status, headers, problem=problem)
    document = problem.model_dump(exclude_none=True)
    return JSONResponse(
        document, problem.status, dict(headers or {}), media_type="application/problem+json"
    )


def titled(status: int, detail: str, error: str | None = None) -> Problem:
    """The problem with the status' own words as its title."""
    return Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, error=error)


async def _of_ours(request: Request, error: Exception) -> Response:
    kind = type(error)
    status = next(code for known, code in STATUS.items() if issubclass(kind, known))
    problem = titled(status, _told(request, error), kind.__name__)
    return answer(request, problem, RETRY_AFTER if status == 503 else None)


def _told(request: Request, error: Exception) -> str:
    """What a store says names buckets, which is for who looks after them."""
    visitor = access.visitor_of(request)
    may_know = visitor is not None and visitor.may(access.Scope.ADMIN)
    names_none = "s3://" not in str(error)
    said = next((told for kind, told in OF_STORES.items() if isinstance(error, kind)), None)
    return str(error) if said is None or names_none or may_know else said


async def _of_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return answer(request, titled(422, sentence_of(error.errors())), None)


async def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    known = {404: "There is nothing at this address.", 405: "This cannot be done at this address."}
    said_itself = error.detail != HTTPStatus(error.status_code).phrase
    detail = error.detail if said_itself else known.get(error.status_code, error.detail)
    return answer(request, titled(error.status_code, detail), error.headers)
