"""The parts of a multipart form as the parser finds them: one file, and fields."""

from collections.abc import Mapping
from typing import Any

from fastapi import HTTPException
from python_multipart.multipart import MultipartParser, parse_options_header

from callpipeline.web.forms.arriving import CLOSE, Arriving, Look

MOST_FIELD_BYTES, MOST_FIELDS = 100_000, 1_100


class Parts:
    """What the parser finds; the pieces of the file go on to `file`, its name to `named`."""

    def __init__(
        self, file_field: str, boundary: bytes, file: Arriving, named: Look | None = None
    ) -> None:
        self._file_field, self._file, self._named = file_field, file, named
        self._fields: dict[str, list[str]] = {}
        self._headers: dict[bytes, bytes] = {}
        self._header = [b"", b""]
        self._name, self._value, self._field_bytes = "", bytearray(), 0
        self._has_file = self._is_whole = False
        self.sent_name = b""
        names = ("part_begin", "header_field", "header_value", "header_end", "headers_finished")
        callbacks: Any = {
            f"on_{name}": getattr(self, f"_{name}")
            for name in (*names, "part_data", "part_end", "end")
        }
        self._parser = MultipartParser(boundary, callbacks)

    def take(self, piece: bytes) -> None:
        self._parser.write(piece)

    def finished(self) -> Mapping[str, list[str]]:
        """The fields. Raises HTTPException where the form is not whole, or has no file."""
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
                raise HTTPException(
                    422, f"The form has two files in `{self._file_field}`: send one.", CLOSE
                )
            self._has_file = True
            self.sent_name = options.get(b"filename", b"")
            if self._named:
                self._named(self.sent_name)
        elif b"filename" in options:
            raise HTTPException(422, f"A file belongs in the field `{self._file_field}`.", CLOSE)

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._name == self._file_field:
            self._file.take(data[start:end])
            return
        self._field_bytes += end - start
        if self._field_bytes > MOST_FIELD_BYTES:
            raise HTTPException(
                413, f"The fields of a form may have {MOST_FIELD_BYTES:,} bytes.", CLOSE
            )
        self._value += data[start:end]

    def _part_end(self) -> None:
        if self._name != self._file_field:
            self._fields.setdefault(self._name, []).append(self._value.decode(errors="replace"))
            if sum(map(len, self._fields.values())) > MOST_FIELDS:
                raise HTTPException(413, f"A form may have {MOST_FIELDS:,} fields.", CLOSE)

    def _end(self) -> None:
        self._is_whole = True
