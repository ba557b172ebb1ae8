"""The engines that speak OpenAI's API, before a server on this machine, without waiting."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from callpipeline.engines.http.client import Http, Limits
from callpipeline.engines.http.openai import explained, versioned
from callpipeline.engines.http.service import Service
from callpipeline.engines.http.token import Key

LIMITS = Limits(connect_s=1.0, read_s=2.0, request_s=5.0)


async def without_waiting(_: float) -> None:
    return


@contextmanager
def open_service(name: str, url: str, *, key: str | None = None, **more: Any) -> Iterator[Service]:
    """A service as wiring makes it."""
    with closing(Http(LIMITS)) as http:
        yield http.service(
            name,
            versioned(url),
            bearer=Key(key) if key else None,
            if_unknown="Check CALLPIPELINE_OPENAI_API_KEY.",
            explain=explained,
            sleep=without_waiting,
            **more,
        )
