"""Contract of object stores: the fake, a folder, and an S3-compatible server."""

import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from callpipeline.errors import MissingObject
from callpipeline.storage.objects.folder import FolderStore
from callpipeline.storage.objects.ports import RangeFile
from callpipeline.storage.objects.urls import ObjectStore, S3Access, open_store
from tests.contracts.conftest import Store


@pytest.fixture
def store(store: Store, tmp_path: Path) -> Store:
    """An empty store; a missing folder would be unavailable."""
    if isinstance(store, FolderStore):
        (tmp_path / "store").mkdir()
    return store


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
def test_a_stored_object_is_readable_and_listed_under_its_key(
    store: Store, tmp_path: Path, key: str
):
    store.put(key, b"sound")
    store.fetch(key, tmp_path / "back")
    assert store.read(key) == b"sound"
    assert (tmp_path / "back").read_bytes() == b"sound"
    assert store.exists(key)
    assert [recording.key for recording in store.list()] == [key]


def test_a_file_is_stored_as_its_content(store: Store, tmp_path: Path):
    content = bytes(range(256)) * 12_000  # above the size of a block
    (tmp_path / "file").write_bytes(content)
    store.put("a.wav", tmp_path / "file")
    store.fetch("a.wav", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content


def test_an_empty_object_is_an_object(store: Store, tmp_path: Path):
    store.put("a.wav", b"")
    store.fetch("a.wav", tmp_path / "back")
    assert store.read("a.wav") == (tmp_path / "back").read_bytes() == b""


@pytest.mark.parametrize("key", ["a.wav", "größe #1?.wav"])
def test_a_range_of_an_object_can_be_read(store: Store, key: str):
    content = bytes(range(256)) * 5_000
    store.put(key, content)
    assert store.size(key) == len(content)
    for start, length in ((0, 1), (0, 256), (255, 70_000), (1_279_999, 1), (0, len(content))):
        assert store.read_range(key, start, length) == content[start : start + length]


def test_a_range_ends_at_the_end_of_the_object(store: Store):
    store.put("a.wav", b"sound")
    store.put("empty.wav", b"")
    assert store.read_range("a.wav", 3, 100) == b"nd"
    assert store.read_range("a.wav", 5, 1) == store.read_range("a.wav", 600, 10) == b""
    assert store.read_range("a.wav", 2, 0) == store.read_range("empty.wav", 0, 10) == b""
    assert store.size("empty.wav") == 0


def test_audio_is_decoded_from_the_middle_without_a_full_read(store: Store, tmp_path: Path):
    sound = (np.sin(np.arange(400_000) / 7) * 9000).astype(np.int16)
    soundfile.write(tmp_path / "a.flac", sound, 8000, format="FLAC")
    store.put("a.flac", tmp_path / "a.flac")
    file = RangeFile(store, "a.flac")  # pyright: ignore[reportArgumentType]
    with soundfile.SoundFile(file) as opened:  # pyright: ignore[reportArgumentType]
        opened.seek(399_000)
        assert np.array_equal(opened.read(5000, "int16"), sound[399_000:])
    file.check()


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


def test_a_missing_object_raises_for_every_operation(store: Store, tmp_path: Path):
    for operation in (
        store.read,
        store.recording,
        store.size,
        lambda key: store.read_range(key, 0, 0),
        lambda key: store.read_range(key, 7, 9),
        lambda key: store.fetch(key, tmp_path / "back"),
    ):
        with pytest.raises(MissingObject):
            operation("mrs-smith.wav")
    assert not store.exists("mrs-smith.wav")


def test_deleting_is_final_and_may_be_repeated(store: Store):
    store.put("a.wav", b"sound")
    store.put("b.wav", b"sound")
    store.delete("a.wav")
    store.delete("a.wav")
    assert [recording.key for recording in store.list()] == ["b.wav"]


def test_delete_below_deletes_only_that_folder(store: Store):
    for key in ("calls/a/1.flac", "calls/a/deep/2.json", "calls/ab/3.flac", "calls/b.flac"):
        store.put(key, b"sound")
    assert store.delete_below("calls/a") == 2
    assert store.delete_below("calls/a") == 0
    assert [recording.key for recording in store.list()] == ["calls/ab/3.flac", "calls/b.flac"]


def test_a_prefix_is_a_folder_and_not_a_string_prefix(store: Store):
    for key in ("calls/a.wav", "calls/deep/b.wav", "calls2/c.wav", "d.wav"):
        store.put(key, b"sound")
    inside = sorted(recording.key for recording in store.list("calls"))
    assert inside == ["calls/a.wav", "calls/deep/b.wav"]


def test_an_empty_store_lists_nothing(store: Store):
    assert list(store.list()) == []
    assert list(store.list("calls")) == []


ORDER = ["B", "a", "a-b/x", "a.b", "a/x", "a/x/y", "a0", "b", "~", "ü", "\uffee", "🎧"]
"""Names in byte order, in which a folder `a/` sorts after `a-b/` and `a.b`."""


def listed(store: Store, prefix: str = "", after: str | None = None) -> list[str]:
    return [recording.key for page in store.pages(prefix, after) for recording in page]


def test_pages_are_in_key_order_and_resume_after_any_key(store: Store):
    keys = [key for key in ORDER if key not in ("a", "a/x")]  # a folder has no file of its name
    for key in reversed(keys):
        store.put(key, b"sound")
    assert listed(store) == keys
    for number, key in enumerate(keys):
        assert listed(store, after=key) == keys[number + 1 :]
        assert listed(store, after=key[:-1]) == [other for other in keys if other > key[:-1]]
    assert listed(store, "a", after="a-b/x") == ["a/x/y"]
    assert listed(store, "a", after="a/x/y") == []


def test_the_resume_key_need_not_exist(store: Store):
    for key in ("deep/a.wav", "deep/c.wav", "deep/er/d.wav"):
        store.put(key, b"sound")
    assert listed(store, after="deep/b.wav") == ["deep/c.wav", "deep/er/d.wav"]
    assert listed(store, "deep", after="deep/d") == ["deep/er/d.wav"]
    assert listed(store, "gone", after="deep/d") == []


def test_a_page_has_at_most_page_size_objects(store: Store):
    store.page_size = 3
    for number in range(7):
        store.put(f"{number}", b"")
    assert [len(page) for page in store.pages()] == [3, 3, 1]
    assert next(store.pages(after="5"))[0].key == "6"


def test_objects_deleted_during_a_listing_are_no_error(store: Store):
    store.page_size = 3
    for number in range(9):
        store.put(f"{number // 3}/{number}", b"")
    pages = store.pages()
    first = next(pages)
    for number in range(3, 8):
        store.delete(f"{number // 3}/{number}")
    assert [recording.key for recording in first] == ["0/0", "0/1", "0/2"]
    assert [recording.key for page in pages for recording in page] == ["2/8"]


def test_put_new_does_not_replace(store: Store):
    store.put_new("a.wav", b"one")
    one = store.recording("a.wav")
    store.put_new("a.wav", b"other")
    assert store.read("a.wav") == b"one"
    assert store.recording("a.wav") == one


def test_a_replaced_object_is_not_fetched(store: Store, tmp_path: Path):
    store.put("a.wav", b"one")
    one = store.recording("a.wav")
    store.fetch("a.wav", tmp_path / "back", one.etag)
    store.put("a.wav", b"another")
    with pytest.raises(MissingObject, match="replaced"):
        store.fetch("a.wav", tmp_path / "back", one.etag)


@pytest.mark.parametrize("key", ["../a.wav", "calls/../../a.wav", "calls/./a.wav", "calls//a.wav"])
def test_an_unsafe_key_is_rejected_and_nothing_is_written(store: Store, tmp_path: Path, key: str):
    with pytest.raises(MissingObject) as refused:
        store.put(key, b"sound")
    assert not re.search(r"a\.wav", str(refused.value))
    assert list(store.list()) == []
    assert list(tmp_path.rglob("a.wav")) == []


_FOLDERS: dict[str, ObjectStore] = {}


@given(st.text(min_size=1, max_size=300))
@settings(max_examples=300, deadline=None)
def test_no_key_escapes_the_folder(tmp_path_factory: pytest.TempPathFactory, key: str):
    if "store" not in _FOLDERS:
        _FOLDERS["store"] = open_store(str(tmp_path_factory.mktemp("around") / "s"), S3Access())
        _FOLDERS["store"].put("kept.wav", b"sound")
    store = _FOLDERS["store"]
    try:
        store.put(key, b"sound")
    except MissingObject:
        assert not store.exists(key)
    else:
        assert store.recording(key) in list(store.list())
        store.delete(key)
    assert not store.exists(key)


def test_files_beside_a_recording_are_found_by_its_name_in_any_case(store: Store):
    beside = ["a/call.wav", "a/call.wav.json", "a/call_2.srt", "a/CALL.VTT"]
    others = ["a/cal.wav", "a/caln.json", "a/call/x.srt", "call.srt", "a/z"]
    for key in [*beside, *others]:
        store.put(key, b"x")
    assert sorted(store.beside("a/call")) == sorted(beside)
    assert list(store.beside("call")) == ["call.srt"]
    assert list(store.beside("nothing/here")) == []


def test_links_beside_a_recording_neither_break_nor_lead_out(tmp_path: Path):
    outside = tmp_path / "outside"
    folder = tmp_path / "recordings"
    (folder / "a").mkdir(parents=True)
    outside.mkdir()
    (outside / "call.json").write_text("{}")
    (folder / "a" / "call.wav").write_text("x")
    (folder / "a" / "call.loop").symlink_to(folder / "a" / "call.loop")
    (folder / "a" / "call.below").symlink_to(folder / "a" / "call.wav" / "b")
    (folder / "a" / "call.json").symlink_to(outside / "call.json")
    (folder / "a" / "call.srt").symlink_to(folder / "a" / "call.wav")
    (folder / "b").symlink_to(outside)
    store = FolderStore("x", folder)
    assert list(store.beside("a/call")) == ["a/call.srt", "a/call.wav"]
    assert list(store.beside("b/call")) == []
