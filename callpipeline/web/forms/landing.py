"""Where files lie while they come in: a folder for each process, swept when it is dead."""

import asyncio
import fcntl
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

_LOCK = "lock"


class Landing:
    """A folder of this process. Its lock goes with the process, however that ends.

    So whoever starts next knows which folders belong to nobody any more, and what a killed
    process left goes; a folder on a disk that several machines share must lock for all of them.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._root = root
        self._own = root / secrets.token_hex(8)

    def __enter__(self) -> "Landing":
        # Under a lock of all: a folder whose own is not taken yet looks like a dead process's.
        with (self._root / _LOCK).open("wb") as all_of_them:
            fcntl.flock(all_of_them, fcntl.LOCK_EX)
            self._own.mkdir(mode=0o700)
            self._lock = (self._own / _LOCK).open("wb")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            self._sweep()
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._own, ignore_errors=True)
        self._lock.close()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Path]:
        """A folder for one request, which goes with it."""
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
    except OSError:  # without one its process died before it took it, or another sweeps here
        return True
    return True
