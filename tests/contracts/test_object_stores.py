"""What every object store does: the fake, a folder, and an S3-compatible server."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from callpipeline.errors import MissingObject
from tests.contracts.conftest import Store

NAMES = [
    "a.wav",
    "deep/er/a.wav",
    "with space & 'quotes' (1).wav",
    "100%.wav",
    "100%25.wav",
    "a+b=c.wav",
    "größe-\u00fc.wav",
    "decomposed-u\u0308.wav",
    "emoji-🎧.wav",
    "right\u202eto-left.wav",
    "hash#1?.wav",
    ".hidden",
]


@pytest.mark.parametrize("key", NAMES)
def test_what_is_put_is_read_fetched_and_listed_under_the_same_name(
    store: Store, tmp_path: Path, key: str
):
    store.put(key, b"sound")
    store.fetch(key, tmp_path / "back")
    assert store.read(key) == b"sound"
    assert (tmp_path / "back").read_bytes() == b"sound"
    assert store.exists(key)
    assert [recording.key for recording in store.list()] == [key]


def test_a_file_is_put_as_its_bytes(store: Store, tmp_path: Path):
    content = bytes(range(256)) * 12_000  # above the size of a block
    (tmp_path / "file").write_bytes(content)
    store.put("a.wav", tmp_path / "file")
    store.fetch("a.wav", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content


def test_an_empty_object_is_an_object(store: Store, tmp_path: Path):
    store.put("a.wav", b"")
    store.fetch("a.wav", tmp_path / "back")
    assert store.read("a.wav") == (tmp_path / "back").read_bytes() == b""


def test_an_object_is_described_as_a_recording(store: Store):
    before = datetime.now(UTC)
    store.put("deep/a.wav", b"sound")
    recording = store.recording("deep/a.wav")
    assert (recording.bucket, recording.key, recording.size_bytes) == (store.name, "deep/a.wav", 5)
    assert recording.etag
    assert '"' not in recording.etag
    assert abs((recording.last_modified - before).total_seconds()) < 10
    assert recording.last_modified.tzinfo
    assert list(store.list()) == [recording]


def test_other_content_under_the_same_name_is_another_recording(store: Store):
    store.put("a.wav", b"one")
    one = store.recording("a.wav")
    store.put("a.wav", b"another")
    other = store.recording("a.wav")
    assert store.read("a.wav") == b"another"
    assert one.etag != other.etag
    assert one.call_id != other.call_id


def test_what_is_not_there_is_missing_whatever_is_asked(store: Store, tmp_path: Path):
    for ask in (store.read, store.recording, lambda key: store.fetch(key, tmp_path / "back")):
        with pytest.raises(MissingObject):
            ask("mrs-smith.wav")
    assert not store.exists("mrs-smith.wav")


def test_deleting_is_final_and_may_be_repeated(store: Store):
    store.put("a.wav", b"sound")
    store.put("b.wav", b"sound")
    store.delete("a.wav")
    store.delete("a.wav")
    assert [recording.key for recording in store.list()] == ["b.wav"]


def test_a_prefix_is_a_folder_and_not_the_beginning_of_a_name(store: Store):
    for key in ("calls/a.wav", "calls/deep/b.wav", "calls2/c.wav", "d.wav"):
        store.put(key, b"sound")
    inside = sorted(recording.key for recording in store.list("calls"))
    assert inside == ["calls/a.wav", "calls/deep/b.wav"]


def test_an_empty_store_lists_nothing(store: Store):
    assert list(store.list()) == []
    assert list(store.list("calls")) == []


@pytest.mark.parametrize("key", ["../a.wav", "calls/../../a.wav", "calls/./a.wav", "calls//a.wav"])
def test_a_name_that_climbs_is_refused_and_nothing_is_written(
    store: Store, tmp_path: Path, key: str
):
    with pytest.raises(MissingObject) as refused:
        store.put(key, b"sound")
    assert not re.search(r"a\.wav", str(refused.value))
    assert list(store.list()) == []
    assert list(tmp_path.rglob("a.wav")) == []
