"""A hub of models on this machine, over real sockets: whole, broken in the middle, or down."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

COMMIT = "1234567890abcdef1234567890abcdef12345678"


class Hub:
    """Serves `folder` as the model `hub_id`; `cut` is the file of which half is sent."""

    def __init__(self, hub_id: str, folder: Path) -> None:
        self.hub_id, self.folder = hub_id, folder
        self.cut = ""
        self.status = 200
        self.asked: list[str] = []
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
            server.shutdown()
            server.server_close()
            thread.join()

    def files(self) -> dict[str, bytes]:
        found = {file.name: file.read_bytes() for file in self.folder.iterdir() if file.is_file()}
        return found | {"README.md": b"# a model"}


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        hub, path = self.hub, unquote(self.path.partition("?")[0])
        hub.asked.append(f"{self.command} {path}")
        api, resolve = f"/api/models/{hub.hub_id}/", f"/{hub.hub_id}/resolve/{COMMIT}/"
        if hub.status != 200:
            self._send(hub.status, b"{}", with_body=with_body)
        elif path.startswith(f"{api}revision/"):
            listed = [{"rfilename": name} for name in hub.files()]
            told = {"id": hub.hub_id, "modelId": hub.hub_id, "sha": COMMIT, "siblings": listed}
            self._send(200, json.dumps(told).encode(), with_body=with_body)
        elif path.startswith(f"{api}tree/"):
            entries = [
                {"type": "file", "path": n, "size": len(c), "oid": hashlib.sha1(c).hexdigest()}
                for n, c in hub.files().items()
            ]
            self._send(200, json.dumps(entries).encode(), with_body=with_body)
        elif path.startswith(resolve) and (name := path.removeprefix(resolve)) in hub.files():
            self._send_file(name, hub.files()[name], with_body=with_body)
        else:
            missing = {"X-Error-Code": "RepoNotFound"}
            self._send(404, b"{}", with_body=with_body, headers=missing)

    def _send_file(self, name: str, content: bytes, *, with_body: bool) -> None:
        etag = hashlib.sha1(content).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "none"}
        is_cut = with_body and name == self.hub.cut
        self._send(200, content, with_body=with_body, headers=headers, is_cut=is_cut)

    def _send(
        self,
        status: int,
        content: bytes,
        *,
        with_body: bool,
        headers: dict[str, str] | None = None,
        is_cut: bool = False,
    ) -> None:
        self.send_response(status)
        told = {"Content-Type": "application/json", "Content-Length": str(len(content))}
        for name, value in (told | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(content[: len(content) // 2] if is_cut else content)
        if is_cut:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests' output is for the tests."""
