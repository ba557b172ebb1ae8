"""Reads a request's body as it comes: multipart and urlencoded forms, and JSON."""

import hashlib
import json
from email.message import Message
from urllib.parse import parse_qsl

from tests.fakes.services.records import Arrival, Upload

KEPT_BYTES = 8 << 20
"""Fields, JSON and JSON files are held to be answered by; recordings are only hashed."""


class Malformed(Exception):
    """The client sent what is not HTTP, or not the form that it announced."""


class BodyReader:
    """Takes a body piece by piece and writes what it holds into the arrival."""

    def __init__(self, arrival: Arrival) -> None:
        self._arrival = arrival
        about = Message()
        about["Content-Type"] = arrival.headers.get("content-type", "application/octet-stream")
        self._type = about.get_content_type()
        self._whole = bytearray()
        self._form: MultipartReader | None = None
        if self._type == "multipart/form-data":
            boundary = about.get_boundary()
            if not boundary:
                raise Malformed("a multipart form without a boundary")
            self._form = MultipartReader(boundary.encode(), arrival)

    def feed(self, piece: bytes) -> None:
        self._arrival.body_bytes += len(piece)
        if self._form:
            self._form.feed(piece)
        elif len(self._whole) < KEPT_BYTES:
            self._whole += piece

    def finish(self) -> None:
        """The body has come: raises Malformed where it is not what its type says."""
        if self._form:
            self._form.finish()
        elif self._type == "application/x-www-form-urlencoded":
            self._arrival.fields += parse_qsl(self._whole.decode(), keep_blank_values=True)
        elif self._type == "application/json":
            self._arrival.json = read_json(bytes(self._whole))
        self._arrival.body_read = True


class MultipartReader:
    """A multipart form whose files are hashed as they pass."""

    def __init__(self, boundary: bytes, arrival: Arrival) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._held = bytearray(b"\r\n")  # so that the first delimiter looks like the others
        self._arrival = arrival
        self._part: _Part | None = None
        self._ended = False

    def feed(self, piece: bytes) -> None:
        self._held += piece
        while not self._ended and self._step():
            pass

    def finish(self) -> None:
        if not self._ended:
            raise Malformed("a multipart form without its last boundary")

    def _step(self) -> bool:
        """Take one part's content or the headers of the next; False where more must come."""
        at = self._held.find(self._delimiter)
        if at < 0:
            self._pass_on(max(0, len(self._held) - len(self._delimiter)))
            return False
        after = at + len(self._delimiter)
        if self._held[after : after + 2] == b"--":
            self._pass_on(at)
            self._close_part()
            self._ended = True
            return False
        head_end = self._held.find(b"\r\n\r\n", after)
        if head_end < 0:
            return False
        self._pass_on(at)
        self._close_part()
        taken = after - at
        head_end -= at
        self._part = _Part(bytes(self._held[taken:head_end]))
        del self._held[: head_end + 4]
        return True

    def _pass_on(self, length: int) -> None:
        if self._part:
            self._part.feed(bytes(self._held[:length]))
        elif self._held[:length].strip():
            raise Malformed("bytes before the first part of a multipart form")
        del self._held[:length]

    def _close_part(self) -> None:
        if self._part:
            self._part.close_into(self._arrival)
        self._part = None


class _Part:
    """One field or file of a multipart form."""

    def __init__(self, head: bytes) -> None:
        about = Message()
        for line in head.decode("utf-8", "surrogateescape").strip().split("\r\n"):
            name, _, value = line.partition(":")
            about[name] = value.strip()
        name = about.get_param("name", header="content-disposition")
        if not isinstance(name, str):
            raise Malformed("a part of a multipart form without a name")
        file_name = about.get_filename()
        self._name = name
        self._kept = bytearray()
        self._hash = hashlib.sha256()
        self._file: Upload | None = None
        if file_name is not None:
            self._file = Upload(name, file_name, str(about.get("content-type", "")))
        self._keeps = not self._file or "json" in self._file.content_type

    def feed(self, piece: bytes) -> None:
        if self._file:
            self._hash.update(piece)
            self._file.size_bytes += len(piece)
        if self._keeps and len(self._kept) < KEPT_BYTES:
            self._kept += piece

    def close_into(self, arrival: Arrival) -> None:
        if self._file:
            self._file.sha256 = self._hash.hexdigest()
            self._file.kept = bytes(self._kept)
            arrival.files.append(self._file)
        else:
            arrival.fields.append((self._name, self._kept.decode()))


def read_json(text: bytes) -> object:
    """Strict JSON, or Malformed; its message never quotes the text."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise Malformed("a body that is not JSON") from error
