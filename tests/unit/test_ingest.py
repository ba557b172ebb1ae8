"""Files that a person hands over."""

from pathlib import Path

import pytest

from callpipeline.pipeline.ingest import Ingested, ingest
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
    assert place.bucket.read("call.wav") == b"sound"
    assert done == Ingested(path, place.bucket.recording("call.wav").call_id, is_new=True)
    assert place.registry.agent_channels == {done.call_id: "right"}


def test_the_same_bytes_are_one_call_whatever_their_name(place: Place):
    first = place.ingest(place.file("call.wav"))
    again = place.ingest(place.file("call.wav"))
    renamed = place.ingest(place.file("copy of call.wav"))
    assert (first.is_new, again.is_new, renamed.is_new) == (True, False, False)
    assert first.call_id == again.call_id == renamed.call_id
    assert list(place.bucket.objects) == ["call.wav"]


def test_other_bytes_of_the_same_name_get_another_key_and_overwrite_nothing(place: Place):
    monday = place.ingest(place.file("monday/call.wav", b"monday"))
    tuesday = place.ingest(place.file("tuesday/call.wav", b"tuesday"))
    assert monday.call_id != tuesday.call_id
    contents = {key: place.bucket.read(key) for key in place.bucket.objects}
    assert contents.pop("call.wav") == b"monday"
    ((key, content),) = contents.items()
    assert content == b"tuesday"
    assert key.startswith("call-")
    assert key.endswith(".wav")


@pytest.mark.parametrize("suffix", [".transcript.json", ".srt", ".vtt"])
def test_a_transcript_beside_it_is_copied_before_it(place: Place, suffix: str):
    place.file(f"call{suffix}", b"words")
    place.ingest(place.file("call.wav"))
    assert place.bucket.put_keys == [f"call{suffix}", "call.wav"]


def test_a_transcript_follows_its_recording_to_another_key(place: Place):
    place.ingest(place.file("monday/call.wav", b"monday"))
    place.file("tuesday/call.srt", b"words")
    place.ingest(place.file("tuesday/call.wav", b"tuesday"))
    transcript, recording = place.bucket.put_keys[1:]
    assert recording != "call.wav"
    assert Path(transcript).stem == Path(recording).stem
    assert place.bucket.read(transcript) == b"words"


def test_a_file_that_cannot_be_read_changes_nothing(place: Place):
    with pytest.raises(OSError):  # noqa: PT011 - which one depends on the file
        place.ingest(place.folder / "gone.wav")
    assert not place.bucket.objects
    assert not place.registry.recordings
