"""What a store of objects does: a local folder and an S3 bucket are the two kinds there are."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from obstore.exceptions import BaseError

from callpipeline.domain.call import Recording
from callpipeline.errors import MissingObject, StoreUnavailable

PAGE = 1000
"""Objects that are listed, looked up in the ledger and registered at once; S3's own maximum."""

LONGEST_KEY_BYTES = 1024
"""S3's limit, and ours for folders: Postgres refuses to index what is more than twice as long."""

BLOCK_BYTES = 1024 * 1024

REPLACED = (
    "The recording was replaced by another one after it was registered; the new one is a call of "
    "its own."
)
CAUSES = {
    "permission denied": "may not be read or written: permission denied",
    "no space left": "is full",
    "nosuchbucket": "does not exist: make the bucket first",
    "accessdenied": "refused access: look at the S3 key and its rights",
    "invalidaccesskeyid": "refused access: the S3 access key is unknown",
    "signaturedoesnotmatch": "refused access: the S3 secret key is wrong",
    "unable to locate credentials": "cannot be asked: no S3 access key is set",
    "connection refused": "did not answer: connection refused",
    "could not connect": "did not answer: there is no connection to its host",
    "dns error": "did not answer: its host is unknown",
}

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Unreadable = Callable[[str], None]
"""Told the sentence why something in a store cannot become a recording; never a name."""


class Page(list[Recording]):
    """Objects of a listing, and the key that it has come to.

    That may be the marker of a folder behind the last object: a page may hold nothing else.
    """

    def __init__(self, recordings: Iterable[Recording] = (), *, end: str | None = None) -> None:
        super().__init__(recordings)
        self.end = end


def end_of(page: list[Recording]) -> str | None:
    """The key from which a listing goes on behind a page; None where nothing tells."""
    last = page[-1].key if page else None
    return (page.end if isinstance(page, Page) else None) or last


class ObjectStore(ABC):
    """A bucket: `name` is its part of a recording's identity, keys are paths with `/`."""

    page_size = PAGE

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def put(self, key: str, content: bytes | Path) -> None:
        """Store an object whole or not at all; a file is streamed."""

    @abstractmethod
    def put_new(self, key: str, content: bytes | Path) -> None:
        """Store an object unless there is one under that key, which is then left as it is."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """A small object's content. Raises MissingObject."""

    @abstractmethod
    def read_range(self, key: str, start: int, length: int) -> bytes:
        """`length` bytes from `start` on, fewer where the object ends before. Raises MissingObject.

        Behind the end there are none.
        """

    def size(self, key: str) -> int:
        """How many bytes an object has. Raises MissingObject."""
        return self.recording(key).size_bytes

    @abstractmethod
    def fetch(self, key: str, into: Path, etag: str | None = None) -> None:
        """Copy an object to a local file, block by block. Raises MissingObject.

        With `etag`, an object that is not the same any more is missing too.
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is removed already."""

    def delete_below(self, prefix: str) -> int:
        """Remove every object below the folder `prefix`, and the folder; returns how many."""
        keys = [recording.key for recording in self.list(prefix)]
        for key in keys:
            self.delete(key)
        return len(keys)

    def tidy(self, key: str) -> None:
        """Remove folders above a key in which nothing is left; a bucket has none."""
        return

    @abstractmethod
    def recording(self, key: str) -> Recording:
        """An object as a recording. Raises MissingObject."""

    @abstractmethod
    def pages(
        self,
        prefix: str = "",
        after: str | None = None,
        unreadable: Unreadable = lambda reason: None,
    ) -> Iterator[list[Recording]]:
        """Objects in the order of their keys (by code point), `page_size` at a time.

        Only those below the folder `prefix` and whose key sorts behind `after`, which need not
        exist. What vanishes meanwhile is left out. A listing that fails raises StoreUnavailable,
        it is never empty; a page may be, where a `Page` tells how far the listing has come.

        Every name is listed, however odd, and can be read; what cannot be is told to `unreadable`.
        """

    def list(self, prefix: str = "") -> Iterator[Recording]:
        """Every object below a prefix, in the order of keys."""
        for page in self.pages(prefix):
            yield from page

    def exists(self, key: str) -> bool:
        try:
            self.recording(key)
        except MissingObject:
            return False
        return True

    def address(self, key: str, for_s: int) -> str | None:
        """A URL under which whoever has it may read an object for so many seconds.

        None where the store has no such addresses. Nobody is asked whether the object is there.
        """
        return None

    def key_of(self, path: Path) -> str | None:
        """The key of a local file that lies in this store already."""
        return None


def is_odd(key: str) -> bool:
    """Whether a key climbs, has a folder without a name, or control characters in it.

    Such objects are read where somebody else wrote them, and never written.
    """
    return bool({"", ".", ".."} & set(key.split("/")) or _CONTROL.search(key))


@contextmanager
def translated(store: str) -> Iterator[None]:
    """The store's errors as ours. Keys may be personal data, so none is told."""
    try:
        yield
    except FileNotFoundError:
        raise MissingObject(f"{store} does not hold the object any more.") from None
    except ValueError:
        raise MissingObject(f"{store} cannot hold an object of that name.") from None
    except (BaseError, OSError) as error:
        # Not chained: Dagster keeps the whole chain, and its texts hold paths.
        raise StoreUnavailable(f"{store} {cause(error)}.") from None


def cause(error: Exception) -> str:
    """What a store's error says, as far as it can be told without the names in it."""
    said = str(error).lower()
    known = (told for words, told in CAUSES.items() if words in said)
    return next(known, f"did not answer ({type(error).__name__})")
