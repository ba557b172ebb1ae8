"""Bodies with a file, read as they come: the file goes to disk and never lies in memory.

FastAPI reads a form before it looks who sent it, into files of the system's own; this begins when
the route asks for it, in a folder of ours.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from errno import EDQUOT, ENOSPC
from pathlib import Path

from fastapi import HTTPException, Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from callpipeline.errors import MachineExhausted
from callpipeline.web.forms.arriving import CLOSE, Arrived, Arriving, Look, too_large
from callpipeline.web.forms.parts import Parts

IDLE_S = 60.0
"""Between two pieces of a body."""
WRITTEN_FROM = 1 << 19
FORM_ITSELF_BYTES = 200_000
"""What a form may have around its file."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is taken: within so many seconds, so many bytes, and what two others let pass.

    `look` is shown the first bytes of the file, `named` the name that it is sent under.
    """

    within_s: float
    most_bytes: int | None = None
    look: Look | None = None
    named: Look | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form by name, each with its values, and its file.

    `sent_name` is the name that the file was sent under, as it came: it may be anything.
    """

    fields: Mapping[str, list[str]]
    arrived: Arrived
    sent_name: bytes

    @property
    def file(self) -> Path:
        """Where the file lies."""
        return self.arrived.path

    def last(self) -> dict[str, str]:
        """The fields with one value each."""
        return {name: values[-1] for name, values in self.fields.items()}


async def receive(request: Request, file_field: str, into: Path, terms: Terms) -> Form:
    """Read a form within its terms; its file is `into/upload`, whatever name it was sent under.

    Raises HTTPException for what is no such form, stops in the middle, or comes too slowly.
    """
    kind, options = parse_options_header(request.headers.get("Content-Type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        sentence = f"Send multipart/form-data with a file in `{file_field}`."
        raise HTTPException(415, sentence, CLOSE)
    _refuse_announced(request, terms, around=FORM_ITSELF_BYTES)
    async with _arriving(into, terms) as (file, write):
        try:
            parts = Parts(file_field, options[b"boundary"], file, terms.named)
            async for piece in pieces(request, terms.within_s):
                parts.take(piece)
                await write(WRITTEN_FROM)
        except FormParserError:
            raise HTTPException(400, "The body is no well-formed multipart/form-data.") from None
        await write(0)
        fields = parts.finished()
        return Form(fields, await asyncio.to_thread(file.finished), parts.sent_name)


async def receive_body(request: Request, into: Path, terms: Terms) -> Arrived:
    """Read a body that is the file itself, to `into/upload`. Raises as `receive`."""
    _refuse_announced(request, terms, around=0)
    async with _arriving(into, terms) as (file, write):
        async for piece in pieces(request, terms.within_s):
            file.take(piece)
            await write(WRITTEN_FROM)
        await write(0)
        return await asyncio.to_thread(file.finished)


async def pieces(request: Request, within_s: float) -> AsyncIterator[bytes]:
    """The body as it comes. Raises HTTPException (408) where it does not."""
    stream = request.stream()
    now = asyncio.get_running_loop().time
    until, idle_s = now() + within_s, IDLE_S
    while True:
        try:
            async with asyncio.timeout(min(idle_s, until - now())):
                piece = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            what = "Nothing" if now() < until else "No whole body"
            for_s = idle_s if now() < until else within_s
            raise HTTPException(408, f"{what} came for {for_s:g} s.", CLOSE) from None
        yield piece


@asynccontextmanager
async def _arriving(
    into: Path, terms: Terms
) -> AsyncIterator[tuple[Arriving, Callable[[int], Awaitable[None]]]]:
    """A file in the folder, and what writes to it once so much is held."""
    file = Arriving(into / "upload", most_bytes=terms.most_bytes, look=terms.look)

    async def write(from_bytes: int) -> None:
        if file.held >= from_bytes:
            await asyncio.to_thread(file.write)

    try:
        await asyncio.to_thread(file.__enter__)
        try:
            yield file, write
        finally:
            await asyncio.to_thread(file.__exit__, None, None, None)
    except OSError as error:
        raise _explained(error) from error


def _refuse_announced(request: Request, terms: Terms, around: int) -> None:
    """Raises HTTPException (413) for a body that says itself that it is too large."""
    announced = request.headers.get("Content-Length", "")
    is_number = announced.isascii() and announced.isdigit()
    if terms.most_bytes is not None and is_number and int(announced) > terms.most_bytes + around:
        raise too_large(terms.most_bytes)


def _explained(error: OSError) -> Exception:
    if error.errno in (ENOSPC, EDQUOT):
        return MachineExhausted("No disk space is left on the server.")
    return error
