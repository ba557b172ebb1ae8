"""Recordings of all sources: discovery positions, last scans, and recordings announced by URL."""

import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from callpipeline.domain.calls.call import Recording, RegisteredCall, Registration
from callpipeline.errors import MissingObject, StoreUnavailable
from callpipeline.storage.calls.ledger import register_all
from callpipeline.storage.objects import keys
from callpipeline.storage.objects.ports import ObjectStore
from callpipeline.storage.ports.calls import ANNOUNCED_BUCKET, RecordingStore, etag_from_key
from callpipeline.storage.postgres.database import Database, Row
from callpipeline.storage.postgres.sql import query

NOT_FETCHED = (
    "The announced recording was not downloaded, and its URL has been deleted: announce the call "
    "again."
)
GONE = (
    "The downloaded recording is missing in the recordings folder: restore it, or announce the "
    "call again."
)


class Recordings:
    """Reads and deletes recordings and their sidecar files in the stores of all sources."""

    def __init__(self, stores: Iterable[RecordingStore], *, is_complete: bool = True) -> None:
        """`is_complete` is false while other sources are left out because they are invalid."""
        self._stores = {store.name: store for store in stores}
        self._is_complete = is_complete

    def fetch(self, recording: Recording, into: Path) -> None:
        """Copy a recording to a local file. Raises MissingObject, also when it was replaced."""
        self.store(recording.bucket).fetch(recording.key, into, recording.etag)

    def read(self, bucket: str, key: str) -> bytes:
        """Return the content of a small object. Raises MissingObject."""
        return self.store(bucket).read(key)

    def exists(self, bucket: str, key: str) -> bool:
        return self.store(bucket).exists(key)

    def beside(self, bucket: str, stem: str) -> Sequence[str]:
        """Return the keys in the folder of `stem` that begin with it, in any case."""
        return self.store(bucket).beside(stem)

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object; a missing one is ignored."""
        self.store(bucket).delete(key)

    def store(self, bucket: str) -> RecordingStore:
        """Return the store of a bucket. Raises MissingObject if no source has it any more."""
        if bucket not in self._stores and not self._is_complete:
            raise StoreUnavailable(
                f"The recording came from {bucket}, and a source in CALLPIPELINE_SOURCES is "
                "invalid: `callpipeline doctor` says what to change."
            )
        if bucket not in self._stores:
            raise MissingObject(
                f"The recording came from {bucket}, which is not a source any more: add it to "
                "CALLPIPELINE_SOURCES or CALLPIPELINE_RECORDINGS again, and retry."
            )
        return self._stores[bucket]


_TOKEN = re.compile("[0-9a-f]{16}")


class DiscoveryPositions:
    """Positions of discovery by source and token: table `discovery`.

    The sensor cursor holds only the token, which contains no object keys. Clearing the cursor
    restarts discovery from the beginning.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, source: str, token: str | None) -> tuple[str, str | None]:
        """Return the token and its position; for an unknown token, a new one without position."""
        if token and _TOKEN.fullmatch(token):
            parameters = {"source": source, "token": token}
            for row in self._database.rows("sources/find_position", parameters):
                return token, row["position"]
        new_token = secrets.token_hex(8)
        self._database.rows("sources/start_discovery", {"source": source, "token": new_token})
        return new_token, None

    def save(self, source: str, token: str, position: str) -> None:
        """Save the position of a token, unless the token was replaced in the meantime."""
        parameters = {"source": source, "token": token, "position": position}
        self._database.rows("sources/save_position", parameters)


@dataclass(frozen=True, slots=True)
class SourceScan:
    """The time of a source's last scan, and what the last scan found that listed objects.

    `swept_at` is when all of its objects were listed, `found_at` when a call was registered;
    `failure` says why the last scan failed. Counts are those of `ScanResult`.
    """

    source: str
    scanned_at: datetime
    listed_at: datetime | None
    swept_at: datetime | None
    found_at: datetime | None
    listed: int
    skipped: int
    unsettled: int
    unreadable: dict[str, int]
    failure: str | None


class ScanCounts(NamedTuple):
    """Objects that a scan listed, skipped, found unsettled or unreadable, and its new calls."""

    listed: int = 0
    skipped: int = 0
    unsettled: int = 0
    found: int = 0
    unreadable: dict[str, int] | None = None


class SourceScans:
    """The last scan of each source: table `source_scans`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(
        self,
        source: str,
        counts: ScanCounts = ScanCounts(),  # noqa: B008 - immutable
        *,
        has_swept: bool = False,
        failure: str | None = None,
    ) -> None:
        """Record a scan. Counts stay if it listed nothing."""
        row = counts._asdict() | {"unreadable": Jsonb(counts.unreadable or {})}
        row |= {"source": source, "swept": has_swept, "failure": failure}
        self._database.rows("sources/save_scan", row)

    def all(self) -> dict[str, SourceScan]:
        """Return the last scan of each source that was scanned, by its name."""
        rows = self._database.rows("sources/list_scans")
        return {row["source"]: SourceScan(**row) for row in rows}


class Announcements:
    """The calls that were announced by URL: table `announced`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(
        self, registration: Registration, url: str, identity: str, *, is_keyed: bool
    ) -> RegisteredCall:
        """Register a call whose recording is downloaded later, unless it was announced already.

        Announcements with the same `identity` are one: permanently if the sender gave an
        idempotency key (`is_keyed`), otherwise until the recording is downloaded.
        """
        announced = {"url": url, "identity": identity, "is_keyed": is_keyed}
        return self._database.with_retry(partial(_register, registration, announced))

    def find(self, key: str) -> tuple[str | None, bool]:
        """Return the URL of a recording, None if it was deleted, and whether it was downloaded."""
        rows = self._database.rows("sources/find_announced", _identity(key))
        return (rows[0]["url"], rows[0]["fetched_at"] is not None) if rows else (None, False)

    def store(self, key: str, put: Callable[[], None]) -> None:
        """Store a recording by calling `put`, and delete its URL. `put` may be called twice.

        The transaction locks the call against erasure, which then finds the stored object. Raises
        MissingObject if the call was erased before.
        """

        def put_locked(connection: Connection[DictRow]) -> None:
            if (
                connection.execute(query("sources/lock_announced_call"), _identity(key)).fetchone()
                is None
            ):
                raise MissingObject(NOT_FETCHED)
            put()
            connection.execute(query("sources/mark_stored"), _identity(key))

        self._database.with_retry(put_locked)

    def mark_stored(self, key: str, size_bytes: int) -> None:
        """Delete the URL of a stored recording, and record its size."""
        identity = _identity(key)
        self._database.with_retry(lambda c: c.execute(query("sources/mark_stored"), identity))
        self._database.rows("sources/set_size", identity | {"size_bytes": size_bytes})

    def delete_old_urls(self, older_than: datetime) -> int:
        """Delete URLs of calls that ended before a time without a download; return how many."""
        return len(self._database.rows("sources/delete_old_urls", {"older_than": older_than}))


class AnnouncedRecordings:
    """Store of announced recordings, which are downloaded when they are first read.

    `download` writes the content of a URL into a file.
    """

    name = ANNOUNCED_BUCKET

    def __init__(
        self,
        announcements: Announcements,
        inbox: ObjectStore,
        download: Callable[[str, Path], None],
    ) -> None:
        self._announcements = announcements
        self._inbox = inbox
        self._download = download

    def fetch(self, key: str, into: Path, etag: str | None = None) -> None:
        """Copy a recording to a local file; download and store it first if necessary.

        A recording is never downloaded twice, since the content of its URL may have changed.
        Raises MissingObject, and the errors of `download`.
        """
        if not self._fetch_stored(key, into):
            url, was_fetched = self._announcements.find(key)
            if url is None:
                raise MissingObject(GONE if was_fetched else NOT_FETCHED)
            self._download(url, into)
            put = partial(self._inbox.put_new, keys.announced(key), into)
            self._announcements.store(key, put)
        self._announcements.mark_stored(key, into.stat().st_size)

    def _fetch_stored(self, key: str, into: Path) -> bool:
        try:
            self._inbox.fetch(keys.announced(key), into)
        except MissingObject:
            return False
        return True

    def read(self, key: str) -> bytes:
        return self._inbox.read(keys.announced(key))

    def recording(self, key: str) -> Recording:
        """Return an announced recording. Raises MissingObject until it is downloaded.

        The etag is that of the announcement, since a stored recording is never replaced.
        """
        stored = self._inbox.recording(keys.announced(key))
        return Recording(
            ANNOUNCED_BUCKET, key, etag_from_key(key), stored.size_bytes, stored.last_modified
        )

    def exists(self, key: str) -> bool:
        return self._inbox.exists(keys.announced(key))

    def beside(self, stem: str) -> Sequence[str]:
        found = self._inbox.beside(keys.announced(stem))
        return [each.removeprefix(keys.announced("")) for each in found]

    def delete(self, key: str) -> None:
        self._inbox.delete(keys.announced(key))

    def remove_empty_folders(self, key: str) -> None:
        self._inbox.remove_empty_folders(keys.announced(key))


def _register(
    registration: Registration, announced: Row, connection: Connection[DictRow]
) -> RegisteredCall:
    announced = announced | {"call_id": registration.recording.call_id}
    connection.execute(query("sources/lock_announcement"), announced)
    existing = connection.execute(query("sources/find_announcement"), announced).fetchone()
    if existing:
        return RegisteredCall(existing["call_id"], is_new=False)
    [registered] = register_all(connection, [registration])
    if registered.is_new:
        connection.execute(query("sources/announce"), announced)
    return registered


def _identity(key: str) -> Row:
    return {"bucket": ANNOUNCED_BUCKET, "key": key}
