"""Ingestion of files."""

import os
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import pytest

from callpipeline.domain.calls.call import Call, Lane, Recording, RegisteredCall, Registration
from callpipeline.domain.calls.side_files import MetadataTable
from callpipeline.domain.calls.sources import CallAttributes, Source
from callpipeline.pipeline.ingest.beside import SidecarTranscripts, SideMetadata
from callpipeline.pipeline.ingest.registration import IngestResult, ingest_file
from callpipeline.storage.objects.urls import S3Access, open_store
from callpipeline.storage.sources.patterns import compile_pattern
from tests.fakes.storage import InMemoryRecordings, InMemoryRegistry, OneBucket

SOURCE = Source(
    "recordings", "/recordings", filename=compile_pattern("AGENT_(?P<agent>[^_]+)_", "filename")
)


class Inbox:
    """An empty bucket and ledger, and a folder with files to ingest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bucket = InMemoryRecordings()
        self.registry = InMemoryRegistry()

    def file(self, name: str, content: bytes = b"sound") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def ingest(self, path: Path, source: Source = SOURCE) -> IngestResult:
        return ingest_file(path, self.bucket, self.registry, source)


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path)


def test_a_recording_is_copied_and_registered(inbox: Inbox):
    path = inbox.file("call.wav")
    result = inbox.ingest(path)
    [key] = inbox.bucket.objects
    assert PurePosixPath(key).name == "call.wav"
    assert inbox.bucket.read(key) == b"sound"
    assert result == IngestResult(path, inbox.bucket.recording(key).call_id, is_new=True)


def test_attributes_come_from_the_name_and_the_source(inbox: Inbox):
    source = Source("calls", "/calls", SOURCE.filename, agent_channel="right", lane=Lane.BULK)
    result = inbox.ingest(inbox.file("AGENT_ChrisL_x.wav"), source)
    registration = inbox.registry.registrations[result.call_id]
    assert registration.metadata == {"agent": "ChrisL"}
    assert (registration.agent_channel, registration.lane) == ("right", Lane.BULK)
    assert registration.sha256


def test_a_priority_is_registered(inbox: Inbox):
    path = inbox.file("call.wav")
    result = ingest_file(path, inbox.bucket, inbox.registry, SOURCE, lane=Lane.LIVE, priority=1)
    assert inbox.registry.registrations[result.call_id].priority == 1


def test_the_same_content_is_one_call_whatever_its_name(inbox: Inbox):
    first = inbox.ingest(inbox.file("call.wav"))
    again = inbox.ingest(inbox.file("call.wav"))
    renamed = inbox.ingest(inbox.file("copy of call.wav"))
    assert (first.is_new, again.is_new, renamed.is_new) == (True, False, False)
    assert first.call_id == again.call_id == renamed.call_id
    assert len(inbox.bucket.objects) == 1


def test_other_content_with_the_same_name_overwrites_nothing(inbox: Inbox):
    monday = inbox.ingest(inbox.file("monday/call.wav", b"monday"))
    tuesday = inbox.ingest(inbox.file("tuesday/call.wav", b"tuesday"))
    assert monday.call_id != tuesday.call_id
    assert {inbox.bucket.read(key) for key in inbox.bucket.objects} == {b"monday", b"tuesday"}


class RacingRegistry(InMemoryRegistry):
    """A ledger in which two ingestions meet after both have looked up the content."""

    def __init__(self) -> None:
        super().__init__()
        self._both = threading.Barrier(2, timeout=60)
        self._turn = threading.Lock()

    def call_of_content(self, sha256: str) -> str | None:
        call_id = super().call_of_content(sha256)
        self._both.wait()
        return call_id

    def register(self, registrations: Iterable[Registration]) -> list[RegisteredCall]:
        with self._turn:
            return super().register(registrations)


@pytest.mark.parametrize("names", [("call.wav", "call.wav"), ("call.wav", "other name.wav")])
def test_the_same_content_ingested_twice_at_once_is_one_readable_call(
    tmp_path: Path, names: tuple[str, str]
):
    bucket, registry = open_store(str(tmp_path / "bucket"), S3Access()), RacingRegistry()
    paths = [tmp_path / folder / name for folder, name in zip("ab", names, strict=True)]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(b"sound")
    with ThreadPoolExecutor(2) as threads:
        result = list(threads.map(lambda path: ingest_file(path, bucket, registry, SOURCE), paths))
    assert len({each.call_id for each in result}) == 1
    assert sorted(each.is_new for each in result) == [False, True]
    recording = registry.recordings[result[0].call_id]
    bucket.fetch(recording.key, tmp_path / "back", recording.etag)


@pytest.mark.parametrize("suffix", [".transcript.json", ".srt", ".vtt"])
def test_a_transcript_beside_it_is_copied_before_it(inbox: Inbox, suffix: str):
    inbox.file(f"call{suffix}", b"words")
    inbox.ingest(inbox.file("call.wav"))
    transcript, recording = map(PurePosixPath, inbox.bucket.put_keys)
    assert (transcript.name, recording.name) == (f"call{suffix}", "call.wav")
    assert transcript.parent == recording.parent


def test_a_recording_does_not_get_the_transcript_of_another_with_its_name(inbox: Inbox):
    inbox.file("monday/call.srt", b"words")
    inbox.ingest(inbox.file("monday/call.wav", b"monday"))
    tuesday = inbox.ingest(inbox.file("tuesday/call.mp3", b"tuesday"))
    recording = inbox.registry.recordings[tuesday.call_id]
    sidecars = SidecarTranscripts(OneBucket(inbox.bucket), lambda *_: None)
    assert sidecars.find(Call(tuesday.call_id, recording)) is None


def test_a_file_in_the_bucket_is_registered_without_a_copy(tmp_path: Path):
    bucket = open_store(str(tmp_path), S3Access())
    path = tmp_path / "dropped.wav"
    path.write_bytes(b"sound")
    result = ingest_file(path, bucket, InMemoryRegistry(), SOURCE)
    assert [found.key for found in bucket.list()] == ["dropped.wav"]
    assert result.call_id == bucket.recording("dropped.wav").call_id


@pytest.mark.parametrize("name", [b"line\nbreak.wav", b"tab\t.wav", b"not-utf8-\xff.wav"])
def test_a_file_with_any_name_gets_a_valid_key(tmp_path: Path, name: bytes):
    bucket = open_store(str(tmp_path / "bucket"), S3Access())
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(b"sound")
    ingest_file(path, bucket, InMemoryRegistry(), SOURCE)
    [found] = bucket.list()
    assert PurePosixPath(found.key).name.isprintable()


def test_an_old_recording_in_the_bucket_goes_to_the_bulk_lane(inbox: Inbox):
    old = Recording("recordings", "old.wav", "1", 5, datetime(2020, 1, 1, tzinfo=UTC))
    path = inbox.file("old.wav")

    class Archive(InMemoryRecordings):
        def key_of(self, path: Path) -> str | None:
            return "old.wav"

        def recording(self, key: str) -> Recording:
            return old

    result = ingest_file(path, Archive(), inbox.registry, SOURCE)
    assert inbox.registry.registrations[result.call_id].lane is Lane.BULK


def test_an_unreadable_file_changes_nothing(inbox: Inbox):
    with pytest.raises(OSError):  # noqa: PT011 - which one depends on the file
        inbox.ingest(inbox.folder / "gone.wav")
    assert not inbox.bucket.objects
    assert not inbox.registry.recordings


FIELDS = {"agent": ("agent", "Agent.Name"), "customer": ("who",)}
NAMED = MetadataTable(FIELDS, "../meta/{stem}.xml")
XML = b"<call><agent>Ann</agent><who>Bob</who></call>"


def described(inbox: Inbox, source: Source, result: IngestResult) -> dict[str, str] | None:
    """Return the metadata that processing reads for an ingested call."""

    class Unused:
        def describe(self, call: Call, run_id: str, attributes: CallAttributes) -> None: ...

        def await_file(self, call: Call, run_id: str) -> None: ...

    side = SideMetadata(OneBucket(inbox.bucket), {inbox.bucket.name: source}, Unused())
    recording = inbox.registry.recordings[result.call_id]
    found = side.find(Call(result.call_id, recording))
    return None if found is None else dict(found.metadata)


def test_a_metadata_file_with_a_name_of_its_own_is_copied(inbox: Inbox):
    source = Source("recordings", "/recordings", metadata=NAMED)
    inbox.file("meta/call.xml", XML)
    result = inbox.ingest(inbox.file("today/call.wav"), source)
    assert described(inbox, source, result) == {"agent": "Ann", "customer": "Bob"}
    other = inbox.ingest(inbox.file("elsewhere/today/call.wav", b"other"), source)
    assert described(inbox, source, other) is None


def test_metadata_is_copied_beside_a_transcript_of_the_same_form(inbox: Inbox):
    table = replace(NAMED, file="{stem}_info.json")
    source = Source("recordings", "/recordings", metadata=table)
    inbox.file("call_info.json", b'{"agent": "Ann"}')
    transcript = inbox.file("call.json", b'{"segments": [{"start": 0, "end": 1, "text": "hi"}]}')
    result = inbox.ingest(inbox.file("call.wav"), source)
    assert described(inbox, source, result) == {"agent": "Ann"}
    folder = PurePosixPath(inbox.registry.recordings[result.call_id].key).parent
    assert inbox.bucket.read(f"{folder}/call.json") == transcript.read_bytes()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("calls.csv", "file,who,agent\ncall.wav,Bob,Ann\nother.wav,Eve,Secret\n"),
        ("calls.json", '[{"file": "call.wav", "Agent": {"Name": "Ann"}, "who": "Bob"},'
         ' {"file": "other.wav", "who": "Secret"}]'),
        ("calls.xml", '<calls><call file="call.wav" agent="Ann" who="Bob"/>'
         '<call file="other.wav" agent="Secret"/></calls>'),
        ("calls.txt", "file;who;agent\ncall.wav;Bob;Ann\nother.wav;Eve;Secret\n"),
    ],
)  # fmt: skip
def test_of_a_file_about_many_calls_only_the_record_of_this_one_is_copied(
    inbox: Inbox, name: str, text: str
):
    table = MetadataTable(NAMED.fields, name, "file")
    source = Source("recordings", "/recordings", metadata=table)
    inbox.file(name, text.encode())
    result = inbox.ingest(inbox.file("call.wav"), source)
    assert described(inbox, source, result) == {"agent": "Ann", "customer": "Bob"}
    contents = [inbox.bucket.read(key) for key in inbox.bucket.objects]
    assert not any(b"Secret" in content for content in contents)


def test_a_metadata_file_that_never_ends_or_is_missing_does_not_block(inbox: Inbox):
    source = Source("recordings", "/recordings", metadata=NAMED)
    (inbox.folder / "meta").mkdir()
    os.mkfifo(inbox.folder / "meta/call.xml")
    assert inbox.ingest(inbox.file("today/call.wav"), source).is_new
    assert inbox.ingest(inbox.file("today/other.wav", b"other"), source).is_new
