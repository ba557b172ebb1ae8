"""Registration of recordings as calls, discovered, uploaded, or announced by URL.

An announced recording is downloaded when its call is processed.
"""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from callpipeline.domain.calls.call import Lane, Recording, RegisteredCall, Registration
from callpipeline.domain.calls.side_files import MetadataTable, decode_text, suffix_of
from callpipeline.domain.calls.source_audio import AUDIO_SUFFIXES
from callpipeline.domain.calls.sources import DEFAULT_FILENAME, Source, clean_filename
from callpipeline.domain.egress import EgressPolicy, HttpAddress, parse_http_address
from callpipeline.errors import AnnouncementInvalid, MissingObject
from callpipeline.pipeline.ingest.beside import side_files, stem_of
from callpipeline.storage.objects import keys
from callpipeline.storage.ports.calls import (
    AnnouncementRegistry,
    CallRegistry,
    ContentRegistry,
    RecordingBucket,
    announced_recording,
)

LIVE_BURST = 50
"""More new recordings than this at once are a backlog."""

LIVE_AGE = timedelta(hours=1)

MAX_IDEMPOTENCY_KEY_CHARS = 255
MAX_METADATA = 50


@dataclass(frozen=True, slots=True)
class SentAttributes:
    """Attributes of a call from the sender of its recording; they have precedence over its name."""

    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    agent_channel: str | None = None


@dataclass(frozen=True, slots=True)
class HashedFile:
    """A local file, the name to store it under, and the SHA-256 of its content."""

    path: Path
    name: str
    sha256: str
    sent: SentAttributes = SentAttributes()


def register(
    registry: CallRegistry,
    source: Source,
    recordings: Sequence[Recording],
    *,
    lane: Lane | None = None,
    priority: int = 0,
    file: HashedFile | None = None,
) -> list[RegisteredCall]:
    """Register recordings that were discovered together, with the attributes in their names.

    Without a `lane`, the source decides, else their age and number. `file` is the
    file of a single recording, if it was handed over.
    """
    now = datetime.now(UTC)
    sent = file.sent if file else SentAttributes()
    burst = len(recordings) > LIVE_BURST

    def registration(recording: Recording) -> Registration:
        attributes = source.call_attributes(recording.key, now=now, metadata=sent.metadata)
        old = burst or now - recording.last_modified > LIVE_AGE
        return Registration(
            recording,
            agent_channel=sent.agent_channel or attributes.agent_channel or "left",
            started_at=attributes.started_at,
            metadata=attributes.metadata,
            lane=lane or source.lane or (Lane.BULK if old else Lane.LIVE),
            priority=priority,
            duplicates=source.duplicates,
            sha256=file.sha256 if file else None,
        )

    return registry.register([registration(recording) for recording in recordings])


@dataclass(frozen=True, slots=True)
class IngestResult:
    """A file and its call; `is_new` is False if the content was ingested before."""

    path: Path
    call_id: str
    is_new: bool


def ingest_file(
    path: Path,
    store: RecordingBucket,
    registry: ContentRegistry,
    source: Source,
    *,
    lane: Lane | None = None,
    priority: int = 0,
) -> IngestResult:
    """Copy a recording, with a transcript beside it, into the store of `source` and register it.

    The same content is one call, whatever its name, even when ingested twice at the same time.
    Raises OSError if the file is unreadable.
    """
    # Control characters and undecodable bytes are not allowed in keys.
    name = re.sub("[\x00-\x1f\x7f\ud800-\udfff]", "_", path.name)
    file = HashedFile(path, name, sha256_of(path))
    return ingest_hashed(file, store, registry, source, lane=lane, priority=priority)


def ingest_hashed(
    file: HashedFile,
    store: RecordingBucket,
    registry: ContentRegistry,
    source: Source,
    *,
    lane: Lane | None = None,
    priority: int = 0,
) -> IngestResult:
    """Copy a file with a known content hash into the store and register it.

    If this is interrupted between the copy and the registration, ingesting the file again, or
    discovery, continues with the same object: it remains one call.
    """
    if call_id := registry.call_of_content(file.sha256):
        _restore_missing(file, store, registry, source)
        return IngestResult(file.path, call_id, is_new=False)
    recording = store.recording(store.key_of(file.path) or _copy(file, store, source))
    [registered] = register(registry, source, [recording], lane=lane, priority=priority, file=file)
    is_new = registered.is_new and not registered.duplicate_of
    return IngestResult(file.path, registered.duplicate_of or registered.call_id, is_new)


def _restore_missing(
    file: HashedFile, store: RecordingBucket, registry: ContentRegistry, source: Source
) -> None:
    """Store the content again if its call still waits, and its object has vanished."""
    waiting = registry.waiting_recording(file.sha256, store.name)
    if waiting is None:
        return
    call_id, key = waiting
    try:
        store.recording(key)
    except MissingObject:
        registry.move_recording(call_id, store.recording(_copy(file, store, source)))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, read block by block."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(file: HashedFile, store: RecordingBucket, source: Source) -> str:
    """Copy a recording and the files beside it; return the recording's key.

    They get a folder of their own, since recordings of the same name would share transcripts. An
    existing object has the same content; overwriting it would make it another recording.
    """
    key = keys.inbox(file.sha256, file.name)
    # The other files first: a sensor may register the recording as soon as it exists.
    own = file.path.name
    beside = {
        stem_of(key) + name[len(stem_of(own)) :]: file.path.with_name(name)
        for name in side_files(own, _named_like(file.path))
    }
    for other, path in beside.items():
        store.put_new(other, path)
    if metadata := _named_metadata(file.path, source.metadata):
        suffix, content = metadata
        names = (key + suffix, stem_of(key) + suffix)
        store.put_new(next((each for each in names if each not in beside), names[0]), content)
    store.put_new(key, file.path)
    return key


def _named_metadata(recording: Path, table: MetadataTable | None) -> tuple[str, bytes] | None:
    """Return the metadata file that the source names after a recording, with a suffix for it.

    Of a file about many recordings, this is the record of this one. None without a file or record.
    """
    if table is None or table.file is None:
        return None
    [given] = table.files(recording.absolute().as_posix())
    path = Path("/") / given
    if not path.is_file():
        return None
    try:
        content = path.read_bytes()
        text = decode_text(content)[0]
        suffix = suffix_of(text)
        if table.is_shared:
            content = table.excerpt(path.with_suffix(suffix).name, text, recording.name)
    except (OSError, ValueError):
        return None
    return (suffix, content) if content else None


def _named_like(recording: Path) -> list[str]:
    """Return the other files in the folder that begin with the recording's name, in any case.

    Only these are looked at: a folder may have tens of thousands.
    """
    wanted, names = stem_of(recording.name).casefold(), list[str]()
    with os.scandir(recording.parent) as entries:
        for entry in entries:
            if entry.name.casefold().startswith(wanted) and entry.name != recording.name:
                with suppress(OSError):
                    names += [entry.name] if entry.is_file() else []
    return names


@dataclass(frozen=True, slots=True)
class Announcement:
    """The URL of a recording and optional attributes of its call.

    With an `idempotency_key`, repeated announcements are one call. `metadata` (`agent`, `customer`,
    `direction`, `started_at`, …) takes precedence over the groups of the source's name pattern;
    `agent_channel` is left or right.
    """

    url: str = field(repr=False)
    filename: str | None = None
    idempotency_key: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    agent_channel: str | None = None


@dataclass(frozen=True, slots=True)
class AnnouncedCall:
    """The call of an announcement; `name` is the file name of its recording."""

    call_id: str
    name: str
    is_new: bool


def announce(
    announcement: Announcement,
    registry: AnnouncementRegistry,
    source: Source,
    egress_policy: EgressPolicy,
    *,
    now: datetime | None = None,
) -> AnnouncedCall:
    """Register a call whose recording is downloaded later; `source` parses its name.

    The same URL and key are one call. Without a key they are one call until the download: after
    that the URL may lead to another recording, and the content decides. Sends no request and no
    DNS query. Raises AnnouncementInvalid or its subclass AddressInvalid.
    """
    at = now or datetime.now(UTC)
    address = parse_http_address(announcement.url)
    egress_policy.refuse_private_literal(address)
    _validate(announcement)
    name = clean_filename(announcement.filename or _filename_from_url(address))
    key = announcement.idempotency_key or ""
    identity = _hash("announced", announcement.url, key)
    # Without a key, a later announcement of the same URL is a new call.
    token = (identity if key else _hash(identity, at.isoformat()))[:20]
    recording = announced_recording(token, name, at)
    attributes = source.call_attributes(recording.key, now=at, metadata=announcement.metadata)
    registration = Registration(
        recording,
        agent_channel=announcement.agent_channel or attributes.agent_channel or "left",
        started_at=attributes.started_at,
        metadata=attributes.metadata,
        lane=source.lane or Lane.LIVE,
        duplicates=source.duplicates,
    )
    registered = registry.register(registration, announcement.url, identity, is_keyed=bool(key))
    return AnnouncedCall(registered.call_id, name, registered.is_new)


def _filename_from_url(address: HttpAddress) -> str:
    """Return the file name in a URL if it has an audio suffix; else it may be a secret."""
    last = unquote(address.target.partition("?")[0]).rpartition("/")[2]
    return last if PurePosixPath(last).suffix.lower() in AUDIO_SUFFIXES else DEFAULT_FILENAME


def _validate(announcement: Announcement) -> None:
    """Raise AnnouncementInvalid for attributes that are out of range."""
    if announcement.agent_channel not in (None, "left", "right"):
        raise AnnouncementInvalid("The agent's channel must be left or right.")
    if len(announcement.idempotency_key or "") > MAX_IDEMPOTENCY_KEY_CHARS:
        raise AnnouncementInvalid(
            f"The idempotency key is longer than {MAX_IDEMPOTENCY_KEY_CHARS} characters."
        )
    if len(announcement.metadata) > MAX_METADATA:
        raise AnnouncementInvalid(f"More than {MAX_METADATA} metadata fields: send fewer.")
    if not all(re.fullmatch(r"[A-Za-z]\w{0,59}", name, re.ASCII) for name in announcement.metadata):
        raise AnnouncementInvalid(
            "Metadata names have up to 60 letters, digits and underscores and begin with a letter."
        )


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
