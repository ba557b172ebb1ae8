"""The recordings of all sources, each found by the bucket in its identity."""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from callpipeline.domain.call import Recording
from callpipeline.errors import MissingObject


class Arrivals(Protocol):
    """Where recordings of a bucket are: an object store, or one that fetches them first."""

    @property
    def name(self) -> str: ...

    def fetch(self, key: str, into: Path, etag: str | None = None) -> None: ...

    def read(self, key: str) -> bytes: ...

    def recording(self, key: str) -> Recording: ...

    def exists(self, key: str) -> bool: ...

    def delete(self, key: str) -> None: ...

    def tidy(self, key: str) -> None: ...


class Recordings:
    """Reads recordings and what lies beside them, wherever they arrived."""

    def __init__(self, stores: Iterable[Arrivals]) -> None:
        self._stores = {store.name: store for store in stores}

    def fetch(self, recording: Recording, into: Path) -> None:
        """Copy a recording to a local file. Raises MissingObject, also when it was replaced."""
        self.store(recording.bucket).fetch(recording.key, into, recording.etag)

    def read(self, bucket: str, key: str) -> bytes:
        """A small object's content. Raises MissingObject."""
        return self.store(bucket).read(key)

    def exists(self, bucket: str, key: str) -> bool:
        return self.store(bucket).exists(key)

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object where it arrived; one that is not there is removed already."""
        self.store(bucket).delete(key)

    def store(self, bucket: str) -> Arrivals:
        """The store of a bucket. Raises MissingObject where no source has it any more."""
        if bucket not in self._stores:
            raise MissingObject(
                f"The recording came from {bucket}, which is no source any more: put that source "
                "back into CALLPIPELINE_SOURCES or CALLPIPELINE_RECORDINGS, and try again."
            )
        return self._stores[bucket]
