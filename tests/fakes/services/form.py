"""Streaming parsers of request bodies: multipart and urlencoded forms, and JSON."""

import hashlib
import json
from email.message import Message
from urllib.parse import parse_qsl

from tests.fakes.services.records import RecordedRequest, RecordedUpload

MAX_FIELD_BYTES = 8 << 20
"""Limit of fields and JSON in memory; recordings are only hashed."""


class Malformed(Exception):
    """The request is not HTTP, or its body not of the announced type."""


class BodyReader:
    """Parses a body piece by piece into the request."""

    def __init__(self, request: RecordedRequest) -> None:
        self._request = request
        header = Message()
        header["Content-Type"] = request.headers.get("content-type", "application/octet-stream")
        self._type = header.get_content_type()
        self._whole = bytearray()
        self._form: MultipartReader | None = None
        if self._type == "multipart/form-data":
            boundary = header.get_boundary()
            if not boundary:
                raise Malformed("a multipart form without a boundary")
            self._form = MultipartReader(boundary.encode(), request)

    def feed(self, piece: bytes) -> None:
        self._request.body_bytes += len(piece)
        if self._form:
            self._form.feed(piece)
        elif len(self._whole) < MAX_FIELD_BYTES:
            self._whole += piece

    def finish(self) -> None:
        """End the body. Raises Malformed if it is not of its type."""
        if self._form:
            self._form.finish()
        elif self._type == "application/x-www-form-urlencoded":
            self._request.fields += parse_qsl(self._whole.decode(), keep_blank_values=True)
        elif self._type == "application/json":
            self._request.json = read_json(bytes(self._whole))
        self._request.body_read = True


class MultipartReader:
    """Parser of a multipart form that hashes its files."""

    def __init__(self, boundary: bytes, request: RecordedRequest) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._buffer = bytearray(b"\r\n")  # so that the first delimiter is like the others
        self._request = request
        self._part: _Part | None = None
        self._ended = False

    def feed(self, piece: bytes) -> None:
        self._buffer += piece
        while not self._ended and self._step():
            pass

    def finish(self) -> None:
        if not self._ended:
            raise Malformed("a multipart form without its last boundary")

    def _step(self) -> bool:
        """Consume the content of a part or the headers of the next; False if more is needed."""
        at = self._buffer.find(self._delimiter)
        if at < 0:
            self._consume(max(0, len(self._buffer) - len(self._delimiter)))
            return False
        after = at + len(self._delimiter)
        if self._buffer[after : after + 2] == b"--":
            self._consume(at)
            self._close_part()
            self._ended = True
            return False
        head_end = self._buffer.find(b"\r\n\r\n", after)
        if head_end < 0:
            return False
        self._consume(at)
        self._close_part()
        taken = after - at
        head_end -= at
        self._part = _Part(bytes(self._buffer[taken:head_end]))
        del self._buffer[: head_end + 4]
        return True

    def _consume(self, length: int) -> None:
        if self._part:
            self._part.feed(bytes(self._buffer[:length]))
        elif self._buffer[:length].strip():
            raise Malformed("bytes before the first part of a multipart form")
        del self._buffer[:length]

    def _close_part(self) -> None:
        if self._part:
            self._part.close_into(self._request)
        self._part = None


class _Part:
    """Field or file of a multipart form."""

    def __init__(self, head: bytes) -> None:
        header = Message()
        for line in head.decode("utf-8", "surrogateescape").strip().split("\r\n"):
            name, _, value = line.partition(":")
            header[name] = value.strip()
        name = header.get_param("name", header="content-disposition")
        if not isinstance(name, str):
            raise Malformed("a part of a multipart form without a name")
        file_name = header.get_filename()
        self._name = name
        self._content = bytearray()
        self._hash = hashlib.sha256()
        self._file: RecordedUpload | None = None
        if file_name is not None:
            self._file = RecordedUpload(name, file_name, str(header.get("content-type", "")))
        self._is_stored = not self._file or "json" in self._file.content_type

    def feed(self, piece: bytes) -> None:
        if self._file:
            self._hash.update(piece)
            self._file.size_bytes += len(piece)
        if self._is_stored and len(self._content) < MAX_FIELD_BYTES:
            self._content += piece

    def close_into(self, request: RecordedRequest) -> None:
        if self._file:
            self._file.sha256 = self._hash.hexdigest()
            self._file.content = bytes(self._content)
            request.files.append(self._file)
        else:
            request.fields.append((self._name, self._content.decode()))


def read_json(text: bytes) -> object:
    """Parse JSON. Raises Malformed, never quoting the text."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise Malformed("a body that is not JSON") from error
