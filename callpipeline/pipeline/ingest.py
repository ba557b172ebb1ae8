"""Files that a person hands over: copied into the recordings folder or bucket, and registered."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from callpipeline.domain.call import Lane, Recording
from callpipeline.domain.source import Source
from callpipeline.pipeline.registration import Registry, register
from callpipeline.pipeline.sidecar import SUFFIXES
from callpipeline.storage import keys


class ContentRegistry(Registry, Protocol):
    """The part of the ledger that ingestion needs."""

    def call_of_content(self, sha256: str) -> str | None: ...


class RecordingBucket(Protocol):
    """Where recordings are kept until they are processed."""

    def put_new(self, key: str, content: bytes | Path) -> None: ...

    def recording(self, key: str) -> Recording: ...

    def key_of(self, path: Path) -> str | None: ...


@dataclass(frozen=True, slots=True)
class HandedOver:
    """A file on this machine, what it is called, and the SHA-256 of its bytes."""

    path: Path
    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Ingested:
    """A file and its call; `is_new` is False for bytes that were ingested before."""

    path: Path
    call_id: str
    is_new: bool


def ingest(
    path: Path,
    store: RecordingBucket,
    registry: ContentRegistry,
    source: Source,
    *,
    lane: Lane | None = None,
    priority: int = 0,
) -> Ingested:
    """Copy a recording, with a transcript that lies beside it, and enter it into the ledger.

    The same bytes are one call, whatever their name, also when they are handed over twice at the
    same time. `store` is that of `source`. Raises OSError when the file is unreadable.
    """
    # Of bytes that are no text and of control characters, which no key of ours has in it.
    name = re.sub("[\x00-\x1f\x7f\ud800-\udfff]", "_", path.name)
    file = HandedOver(path, name, sha256_of(path))
    return take_in(file, store, registry, source, lane=lane, priority=priority)


def take_in(
    file: HandedOver,
    store: RecordingBucket,
    registry: ContentRegistry,
    source: Source,
    *,
    lane: Lane | None = None,
    priority: int = 0,
) -> Ingested:
    """The same of a file that was read already, under any name that a key can have in it.

    Where it ends between the store and the ledger, whoever hands the file over again, or looks at
    what is in the store, goes on with the same object: it is one call.
    """
    if known := registry.call_of_content(file.sha256):
        return Ingested(file.path, known, is_new=False)
    recording = store.recording(store.key_of(file.path) or _copied(file, store))
    [entered] = register(
        registry, source, [recording], lane=lane, priority=priority, sha256=file.sha256
    )
    is_new = entered.is_new and not entered.duplicate_of
    return Ingested(file.path, entered.duplicate_of or entered.call_id, is_new)


def sha256_of(path: Path) -> str:
    """What tells the same bytes from others, read block by block."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copied(file: HandedOver, store: RecordingBucket) -> str:
    """The key under which the recording and a transcript beside it are in the store now.

    In a folder of their own: recordings of one name would take each other's transcripts. What is
    there already are the same bytes, which another hand-over put there; put again they would be
    another recording.
    """
    key = PurePosixPath(keys.inbox(file.sha256, file.name))
    # The transcript first: a sensor may take the recording up as soon as it is there.
    for suffix in SUFFIXES:
        beside = file.path.with_suffix(suffix)
        if beside.exists():
            store.put_new(str(key.with_suffix(suffix)), beside)
    store.put_new(str(key), file.path)
    return str(key)
