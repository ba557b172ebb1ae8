"""Files that a person hands over."""

from pathlib import Path, PurePosixPath

import pytest

from callpipeline.domain.call import Call
from callpipeline.pipeline.ingest import Ingested, ingest
from callpipeline.pipeline.sidecar import SidecarTranscripts
from callpipeline.storage.objects import S3Access, open_store
from tests.fakes.storage import InMemoryRecordings, InMemoryRegistry


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

    def ingest(self, path: Path, agent_channel: str = "left") -> Ingested:
        return ingest(path, self.bucket, self.registry, agent_channel=agent_channel)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_recording_is_copied_and_entered(place: Place):
    path = place.file("call.wav")
    done = place.ingest(path, agent_channel="right")
    [key] = place.bucket.objects
    assert PurePosixPath(key).name == "call.wav"
    assert place.bucket.read(key) == b"sound"
    assert done == Ingested(path, place.bucket.recording(key).call_id, is_new=True)
    assert place.registry.agent_channels == {done.call_id: "right"}


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
    sidecars = SidecarTranscripts(place.bucket, lambda name, content, channel: ())
    assert sidecars.find(Call(tuesday.call_id, recording)) is None


def test_a_file_that_lies_in_the_bucket_already_is_registered_where_it_is(tmp_path: Path):
    bucket = open_store(str(tmp_path), S3Access())
    path = tmp_path / "dropped.wav"
    path.write_bytes(b"sound")
    done = ingest(path, bucket, InMemoryRegistry())
    assert [found.key for found in bucket.list()] == ["dropped.wav"]
    assert done.call_id == bucket.recording("dropped.wav").call_id


def test_a_file_that_cannot_be_read_changes_nothing(place: Place):
    with pytest.raises(OSError):  # noqa: PT011 - which one depends on the file
        place.ingest(place.folder / "gone.wav")
    assert not place.bucket.objects
    assert not place.registry.recordings
