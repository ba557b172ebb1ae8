"""Specifics of folders and S3; the common contract is in `tests/contracts`."""

import os
import re
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import obstore
import pytest
from obstore.store import LocalStore

from callpipeline.errors import MissingObject, PathRefused, SettingsInvalid, StoreUnavailable
from callpipeline.storage.objects.ports import resume_key
from callpipeline.storage.objects.s3 import RETRIES
from callpipeline.storage.objects.urls import ObjectStore, S3Access, open_store

SECRET = "mrs-smith-555-1234.wav"
BUCKET = f"odd-{uuid.uuid4().hex}"


def a_bucket(server: str, prefix: str = "") -> tuple[ObjectStore, Any]:
    """Return an empty bucket, and another client for it."""
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y"}
    client = boto3.client("s3", endpoint_url=server, region_name="us-east-1", **keys)
    client.create_bucket(Bucket=BUCKET)
    for found in client.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
        client.delete_object(Bucket=BUCKET, Key=found["Key"])
    access = S3Access(server, access_key_id="x", secret_access_key="y")
    return open_store(f"s3://{BUCKET}{prefix}", access), client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "recordings"
    path.mkdir()
    return path


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


def test_a_missing_folder_is_created_by_the_first_write(tmp_path: Path):
    store = open_store(str(tmp_path / "not" / "yet"), S3Access())
    assert not (tmp_path / "not").exists()
    store.put("a.wav", b"sound")
    assert store.read("a.wav") == b"sound"


def test_the_name_of_a_folder_store_is_its_last_part(tmp_path: Path):
    one = open_store(f"{tmp_path}/here/recordings", S3Access())
    other = open_store(f"file://{tmp_path}/there/recordings/", S3Access())
    assert one.name == other.name == "recordings"


def test_removing_empty_folders_keeps_other_objects(store: ObjectStore):
    for key in ("2026/03/a.wav", "2026/b.wav"):
        store.put(key, b"sound")
    store.delete("2026/03/a.wav")
    for key in ("2026/03/a.wav", "2026/03/a.wav", "nowhere/c.wav", "../d.wav", "a\0b/c.wav"):
        store.remove_empty_folders(key)
    assert [recording.key for recording in store.list()] == ["2026/b.wav"]


def test_an_s3_url_without_a_bucket_is_rejected():
    with pytest.raises(SettingsInvalid, match="has no bucket"):
        open_store("s3:///prefix", S3Access())


def test_a_trailing_slash_does_not_make_another_store():
    access = S3Access("http://127.0.0.1:9", access_key_id="x", secret_access_key="y")
    assert open_store("s3://bucket/p/", access).name == open_store("s3://bucket/p", access).name


def test_errors_of_an_unavailable_store_contain_no_key_or_secret(
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


@pytest.mark.parametrize("instead", ["nothing", "a file", "a cycle of links"])
def test_a_missing_folder_is_unavailable_rather_than_empty(
    store: ObjectStore, folder: Path, tmp_path: Path, instead: str
):
    """A network drive that is not mounted must not look like an empty one."""
    folder.rmdir()
    if instead == "a file":
        folder.touch()
    elif instead == "a cycle of links":
        folder.symlink_to(folder)
    for operation in (
        lambda: list(store.list()),
        lambda: list(store.list("deep")),
        lambda: store.read(SECRET),
        lambda: store.recording(SECRET),
        lambda: store.exists(SECRET),
        lambda: store.fetch(SECRET, tmp_path / "back"),
    ):
        with pytest.raises(StoreUnavailable, match="recordings does not exist") as raised:
            operation()
        assert SECRET not in str(raised.value)
    assert folder.is_dir() is False


def test_a_folder_that_disappears_during_a_listing_is_unavailable(
    store: ObjectStore, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    def gone(path: bytes) -> Any:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "scandir", gone)
    with pytest.raises(StoreUnavailable, match="recordings does not exist"):
        list(store.list())


def test_an_empty_folder_suggests_to_mount_the_disk(store: ObjectStore, folder: Path):
    with pytest.raises(MissingObject, match="and is empty: if its disk is not mounted"):
        store.read(SECRET)
    (folder / "a.wav").touch()
    with pytest.raises(MissingObject, match="no longer contains the object.$"):
        store.read(SECRET)


def test_a_folder_that_cannot_be_created_fails_on_write(tmp_path: Path):
    (tmp_path / "file").touch()
    store = open_store(str(tmp_path / "file" / "recordings"), S3Access())
    with pytest.raises(StoreUnavailable):
        store.put("a.wav", b"sound")


@pytest.mark.parametrize(
    "key", [f"../{SECRET}", f"a/../../{SECRET}", f"{SECRET}\0", f"x\n{SECRET}"]
)
def test_errors_contain_no_key(store: ObjectStore, tmp_path: Path, key: str):
    for operation in (
        store.read,
        store.recording,
        lambda key: store.put(key, b"x"),
        lambda key: store.fetch(key, tmp_path / "back"),
    ):
        with pytest.raises(MissingObject) as raised:
            operation(key)
        assert SECRET not in str(raised.value)
    assert not (tmp_path / SECRET).exists()


def test_deleting_an_invalid_key_is_ignored(store: ObjectStore):
    store.delete("../a.wav")
    store.delete("a\nb.wav")


def test_an_invalid_key_does_not_exist(store: ObjectStore):
    assert not store.exists("../a.wav")
    assert not store.exists("a\nb.wav")


def test_fetching_a_missing_object_raises(store: ObjectStore, tmp_path: Path):
    with pytest.raises(MissingObject, match="recordings no longer contains the object"):
        store.fetch(SECRET, tmp_path / "back")


@pytest.mark.parametrize(
    "name",
    [b"line\nbreak.wav", b"not-utf8-\xff.wav", b"tab\t.wav", b"call #13", b"\xee\xbe\x80", b"\x01"],
)
def test_files_with_any_name_are_listed_and_readable(
    store: ObjectStore, folder: Path, tmp_path: Path, name: bytes
):
    (folder / "deep").mkdir()
    for each in (b"good.wav", b"deep/" + name, name):
        (folder / os.fsdecode(each)).write_bytes(each)
    found = list(store.list())
    assert len(found) == 3
    for recording in found:
        recording.key.encode()  # as Postgres and JSON need it
        store.fetch(recording.key, tmp_path / "back", recording.etag)
        assert (tmp_path / "back").read_bytes() == store.read(recording.key)
        assert store.key_of(folder / os.fsdecode(store.read(recording.key))) == recording.key
        assert store.recording(recording.key) == recording
        store.delete(recording.key)
    assert list(store.list()) == []


def test_an_interrupted_write_is_not_listed(store: ObjectStore, folder: Path):
    (folder / ".callpipeline-0123").write_bytes(b"half of the so")
    assert list(store.list()) == []


def test_a_failed_write_leaves_no_file(store: ObjectStore, folder: Path, tmp_path: Path):
    with pytest.raises(MissingObject):
        store.put("a.wav", tmp_path / "gone.wav")
    assert list(folder.iterdir()) == []


def test_the_etag_of_a_file_matches_older_ledgers(store: ObjectStore, folder: Path):
    """They used obstore, whose etag also has the inode, which was removed."""
    (folder / "a.wav").write_bytes(b"sound")
    os.utime(folder / "a.wav", ns=(0, 1_700_000_000_123_456_789))
    theirs = obstore.head(LocalStore(folder), "a.wav")
    ours = store.recording("a.wav")
    assert ours.etag == (theirs["e_tag"] or "").strip('"').partition("-")[2]
    assert (ours.last_modified, ours.size_bytes) == (theirs["last_modified"], theirs["size"])


@pytest.mark.parametrize("time_s", [-(2**31), 2**33, 2**34 - 1])
def test_files_with_any_date_are_listed(store: ObjectStore, folder: Path, time_s: int):
    (folder / "a.wav").write_bytes(b"sound")
    os.utime(folder / "a.wav", (time_s, time_s))
    [recording] = store.list()
    assert recording.call_id


def listed(store: ObjectStore) -> tuple[list[str], list[str]]:
    """Return the listed keys, and the reasons why others were skipped."""
    reasons: list[str] = []
    pages = list(store.pages(unreadable=reasons.append))
    return [recording.key for page in pages for recording in page], reasons


def test_a_cycle_of_links_is_reported_once(store: ObjectStore, folder: Path):
    (folder / "deep").mkdir()
    (folder / "deep" / "good.wav").write_bytes(b"sound")
    (folder / "deep" / "circle").symlink_to(folder)
    keys, reasons = listed(store)
    assert keys == ["deep/good.wav"]
    assert reasons == ["A link points to a folder above it."]


def test_links_inside_the_folder_are_followed(store: ObjectStore, folder: Path):
    store.put("2026/a.wav", b"sound")
    (folder / "latest").symlink_to("2026")
    (folder / "b.wav").symlink_to(folder / "2026" / "a.wav")
    assert listed(store) == (["2026/a.wav", "b.wav", "latest/a.wav"], [])
    assert store.read("latest/a.wav") == store.read("b.wav") == b"sound"
    store.delete("b.wav")
    assert store.read("2026/a.wav") == b"sound"


@pytest.fixture
def outside(folder: Path, tmp_path: Path) -> Path:
    """A recording outside the folder, which links to it, its folder and the folder above."""
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    file = outside / "deep" / "a.wav"
    file.write_bytes(SECRET.encode())
    (folder / "good.wav").write_bytes(b"sound")
    (folder / "file.wav").symlink_to(file)
    (folder / "relative.wav").symlink_to("../outside/deep/a.wav")
    (folder / "folder").symlink_to(outside)
    (folder / "up").symlink_to("..")
    (folder / "twice").symlink_to(folder / "folder")
    return file


OUTSIDE = ["file.wav", "relative.wav", "folder/deep/a.wav", "up/outside/deep/a.wav"]
OUTSIDE += ["twice/deep/a.wav"]


def test_links_that_lead_out_are_reported_and_the_rest_is_listed(store: ObjectStore, outside: Path):
    keys, reasons = listed(store)
    assert keys == ["good.wav"]
    assert reasons == ["A link leads out of the folder, and isn't followed."] * 5
    assert list(store.pages("folder/deep")) == []


@pytest.mark.parametrize("key", OUTSIDE)
def test_nothing_outside_the_folder_is_read_or_written(
    store: ObjectStore, outside: Path, tmp_path: Path, key: str
):
    for operation in (
        lambda: store.read(key),
        lambda: store.read_range(key, 0, 4),
        lambda: store.recording(key),
        lambda: store.fetch(key, tmp_path / "back"),
    ):
        with pytest.raises(PathRefused, match="link in recordings leads out"):
            operation()
    assert not (tmp_path / "back").exists()
    if "/" in key:
        for write in (store.put, store.put_new):
            with pytest.raises(PathRefused, match="link in recordings leads out"):
                write(key, b"overwritten")
            with pytest.raises(PathRefused, match="link in recordings leads out"):
                write(key.replace("a.wav", "new.wav"), b"planted")
    else:
        store.put(key, b"replaces the link")
        assert store.read(key) == b"replaces the link"
    assert outside.read_bytes() == SECRET.encode()
    assert [path.name for path in outside.parent.iterdir()] == ["a.wav"]


@pytest.mark.parametrize("key", OUTSIDE)
def test_nothing_outside_the_folder_is_erased(
    store: ObjectStore, folder: Path, outside: Path, key: str
):
    if "/" in key:
        for operation in (store.delete, store.exists, store.delete_below):
            with pytest.raises(PathRefused, match="link in recordings leads out"):
                operation(key)
    else:
        assert store.exists(key)
        store.delete(key)
        assert not store.exists(key)
    store.remove_empty_folders(key)
    for link in ("folder", "up", "twice"):
        assert store.delete_below(link) == 1
        assert not (folder / link).is_symlink()
    assert outside.read_bytes() == SECRET.encode()
    assert [recording.key for recording in store.list()] == ["good.wav"]


def test_a_folder_that_becomes_a_link_in_the_meantime_is_not_followed(
    store: ObjectStore, folder: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
):
    """Between the check of a path and its use, another process exchanges a folder for a link."""
    store.put("day/a.wav", b"sound")
    realpath = os.path.realpath

    def exchanged(path: bytes, **options: Any) -> bytes:
        resolved = realpath(path, **options)
        if path.endswith(b"a.wav") and not (folder / "day").is_symlink():
            (folder / "day").rename(folder / "gone")
            (folder / "day").symlink_to(outside.parent)
        return resolved

    monkeypatch.setattr(os.path, "realpath", exchanged)
    with pytest.raises((PathRefused, MissingObject)):
        store.read("day/a.wav")


def test_stored_files_are_private_whatever_the_umask(store: ObjectStore, folder: Path):
    before = os.umask(0)
    try:
        store.put("calls/1/left.flac", b"sound")
        store.put_new("inbox/a.wav", b"sound")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.rglob("*")}
    assert modes == {
        **dict.fromkeys(("calls", "1", "inbox"), 0o700),
        **dict.fromkeys(("left.flac", "a.wav"), 0o600),
    }


def test_pipes_sockets_and_devices_are_missing_and_never_block(store: ObjectStore, folder: Path):
    os.mkfifo(folder / "pipe.wav")
    (folder / "device.wav").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket.wav"))
        for key in ("pipe.wav", "socket.wav"):
            with pytest.raises(MissingObject):
                store.read(key)
            assert not store.exists(key)
        with pytest.raises(PathRefused):
            store.read("device.wav")
        assert listed(store)[0] == []


def test_a_path_that_is_too_long_is_reported(store: ObjectStore, folder: Path):
    deep = folder.joinpath(*["long" * 50] * 6)
    deep.mkdir(parents=True)
    (deep / "a.wav").write_bytes(b"sound")
    keys, [reason] = listed(store)
    assert keys == []
    assert "longer than 1024 bytes" in reason


def test_an_unreadable_folder_is_reported_and_the_rest_is_listed(
    store: ObjectStore, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    (folder / "closed").mkdir()
    (folder / "good.wav").write_bytes(b"sound")

    def as_other_user(path: bytes) -> Any:
        if path.rstrip(b"/").endswith(b"closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", as_other_user)
    keys, [reason] = listed(store)
    assert keys == ["good.wav"]
    assert "permission denied" in reason


BROKEN_LINKS = {
    "into-a-file": ("good.wav/b", "not a directory"),
    "circle": ("circle", "too many levels of symbolic links"),
    "long": ("x" * 300, "file name too long"),
}


@pytest.mark.parametrize("name", BROKEN_LINKS)
@pytest.mark.parametrize("below", ["", "deep/"])
def test_a_broken_link_is_reported_and_the_rest_is_listed(
    store: ObjectStore, folder: Path, name: str, below: str
):
    target, why = BROKEN_LINKS[name]
    (folder / below).mkdir(exist_ok=True)
    for file in ("a.wav", "good.wav", "z.wav"):
        (folder / below / file).write_bytes(b"sound")
    (folder / below / name).symlink_to(target)
    keys, [reason] = listed(store)
    assert keys == [f"{below}a.wav", f"{below}good.wav", f"{below}z.wav"]
    assert reason == f"A link cannot be read: {why}."
    reasons: list[str] = []
    assert list(store.pages(after=f"{below}y", unreadable=reasons.append))
    assert reasons == []  # reported by the previous page


@pytest.mark.skipif(os.geteuid() == 0, reason="root may follow any link")
def test_a_link_into_an_unreadable_folder_is_reported(
    store: ObjectStore, folder: Path, tmp_path: Path
):
    (tmp_path / "closed").mkdir(mode=0)
    (folder / "link").symlink_to(tmp_path / "closed" / "a.wav")
    (folder / "z.wav").write_bytes(b"sound")
    assert listed(store) == (["z.wav"], ["A link cannot be read: permission denied."])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read any folder")
def test_an_unreadable_root_is_unavailable(store: ObjectStore, folder: Path):
    folder.chmod(0)
    with pytest.raises(StoreUnavailable, match="permission denied"):
        list(store.list())


@pytest.mark.parametrize(
    "error", [OSError(5, "Input/output error"), OSError(116, "Stale file handle")]
)
@pytest.mark.parametrize("broken", ["deep", "recordings"])
def test_a_broken_folder_is_reported_and_a_broken_root_raises(
    store: ObjectStore,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: OSError,
    broken: str,
):
    (folder / "deep").mkdir()
    (folder / "good.wav").write_bytes(b"sound")

    def failing(path: bytes) -> Any:
        if path.rstrip(b"/").endswith(broken.encode()):
            raise error
        return scandir(path)

    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", failing)
    if broken == "recordings":
        with pytest.raises(StoreUnavailable):
            list(store.list())
    else:
        words = os.strerror(error.errno or 0).lower()
        assert listed(store) == (["good.wav"], [f"A folder cannot be read: {words}."])


@pytest.mark.parametrize("prefix", ["..", "a//b", "x" * 300, "y/" * 3000, "a.wav", "nul\0"])
def test_nothing_is_listed_below_an_invalid_prefix(store: ObjectStore, folder: Path, prefix: str):
    (folder / "a.wav").write_bytes(b"sound")
    assert list(store.list(prefix)) == []


def test_named_pipes_are_neither_listed_nor_opened(store: ObjectStore, folder: Path):
    os.mkfifo(folder / "pipe.wav")
    assert listed(store) == ([], [])
    with pytest.raises(MissingObject):
        store.read("pipe.wav")


S3_NAMES = [
    "a//b.wav",
    "/lead.wav",
    "tab\t.wav",
    "../x.wav",
    "./y.wav",
    "call #13",
    "trail/",
    "+%2F",
]


@pytest.mark.parametrize("prefix", ["", "/calls"])
def test_objects_with_any_key_are_listed_and_readable(s3_server: str, tmp_path: Path, prefix: str):
    """Listings of obstore fail at the first of these keys."""
    store, client = a_bucket(s3_server, prefix)
    for name in S3_NAMES:
        client.put_object(Bucket=BUCKET, Key=f"{prefix[1:]}/{name}" if prefix else name, Body=name)
    found = list(store.list())
    assert [recording.key for recording in found] == sorted(S3_NAMES)
    for recording in found:
        assert store.read(recording.key) == recording.key.encode()
        store.fetch(recording.key, tmp_path / "back", recording.etag)
        about = store.recording(recording.key)
        assert (about.key, about.etag, about.size_bytes) == (
            recording.key,
            recording.etag,
            recording.size_bytes,
        )
        with pytest.raises(MissingObject, match="replaced"):
            store.fetch(recording.key, tmp_path / "back", "another")
    with pytest.raises(MissingObject):
        store.read("a//nothing.wav")
    for recording in found:
        store.delete(recording.key)
    assert list(store.list()) == []


def test_a_folder_marker_is_not_an_object(s3_server: str):
    store, client = a_bucket(s3_server)
    client.put_object(Bucket=BUCKET, Key="calls/", Body=b"")
    client.put_object(Bucket=BUCKET, Key="calls/a.wav", Body=b"sound")
    assert [recording.key for recording in store.list()] == ["calls/a.wav"]


def test_a_page_of_folder_markers_has_a_resume_key(s3_server: str):
    store, client = a_bucket(s3_server, "/kept")
    store.page_size = 2
    for key in ("a/", "b/", "c.wav", "d/", "e/"):
        client.put_object(Bucket=BUCKET, Key=f"kept/{key}", Body=b"x" if key == "c.wav" else b"")
    pages = list(store.pages())
    assert [[recording.key for recording in page] for page in pages] == [[], ["c.wav"], []]
    assert [resume_key(page) for page in pages] == ["b/", "d/", "e/"]
    assert [resume_key(page) for page in store.pages(after="b/")] == ["d/", "e/"]


def test_a_silent_server_costs_at_most_half_a_tick():
    access = S3Access("http://127.0.0.1:9", access_key_id="x", secret_access_key="y")
    store = open_store("s3://calls", access)
    config = store._client.meta.config  # pyright: ignore[reportAttributeAccessIssue]
    attempts = config.retries["total_max_attempts"]
    assert attempts * (config.connect_timeout + config.read_timeout) <= 30
    assert RETRIES.get("retry_timeout") == timedelta(seconds=60)


def test_an_incomplete_multipart_upload_is_not_listed(s3_server: str):
    store, client = a_bucket(s3_server)
    upload = client.create_multipart_upload(Bucket=BUCKET, Key="a.wav")["UploadId"]
    client.upload_part(Bucket=BUCKET, Key="a.wav", UploadId=upload, PartNumber=1, Body=b"so")
    assert list(store.list()) == []


@pytest.fixture
def responding() -> Iterator[Callable[[bytes], ObjectStore]]:
    """Return a bucket on a server with a fixed response."""
    answers: list[bytes] = []

    class Always(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answers[0])

        def log_message(self, format: str, *args: object) -> None: ...

    def bucket(answer: bytes) -> ObjectStore:
        answers.append(answer)
        endpoint = f"http://127.0.0.1:{server.server_port}"
        access = S3Access(endpoint, access_key_id="x", secret_access_key="y")
        return open_store("s3://calls", access)

    with HTTPServer(("127.0.0.1", 0), Always) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield bucket
        server.shutdown()


@pytest.mark.parametrize(
    "answer", [b"<html><br></html>", b"<html/>", b"Welcome", b'{"Contents": []}']
)
def test_an_invalid_listing_is_unavailable_rather_than_empty(
    responding: Callable[[bytes], ObjectStore], answer: bytes
):
    """For example the login page of a proxy."""
    with pytest.raises(StoreUnavailable):
        list(responding(answer).list())


def test_listing_a_missing_bucket_asks_to_create_it(s3_server: str):
    access = S3Access(s3_server, access_key_id="x", secret_access_key="y")
    with pytest.raises(StoreUnavailable, match="create the bucket first"):
        list(open_store("s3://never-created", access).list())


def test_a_dangling_link_does_not_hide_other_files(store: ObjectStore, folder: Path):
    (folder / "good.wav").write_bytes(b"sound")
    (folder / "broken.wav").symlink_to("/nowhere/at/all.wav")
    assert [recording.key for recording in store.list()] == ["good.wav"]


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_archived_objects_are_skipped_and_counted(s3_server: str, storage_class: str):
    """Reading them fails, however often it is tried."""
    store, client = a_bucket(s3_server)
    client.put_object(Bucket=BUCKET, Key="a.wav", Body=b"sound", StorageClass=storage_class)
    client.put_object(Bucket=BUCKET, Key="b.wav", Body=b"sound", StorageClass="STANDARD_IA")
    client.put_object(Bucket=BUCKET, Key="c.wav", Body=b"sound", StorageClass="GLACIER_IR")
    reasons: list[str] = []
    [page] = store.pages(unreadable=reasons.append)
    assert [recording.key for recording in page] == ["b.wav", "c.wav"]
    assert reasons == ["An object is archived (Glacier or Deep Archive): restore it in S3 first."]


LISTING = """<?xml version="1.0"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>false</IsTruncated>
<Contents><Key>a.wav</Key><LastModified>2026-03-02T10:00:00.000Z</LastModified><ETag>"e"</ETag>
<Size>5</Size><StorageClass>GLACIER</StorageClass>
<RestoreStatus><IsRestoreInProgress>{}</IsRestoreInProgress></RestoreStatus></Contents>
</ListBucketResult>"""


@pytest.mark.parametrize(("in_progress", "listed"), [("true", []), ("false", ["a.wav"])])
def test_a_restored_object_is_listed(
    responding: Callable[[bytes], ObjectStore], in_progress: str, listed: list[str]
):
    store = responding(LISTING.format(in_progress).encode())
    assert [recording.key for recording in store.list()] == listed


@pytest.mark.parametrize(
    ("code", "status", "sentence"),
    [
        ("RequestTimeTooSkewed", 403, "the clock of this machine differs"),
        ("ExpiredToken", 400, "the session token of the S3 access key has expired: renew it"),
        ("InvalidToken", 400, "the session token of the S3 access key is invalid"),
        ("AccessDenied", 403, "denied access: check the permissions of the S3 access key"),
        ("InvalidAccessKeyId", 403, "the S3 access key is unknown"),
        ("SignatureDoesNotMatch", 403, "the S3 secret key is wrong"),
        ("PermanentRedirect", 301, "is in another region: set CALLPIPELINE_S3_REGION"),
        ("NoSuchBucket", 404, "does not exist: create the bucket first"),
    ],
)
def test_an_error_code_of_s3_is_explained(code: str, status: int, sentence: str, tmp_path: Path):
    with refusing(code, status) as store:
        with pytest.raises(StoreUnavailable, match=re.escape(sentence)):
            list(store.list())
        if status != 404:
            with pytest.raises(StoreUnavailable, match=re.escape(sentence)):
                store.fetch("a.wav", tmp_path / "a.wav")


def test_reading_an_archived_object_is_not_tried_again(tmp_path: Path):
    sentence = "restore it in S3, and retry the call"
    with refusing("InvalidObjectState", 403) as store, pytest.raises(MissingObject, match=sentence):
        store.fetch("a.wav", tmp_path / "a.wav")


@contextmanager
def refusing(code: str, status: int) -> Iterator[ObjectStore]:
    """Yield a bucket on a server that refuses everything with an error code of S3."""
    body = f"<Error><Code>{code}</Code><Message>No.</Message></Error>".encode()

    class Refuse(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Refuse) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        access = S3Access(
            f"http://127.0.0.1:{server.server_port}", access_key_id="x", secret_access_key="y"
        )
        yield open_store("s3://calls", access)
        server.shutdown()
