"""Files that a person hands over."""

import os
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import pytest

from callpipeline.domain.call import Call, Lane, Recording, Registered, Registration
from callpipeline.domain.source import Source
from callpipeline.pipeline.ingest import Ingested, ingest
from callpipeline.pipeline.sidecar import SidecarTranscripts
from callpipeline.storage.objects import S3Access, open_store
from tests.fakes.storage import InMemoryRecordings, InMemoryRegistry, OneBucket

SOURCE = Source("recordings", "/recordings", filename=r"AGENT_(?P<agent>[^_]+)_")


class Place:
    """An empty bucket and ledger, and a folder with files to hand over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bucket = InMemoryRecordings()
        self.registry = InMemoryRegistry()

    def file(self, name: str, content: bytes = b"sound") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def ingest(self, path: Path, source: Source = SOURCE) -> Ingested:
        return ingest(path, self.bucket, self.registry, source)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_recording_is_copied_and_entered(place: Place):
    path = place.file("call.wav")
    done = place.ingest(path)
    [key] = place.bucket.objects
    assert PurePosixPath(key).name == "call.wav"
    assert place.bucket.read(key) == b"sound"
    assert done == Ingested(path, place.bucket.recording(key).call_id, is_new=True)


def test_what_the_name_and_the_source_tell_is_entered(place: Place):
    source = Source("calls", "/calls", SOURCE.filename, agent_channel="right", lane=Lane.BULK)
    done = place.ingest(place.file("AGENT_ChrisL_x.wav"), source)
    entered = place.registry.registrations[done.call_id]
    assert entered.metadata == {"agent": "ChrisL"}
    assert (entered.agent_channel, entered.lane) == ("right", Lane.BULK)
    assert entered.sha256


def test_somebody_who_waits_goes_first(place: Place):
    path = place.file("call.wav")
    done = ingest(path, place.bucket, place.registry, SOURCE, lane=Lane.LIVE, priority=1)
    assert place.registry.registrations[done.call_id].priority == 1


def test_the_same_bytes_are_one_call_whatever_their_name(place: Place):
    first = place.ingest(place.file("call.wav"))
    again = place.ingest(place.file("call.wav"))
    renamed = place.ingest(place.file("copy of call.wav"))
    assert (first.is_new, again.is_new, renamed.is_new) == (True, False, False)
    assert first.call_id == again.call_id == renamed.call_id
    assert len(place.bucket.objects) == 1


def test_other_bytes_of_the_same_name_overwrite_nothing(place: Place):
    monday = place.ingest(place.file("monday/call.wav", b"monday"))
    tuesday = place.ingest(place.file("tuesday/call.wav", b"tuesday"))
    assert monday.call_id != tuesday.call_id
    assert {place.bucket.read(key) for key in place.bucket.objects} == {b"monday", b"tuesday"}


class Meeting(InMemoryRegistry):
    """A ledger in which two who hand over meet after both asked whether the bytes are known."""

    def __init__(self) -> None:
        super().__init__()
        self._both = threading.Barrier(2, timeout=10)
        self._turn = threading.Lock()

    def call_of_content(self, sha256: str) -> str | None:
        known = super().call_of_content(sha256)
        self._both.wait()
        return known

    def register(self, registrations: Iterable[Registration]) -> list[Registered]:
        with self._turn:
            return super().register(registrations)


@pytest.mark.parametrize("names", [("call.wav", "call.wav"), ("call.wav", "other name.wav")])
def test_the_same_bytes_handed_over_twice_at_once_are_one_call_that_can_be_read(
    tmp_path: Path, names: tuple[str, str]
):
    bucket, registry = open_store(str(tmp_path / "bucket"), S3Access()), Meeting()
    paths = [tmp_path / folder / name for folder, name in zip("ab", names, strict=True)]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(b"sound")
    with ThreadPoolExecutor(2) as both:
        done = list(both.map(lambda path: ingest(path, bucket, registry, SOURCE), paths))
    assert len({each.call_id for each in done}) == 1
    assert sorted(each.is_new for each in done) == [False, True]
    recording = registry.recordings[done[0].call_id]
    bucket.fetch(recording.key, tmp_path / "back", recording.etag)


@pytest.mark.parametrize("suffix", [".transcript.json", ".srt", ".vtt"])
def test_a_transcript_beside_it_is_copied_before_it(place: Place, suffix: str):
    place.file(f"call{suffix}", b"words")
    place.ingest(place.file("call.wav"))
    transcript, recording = map(PurePosixPath, place.bucket.put_keys)
    assert (transcript.name, recording.name) == (f"call{suffix}", "call.wav")
    assert transcript.parent == recording.parent


def test_a_recording_does_not_take_the_transcript_of_another_of_its_name(place: Place):
    place.file("monday/call.srt", b"words")
    place.ingest(place.file("monday/call.wav", b"monday"))
    tuesday = place.ingest(place.file("tuesday/call.mp3", b"tuesday"))
    recording = place.registry.recordings[tuesday.call_id]
    sidecars = SidecarTranscripts(OneBucket(place.bucket), lambda name, content, channel: ())
    assert sidecars.find(Call(tuesday.call_id, recording)) is None


def test_a_file_that_lies_in_the_bucket_already_is_registered_where_it_is(tmp_path: Path):
    bucket = open_store(str(tmp_path), S3Access())
    path = tmp_path / "dropped.wav"
    path.write_bytes(b"sound")
    done = ingest(path, bucket, InMemoryRegistry(), SOURCE)
    assert [found.key for found in bucket.list()] == ["dropped.wav"]
    assert done.call_id == bucket.recording("dropped.wav").call_id


@pytest.mark.parametrize("name", [b"line\nbreak.wav", b"tab\t.wav", b"not-utf8-\xff.wav"])
def test_a_file_of_any_name_is_taken_under_one_that_a_bucket_can_hold(tmp_path: Path, name: bytes):
    bucket = open_store(str(tmp_path / "bucket"), S3Access())
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(b"sound")
    ingest(path, bucket, InMemoryRegistry(), SOURCE)
    [found] = bucket.list()
    assert PurePosixPath(found.key).name.isprintable()


def test_an_old_recording_that_lies_in_the_bucket_waits_with_the_bulk(place: Place):
    old = Recording("recordings", "old.wav", "1", 5, datetime(2020, 1, 1, tzinfo=UTC))
    path = place.file("old.wav")

    class Archive(InMemoryRecordings):
        def key_of(self, path: Path) -> str | None:
            return "old.wav"

        def recording(self, key: str) -> Recording:
            return old

    done = ingest(path, Archive(), place.registry, SOURCE)
    assert place.registry.registrations[done.call_id].lane is Lane.BULK


def test_a_file_that_cannot_be_read_changes_nothing(place: Place):
    with pytest.raises(OSError):  # noqa: PT011 - which one depends on the file
        place.ingest(place.folder / "gone.wav")
    assert not place.bucket.objects
    assert not place.registry.recordings
