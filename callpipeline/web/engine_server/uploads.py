"""Forms with a file, read as they come: the file goes to disk and never lies in memory.

FastAPI reads a form before it looks who sent it, into files of the system's own; this begins when
the route asks for it, in a folder of ours.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path
from typing import IO, Any

from fastapi import HTTPException, Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from callpipeline.errors import MachineExhausted

IDLE_S = 60.0
"""Between two pieces of a body."""
WRITTEN_FROM = 1 << 20
MOST_FIELD_BYTES, MOST_FIELDS = 100_000, 1_100
CLOSE = {"Connection": "close"}


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form by name, each with its values, and where its file lies."""

    fields: Mapping[str, list[str]]
    file: Path

    def last(self) -> dict[str, str]:
        """The fields with one value each."""
        return {name: values[-1] for name, values in self.fields.items()}


async def receive(
    request: Request, file_field: str, into: Path, within_s: float, idle_s: float | None = None
) -> Form:
    """Read the form within its time; its file is `into/upload`, whatever name it was sent under.

    Raises HTTPException for what is no such form, stops in the middle, or comes too slowly.
    """
    kind, options = parse_options_header(request.headers.get("Content-Type"))
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise HTTPException(415, f"Send multipart/form-data with a file in `{file_field}`.")
    path = into / "upload"
    file = await asyncio.to_thread(path.open, "wb")
    try:
        reader = _Reader(file_field, options[b"boundary"], file)
        async for piece in _pieces(request, within_s, IDLE_S if idle_s is None else idle_s):
            reader.take(piece)
            if reader.held >= WRITTEN_FROM:
                await asyncio.to_thread(reader.write)
        await asyncio.to_thread(reader.write)
    except FormParserError:
        raise HTTPException(400, "The body is no well-formed multipart/form-data.") from None
    except OSError as error:
        raise _explained(error) from error
    finally:
        await asyncio.to_thread(file.close)
    return Form(reader.finished(), path)


async def _pieces(request: Request, within_s: float, idle_s: float) -> AsyncIterator[bytes]:
    pieces = request.stream()
    now = asyncio.get_running_loop().time
    until = now() + within_s
    while True:
        try:
            async with asyncio.timeout(min(idle_s, until - now())):
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        except TimeoutError:
            what = "Nothing" if now() < until else "No whole form"
            for_s = idle_s if now() < until else within_s
            raise HTTPException(408, f"{what} came for {for_s:g} s.", CLOSE) from None
        yield piece


def _explained(error: OSError) -> Exception:
    if error.errno == ENOSPC:
        return MachineExhausted("No disk space is left on the server.")
    return error


class _Reader:
    """What the parser finds; the pieces of the file wait to be written."""

    def __init__(self, file_field: str, boundary: bytes, file: IO[bytes]) -> None:
        self._file_field, self._file = file_field, file
        self._fields: dict[str, list[str]] = {}
        self._pieces: list[bytes] = []
        self._headers: dict[bytes, bytes] = {}
        self._header = [b"", b""]
        self._name, self._value, self._field_bytes = "", bytearray(), 0
        self._has_file = self._is_whole = False
        self.held = 0
        names = ("part_begin", "header_field", "header_value", "header_end", "headers_finished")
        callbacks: Any = {
            f"on_{name}": getattr(self, f"_{name}")
            for name in (*names, "part_data", "part_end", "end")
        }
        self._parser = MultipartParser(boundary, callbacks)

    def take(self, piece: bytes) -> None:
        self._parser.write(piece)

    def write(self) -> None:
        """Write what is held to the file."""
        pieces, self._pieces, self.held = self._pieces, [], 0
        self._file.writelines(pieces)

    def finished(self) -> Mapping[str, list[str]]:
        if not self._is_whole:
            raise HTTPException(400, "The body ends before its form does.")
        if not self._has_file:
            raise HTTPException(422, f"The form has no file in `{self._file_field}`.")
        return self._fields

    def _part_begin(self) -> None:
        self._headers, self._header = {}, [b"", b""]

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end]

    def _header_end(self) -> None:
        name, value = self._header
        self._headers[name.lower()], self._header = value, [b"", b""]

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = options.get(b"name", b"").decode(errors="replace")
        self._value = bytearray()
        if self._name == self._file_field:
            if self._has_file:
                raise HTTPException(422, f"The form has two files in `{self._file_field}`.")
            self._has_file = True
        elif b"filename" in options:
            raise HTTPException(422, f"A file belongs in the field `{self._file_field}`.")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._name == self._file_field:
            self._pieces.append(data[start:end])
            self.held += end - start
            return
        self._field_bytes += end - start
        if self._field_bytes > MOST_FIELD_BYTES:
            raise HTTPException(413, f"The fields of a form may have {MOST_FIELD_BYTES:,} bytes.")
        self._value += data[start:end]

    def _part_end(self) -> None:
        if self._name != self._file_field:
            self._fields.setdefault(self._name, []).append(self._value.decode(errors="replace"))
            if sum(map(len, self._fields.values())) > MOST_FIELDS:
                raise HTTPException(413, f"A form may have {MOST_FIELDS:,} fields.")

    def _end(self) -> None:
        self._is_whole = True
