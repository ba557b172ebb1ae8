"""What is particular to folders and to S3; what all stores do is in `tests/contracts`."""

import os
import socket
from pathlib import Path

import pytest

from callpipeline.errors import MissingObject, SettingsInvalid, StoreUnavailable
from callpipeline.storage.objects import ObjectStore, S3Access, open_store

SECRET = "mrs-smith-555-1234.wav"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "recordings"


@pytest.fixture
def store(folder: Path) -> ObjectStore:
    return open_store(str(folder), S3Access())


@pytest.fixture(scope="module")
def unreachable() -> ObjectStore:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    access = S3Access(f"http://127.0.0.1:{port}", access_key_id="x", secret_access_key="hunter2")
    return open_store("s3://nowhere", access)


def test_a_folder_that_is_not_there_is_made(store: ObjectStore, folder: Path):
    assert folder.is_dir()
    assert list(store.list()) == []


def test_a_folders_name_is_its_last_part_so_that_a_checkout_may_move(tmp_path: Path):
    one = open_store(f"{tmp_path}/here/recordings", S3Access())
    other = open_store(f"file://{tmp_path}/there/recordings/", S3Access())
    assert one.name == other.name == "recordings"


def test_an_s3_url_without_a_bucket_is_refused():
    with pytest.raises(SettingsInvalid, match="names no bucket"):
        open_store("s3:///prefix", S3Access())


def test_a_trailing_slash_does_not_make_another_store():
    access = S3Access("http://127.0.0.1:9", access_key_id="x", secret_access_key="y")
    assert open_store("s3://bucket/p/", access).name == open_store("s3://bucket/p", access).name


def test_a_store_that_does_not_answer_is_unavailable_and_no_error_tells_a_key_or_a_secret(
    unreachable: ObjectStore,
):
    with pytest.raises(StoreUnavailable) as raised:
        unreachable.read(SECRET)
    assert SECRET not in str(raised.value)
    assert "hunter2" not in str(raised.value)
    assert "s3://nowhere" in str(raised.value)


def test_a_listing_that_fails_is_not_empty(unreachable: ObjectStore):
    with pytest.raises(StoreUnavailable):
        list(unreachable.list())


def test_a_folder_that_is_gone_is_not_an_empty_one(store: ObjectStore, folder: Path):
    """A network drive that is not mounted must not look like one without recordings."""
    folder.rmdir()
    with pytest.raises(StoreUnavailable):
        list(store.list())


@pytest.mark.parametrize(
    "key", [f"../{SECRET}", f"a/../../{SECRET}", f"{SECRET}\0", f"x\n{SECRET}"]
)
def test_no_error_tells_a_key(store: ObjectStore, tmp_path: Path, key: str):
    for ask in (
        store.read,
        store.recording,
        lambda key: store.put(key, b"x"),
        lambda key: store.fetch(key, tmp_path / "back"),
    ):
        with pytest.raises(MissingObject) as raised:
            ask(key)
        assert SECRET not in str(raised.value)
    assert not (tmp_path / SECRET).exists()


def test_what_no_store_can_hold_is_deleted_already(store: ObjectStore):
    store.delete("../a.wav")
    store.delete("a\nb.wav")


def test_a_key_that_no_store_can_hold_does_not_exist(store: ObjectStore):
    assert not store.exists("../a.wav")
    assert not store.exists("a\nb.wav")


def test_a_fetch_that_fails_tells_that_the_object_is_missing(store: ObjectStore, tmp_path: Path):
    with pytest.raises(MissingObject, match="recordings does not hold the object"):
        store.fetch(SECRET, tmp_path / "back")


@pytest.mark.parametrize("name", [b"line\nbreak.wav", b"not-utf8-\xff.wav", b"tab\t.wav"])
def test_one_file_of_a_strange_name_does_not_hide_the_others(
    store: ObjectStore, folder: Path, name: bytes
):
    (folder / "good.wav").write_bytes(b"sound")
    (folder / os.fsdecode(name)).write_bytes(b"sound")
    (folder / "deep").mkdir()
    (folder / "deep" / "too.wav").write_bytes(b"sound")
    (folder / "call.wav#1").write_bytes(b"half of the so")
    assert {recording.key for recording in store.list()} == {"good.wav", "deep/too.wav"}
    assert {recording.key for recording in store.list("deep")} == {"deep/too.wav"}


def test_an_interrupted_write_is_not_listed(store: ObjectStore, folder: Path):
    """obstore writes beside the object first, under a name that ends in #number."""
    (folder / "call.wav#1").write_bytes(b"half of the so")
    assert list(store.list()) == []


def test_a_link_out_of_the_folder_that_leads_nowhere_does_not_hide_the_others(
    store: ObjectStore, folder: Path
):
    (folder / "good.wav").write_bytes(b"sound")
    (folder / "broken.wav").symlink_to("/nowhere/at/all.wav")
    assert [recording.key for recording in store.list()] == ["good.wav"]
