"""How large the body of a request may be, by where it is sent, and how slowly it may come."""

import asyncio
from collections.abc import Mapping, Sequence

from fastapi import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callpipeline.web.answering import answer_of

SMALL = 1_000_000
"""Bytes, of a body that is read whole and of which nothing else is said."""

IDLE_S, WITHIN_S = 20.0, 120.0
"""Between two pieces of a body that is read whole, and for all of it."""


class LimitedBodies:
    """Answers 413 to a body that is too large: one that says so before any of it is read.

    The connection is closed with it, so that the rest is not read either. `most` has bytes by the
    beginning of a path, where the longest one decides; `otherwise` is for all other paths.
    """

    def __init__(
        self, app: ASGIApp, most: Mapping[str, int] | None = None, otherwise: int = SMALL
    ) -> None:
        self._app = app
        longest_first = sorted((most or {}).items(), key=lambda rule: -len(rule[0]))
        self._rules = tuple(longest_first)
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self.most_for(scope["path"])
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > most:
            reply = await answer_of(Request(scope), _too_large(most))
            await reply(scope, receive, send)
            return
        await self._app(scope, _counted(receive, most), send)

    def most_for(self, path: str) -> int:
        """The bytes that a body sent there may have. `/a` is the beginning of `/a/b`, not `/ab`."""
        for beginning, most in self._rules:
            if path == beginning or path.startswith(beginning.rstrip("/") + "/"):
                return most
        return self._otherwise


def _counted(receive: Receive, most: int) -> Receive:
    read = 0

    async def counted() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > most:
            raise _too_large(most)
        return message

    return counted


class PromptBodies:
    """Answers 408 to a body that does not come. What is `streamed` has times of its own."""

    def __init__(
        self,
        app: ASGIApp,
        streamed: Sequence[str] = (),
        *,
        idle_s: float = IDLE_S,
        within_s: float = WITHIN_S,
    ) -> None:
        self._app = app
        self._streamed = tuple(streamed)
        self._idle_s, self._within_s = idle_s, within_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(self._streamed):
            await self._app(scope, receive, send)
            return
        now = asyncio.get_running_loop().time
        until, is_whole, is_answered = now() + self._within_s, False, False

        async def prompt() -> Message:
            nonlocal is_whole
            if is_whole:  # what comes then is that the client leaves
                return await receive()
            try:
                async with asyncio.timeout(min(self._idle_s, until - now())):
                    message = await receive()
            except TimeoutError:
                if is_answered:
                    return {"type": "http.disconnect"}
                raise _too_slow() from None
            is_whole = not message.get("more_body", False)
            return message

        async def noted(message: Message) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        await self._app(scope, prompt, noted)


def _too_slow() -> HTTPException:
    sentence = "The body of this request did not come, or too slowly: send it again."
    return HTTPException(408, sentence, {"Connection": "close"})


def _too_large(most: int) -> HTTPException:
    sentence = f"The body of this request may have {most:,} bytes at most."
    return HTTPException(413, sentence, {"Connection": "close"})
