"""What every object store does: the fake, a folder, and an S3-compatible server."""

import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from callpipeline.errors import MissingObject
from callpipeline.storage.folder import Folder
from callpipeline.storage.objects import ObjectStore, S3Access, open_store
from callpipeline.storage.range_file import RangeFile
from tests.contracts.conftest import Store


@pytest.fixture
def store(store: Store, tmp_path: Path) -> Store:
    """An empty store; of a folder that is not there nobody can say that it is empty."""
    if isinstance(store, Folder):
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


@pytest.mark.parametrize("key", ["a.wav", "größe #1?.wav"])
def test_a_part_of_an_object_is_read_alone(store: Store, key: str):
    content = bytes(range(256)) * 5_000
    store.put(key, content)
    assert store.size(key) == len(content)
    for start, length in ((0, 1), (0, 256), (255, 70_000), (1_279_999, 1), (0, len(content))):
        assert store.read_range(key, start, length) == content[start : start + length]


def test_a_part_ends_where_the_object_ends_and_behind_it_is_nothing(store: Store):
    store.put("a.wav", b"sound")
    store.put("empty.wav", b"")
    assert store.read_range("a.wav", 3, 100) == b"nd"
    assert store.read_range("a.wav", 5, 1) == store.read_range("a.wav", 600, 10) == b""
    assert store.read_range("a.wav", 2, 0) == store.read_range("empty.wav", 0, 10) == b""
    assert store.size("empty.wav") == 0


def test_sound_is_decoded_from_its_middle_without_being_fetched(store: Store, tmp_path: Path):
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


def test_what_is_not_there_is_missing_whatever_is_asked(store: Store, tmp_path: Path):
    for ask in (
        store.read,
        store.recording,
        store.size,
        lambda key: store.read_range(key, 0, 0),
        lambda key: store.read_range(key, 7, 9),
        lambda key: store.fetch(key, tmp_path / "back"),
    ):
        with pytest.raises(MissingObject):
            ask("mrs-smith.wav")
    assert not store.exists("mrs-smith.wav")


def test_deleting_is_final_and_may_be_repeated(store: Store):
    store.put("a.wav", b"sound")
    store.put("b.wav", b"sound")
    store.delete("a.wav")
    store.delete("a.wav")
    assert [recording.key for recording in store.list()] == ["b.wav"]


def test_what_lies_below_a_folder_is_deleted_together_and_nothing_beside_it(store: Store):
    for key in ("calls/a/1.flac", "calls/a/deep/2.json", "calls/ab/3.flac", "calls/b.flac"):
        store.put(key, b"sound")
    assert store.delete_below("calls/a") == 2
    assert store.delete_below("calls/a") == 0
    assert [recording.key for recording in store.list()] == ["calls/ab/3.flac", "calls/b.flac"]


def test_a_prefix_is_a_folder_and_not_the_beginning_of_a_name(store: Store):
    for key in ("calls/a.wav", "calls/deep/b.wav", "calls2/c.wav", "d.wav"):
        store.put(key, b"sound")
    inside = sorted(recording.key for recording in store.list("calls"))
    assert inside == ["calls/a.wav", "calls/deep/b.wav"]


def test_an_empty_store_lists_nothing(store: Store):
    assert list(store.list()) == []
    assert list(store.list("calls")) == []


ORDER = ["B", "a", "a-b/x", "a.b", "a/x", "a/x/y", "a0", "b", "~", "ü", "\uffee", "🎧"]
"""Names in the order of their bytes, in which a folder `a/` sorts behind `a-b/` and `a.b`."""


def listed(store: Store, prefix: str = "", after: str | None = None) -> list[str]:
    return [recording.key for page in store.pages(prefix, after) for recording in page]


def test_pages_come_in_the_order_of_keys_and_go_on_behind_any_of_them(store: Store):
    keys = [key for key in ORDER if key not in ("a", "a/x")]  # a folder has no file of its name
    for key in reversed(keys):
        store.put(key, b"sound")
    assert listed(store) == keys
    for number, key in enumerate(keys):
        assert listed(store, after=key) == keys[number + 1 :]
        assert listed(store, after=key[:-1]) == [other for other in keys if other > key[:-1]]
    assert listed(store, "a", after="a-b/x") == ["a/x/y"]
    assert listed(store, "a", after="a/x/y") == []


def test_where_a_listing_goes_on_need_not_exist_any_more(store: Store):
    for key in ("deep/a.wav", "deep/c.wav", "deep/er/d.wav"):
        store.put(key, b"sound")
    assert listed(store, after="deep/b.wav") == ["deep/c.wav", "deep/er/d.wav"]
    assert listed(store, "deep", after="deep/d") == ["deep/er/d.wav"]
    assert listed(store, "gone", after="deep/d") == []


def test_a_page_holds_so_many_at_most(store: Store):
    store.page_size = 3
    for number in range(7):
        store.put(f"{number}", b"")
    assert [len(page) for page in store.pages()] == [3, 3, 1]
    assert next(store.pages(after="5"))[0].key == "6"


def test_what_vanishes_during_a_listing_is_no_error(store: Store):
    store.page_size = 3
    for number in range(9):
        store.put(f"{number // 3}/{number}", b"")
    pages = store.pages()
    first = next(pages)
    for number in range(3, 8):
        store.delete(f"{number // 3}/{number}")
    assert [recording.key for recording in first] == ["0/0", "0/1", "0/2"]
    assert [recording.key for page in pages for recording in page] == ["2/8"]


def test_what_is_put_as_new_does_not_replace(store: Store):
    store.put_new("a.wav", b"one")
    one = store.recording("a.wav")
    store.put_new("a.wav", b"other")
    assert store.read("a.wav") == b"one"
    assert store.recording("a.wav") == one


def test_an_object_that_was_replaced_is_not_fetched_for_the_old_one(store: Store, tmp_path: Path):
    store.put("a.wav", b"one")
    one = store.recording("a.wav")
    store.fetch("a.wav", tmp_path / "back", one.etag)
    store.put("a.wav", b"another")
    with pytest.raises(MissingObject, match="replaced"):
        store.fetch("a.wav", tmp_path / "back", one.etag)


@pytest.mark.parametrize("key", ["../a.wav", "calls/../../a.wav", "calls/./a.wav", "calls//a.wav"])
def test_a_name_that_climbs_is_refused_and_nothing_is_written(
    store: Store, tmp_path: Path, key: str
):
    with pytest.raises(MissingObject) as refused:
        store.put(key, b"sound")
    assert not re.search(r"a\.wav", str(refused.value))
    assert list(store.list()) == []
    assert list(tmp_path.rglob("a.wav")) == []


_FOLDERS: dict[str, ObjectStore] = {}


@given(st.text(min_size=1, max_size=300))
@settings(max_examples=300, deadline=None)
def test_no_name_leads_out_of_a_folder(tmp_path_factory: pytest.TempPathFactory, key: str):
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
