"""Fake host of recordings on a real socket, with scripted responses."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

Answer = bytes | Callable[[socket.socket], object]
"""Bytes to send before the connection is closed, or a function that sends them."""


def ok(body: bytes = b"RIFF", *headers: str, length: int | None = None) -> bytes:
    """Return a successful response; `length` replaces the true length."""
    lines = [f"Content-Length: {len(body) if length is None else length}", *headers]
    return answer(200, *lines, body=body)


def answer(status: int, *headers: str, body: bytes = b"") -> bytes:
    head = "\r\n".join((f"HTTP/1.1 {status} Said", *headers, "Connection: close", "", ""))
    return head.encode() + body


def redirect_to(location: str, status: int = 302) -> bytes:
    return answer(status, f"Location: {location}", "Content-Length: 0")


class FileHost:
    """Server for the duration of the `with` block, with TLS if it has a context.

    `answers` maps paths to responses, `asked` has the heads of the requests.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self._tls = tls
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._serving: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Closing alone does not wake up a thread in accept().
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in (self._thread, *self._serving):
            thread.join(5)

    def url(self, path: str = "/call.wav", host: str = "127.0.0.1") -> str:
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._serving.append(thread)
            thread.start()

    def _serve(self, plain: socket.socket) -> None:
        # Clients that refuse the response disconnect.
        with plain, contextlib.suppress(OSError):
            plain.settimeout(60)
            if self._tls is None:
                self._converse(plain)
                return
            with self._tls.wrap_socket(plain, server_side=True) as encrypted:
                self._converse(encrypted)

    def _converse(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (some := connection.recv(65_536)):
                return
            head += some
        self.asked.append(head.decode())
        path = head.split()[1].decode().partition("?")[0]
        said = self.answers.get(path, answer(404, "Content-Length: 0"))
        if isinstance(said, bytes):
            connection.sendall(said)
        else:
            said(connection)
