"""Uploads read as streams: multipart forms with one file, and bodies that are the file.

FastAPI parses a form before its dependencies run, into the system's temporary folder. This reads
the body when the route asks for it, straight to a folder of ours and never into memory.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import Any

from fastapi import HTTPException, Request
from pydantic import BaseModel
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from callpipeline.domain.calls.sources import clean_filename
from callpipeline.errors import MachineExhausted
from callpipeline.http_server.incoming_file import (
    CLOSE_CONNECTION,
    IncomingFile,
    ReceivedFile,
    Validator,
    file_too_large,
)

IDLE_S = 60.0
WRITE_BUFFER_BYTES = 1 << 19
FORM_OVERHEAD_BYTES = 200_000
"""Size of a form without its file."""
MAX_FIELD_BYTES, MAX_FIELDS = 100_000, 1_100
_ESCAPED = re.compile(r"%(22|0[0-9A-F]|1[0-9A-F])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class UploadRules:
    """Limits of an upload. `check_head` gets the file's first bytes, `check_name` its raw name.

    `check_space` gets the bytes that are still to be written, and raises an error without room.
    """

    within_s: float
    max_bytes: int | None = None
    check_head: Validator | None = None
    check_name: Validator | None = None
    check_space: Callable[[int], None] = lambda size_bytes: None


@dataclass(frozen=True, slots=True)
class UploadForm:
    """A parsed form: values by field name, the file, and the file's name as the client sent it."""

    fields: Mapping[str, list[str]]
    received: ReceivedFile
    raw_name: bytes

    @property
    def file(self) -> Path:
        return self.received.path

    def last(self) -> dict[str, str]:
        """Return the last value of each field."""
        return {name: values[-1] for name, values in self.fields.items()}


async def receive_form(
    request: Request, file_field: str, folder: Path, rules: UploadRules
) -> UploadForm:
    """Read a form. Its file is stored as `folder/upload`, whatever its name.

    Raises HTTPException if the form is malformed, incomplete, too large or too slow.
    """
    kind, options = parse_options_header(request.headers.get("Content-Type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        detail = f"Send multipart/form-data with a file in `{file_field}`."
        raise HTTPException(415, detail, CLOSE_CONNECTION)
    _check_content_length(request, rules, overhead_bytes=FORM_OVERHEAD_BYTES)
    async with _incoming_file(folder, rules) as (file, write):
        try:
            parser = FormParser(file_field, options[b"boundary"], file, rules.check_name)
            async for chunk in body_chunks(request, rules.within_s):
                parser.feed(chunk)
                await write(WRITE_BUFFER_BYTES)
        except FormParserError:
            raise HTTPException(400, "The body isn't valid multipart/form-data.") from None
        await write(0)
        fields = parser.finish()
        return UploadForm(fields, await asyncio.to_thread(file.finish), parser.raw_name)


async def receive_body(request: Request, folder: Path, rules: UploadRules) -> ReceivedFile:
    """Read a body that is the file itself into `folder/upload`. Raises like `receive_form`."""
    _check_content_length(request, rules, overhead_bytes=0)
    async with _incoming_file(folder, rules) as (file, write):
        async for chunk in body_chunks(request, rules.within_s):
            file.append(chunk)
            await write(WRITE_BUFFER_BYTES)
        await write(0)
        return await asyncio.to_thread(file.finish)


async def body_chunks(request: Request, within_s: float) -> AsyncIterator[bytes]:
    """Iterate over the body. Raises HTTPException (408) if it arrives too slowly."""
    stream = request.stream()
    now = asyncio.get_running_loop().time
    until, idle_s = now() + within_s, IDLE_S
    while True:
        try:
            async with asyncio.timeout(min(idle_s, until - now())):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            detail = (
                f"No data arrived for {idle_s:g} s."
                if now() < until
                else f"The upload took longer than {within_s:g} s."
            )
            raise HTTPException(408, detail, CLOSE_CONNECTION) from None
        yield chunk


class FormParser:
    """Incremental parser of a multipart form; the content of the file goes to `file`."""

    def __init__(
        self,
        file_field: str,
        boundary: bytes,
        file: IncomingFile,
        check_name: Validator | None = None,
    ) -> None:
        self._file_field, self._file, self._check_name = file_field, file, check_name
        self._fields: dict[str, list[str]] = {}
        self._headers: dict[bytes, bytes] = {}
        self._header = [b"", b""]
        self._name, self._value, self._field_bytes = "", bytearray(), 0
        self._has_file = self._is_complete = False
        self.raw_name = b""
        names = ("part_begin", "header_field", "header_value", "header_end", "headers_finished")
        callbacks: Any = {
            f"on_{name}": getattr(self, f"_{name}")
            for name in (*names, "part_data", "part_end", "end")
        }
        self._parser = MultipartParser(boundary, callbacks)

    def feed(self, chunk: bytes) -> None:
        self._parser.write(chunk)

    def finish(self) -> Mapping[str, list[str]]:
        """Return the fields. Raises HTTPException if the form is incomplete or has no file."""
        if not self._is_complete:
            raise HTTPException(400, "The form is incomplete.")
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
                detail = f"The form has two files in `{self._file_field}`: send one."
                raise HTTPException(422, detail, CLOSE_CONNECTION)
            self._has_file = True
            self.raw_name = options.get(b"filename", b"")
            if self._check_name:
                self._check_name(self.raw_name)
        elif b"filename" in options:
            detail = f"Send the file in the field `{self._file_field}`."
            raise HTTPException(422, detail, CLOSE_CONNECTION)

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._name == self._file_field:
            self._file.append(data[start:end])
            return
        self._field_bytes += end - start
        if self._field_bytes > MAX_FIELD_BYTES:
            detail = f"The form's fields are too large; the limit is {MAX_FIELD_BYTES:,} bytes."
            raise HTTPException(413, detail, CLOSE_CONNECTION)
        self._value += data[start:end]

    def _part_end(self) -> None:
        if self._name != self._file_field:
            self._fields.setdefault(self._name, []).append(self._value.decode(errors="replace"))
            if sum(map(len, self._fields.values())) > MAX_FIELDS:
                detail = f"The form has too many fields; the limit is {MAX_FIELDS:,}."
                raise HTTPException(413, detail, CLOSE_CONNECTION)

    def _end(self) -> None:
        self._is_complete = True


def decode_file_name(raw_name: bytes) -> str:
    """Clean a file name. Browsers escape quotation marks and line breaks as %22 and %0A."""
    text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), raw_name.decode(errors="replace"))
    return clean_filename(text)


def multipart_body(fields: type[BaseModel], *, file_field: str, description: str) -> dict[str, Any]:
    """Return the OpenAPI request body of a multipart form with a file and a model's fields."""
    model = fields.model_json_schema()
    file = {"type": "string", "format": "binary", "description": description}
    schema = {
        "type": "object",
        "required": [file_field, *model.get("required", [])],
        "properties": {file_field: file, **model["properties"]},
    }
    content = {"multipart/form-data": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


@asynccontextmanager
async def _incoming_file(
    folder: Path, rules: UploadRules
) -> AsyncIterator[tuple[IncomingFile, Callable[[int], Awaitable[None]]]]:
    """Open a file in the folder; yield it with a function that writes from a buffer size on."""
    file = IncomingFile(folder / "upload", max_bytes=rules.max_bytes, check_head=rules.check_head)

    def write_if_room() -> None:
        # It is copied to the store when it is complete.
        rules.check_space(file.buffered_bytes + file.size_bytes)
        file.write()

    async def write(from_bytes: int) -> None:
        if file.buffered_bytes >= from_bytes:
            await asyncio.to_thread(write_if_room)

    try:
        await asyncio.to_thread(file.__enter__)
        try:
            yield file, write
        finally:
            await asyncio.to_thread(file.__exit__, None, None, None)
    except OSError as error:
        raise _to_pipeline_error(error) from error


def _check_content_length(request: Request, rules: UploadRules, overhead_bytes: int) -> None:
    """Raise an error if Content-Length is too large, or there is no room for the file."""
    length = request.headers.get("Content-Length", "")
    is_number = length.isascii() and length.isdigit()
    if rules.max_bytes is not None and is_number and int(length) > rules.max_bytes + overhead_bytes:
        raise file_too_large(rules.max_bytes)
    rules.check_space(2 * int(length) if is_number else 0)


def _to_pipeline_error(error: OSError) -> Exception:
    if error.errno in (ENOSPC, EDQUOT):
        return MachineExhausted("No disk space is left on the server.")
    return error
