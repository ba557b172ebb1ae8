"""OpenAI-compatible service on this machine, without waits between attempts."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from callpipeline.engines.http.connections import HttpLimits
from callpipeline.engines.http.openai import explain_refusal, versioned_url
from callpipeline.engines.http.service import HttpClient, HttpService
from callpipeline.engines.http.tokens import StaticToken

LIMITS = HttpLimits(connect_s=1.0, read_s=2.0, request_s=5.0)


async def no_sleep(_: float) -> None:
    return


@contextmanager
def open_service(
    name: str, url: str, *, key: str | None = None, **options: Any
) -> Iterator[HttpService]:
    """Open a service as wiring does."""
    with closing(HttpClient(LIMITS)) as http:
        yield http.service(
            name,
            versioned_url(url),
            token_source=StaticToken(key) if key else None,
            unauthorized_hint="Check CALLPIPELINE_OPENAI_API_KEY.",
            explain_refusal=explain_refusal,
            sleep=no_sleep,
            **options,
        )
