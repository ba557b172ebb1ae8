"""What an answer, or none, says: whether to ask again, when, and whose fault it is."""

import json
import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import httpx
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    FiniteFloat,
    StringConstraints,
    ValidationError,
)

from callpipeline.domain.retry_after import wait_asked_for
from callpipeline.domain.transcript import is_storable
from callpipeline.errors import EngineRefused, EngineUnavailable

Model = TypeVar("Model", bound=BaseModel)

AGAIN = frozenset({408, 425, 429, *range(500, 600)})
STRANGERS = frozenset({401, 403})
AWAY = STRANGERS | {429, 502, 503, 504}
"""No recording is the cause of these: the service is overloaded, in repair, or knows us not."""
GATEWAYS = frozenset({502, 504})
"""Also what stands before a service says of one recording that kills it, or takes it too long."""
NO_ROUTE = frozenset({404, 405})
"""Of what is sent; a file to be fetched may just be gone."""


def plain(text: str) -> str:
    """Text that can be kept. Raises ValueError."""
    if not is_storable(text):
        raise ValueError("it holds characters that are no text")
    return text


Seconds = Annotated[FiniteFloat, Field(ge=0)]
Text = Annotated[str, StringConstraints(max_length=500), AfterValidator(plain)]
"""A name or a sentence of a service."""
PLAIN = {"missing": "it is missing", "model_type": "it should be an object"}


class Unanswered(Exception):
    """A request without the answer it should have; `again` where the next may have it.

    `is_away` where the service is the cause and no recording can be; `wait_s` is what it asked for.
    `knows_us` is false where it does not take who asks; `is_doubtful` where a recording may be the
    cause after all, if others are answered meanwhile.
    """

    def __init__(
        self,
        reason: str,
        *,
        again: bool = True,
        is_away: bool = False,
        wait_s: float | None = None,
        knows_us: bool = True,
        is_doubtful: bool = False,
    ) -> None:
        super().__init__(reason)
        self.again, self.is_away, self.wait_s = again, is_away, wait_s
        self.knows_us, self.is_doubtful = knows_us, is_doubtful


def refused(response: httpx.Response, now: datetime | None = None) -> Unanswered | EngineRefused:
    """Why an answer that is not 2xx is none. What it says may quote the call, so it is not told."""
    status = response.status_code
    said = f"it answered {status} {httpx.codes.get_reason_phrase(status)}".strip()
    if response.is_redirect:
        return EngineRefused(f"{said}: set its URL to where that leads")
    if status in NO_ROUTE and response.request.method == "POST":
        said += ": check the path of its URL"
    if status not in AGAIN | AWAY:
        return EngineRefused(said, status=status)
    wait_s = wait_asked_for(response.headers.get("retry-after"), now or datetime.now(UTC))
    return Unanswered(
        said,
        again=status in AGAIN,
        is_away=status in AWAY or wait_s is not None,
        wait_s=wait_s,
        knows_us=status not in STRANGERS,
        is_doubtful=status in GATEWAYS and wait_s is None,
    )


def broken(error: Exception) -> Unanswered:
    """Why a connection gave no answer: in words, without the address, which may hold a token."""
    is_away = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError)
    match error:
        case httpx.ConnectTimeout():
            why = "no connection in time"
        case httpx.TimeoutException() | TimeoutError():
            why = "it did not answer in time"
        case httpx.DecodingError():
            why = "its answer is not compressed as it says"
        case httpx.ConnectError():
            why = f"no connection ({_system_reason(error)})"
        case httpx.ProxyError():
            why = "the proxy of this machine does not lead there"
        case httpx.UnsupportedProtocol() | httpx.LocalProtocolError() | httpx.InvalidURL():
            return Unanswered("it cannot be asked: what it should be sent is not HTTP", again=False)
        case httpx.TransportError():
            why = "the connection broke off"
        case _:
            return Unanswered("it cannot be asked", again=False)
    return Unanswered(why, is_away=is_away)


def _system_reason(error: BaseException) -> str:
    """The reason of the operating system or of TLS where there is one, else the kind of error."""
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message.rstrip('.')}"
        if isinstance(cause, ssl.SSLError):  # its numbers are not those of the system
            return "it does not speak TLS as it should: is it http:// there, or another port?"
        if isinstance(cause, OSError) and cause.strerror:
            # asyncio writes the address into it, where the number tells as much.
            number = cause.errno or 0
            return os.strerror(number) if number > 0 else cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def parsed(body: bytes) -> Any:
    """The JSON of an answer, out of the list of one in which a service may wrap it.

    Raises EngineUnavailable for what is no JSON: a proxy's page, or an answer that broke off.
    """
    if not body.strip():
        raise EngineUnavailable("its answer is empty")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        what = "a web page" if body.lstrip()[:1] == b"<" else "no JSON"
        raise EngineUnavailable(f"its answer is {what}") from None
    if isinstance(document, list) and len(document) == 1:
        return document[0]
    return document


def shaped(model: type[Model]) -> Callable[[Any], Model]:
    """Reads an answer as the model says. Raises EngineRefused naming the place, never a value."""

    def read(document: Any) -> Model:
        try:
            return model.model_validate(document)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            said = PLAIN.get(first["type"]) or first["msg"].removeprefix("Value error, ")
            steps = (f"[{s}]" if isinstance(s, int) else f".{s}" for s in first["loc"])
            place = "".join(steps).removeprefix(".") or "the whole"
            raise EngineRefused(
                f"its answer is not what the contract says ({place}: {said})"
            ) from None

    return read
