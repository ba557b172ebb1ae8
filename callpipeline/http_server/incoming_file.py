"""Uploaded files on their way to disk, and the folders that hold them."""

import asyncio
import fcntl
import hashlib
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from fastapi import HTTPException

from callpipeline.engines.split.probe import HEAD_BYTES

CLOSE_CONNECTION = {"Connection": "close"}
"""For responses sent before the body was read, so that the rest of it isn't read either."""

Validator = Callable[[bytes], None]
"""Raise an error to reject the upload."""

_LOCK = "lock"


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A file that arrived completely."""

    path: Path
    size_bytes: int
    sha256: str


class IncomingFile:
    """A file that arrives in chunks, buffered in memory until `write` is called.

    Call `write` and `finish` in a thread: they hash and write to disk. `check_head` gets the first
    4096 bytes, or all of a smaller file.
    """

    def __init__(
        self, path: Path, *, max_bytes: int | None = None, check_head: Validator | None = None
    ) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._check_head = check_head
        self._chunks: list[bytes] = []
        self._head = b""
        self._hash = hashlib.sha256()
        self.size_bytes = 0
        self.buffered_bytes = 0

    def __enter__(self) -> Self:
        self._file = self._path.open("wb")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def append(self, chunk: bytes) -> None:
        """Buffer a chunk. Raises HTTPException (413) beyond `max_bytes`."""
        self.size_bytes += len(chunk)
        if self._max_bytes is not None and self.size_bytes > self._max_bytes:
            raise file_too_large(self._max_bytes)
        self._chunks.append(chunk)
        self.buffered_bytes += len(chunk)

    def write(self) -> None:
        """Write the buffer to disk. Raises what `check_head` raises, once the head is complete."""
        chunks, self._chunks, self.buffered_bytes = self._chunks, [], 0
        if self._check_head:
            self._head = b"".join((self._head, *chunks))[:HEAD_BYTES]
            if len(self._head) == HEAD_BYTES:
                self._check_once()
        for chunk in chunks:
            self._hash.update(chunk)
        self._file.writelines(chunks)

    def finish(self) -> ReceivedFile:
        """Return the file, after everything was written. Raises what `check_head` raises."""
        self._check_once()
        self._file.flush()
        return ReceivedFile(self._path, self.size_bytes, self._hash.hexdigest())

    def _check_once(self) -> None:
        check, self._check_head = self._check_head, None
        if check:
            check(self._head)


def file_too_large(max_bytes: int) -> HTTPException:
    size = f"{max_bytes / 1_000_000:,.0f} MB" if max_bytes >= 1_000_000 else f"{max_bytes:,} B"
    return HTTPException(413, f"The file is too large; the limit is {size}.", CLOSE_CONNECTION)


class UploadFolder:
    """Temporary folder of this process, with a lock that ends with the process.

    A process that starts sweeps the folders of processes that were killed, which it recognises by
    their free lock. On a disk shared by several machines, locks must work across all of them.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._root = root
        self._own = root / secrets.token_hex(8)

    def __enter__(self) -> Self:
        # The shared lock: a new folder that isn't locked yet looks like a dead process's.
        with (self._root / _LOCK).open("wb") as shared_lock:
            fcntl.flock(shared_lock, fcntl.LOCK_EX)
            self._own.mkdir(mode=0o700)
            self._lock = (self._own / _LOCK).open("wb")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            self._sweep()
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._own, ignore_errors=True)
        self._lock.close()

    @asynccontextmanager
    async def request_folder(self) -> AsyncIterator[Path]:
        """Create a folder for one request, and delete it afterwards."""
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=self._own))
        try:
            yield folder
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def _sweep(self) -> None:
        for folder in self._root.iterdir():
            if folder.is_dir() and folder != self._own and _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    try:
        with (folder / _LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # its process died before it created the lock, or another one sweeps it
        return True
    return True
