"""Recordings that were announced by an address: table `announced`, and the store that fetches them.

The bucket of such a recording is no folder or bucket of its own. What was fetched is kept in the
inbox, below a hidden folder, so that looking for recordings there makes no second call of it. An
address may be signed, and so is a secret: it stands in no error, and goes when nobody needs it.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.domain.call import Recording, Registered, Registration
from callpipeline.errors import MissingObject
from callpipeline.storage import keys
from callpipeline.storage.database import Database, Row
from callpipeline.storage.ledger import enter_all
from callpipeline.storage.object_store import ObjectStore
from callpipeline.storage.sql import query

BUCKET = "announced/"
"""In the identity of recordings. No folder is named so, nor a source: there is a slash in it."""

UNKNOWN = (
    "The announced recording was not fetched, and its address is not known any more: announce the "
    "call anew."
)
GONE = (
    "What was fetched of the announced recording is not in the home of recordings any more: put it "
    "back, or announce the call anew."
)


class Announcements:
    """Table `announced`: which calls came by an address, and which of these are still needed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def enter(
        self, registration: Registration, url: str, identity: str, *, is_keyed: bool
    ) -> Registered:
        """Enter a call whose recording is to be fetched, unless it was announced already.

        `identity` is what makes two announcements one: where the sender gave a key for that
        (`is_keyed`) for ever, else until the recording is fetched.
        """
        announced = {"url": url, "identity": identity, "is_keyed": is_keyed}
        return self._database.patiently(partial(_enter, registration, announced))

    def find(self, key: str) -> tuple[str | None, bool]:
        """The address of a recording, None where nobody knows it; and whether it was fetched."""
        rows = self._database.rows("announced/find", _place(key))
        return (rows[0]["url"], rows[0]["fetched_at"] is not None) if rows else (None, False)

    def keep(self, key: str, put: Callable[[], None]) -> None:
        """Have a recording `put` where it is kept, and forget its address. `put` may come twice.

        In one transaction that keeps the call from being erased meanwhile: what is put is there
        for the erasure to delete. Raises MissingObject where it was erased before.
        """

        def held(connection: Connection[DictRow]) -> None:
            if connection.execute(query("announced/hold"), _place(key)).fetchone() is None:
                raise MissingObject(UNKNOWN)
            put()
            connection.execute(query("announced/kept"), _place(key))

        self._database.patiently(held)

    def note_kept(self, key: str, size_bytes: int) -> None:
        """Forget the address of a recording that is kept, and note how large it is."""
        self._database.patiently(lambda c: c.execute(query("announced/kept"), _place(key)))
        self._database.rows("announced/sized", _place(key) | {"size_bytes": size_bytes})

    def forget_old(self, older_than: datetime) -> int:
        """Forget addresses of calls that ended before a time without being fetched."""
        return len(self._database.rows("announced/forget_old", {"older_than": older_than}))


class AnnouncedRecordings:
    """The store of announced recordings, which it fetches when they are first wanted.

    `download` writes what a URL leads to into a file, and raises errors of ours.
    """

    name = BUCKET

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
        """Copy what is kept to a local file; what is not is downloaded, and kept.

        What was kept once is never downloaded again: the address may lead to something else by
        now. Raises MissingObject, and what `download` raises.
        """
        if not self._is_kept(key, into):
            url, was_fetched = self._announcements.find(key)
            if url is None:
                raise MissingObject(GONE if was_fetched else UNKNOWN)
            self._download(url, into)
            put = partial(self._inbox.put_new, keys.announced(key), into)
            self._announcements.keep(key, put)
        self._announcements.note_kept(key, into.stat().st_size)

    def _is_kept(self, key: str, into: Path) -> bool:
        try:
            self._inbox.fetch(keys.announced(key), into)
        except MissingObject:
            return False
        return True

    def read(self, key: str) -> bytes:
        return self._inbox.read(keys.announced(key))

    def recording(self, key: str) -> Recording:
        """What is kept of an announced recording. Raises MissingObject where it is not there yet.

        Its etag is that of the announcement: nothing is ever put in its place.
        """
        kept = self._inbox.recording(keys.announced(key))
        return Recording(BUCKET, key, etag_of(key), kept.size_bytes, kept.last_modified)

    def exists(self, key: str) -> bool:
        return self._inbox.exists(keys.announced(key))

    def delete(self, key: str) -> None:
        self._inbox.delete(keys.announced(key))

    def tidy(self, key: str) -> None:
        self._inbox.tidy(keys.announced(key))


def announced_recording(token: str, name: str, at: datetime) -> Recording:
    """The recording of an announcement, of which nobody knows more than its name yet."""
    return Recording(BUCKET, f"{token}/{name}", token, 0, at)


def etag_of(key: str) -> str:
    """The etag of an announced recording, which its key begins with."""
    return key.partition("/")[0]


def _enter(
    registration: Registration, announced: Row, connection: Connection[DictRow]
) -> Registered:
    announced = announced | {"call_id": registration.recording.call_id}
    connection.execute(query("announced/lock"), announced)
    known = connection.execute(query("announced/known"), announced).fetchone()
    if known:
        return Registered(known["call_id"], is_new=False)
    [entered] = enter_all(connection, [registration])
    if entered.is_new:
        connection.execute(query("announced/enter"), announced)
    return entered


def _place(key: str) -> Row:
    return {"bucket": BUCKET, "key": key}
