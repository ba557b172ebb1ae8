"""A service over HTTP: asked with patience, never again and again while it is away."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urljoin, urlsplit

import httpx

from callpipeline.engines.http.answers import Unanswered, broken, parsed, refused
from callpipeline.engines.http.attempts import ATTEMPTS, attempts, is_worth_another
from callpipeline.engines.http.breaker import Breaker
from callpipeline.engines.http.requests import Request, body_of
from callpipeline.errors import EngineAway, EngineRefused, EngineUnavailable

if TYPE_CHECKING:
    from callpipeline.engines.http.client import Http

Read = TypeVar("Read")
Explain = Callable[[httpx.Response, bytes], Unanswered | EngineRefused | None]
"""Why an answer that is not 2xx is none, by its beginning; None where it tells nothing more."""

MOST_OF_A_REFUSAL = 65_536
NOT_TAKEN = frozenset({400, 422})
"""Besides 401 and 403, how a login says that a name or a password is wrong."""


class Bearer(Protocol):
    """Where a service's token comes from."""

    async def token(self) -> str: ...

    def was_refused(self, token: str) -> None: ...


class Service:
    """One service at `base_url`. All failures come as CallpipelineError that names the service.

    `serves_no_call` says that no recording can be the cause of any failure, as of a login. `bearer`
    gives the token that is sent along; `if_unknown` is what a person should do where the
    service does not take it; `explain` reads what it says when it refuses; `sleep` waits between
    attempts.
    """

    def __init__(  # noqa: PLR0913 what a service is, and what a test replaces
        self,
        name: str,
        base_url: str,
        *,
        http: "Http",
        serves_no_call: bool = False,
        bearer: Bearer | None = None,
        if_unknown: str = "",
        explain: Explain | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self.base_url = base_url.rstrip("/")
        parts = urlsplit(base_url)
        self.where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        """Without a user's name and password; a path may hold a key."""
        self._http = http
        self._breaker = Breaker(
            f"{name} {self.where}{_digest(parts.path.rstrip('/'))}", http.outages, http.clock
        )
        self._serves_no_call = serves_no_call
        self._bearer = bearer
        self._if_unknown = if_unknown
        self._explain = explain
        self._sleep = sleep

    async def ask(self, request: Request, read: Callable[[Any], Read]) -> Read:
        """The answer in JSON, as `read` understands it.

        What `read` raises counts: EngineUnavailable is asked for again, EngineRefused is not.
        Raises EngineUnavailable, EngineAway, EngineRefused.
        """

        async def answer() -> Read:
            async with self._opened(request, self._bearer) as response:
                return read(parsed(await self._body(response)))

        return await self._http.loop.run(self._patiently(answer))

    async def fetch(self, url: str, into: Path) -> None:
        """Stream what a URL of the service leads to into a file, without a token.

        A URL that is not absolute is relative to the service's. Raises as `ask`, and EngineRefused
        for what is no address.
        """
        request = Request("GET", self.absolute(url))

        async def answer() -> None:
            async with self._opened(request) as response:
                await self._save(response, into)

        await self._http.loop.run(self._patiently(answer))

    def absolute(self, url: str) -> str:
        """The address that a URL of the service's means. Raises EngineRefused where it is none."""
        try:
            whole = httpx.URL(_below(self.base_url, url))
        except (httpx.InvalidURL, ValueError):
            whole = httpx.URL()
        if whole.scheme not in ("http", "https") or not whole.host:
            raise self.refusal("it gave an address that is none of HTTP")
        return str(whole)

    def refusal(self, why: str, status: int | None = None) -> EngineRefused:
        """That the service is to blame for what it answered; `why` never quotes the call."""
        return EngineRefused(f"The {self.name} service at {self.where}: {why}.", status=status)

    async def _patiently(self, answer: Callable[[], Awaitable[Read]]) -> Read:
        """Several attempts, and what the last of them says of the service."""
        began = self._http.clock()
        async for attempt in attempts(self._sleep):
            with attempt:
                return await self._attempt(answer, attempt.retry_state.attempt_number, began)
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(
        self, answer: Callable[[], Awaitable[Read]], number: int, began: float
    ) -> Read:
        is_try = await self._breaker.admit()
        try:
            made = await self._explained(answer)
        except Unanswered as why:
            if number < ATTEMPTS and is_worth_another(why) and not is_try:
                raise
            told = f"The {self.name} service at {self.where} gave no result: {why}."
            told += f" {self._if_unknown}" if self._if_unknown and not why.knows_us else ""
            is_away = self._serves_no_call or (
                why.is_away and not (why.is_doubtful and self._breaker.answered_others_since(began))
            )
            await self._breaker.failed(told, is_away=is_away, is_try=is_try, again_s=why.wait_s)
            raise EngineUnavailable(told) from None
        except EngineRefused as error:
            refusal = self.refusal(str(error), error.status)
            if self._serves_no_call:
                told = str(refusal)
                told += f" {self._if_unknown}" if error.status in NOT_TAKEN else ""
                await self._breaker.failed(told, is_away=True, is_try=is_try)
            # It works, and has its say on this one request.
            await self._breaker.succeeded(is_try=is_try)
            raise refusal from None
        finally:
            self._breaker.let_go(is_try=is_try)
        await self._breaker.succeeded(is_try=is_try)
        return made

    async def _explained(self, answer: Callable[[], Awaitable[Read]]) -> Read:
        """One attempt; what another attempt may cure, or none can, comes as Unanswered."""
        try:
            return await answer()
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise broken(error) from None
        except EngineAway:  # another service, of which this one needs something
            raise
        except EngineUnavailable as error:
            raise Unanswered(str(error)) from None

    @asynccontextmanager
    async def _opened(
        self, request: Request, bearer: Bearer | None = None
    ) -> AsyncIterator[httpx.Response]:
        """The beginning of a good answer. A token that is not taken any more is renewed once."""
        token = await bearer.token() if bearer else None
        async with self._sent(request, token) as response:
            if response.is_success:
                yield response
                return
            if bearer is None or response.status_code != httpx.codes.UNAUTHORIZED:
                raise await self._refusal(response)
        bearer.was_refused(token or "")
        async with self._sent(request, await bearer.token()) as response:
            if not response.is_success:
                raise await self._refusal(response)
            yield response

    @asynccontextmanager
    async def _sent(self, request: Request, token: str | None) -> AsyncIterator[httpx.Response]:
        """Within its time; a login that goes before has a time of its own."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        url = request.path if "://" in request.path else self.base_url + request.path
        with body_of(request) as body:
            asked = self._http.client.stream(request.method, url, headers=headers, **body)
            async with asyncio.timeout(self._http.limits.request_s), asked as response:
                yield response

    async def _refusal(self, response: httpx.Response) -> Unanswered | EngineRefused:
        if self._explain is None or response.is_redirect:
            return refused(response)
        said = bytearray()
        try:
            async for chunk in self._chunks(response, MOST_OF_A_REFUSAL):
                said += chunk
        except (httpx.HTTPError, EngineRefused):
            pass  # its status is enough
        return self._explain(response, bytes(said)) or refused(response)

    async def _body(self, response: httpx.Response) -> bytes:
        """The whole of an answer, no more than is allowed of it in memory."""
        body = bytearray()
        async for chunk in self._chunks(response, self._http.limits.answer_bytes):
            body += chunk
        return bytes(body)

    async def _save(self, response: httpx.Response, into: Path) -> None:
        with into.open("wb") as file:
            async for chunk in self._chunks(response, self._http.limits.file_bytes):
                file.write(chunk)

    @staticmethod
    async def _chunks(response: httpx.Response, most: int) -> AsyncIterator[bytes]:
        read = 0
        async for chunk in response.aiter_bytes():
            read += len(chunk)
            if read > most:
                raise EngineRefused(f"it sent more than {most / 1e6:,.0f} MB")
            yield chunk


def _below(base_url: str, url: str) -> str:
    """Behind a proxy that puts a path before a service's own, the service may not know of it."""
    prefix = urlsplit(base_url).path
    is_below = url.startswith("/") and not url.startswith(("//", f"{prefix}/"))
    return base_url + url if prefix and is_below else urljoin(f"{base_url}/", url)


def _digest(path: str) -> str:
    """What tells two paths apart, for what is stored and shown: a path may hold a key."""
    return f" ({hashlib.sha256(path.encode()).hexdigest()[:6]})" if path else ""
