"""Interface of object stores, what their adapters share, and seekable files over objects."""

import io
import re
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError

from callpipeline.domain.calls.call import Recording
from callpipeline.errors import CallpipelineError, MissingObject, StoreUnavailable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PAGE_SIZE = 1000
"""Objects that are listed, looked up in the ledger and registered at once; the limit of S3."""

MAX_KEY_BYTES = 1024
"""Limit of S3, also used for folders: Postgres cannot index values of more than 2.7 kB."""

BLOCK_BYTES = 1024 * 1024

REPLACED = (
    "The recording was replaced after it was registered; the new recording is a separate call."
)
CAUSES = {
    "requesttimetooskewed": "denied access: the clock of this machine differs from that of the "
    "store by more than 15 minutes: set it, for example with NTP",
    "expiredtoken": "denied access: the session token of the S3 access key has expired: renew it",
    "token has expired": "denied access: the session token of the S3 access key has expired: "
    "renew it",
    "tokenrefreshrequired": "denied access: the session token of the S3 access key has to be "
    "refreshed: renew it",
    "invalidtoken": "denied access: the session token of the S3 access key is invalid",
    "invalidobjectstate": "has archived the object (Glacier): restore it in S3, and retry the call",
    "slowdown": "is overloaded, and asks for fewer requests",
    "permanentredirect": "is in another region: set CALLPIPELINE_S3_REGION to it",
    "authorizationheadermalformed": "is in another region: set CALLPIPELINE_S3_REGION to it",
    "incorrectly configured region": "is in another region: set CALLPIPELINE_S3_REGION to it",
    "allaccessdisabled": "denied access: all access to the bucket is disabled",
    "accountproblem": "denied access: there is a problem with the account of the S3 access key",
    "kms.": "denied access: the S3 access key may not use the key that encrypts the objects",
    "permission denied": "could not be read or written: permission denied",
    "no space left": "is full",
    "read-only file system": "is read-only: check the disk, and mount it for writing",
    "nosuchbucket": "does not exist: create the bucket first",
    "accessdenied": "denied access: check the permissions of the S3 access key",
    "invalidaccesskeyid": "denied access: the S3 access key is unknown",
    "signaturedoesnotmatch": "denied access: the S3 secret key is wrong",
    "403 forbidden": "denied access: check the permissions of the S3 access key, and the clock of "
    "this machine",
    "(403)": "denied access: check the permissions of the S3 access key, and the clock of this "
    "machine",
    "unable to locate credentials": "cannot be accessed: no S3 access key is set",
    "connection refused": "did not respond: connection refused",
    "could not connect": "did not respond: could not connect to its host",
    "dns error": "did not respond: its host name could not be resolved",
}

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

OnUnreadable = Callable[[str], None]
"""Receives a sentence that says why an object was skipped, without its name."""

RANGE_BYTES = 128 * 1024
"""Size of a range read: a decoder that seeks reads a little at several positions."""
MAX_CACHED_BLOCKS = 8


class ListingPage(list[Recording]):
    """Objects of a listing, and the last key that was listed.

    That may be a folder marker after the last object; a page may contain nothing else.
    """

    def __init__(self, recordings: Iterable[Recording] = (), *, end: str | None = None) -> None:
        super().__init__(recordings)
        self.end = end


def resume_key(page: list[Recording]) -> str | None:
    """Return the key after which a listing resumes, None for an empty page without one."""
    last = page[-1].key if page else None
    return (page.end if isinstance(page, ListingPage) else None) or last


class ObjectStore(ABC):
    """A bucket. `name` is part of the identity of recordings; keys are paths with `/`."""

    page_size = PAGE_SIZE

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def put(self, key: str, content: bytes | Path) -> None:
        """Store an object atomically; a file is streamed."""

    def put_all(
        self, contents: Mapping[str, bytes | Path], check: Callable[[], None] = lambda: None
    ) -> None:
        """Store several objects, calling `check`, which may raise, before each of them.

        Returns, as every `put` does, when they would survive a power cut.
        """
        for key, content in contents.items():
            check()
            self.put(key, content)

    def put_back(self, key: str, content: Path, modified: datetime) -> None:
        """Store an object of a backup with its old modification time, where the store has one."""
        self.put(key, content)

    @abstractmethod
    def put_new(self, key: str, content: bytes | Path) -> None:
        """Store an object unless the key exists, which is then left unchanged."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """Return the content of a small object. Raises MissingObject."""

    @abstractmethod
    def read_range(self, key: str, start: int, length: int) -> bytes:
        """Return up to `length` bytes from `start`, none after the end. Raises MissingObject."""

    def size(self, key: str) -> int:
        """Return the size of an object in bytes. Raises MissingObject."""
        return self.recording(key).size_bytes

    @abstractmethod
    def fetch(self, key: str, into: Path, etag: str | None = None) -> None:
        """Copy an object to a local file, block by block.

        Raises MissingObject, also if the object no longer has the given `etag`.
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Delete an object; a missing one is ignored."""

    def delete_below(self, prefix: str) -> int:
        """Delete a folder with all objects below it, and return how many."""
        keys = [recording.key for recording in self.list(prefix)]
        for key in keys:
            self.delete(key)
        return len(keys)

    def remove_empty_folders(self, key: str) -> None:
        """Delete empty folders above a key; a bucket has none."""
        return

    @abstractmethod
    def recording(self, key: str) -> Recording:
        """Return an object as a recording. Raises MissingObject."""

    @abstractmethod
    def pages(
        self,
        prefix: str = "",
        after: str | None = None,
        unreadable: OnUnreadable = lambda reason: None,
    ) -> Iterator[list[Recording]]:
        """List objects in the order of their keys (by code point), `page_size` at a time.

        Only objects below the folder `prefix` whose key sorts after `after`, which need not
        exist. Objects that are deleted meanwhile are left out. A listing that fails raises
        StoreUnavailable and never ends early. A page may be empty if it is a `ListingPage`, which
        has the key to resume from.

        Every name is listed and readable, with any characters. Objects that are skipped are
        reported to `unreadable`.
        """

    def list(self, prefix: str = "") -> Iterator[Recording]:
        """List all objects below a prefix, in the order of keys."""
        for page in self.pages(prefix):
            yield from page

    def beside(self, stem: str) -> Sequence[str]:
        """Return the keys in the folder of `stem` that begin with it, in any case."""
        folder, slash, name = stem.rpartition("/")
        stems = dict.fromkeys(
            f"{folder}{slash}{each}" for each in (name, name.upper(), name.lower())
        )
        found = (key for each in stems for key in self._keys_from(folder, each))
        return list(dict.fromkeys(found))

    def _keys_from(self, folder: str, stem: str) -> Iterator[str]:
        for page in self.pages(folder, stem):
            for recording in page:
                if not recording.key.startswith(stem):
                    return
                if "/" not in recording.key[len(stem) :]:
                    yield recording.key

    def is_being_written(self, recording: Recording) -> bool:
        """Return whether an object is incomplete although it has not changed for a while.

        False if that cannot be found out; the objects of a bucket are always complete.
        """
        return False

    def exists(self, key: str) -> bool:
        try:
            self.recording(key)
        except MissingObject:
            return False
        return True

    def address(self, key: str, for_s: int) -> str | None:
        """Return a signed URL of an object, valid for `for_s` seconds; None if unsupported.

        The object need not exist.
        """
        return None

    def key_of(self, path: Path) -> str | None:
        """Return the key of a local file that is inside this store, None for other files."""
        return None


def is_unsafe_key(key: str) -> bool:
    """Return whether a key has `.`, `..` or empty segments, or control characters.

    Objects with such keys are read, but never written.
    """
    return bool({"", ".", ".."} & set(key.split("/")) or _CONTROL.search(key))


@contextmanager
def translate_errors(store: str) -> Iterator[None]:
    """Translate errors of a store. Keys may be personal data, so messages contain none."""
    try:
        yield
    except FileNotFoundError:
        raise MissingObject(f"{store} no longer contains the object.") from None
    except ValueError:
        raise MissingObject(f"{store} cannot contain an object with that name.") from None
    except (BaseError, OSError) as error:
        if "invalidobjectstate" in str(error).lower():
            raise MissingObject(f"{store} {describe_error(error)}.") from None
        # Not chained: Dagster stores the whole chain, and its messages contain paths.
        raise StoreUnavailable(f"{store} {describe_error(error)}.") from None


def describe_error(error: Exception) -> str:
    """Describe an error of a store without the names in it."""
    message = str(error).lower()
    known = (description for words, description in CAUSES.items() if words in message)
    return next(known, f"did not respond ({type(error).__name__})")


class RangeFile(io.RawIOBase):
    """Read-only file over range reads of `block_bytes`, with a cache of the last blocks.

    C libraries that read it swallow its exceptions. So `failed` holds the first error of the
    store, after which nothing more is read: call `check` after using such a library.
    """

    def __init__(self, store: "ObjectStore", key: str, *, block_bytes: int = RANGE_BYTES) -> None:
        """Get the size of the object. Raises MissingObject or StoreUnavailable."""
        super().__init__()
        self._store, self._key, self._block_bytes = store, key, block_bytes
        self._size = store.size(key)
        self._position = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self.failed: CallpipelineError | None = None

    def check(self) -> None:
        """Raise the first error of the store, if any."""
        if self.failed is not None:
            raise self.failed

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def readinto(self, buffer: "WriteableBuffer") -> int:
        into = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(into) and self._position < self._size and self.failed is None:
            number, offset = divmod(self._position, self._block_bytes)
            chunk = self._block(number)[offset : offset + len(into) - filled]
            if not chunk:
                break
            into[filled : filled + len(chunk)] = chunk
            filled += len(chunk)
            self._position += len(chunk)
        return filled

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        try:
            start = number * self._block_bytes
            block = self._store.read_range(self._key, start, self._block_bytes)
        except CallpipelineError as error:
            self.failed = error
            return b""
        self._blocks[number] = block
        if len(self._blocks) > MAX_CACHED_BLOCKS:
            self._blocks.popitem(last=False)
        return block
