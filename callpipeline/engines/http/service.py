"""Service over HTTP, with retries, authentication and a circuit breaker."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urljoin, urlsplit

import httpx

from callpipeline.engines.http.breaker import CircuitBreaker
from callpipeline.engines.http.connections import HttpConnections
from callpipeline.engines.http.messages import (
    MAX_ATTEMPTS,
    Request,
    RequestFailed,
    connection_error,
    parse_json,
    request_body,
    response_error,
    retrying,
    should_retry,
)
from callpipeline.errors import EngineRefused, EngineUnavailable, ServiceUnavailable

Answer = TypeVar("Answer")
ExplainRefusal = Callable[[httpx.Response, bytes], RequestFailed | EngineRefused | None]
"""Return the error for a response that is not 2xx; None to classify it by its status."""

MAX_REFUSAL_BYTES = 65_536
LOGIN_REJECTED_STATUSES = frozenset({400, 422})
"""Statuses besides 401 and 403 with which a login rejects a name or password."""


class TokenSource(Protocol):
    """Source of the bearer token of a service."""

    async def token(self) -> str: ...

    def invalidate(self, token: str) -> None: ...


class HttpService:
    """Service at a base URL. All errors are CallpipelineErrors that name the service.

    `failures_are_outages`: no recording can cause a failure, as with a login service.
    `unauthorized_hint`: advice for the user when the service rejects the credentials.
    """

    def __init__(  # noqa: PLR0913 the parts of a service, and those that tests replace
        self,
        name: str,
        base_url: str,
        *,
        http: HttpConnections,
        failures_are_outages: bool = False,
        token_source: TokenSource | None = None,
        unauthorized_hint: str = "",
        explain_refusal: ExplainRefusal | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self.base_url = base_url.rstrip("/")
        parts = urlsplit(base_url)
        self.origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        """URL without credentials and path, since a path may hold a key."""
        self._http = http
        self._breaker = CircuitBreaker(
            f"{name} {self.origin}{_path_digest(parts.path.rstrip('/'))}", http.outages, http.clock
        )
        self._failures_are_outages = failures_are_outages
        self._token_source = token_source
        self._unauthorized_hint = unauthorized_hint
        self._explain_refusal = explain_refusal
        self._sleep = sleep

    async def send(self, request: Request, parse: Callable[[Any], Answer]) -> Answer:
        """Send a request and return its JSON response, parsed.

        An EngineUnavailable of `parse` is retried, an EngineRefused is not. Raises
        EngineUnavailable, ServiceUnavailable, EngineRefused.
        """

        async def attempt() -> Answer:
            async with self._open(request, self._token_source) as response:
                return parse(parse_json(await self._body(response)))

        return await self._http.loop.run(self._with_retries(attempt))

    async def download(self, url: str, into: Path) -> None:
        """Stream a file to disk, without sending a token.

        A relative URL is resolved against the service's. Raises as `send` does, and EngineRefused
        for an invalid URL.
        """
        request = Request("GET", self.absolute_url(url))

        async def attempt() -> None:
            async with self._open(request) as response:
                await self._save(response, into)

        await self._http.loop.run(self._with_retries(attempt))

    def absolute_url(self, url: str) -> str:
        """Resolve a URL that the service returned. Raises EngineRefused if it is not HTTP."""
        try:
            absolute = httpx.URL(_resolve(self.base_url, url))
        except (httpx.InvalidURL, ValueError):
            absolute = httpx.URL()
        if absolute.scheme not in ("http", "https") or not absolute.host:
            raise self.refusal("it returned a URL that is not HTTP")
        return str(absolute)

    def refusal(self, reason: str, status: int | None = None) -> EngineRefused:
        """Return the error for an unusable response; `reason` must not quote the call."""
        return EngineRefused(f"The {self.name} service at {self.origin}: {reason}.", status=status)

    async def _with_retries(self, send: Callable[[], Awaitable[Answer]]) -> Answer:
        started_at = self._http.clock()
        async for attempt in retrying(self._sleep):
            with attempt:
                return await self._attempt(send, attempt.retry_state.attempt_number, started_at)
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(
        self, send: Callable[[], Awaitable[Answer]], number: int, started_at: float
    ) -> Answer:
        is_probe = await self._breaker.admit()
        try:
            answer = await self._classified(send)
        except RequestFailed as failure:
            if number < MAX_ATTEMPTS and should_retry(failure) and not is_probe:
                raise
            raise await self._failed(failure, started_at, is_probe=is_probe) from None
        except EngineRefused as error:
            raise await self._refused(error, is_probe=is_probe) from None
        finally:
            self._breaker.release(is_probe=is_probe)
        await self._breaker.succeeded(is_probe=is_probe)
        return answer

    async def _failed(
        self, failure: RequestFailed, started_at: float, *, is_probe: bool
    ) -> EngineUnavailable:
        """Record a failed request. Raises ServiceUnavailable during an outage."""
        message = f"The {self.name} service at {self.origin} gave no result: {failure}."
        if self._unauthorized_hint and failure.is_unauthorized:
            message += f" {self._unauthorized_hint}"
        is_ambiguous = failure.is_ambiguous and self._breaker.other_calls_answered_since(started_at)
        is_outage = self._failures_are_outages or (failure.is_unavailable and not is_ambiguous)
        await self._breaker.failed(
            message, is_outage=is_outage, is_probe=is_probe, retry_after_s=failure.retry_after_s
        )
        return EngineUnavailable(message)

    async def _refused(self, error: EngineRefused, *, is_probe: bool) -> EngineRefused:
        """Record a refusal: the service works, and rejects this one request."""
        refusal = self.refusal(str(error), error.status)
        if self._failures_are_outages:
            message = str(refusal)
            if error.status in LOGIN_REJECTED_STATUSES:
                message += f" {self._unauthorized_hint}"
            await self._breaker.failed(message, is_outage=True, is_probe=is_probe)
        await self._breaker.succeeded(is_probe=is_probe)
        return refusal

    async def _classified(self, send: Callable[[], Awaitable[Answer]]) -> Answer:
        """Make one attempt; all errors but refusals and other outages become RequestFailed."""
        try:
            return await send()
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise connection_error(error) from None
        except ServiceUnavailable:  # of another service, such as the login
            raise
        except EngineUnavailable as error:
            raise RequestFailed(str(error)) from None

    @asynccontextmanager
    async def _open(
        self, request: Request, token_source: TokenSource | None = None
    ) -> AsyncIterator[httpx.Response]:
        """Open a successful response. A rejected token is renewed once."""
        token = await token_source.token() if token_source else None
        async with self._stream(request, token) as response:
            if response.is_success:
                yield response
                return
            if token_source is None or response.status_code != httpx.codes.UNAUTHORIZED:
                raise await self._response_error(response)
        token_source.invalidate(token or "")
        async with self._stream(request, await token_source.token()) as response:
            if not response.is_success:
                raise await self._response_error(response)
            yield response

    @asynccontextmanager
    async def _stream(self, request: Request, token: str | None) -> AsyncIterator[httpx.Response]:
        """Send a request within its time limit; a login before it has a limit of its own."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        url = request.path if "://" in request.path else self.base_url + request.path
        with request_body(request) as body:
            stream = self._http.client.stream(request.method, url, headers=headers, **body)
            async with asyncio.timeout(self._http.limits.request_s), stream as response:
                yield response

    async def _response_error(self, response: httpx.Response) -> RequestFailed | EngineRefused:
        if self._explain_refusal is None or response.is_redirect:
            return response_error(response)
        body = bytearray()
        try:
            async for chunk in self._chunks(response, MAX_REFUSAL_BYTES):
                body += chunk
        except (httpx.HTTPError, EngineRefused):
            pass  # the status is enough
        return self._explain_refusal(response, bytes(body)) or response_error(response)

    async def _body(self, response: httpx.Response) -> bytes:
        body = bytearray()
        async for chunk in self._chunks(response, self._http.limits.answer_bytes):
            body += chunk
        return bytes(body)

    async def _save(self, response: httpx.Response, into: Path) -> None:
        with into.open("wb") as file:
            async for chunk in self._chunks(response, self._http.limits.file_bytes):
                file.write(chunk)

    @staticmethod
    async def _chunks(response: httpx.Response, max_bytes: int) -> AsyncIterator[bytes]:
        read = 0
        async for chunk in response.aiter_bytes():
            read += len(chunk)
            if read > max_bytes:
                raise EngineRefused(f"it sent more than {max_bytes / 1e6:,.0f} MB")
            yield chunk


class HttpClient(HttpConnections):
    """Client shared by all services of a run."""

    def service(self, name: str, base_url: str, **options: Any) -> HttpService:
        """Return a service at a URL; see `HttpService` for the options."""
        return HttpService(name, base_url, http=self, **options)


def _resolve(base_url: str, url: str) -> str:
    """Resolve a URL, adding the path prefix of a proxy, which the service may not know of."""
    prefix = urlsplit(base_url).path
    lacks_prefix = url.startswith("/") and not url.startswith(("//", f"{prefix}/"))
    return base_url + url if prefix and lacks_prefix else urljoin(f"{base_url}/", url)


def _path_digest(path: str) -> str:
    """Return a digest that stands for the path, which may hold a key."""
    return f" ({hashlib.sha256(path.encode()).hexdigest()[:6]})" if path else ""
