"""Fake of the Hugging Face Hub on a real socket: complete, cut off, with other bytes, or down."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

COMMIT = "1234567890abcdef1234567890abcdef12345678"


class Hub:
    """Serves `folder` as the model `hub_id`, in any revision.

    Of the file `cut` only half is sent; then the connection ends, or stays silent if `stalls`.
    `replaced` holds files with other bytes.
    """

    def __init__(self, hub_id: str, folder: Path) -> None:
        self.hub_id, self.folder = hub_id, folder
        self.cut = ""
        self.stalls = False
        self.replaced: dict[str, bytes] = {}
        self.status = 200
        self.asked: list[str] = []
        self.ranges: list[str] = []
        self.half_sent = threading.Event()
        self.closing = threading.Event()
        self.url = ""

    @contextmanager
    def up(self) -> Iterator["Hub"]:
        handler = type("Handler", (_Handler,), {"hub": self})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.closing.set()
            server.shutdown()
            server.server_close()
            thread.join()

    def files(self) -> dict[str, bytes]:
        files = {file.name: file.read_bytes() for file in self.folder.iterdir() if file.is_file()}
        return files | {"README.md": b"# a model"} | self.replaced


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub, path = self.hub, unquote(self.path.partition("?")[0])
        hub.asked.append(f"{self.command} {path}")
        file = re.fullmatch(rf"/{re.escape(hub.hub_id)}/resolve/[0-9a-f]{{40}}/(.+)", path)
        if hub.status != 200:
            self._send(hub.status, b"{}")
        elif path == f"/api/models/{hub.hub_id}/revision/main":
            siblings = [{"rfilename": name, "size": len(c)} for name, c in hub.files().items()]
            self._send(200, json.dumps({"sha": COMMIT, "siblings": siblings}).encode())
        elif file and file[1] in hub.files():
            self._send_file(file[1], hub.files()[file[1]])
        else:
            self._send(404, b"{}")

    def _send_file(self, name: str, content: bytes) -> None:
        etag = hashlib.sha1(content).hexdigest()
        headers = {"ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
        status = 200
        if asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            self.hub.ranges.append(f"{name} {asked[1]}")
            start, status = int(asked[1]), 206
            if start >= len(content):
                self._send(416, b"", headers={"Content-Range": f"bytes */{len(content)}"})
                return
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            content = content[start:]
        is_cut = self.command == "GET" and name == self.hub.cut
        self._send(status, content, headers=headers, is_cut=is_cut)

    def _send(
        self,
        status: int,
        content: bytes,
        *,
        headers: dict[str, str] | None = None,
        is_cut: bool = False,
    ) -> None:
        self.send_response(status)
        defaults = {"Content-Type": "application/json", "Content-Length": str(len(content))}
        for name, value in (defaults | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[: len(content) // 2] if is_cut else content)
        if is_cut:
            self.wfile.flush()
            self.hub.half_sent.set()
            if self.hub.stalls:
                self.hub.closing.wait(60)
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""
