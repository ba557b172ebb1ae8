"""Files that a person hands over: copied into the recordings folder or bucket, and registered."""

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from callpipeline.domain.call import Recording
from callpipeline.pipeline.discovery import Registry
from callpipeline.pipeline.sidecar import SUFFIXES


class ContentRegistry(Registry, Protocol):
    """The part of the ledger that ingestion needs."""

    def call_of_content(self, sha256: str) -> str | None: ...


class RecordingBucket(Protocol):
    """Where recordings are kept until they are processed."""

    def put(self, key: str, content: bytes | Path) -> None: ...

    def recording(self, key: str) -> Recording: ...

    def key_of(self, path: Path) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Ingested:
    """A file and its call; `is_new` is False for bytes that were ingested before."""

    path: Path
    call_id: str
    is_new: bool


def ingest(
    path: Path, bucket: RecordingBucket, registry: ContentRegistry, *, agent_channel: str = "left"
) -> Ingested:
    """Copy a recording, with a transcript that lies beside it, and enter it into the ledger.

    The same bytes are one call, whatever their name. Raises OSError when the file is unreadable.
    """
    sha256 = sha256_of(path)
    if known := registry.call_of_content(sha256):
        return Ingested(path, known, is_new=False)
    key = bucket.key_of(path) or _copied(path, bucket, sha256)
    recording = bucket.recording(key)
    new = registry.register([recording], agent_channel=agent_channel, sha256=sha256)
    call_id = registry.call_of_content(sha256) or recording.call_id
    return Ingested(path, call_id, is_new=bool(new))


def sha256_of(path: Path) -> str:
    """What tells the same bytes from others, read block by block."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copied(path: Path, bucket: RecordingBucket, sha256: str) -> str:
    """The key under which the recording and a transcript beside it are in the bucket now.

    In a folder of their own: recordings of one name would take each other's transcripts.
    """
    key = PurePosixPath(sha256[:12]) / path.name
    # The transcript first: a sensor may take the recording up as soon as it is there.
    for suffix in SUFFIXES:
        beside = path.with_suffix(suffix)
        if beside.exists():
            bucket.put(str(key.with_suffix(suffix)), beside)
    bucket.put(str(key), path)
    return str(key)
