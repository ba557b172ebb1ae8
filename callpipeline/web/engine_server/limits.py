"""How large a body may be."""

from fastapi import HTTPException
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_JSON_BYTES = 16_000_000
"""Of a body without sound: three hours of talk with the times of all words have 2 MB."""
SOUND = frozenset({"/split", "/api/v1/transcriptions/", "/api/v1/transcriptions"})


class LimitedBodies:
    """Answers 413 to a body that is too large: one that says so before any of it is read.

    The connection is closed with it, so that the rest is not read either.
    """

    def __init__(self, app: ASGIApp, most_sound_bytes: int) -> None:
        self._app = app
        self._most_sound_bytes = most_sound_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._most_sound_bytes if scope["path"] in SOUND else MOST_JSON_BYTES
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > most:
            problem = _too_large(most)
            reply = JSONResponse({"detail": problem.detail}, 413, problem.headers)
            await reply(scope, receive, send)
            return
        await self._app(scope, _counted(receive, most), send)


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


def _too_large(most: int) -> HTTPException:
    sentence = f"The body of this request may have {most:,} bytes at most."
    return HTTPException(413, sentence, {"Connection": "close"})
