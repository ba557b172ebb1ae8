"""Versions of one recording: a copy that pauses is one call, and a lost object is stored again."""

import asyncio
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from callpipeline.domain.calls.call import CallState, Recording, Registration, Stage
from callpipeline.domain.calls.sources import Source
from callpipeline.errors import ClaimLost, MissingObject, RecordingChanged, SameRecording
from callpipeline.pipeline.ingest.cursor import DiscoveryCursor
from callpipeline.pipeline.ingest.discovery import ScanBudget, discover
from callpipeline.pipeline.ingest.registration import ingest_file
from callpipeline.pipeline.processing.workspace import RecordingFetcher
from callpipeline.storage.calls.versions import RecordingVersions, begins_with
from callpipeline.storage.objects.folder import FolderStore
from callpipeline.wiring import Storage
from tests.integration.calls import row, store

KEY = "call.wav"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


def wav(samples: bytes) -> bytes:
    size = len(samples)
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 16_000, 2, 16)
    head = struct.pack("<4sI4s", b"RIFF", size + 36, b"WAVE") + fmt
    return head + struct.pack("<4sI", b"data", size) + samples


WHOLE = wav(os.urandom(40_000))
HALF = WHOLE[:20_000]


@dataclass
class Folder:
    """A folder of recordings as source, and the steps of a run on its calls."""

    storage: Storage
    path: Path

    @property
    def bucket(self) -> FolderStore:
        return FolderStore("recordings", self.path)

    def fetch(self, recording: Recording, into: Path) -> None:
        self.bucket.fetch(recording.key, into, recording.etag)

    def read(self, bucket: str, key: str) -> bytes:
        return self.bucket.read(key)

    def exists(self, bucket: str, key: str) -> bool:
        return self.bucket.exists(key)

    def beside(self, bucket: str, stem: str) -> Sequence[str]:
        return self.bucket.beside(stem)

    def write(self, content: bytes, *, minutes: float = 0.0) -> None:
        self.path.mkdir(exist_ok=True)
        (self.path / KEY).write_bytes(content)
        at = (NOON + timedelta(minutes=minutes)).timestamp()
        os.utime(self.path / KEY, (at, at))

    def register(self) -> str:
        recording = self.bucket.recording(KEY)
        [registered] = self.storage.ledger.register([Registration(recording)])
        return registered.call_id

    def process(self, call_id: str, run_id: str = "run-1") -> None:
        """Fetch the recording of a call and complete the call."""
        claims, versions = self.storage.claims, RecordingVersions(self.storage.database)
        [call] = claims.claim([call_id], run_id)
        claims.begin(call_id, run_id)
        fetcher = RecordingFetcher(self, claims, versions)
        asyncio.run(fetcher.fetch(call, run_id, self.path.parent / "fetched"))
        store(self.storage, call_id, *Stage, run_id=run_id)
        claims.complete(call_id, run_id)

    def state(self, call_id: str) -> tuple[CallState, str | None]:
        found = row(self.storage, call_id)
        return CallState(found["state"]), found["duplicate_of"]


@pytest.fixture
def folder(storage: Storage, tmp_path: Path) -> Folder:
    return Folder(storage, tmp_path / "recordings")


def stages(storage: Storage) -> set[str]:
    with storage.database.transaction() as connection:
        rows = connection.execute("SELECT DISTINCT call_id FROM call_stages").fetchall()
    return {each["call_id"] for each in rows}


def events(storage: Storage) -> int:
    with storage.database.transaction() as connection:
        found = connection.execute("SELECT count(*) AS events FROM outbox").fetchone()
    assert found
    return found["events"]


def test_a_recording_that_grew_supersedes_its_processed_beginning(folder: Folder):
    folder.write(HALF)
    half = folder.register()
    folder.process(half)
    folder.write(WHOLE, minutes=2)
    whole = folder.register()
    folder.process(whole)
    assert folder.state(half) == (CallState.DUPLICATE, whole)
    assert folder.state(whole) == (CallState.COMPLETED, None)
    assert stages(folder.storage) == {whole}
    assert events(folder.storage) == 0


def test_another_recording_of_the_same_name_is_another_call(folder: Folder):
    folder.write(HALF)
    first = folder.register()
    folder.process(first)
    folder.write(wav(os.urandom(60_000)), minutes=2)
    second = folder.register()
    folder.process(second)
    assert folder.state(first) == (CallState.COMPLETED, None)
    assert folder.state(second) == (CallState.COMPLETED, None)


def discovered(folder: Folder) -> str:
    """Register what discovery finds: it reads a part near the beginning."""
    source = Source("recordings", str(folder.path))
    budget = ScanBudget(datetime.now(UTC), settle_s=0.0)
    found = discover(source, folder.bucket, folder.storage.ledger, DiscoveryCursor(), budget)
    [registered] = [each for each in found.result.registered if each.is_new]
    return registered.call_id


LONG = wav(os.urandom(120_000))


@pytest.mark.parametrize("first_first", [True, False])
def test_a_recording_overwritten_by_another_one_before_it_was_read_is_not_passed_over(
    folder: Folder, first_first: bool
):
    folder.write(LONG[:60_000])
    first = discovered(folder)
    folder.write(wav(os.urandom(90_000)), minutes=2)
    second = discovered(folder)
    if not first_first:
        folder.process(second)
    with pytest.raises(MissingObject, match="was replaced"):
        folder.process(first)
    if first_first:
        folder.process(second)
    assert folder.state(first)[0] is not CallState.DUPLICATE
    assert folder.state(second) == (CallState.COMPLETED, None)


@pytest.mark.parametrize("first_first", [True, False])
def test_a_discovered_beginning_is_withdrawn_by_the_whole(folder: Folder, first_first: bool):
    early = bytearray(LONG[:60_000])
    early[4:8] = early[40:44] = bytes(4)
    folder.write(bytes(early))
    half = discovered(folder)
    folder.write(LONG, minutes=2)
    whole = discovered(folder)
    if first_first:
        with pytest.raises(SameRecording):
            folder.process(half)
    folder.process(whole)
    assert folder.state(half) == (CallState.DUPLICATE, whole)
    assert folder.state(whole) == (CallState.COMPLETED, None)
    assert events(folder.storage) == 0


def test_a_vanished_beginning_is_withdrawn_without_a_failure(folder: Folder):
    folder.write(HALF)
    half = folder.register()
    folder.write(WHOLE, minutes=1.5)
    whole = folder.register()
    with pytest.raises(SameRecording):
        folder.process(half)
    assert folder.state(half) == (CallState.DUPLICATE, whole)
    folder.process(whole)
    assert folder.state(whole) == (CallState.COMPLETED, None)
    assert events(folder.storage) == 0


def test_a_beginning_that_waits_is_withdrawn_by_the_whole(folder: Folder):
    folder.write(HALF)
    half = folder.register()
    folder.write(WHOLE, minutes=1.5)
    whole = folder.register()
    folder.process(whole)
    assert folder.state(half) == (CallState.DUPLICATE, whole)


def test_a_beginning_in_progress_is_withdrawn_and_its_run_stops(folder: Folder):
    folder.write(HALF)
    half = folder.register()
    folder.storage.claims.claim([half], "run-of-half")
    folder.write(WHOLE, minutes=1.5)
    folder.process(folder.register())
    with pytest.raises(ClaimLost):
        folder.storage.claims.complete(half, "run-of-half")


def test_a_call_waits_until_the_new_version_is_registered(folder: Folder):
    folder.write(HALF)
    half = folder.register()
    folder.write(WHOLE, minutes=1.5)
    with pytest.raises(RecordingChanged, match="waiting until it is complete"):
        folder.process(half)


@pytest.mark.parametrize(("content", "minutes"), [(HALF[:9_000], 1), (WHOLE, 600)])
def test_what_was_overwritten_by_another_recording_fails(
    folder: Folder, content: bytes, minutes: float
):
    folder.write(HALF)
    first = folder.register()
    folder.write(content, minutes=minutes)
    folder.register()
    with pytest.raises(MissingObject, match="was replaced"):
        folder.process(first)


@pytest.mark.parametrize(
    ("file_bytes", "data_bytes"),
    [(8_036, 8_000), (36, 0), (0, 0), (0xFFFFFFFF, 0xFFFFFFFF), (0x7FFFFFFF, 0x7FFFFFFF)],
)
def test_the_sizes_in_a_wav_header_may_be_written_last(
    folder: Folder, file_bytes: int, data_bytes: int
):
    samples = os.urandom(20_000)
    early = bytearray(wav(samples[:8_000]))
    early[4:8], early[40:44] = struct.pack("<I", file_bytes), struct.pack("<I", data_bytes)
    folder.write(bytes(early))
    half = folder.register()
    folder.process(half)
    folder.write(wav(samples), minutes=3)
    folder.process(folder.register())
    assert folder.state(half)[0] is CallState.DUPLICATE


def test_a_shorter_file_begins_with_nothing_longer(tmp_path: Path):
    (tmp_path / "short.wav").write_bytes(HALF)
    assert not begins_with(tmp_path / "short.wav", len(WHOLE), "0" * 64)
    assert not begins_with(tmp_path / "short.wav", 10, None)


def test_the_same_upload_is_stored_again_when_its_object_was_removed(
    storage: Storage, tmp_path: Path
):
    inbox, source = FolderStore("inbox", tmp_path / "inbox"), Source("inbox", "inbox")
    (tmp_path / KEY).write_bytes(WHOLE)
    first = ingest_file(tmp_path / KEY, inbox, storage.ledger, source)
    [key] = [recording.key for recording in inbox.list()]
    inbox.delete(key)
    again = ingest_file(tmp_path / KEY, inbox, storage.ledger, source)
    assert (again.call_id, again.is_new) == (first.call_id, False)
    [call] = storage.claims.claim([first.call_id], "run-1")
    inbox.fetch(call.recording.key, tmp_path / "fetched", call.recording.etag)
    assert (tmp_path / "fetched").read_bytes() == WHOLE


def test_what_people_corrected_and_erasure_include_the_earlier_version(folder: Folder):
    folder.write(HALF)
    half = folder.register()
    folder.process(half)
    with folder.storage.database.transaction() as connection:
        connection.execute(
            'INSERT INTO call_corrections (call_id, fields) VALUES (%s, \'{"agent": "Ann"}\')',
            [half],
        )
    folder.write(WHOLE, minutes=2)
    whole = folder.register()
    folder.process(whole)
    with folder.storage.database.transaction() as connection:
        rows = connection.execute("SELECT call_id, fields FROM call_corrections").fetchall()
    assert {(row["call_id"], row["fields"]["agent"]) for row in rows} == {
        (half, "Ann"),
        (whole, "Ann"),
    }
    erasures = folder.storage.erasures
    for asked in (half, whole):
        assert {each.call_id for each in erasures.candidates([asked])} == {half, whole}
    assert not erasures.is_shared_object(folder.bucket.name, KEY, whole)
    assert erasures.is_shared_object(folder.bucket.name, KEY, half)
