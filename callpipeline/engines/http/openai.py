"""OpenAI-compatible servers: base URLs, refusals, and requests that not every server supports."""

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

import httpx

from callpipeline.engines.http.messages import RequestFailed
from callpipeline.errors import EngineRefused

Variant = TypeVar("Variant")
Answer = TypeVar("Answer")

UNSUPPORTED_STATUSES = frozenset({400, 422})
"""Statuses with which a server rejects an unknown field, or an unknown value of one."""
_VERSION = re.compile(r"[^/]/v\d+(beta\d*)?(/|$)")


def versioned_url(url: str) -> str:
    """Return the base URL with its version, which users may omit: `https://host/v1`.

    The version need not be the last part: `https://host/v1beta/openai`.
    """
    base = url.rstrip("/")
    return base if _VERSION.search(base) else f"{base}/v1"


def explain_refusal(response: httpx.Response, body: bytes) -> RequestFailed | EngineRefused | None:
    """Return the error for a status and `error.code`; the server's message may quote the call.

    A wrong model or URL and an account without credit are outages, since no recording is the
    cause: the calls wait until that is fixed.
    """
    match response.status_code, _error_code(body):
        case 404, _:
            return _unavailable(
                "it has no such model or address (404): check CALLPIPELINE_OPENAI_*"
            )
        case _, "insufficient_quota":
            return _unavailable("its account has no credit left (insufficient_quota)")
        case 413, _:
            return EngineRefused("the file is too large for it: lower CALLPIPELINE_OPENAI_MAX_MB")
        case _, "content_filter" | "content_policy_violation":
            return EngineRefused("its content filter rejected the request")
        case _, "context_length_exceeded":
            return EngineRefused("the text is longer than the model's context")
    return None


def _unavailable(reason: str) -> RequestFailed:
    return RequestFailed(reason, is_retryable=False, is_unavailable=True)


def _error_code(body: bytes) -> str | None:
    try:
        document: Any = json.loads(body)
        code = document["error"]["code"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return code if isinstance(code, str) else None


class FallbackVariants(Generic[Variant]):
    """Variants of a request, best first: the first one that a server supports is used from then on.

    A missing capability is no error; it costs a few rejected requests at the start of a run.
    """

    def __init__(self, variants: Sequence[Variant]) -> None:
        self._variants = variants
        self._best = 0

    async def send(self, send: Callable[[Variant], Awaitable[Answer]]) -> Answer:
        """Return the response to the best variant that the server supports.

        If it supports none, the content of the request is wrong: raises the first error of `send`
        and remembers nothing.
        """
        first: EngineRefused | None = None
        for index in range(self._best, len(self._variants)):
            try:
                answer = await send(self._variants[index])
            except EngineRefused as error:
                if error.status not in UNSUPPORTED_STATUSES:
                    raise
                first = first or error
            else:
                self._best = max(self._best, index)
                return answer
        raise first or AssertionError("there is at least one variant")
