"""What servers with OpenAI's API have in common: their address, refusals, and what each lacks."""

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

import httpx

from callpipeline.engines.http.answers import Unanswered
from callpipeline.errors import EngineRefused

Form = TypeVar("Form")
Answer = TypeVar("Answer")

UNKNOWN_TO_IT = frozenset({400, 422})
"""How a server says that it does not know a field, or one of its values."""
_VERSION = re.compile(r"[^/]/v\d+(beta\d*)?(/|$)")


def versioned(url: str) -> str:
    """The base URL with its version, which people write or leave out: `https://host/v1`.

    Some services go on behind it: `https://host/v1beta/openai`.
    """
    base = url.rstrip("/")
    return base if _VERSION.search(base) else f"{base}/v1"


def explained(response: httpx.Response, body: bytes) -> Unanswered | EngineRefused | None:
    """A refusal in our words, by its status and `error.code`; its own may quote the call.

    What no recording can be the cause of comes as Unanswered that is away: a model or an
    address that is wrong, an account that is empty. The calls wait until that is mended.
    """
    match response.status_code, _code(body):
        case 404, _:
            return _away("it has no such model or address (404): check CALLPIPELINE_OPENAI_*")
        case _, "insufficient_quota":
            return _away("its account has nothing left to spend (insufficient_quota)")
        case 413, _:
            return EngineRefused("the file is too large for it: lower CALLPIPELINE_OPENAI_MAX_MB")
        case _, "content_filter" | "content_policy_violation":
            return EngineRefused("its filter of contents does not let this through")
        case _, "context_length_exceeded":
            return EngineRefused("this is more text than the model takes")
    return None


def _away(reason: str) -> Unanswered:
    return Unanswered(reason, again=False, is_away=True)


def _code(body: bytes) -> str | None:
    """`error.code` of an answer, where it has one."""
    try:
        document: Any = json.loads(body)
        code = document["error"]["code"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return code if isinstance(code, str) else None


class Forms(Generic[Form]):
    """Forms of a request, the best first: the first that a server takes is the one from then on.

    What a server lacks is a capability and no error: it costs some refused requests as a run
    begins.
    """

    def __init__(self, forms: Sequence[Form]) -> None:
        self._forms = forms
        self._best = 0

    async def ask(self, ask: Callable[[Form], Awaitable[Answer]]) -> Answer:
        """The answer to the best form that is taken.

        Raises what `ask` raised first: where no form is taken, it is what was sent that is wrong,
        and nothing is remembered.
        """
        first: EngineRefused | None = None
        for place in range(self._best, len(self._forms)):
            try:
                answer = await ask(self._forms[place])
            except EngineRefused as error:
                if error.status not in UNKNOWN_TO_IT:
                    raise
                first = first or error
            else:
                self._best = max(self._best, place)
                return answer
        raise first or AssertionError("there is a form")
