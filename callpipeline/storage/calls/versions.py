"""Versions of one object: a recording that grew after it was registered is one call.

A copy that pauses looks complete. What was registered then is the beginning of the recording: its
call is withdrawn in favour of the call of the whole, and nothing counts twice.
"""

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path

from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.domain.calls.call import Call
from callpipeline.domain.calls.wav_header import read_wav_header
from callpipeline.errors import ClaimLost, SameRecording
from callpipeline.storage.postgres.database import Database, Row
from callpipeline.storage.postgres.sql import query

GROWTH_PERIOD_S = 3600.0
"""Longest time between two versions of which only the later one is left to read."""
BLOCK_BYTES = 1024 * 1024
UNKNOWN_SIZES = ((0, 0), (0x7FFF_F024, 0x7FFF_F000), (0x7FFF_FFFF, 0x7FFF_FFFF))
"""Sizes of the file and of its samples that recorders write first, besides 4 GB for both."""


class RecordingVersions:
    """Finds calls of earlier and later versions of an object, and withdraws them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def withdraw(self, call: Call, run_id: str) -> bool:
        """Withdraw a call whose object is gone, if that grew into a later version.

        Returns whether a later version is registered that is no continuation. Raises
        SameRecording if the call was withdrawn, ClaimLost if another run holds it.
        """
        versions = self._rows("calls/later_versions", call)
        longer = next((each for each in versions if each["continues"]), None)
        if longer is None:
            return bool(versions)
        later = longer["call_id"]
        self._database.with_retry(lambda c: self._supersede(c, call.call_id, later, run_id))
        raise SameRecording(later)

    def supersede_earlier(self, call: Call, run_id: str, recording: Path) -> list[str]:
        """Withdraw calls of earlier versions that are the beginning of a call's recording.

        Returns their ids. Raises ClaimLost if another run holds the call.
        """
        earlier = [
            each["call_id"]
            for each in self._rows("calls/earlier_versions", call)
            if each["is_gone"] or begins_with(recording, each["size_bytes"], each["sha256"])
        ]
        for call_id in earlier:
            self._database.with_retry(
                lambda c, call_id=call_id: self._replace(c, call_id, call.call_id, run_id)
            )
        return earlier

    def _rows(self, name: str, call: Call) -> list[Row]:
        recording = call.recording
        return self._database.rows(
            name,
            {
                "call_id": call.call_id,
                "bucket": recording.bucket,
                "key": recording.key,
                "size_bytes": recording.size_bytes,
                "last_modified": recording.last_modified,
                "period_s": GROWTH_PERIOD_S,
            },
        )

    def _replace(
        self, connection: Connection[DictRow], earlier: str, later: str, run_id: str
    ) -> None:
        """Supersede an earlier call, on behalf of the run that holds the later one."""
        claim = {"call_id": later, "run_id": run_id}
        if connection.execute(query("calls/lock_claim"), claim).fetchone() is None:
            raise ClaimLost(f"Call {later} is claimed by another run now.")
        _mark_superseded(connection, earlier, later)

    def _supersede(
        self, connection: Connection[DictRow], earlier: str, later: str, run_id: str
    ) -> None:
        """Supersede a call on behalf of the run that holds it."""
        claim = {"call_id": earlier, "run_id": run_id}
        if connection.execute(query("calls/lock_claim"), claim).fetchone() is None:
            raise ClaimLost(f"Call {earlier} is claimed by another run now.")
        _mark_superseded(connection, earlier, later)


def _mark_superseded(connection: Connection[DictRow], earlier: str, later: str) -> None:
    calls = {"call_id": earlier, "later": later}
    connection.execute(query("calls/delete_results"), calls)
    connection.execute(query("calls/pass_to_later_version"), calls)
    connection.execute(query("calls/supersede"), calls)


def begins_with(recording: Path, size_bytes: int, sha256: str | None) -> bool:
    """Return whether a file begins with content of this size and hash.

    The sizes in the header of a WAV file may differ: recorders write them at the end.
    """
    if sha256 is None or recording.stat().st_size < size_bytes:
        return False
    return any(
        _hash_of_beginning(recording, size_bytes, head) == sha256
        for head in (b"", *_earlier_headers(recording, size_bytes))
    )


def _earlier_headers(recording: Path, size_bytes: int) -> Iterator[bytes]:
    """Yield the headers that a WAV file may have had when it was `size_bytes` long."""
    with recording.open("rb") as file:
        header = read_wav_header(file)
        if header is None or header.data_start > size_bytes:
            return
        file.seek(0)
        start = file.read(header.data_start)
    true_sizes = (size_bytes - 8, size_bytes - header.data_start)
    empty, full = (header.data_start - 8, 0), (0xFFFF_FFFF, 0xFFFF_FFFF)
    for riff_size, data_size in (true_sizes, empty, full, *UNKNOWN_SIZES):
        sizes = struct.pack("<I", riff_size), struct.pack("<I", data_size)
        yield start[:4] + sizes[0] + start[8:-4] + sizes[1]


def _hash_of_beginning(recording: Path, size_bytes: int, head: bytes) -> str:
    """Return the hash of the first bytes of a file, with `head` in place of its own."""
    digest = hashlib.sha256(head)
    with recording.open("rb") as file:
        file.seek(len(head))
        left = size_bytes - len(head)
        while left > 0 and (block := file.read(min(BLOCK_BYTES, left))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()
