"""What is sent to a service."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to send: its field, its name there, and its content.

    A Path is streamed from the disk; half a character in a name is sent as a question mark.
    """

    field: str
    name: str
    content: Path | bytes
    content_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked at a path of the service: `form` are fields, some of them more than once.

    `file` stands among them; or `json` is the whole body.
    """

    method: str
    path: str
    form: tuple[tuple[str, str], ...] = ()
    file: Upload | None = None
    json: Any = None


@contextmanager
def body_of(request: Request) -> Iterator[dict[str, Any]]:
    """The body as httpx takes it; a file is open for as long."""
    fields: dict[str, list[str]] = {}
    for name, value in request.form:
        fields.setdefault(name, []).append(value)
    body: dict[str, Any] = {"data": fields} if fields else {}
    if request.json is not None:
        body["json"] = request.json
    if request.file is None:
        yield body
        return
    upload = request.file
    name = upload.name.encode("utf-8", "replace").decode()
    if isinstance(upload.content, bytes):
        yield body | {"files": {upload.field: (name, upload.content, upload.content_type)}}
        return
    with upload.content.open("rb") as file:
        yield body | {"files": {upload.field: (name, file, upload.content_type)}}
