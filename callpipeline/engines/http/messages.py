"""Requests to services, their JSON answers, and how failed requests are classified."""

import json
import os
import random
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import httpx
import tenacity
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    FiniteFloat,
    StringConstraints,
    ValidationError,
)

from callpipeline.domain.egress import parse_retry_after
from callpipeline.domain.transcripts import is_storable
from callpipeline.errors import EngineRefused, EngineUnavailable

Model = TypeVar("Model", bound=BaseModel)

MAX_ATTEMPTS = 3
BACKOFF_BASE = 2.0
JITTER_S = 1.0
"""The wait before the next attempt is 2^attempt seconds plus up to one second of jitter."""
MAX_RETRY_AFTER_S = 60.0
"""A service that requests a longer wait is unavailable: its calls wait in the ledger."""

RETRYABLE_STATUSES = frozenset({408, 425, 429, *range(500, 600)})
UNAUTHORIZED_STATUSES = frozenset({401, 403})
UNAVAILABLE_STATUSES = UNAUTHORIZED_STATUSES | {429, 502, 503, 504}
"""No recording causes these: the service is overloaded, in maintenance, or rejects our login."""
GATEWAY_STATUSES = frozenset({502, 504})
"""A proxy also returns these for a single recording that crashes the service or takes too long."""
NO_ROUTE_STATUSES = frozenset({404, 405})
"""Only for requests that send something; a file to download may simply have been deleted."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to send as a form field; a Path is streamed from disk."""

    field: str
    name: str
    content: Path | bytes
    content_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Request:
    """A request to a path of a service: a form, perhaps with a file, or a JSON body.

    Form fields may repeat.
    """

    method: str
    path: str
    form: tuple[tuple[str, str], ...] = ()
    file: Upload | None = None
    json: Any = None


@contextmanager
def request_body(request: Request) -> Iterator[dict[str, Any]]:
    """Return the body as keyword arguments of httpx, with its file open."""
    fields: dict[str, list[str]] = {}
    for name, value in request.form:
        fields.setdefault(name, []).append(value)
    body: dict[str, Any] = {"data": fields} if fields else {}
    if request.json is not None:
        body["json"] = request.json
    if request.file is None:
        yield body
        return
    upload = request.file
    name = upload.name.encode("utf-8", "replace").decode()  # lone surrogates become "?"
    if isinstance(upload.content, bytes):
        yield body | {"files": {upload.field: (name, upload.content, upload.content_type)}}
        return
    with upload.content.open("rb") as file:
        yield body | {"files": {upload.field: (name, file, upload.content_type)}}


def require_storable(text: str) -> str:
    """Return the text. Raises ValueError for characters that Postgres doesn't store."""
    if not is_storable(text):
        raise ValueError("it contains characters that are not text")
    return text


Seconds = Annotated[FiniteFloat, Field(ge=0)]
Text = Annotated[str, StringConstraints(max_length=500), AfterValidator(require_storable)]
"""A name or a sentence from a service."""

PLAIN_MESSAGES = {"missing": "it is missing", "model_type": "it should be an object"}
"""Replacements for messages in which pydantic names our classes."""


def unwrap(document: Any) -> Any:
    """Return the only item of a list of one, in which some services wrap their response."""
    return document[0] if isinstance(document, list) and len(document) == 1 else document


def parse_json(body: bytes) -> Any:
    """Parse the body of a response and unwrap a list of one.

    Raises EngineUnavailable where it is not JSON: an error page of a proxy, or cut short.
    """
    if not body.strip():
        raise EngineUnavailable("its response is empty")
    try:
        return unwrap(json.loads(body))
    except (ValueError, RecursionError):
        kind = "a web page" if body.lstrip()[:1] == b"<" else "not JSON"
        raise EngineUnavailable(f"its response is {kind}") from None


def parse_as(model: type[Model]) -> Callable[[Any], Model]:
    """Return a parser of responses. It raises EngineRefused with the field, never with a value."""

    def parse(document: Any) -> Model:
        try:
            return model.model_validate(document)
        except ValidationError as error:
            path, message = first_error(error)
            raise EngineRefused(
                f"its response doesn't match the contract ({path or 'document'}: {message})"
            ) from None

    return parse


def first_error(error: ValidationError) -> tuple[str, str]:
    """Return the path ("segments[3].start") and the message of the first error."""
    first = error.errors(include_input=False, include_url=False)[0]
    message = PLAIN_MESSAGES.get(first["type"]) or first["msg"].removeprefix("Value error, ")
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
    return "".join(steps).removeprefix("."), message


class RequestFailed(Exception):
    """A request without a usable response.

    `is_retryable`: the next attempt may succeed. `is_unavailable`: the service is the cause, and no
    recording can be. `retry_after_s`: the wait that the service requested. `is_unauthorized`: it
    rejected our credentials. `is_ambiguous`: a recording may be the cause after all, if requests of
    other calls succeed meanwhile.
    """

    def __init__(
        self,
        reason: str,
        *,
        is_retryable: bool = True,
        is_unavailable: bool = False,
        retry_after_s: float | None = None,
        is_unauthorized: bool = False,
        is_ambiguous: bool = False,
    ) -> None:
        super().__init__(reason)
        self.is_retryable = is_retryable
        self.is_unavailable = is_unavailable
        self.retry_after_s = retry_after_s
        self.is_unauthorized = is_unauthorized
        self.is_ambiguous = is_ambiguous


def retrying(sleep: Callable[[float], Awaitable[None]]) -> tenacity.AsyncRetrying:
    """Return the attempts at one request; the error of the last attempt is raised."""
    return tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(should_retry),
        stop=tenacity.stop_after_attempt(MAX_ATTEMPTS),
        wait=backoff_s,
        sleep=sleep,
        reraise=True,
    )


def should_retry(error: BaseException) -> bool:
    """Return whether another attempt may succeed soon."""
    if not isinstance(error, RequestFailed):
        return False
    return error.is_retryable and (error.retry_after_s or 0) <= MAX_RETRY_AFTER_S


def backoff_s(state: tenacity.RetryCallState) -> float:
    """Return the wait before the next attempt: the service's `Retry-After`, else the contract's."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, RequestFailed) and error.retry_after_s is not None:
        return error.retry_after_s
    return BACKOFF_BASE**state.attempt_number + random.uniform(0, JITTER_S)


def response_error(
    response: httpx.Response, now: datetime | None = None
) -> RequestFailed | EngineRefused:
    """Classify a response that is not 2xx by its status; its body may quote the call."""
    status = response.status_code
    reason = f"it answered {status} {httpx.codes.get_reason_phrase(status)}".strip()
    if response.is_redirect:
        return EngineRefused(f"{reason}: set its URL to the target of the redirect")
    if status in NO_ROUTE_STATUSES and response.request.method == "POST":
        reason += ": check the path of its URL"
    if status not in RETRYABLE_STATUSES | UNAVAILABLE_STATUSES:
        return EngineRefused(reason, status=status)
    retry_after_s = parse_retry_after(response.headers.get("retry-after"), now or datetime.now(UTC))
    return RequestFailed(
        reason,
        is_retryable=status in RETRYABLE_STATUSES,
        is_unavailable=status in UNAVAILABLE_STATUSES or retry_after_s is not None,
        retry_after_s=retry_after_s,
        is_unauthorized=status in UNAUTHORIZED_STATUSES,
        is_ambiguous=status in GATEWAY_STATUSES and retry_after_s is None,
    )


def connection_error(error: Exception) -> RequestFailed:
    """Classify a request without a response. The URL is left out, since it may hold a token."""
    is_unavailable = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError)
    match error:
        case httpx.ConnectTimeout():
            reason = "the connection timed out"
        case httpx.TimeoutException() | TimeoutError():
            reason = "it did not answer in time"
        case httpx.DecodingError():
            reason = "its response could not be decompressed"
        case httpx.ConnectError():
            reason = f"no connection ({_system_reason(error)})"
        case httpx.ProxyError():
            reason = "this machine's proxy can't reach it"
        case httpx.UnsupportedProtocol() | httpx.LocalProtocolError() | httpx.InvalidURL():
            return RequestFailed("the request is not valid HTTP", is_retryable=False)
        case httpx.TransportError():
            reason = "the connection was lost"
        case _:
            return RequestFailed("the request could not be sent", is_retryable=False)
    return RequestFailed(reason, is_unavailable=is_unavailable)


def _system_reason(error: BaseException) -> str:
    """Return the message of the operating system or of TLS, else the type of the error."""
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message.rstrip('.')}"
        if isinstance(cause, ssl.SSLError):  # its error numbers are not those of the system
            return "the TLS handshake failed: check whether the URL needs http:// or another port"
        if isinstance(cause, OSError) and cause.strerror:
            # asyncio puts the address into strerror; the number identifies the error as well.
            number = cause.errno or 0
            return os.strerror(number) if number > 0 else cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
