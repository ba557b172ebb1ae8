"""Names of uploaded files."""

import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from callpipeline.config import Settings
from callpipeline.domain.calls.sources import (
    DEFAULT_FILENAME,
    JOINERS,
    MAX_FILENAME_BYTES,
    clean_filename,
)
from callpipeline.http_server.multipart import decode_file_name
from callpipeline.storage.objects.ports import is_unsafe_key
from callpipeline.storage.objects.urls import ObjectStore, S3Access, open_store
from callpipeline.wiring import Storage
from tests.web.served import Served, served
from tests.web.uploads import WITH_KEY, Sender, a_recording, sending_to

LARGE = "LARGE" in os.environ
CONTENT = a_recording(1)

PIECES = st.one_of(
    st.sampled_from(["../", "..\\", "/", "\\", ".", "..", "C:\\", "~", "%2e%2e%2f", "%2F"]),
    st.sampled_from(
        ["%00", "\0", "\n", "\r\n", "%0A", "\x7f", "\u2028", "\ufeff", "\ud800", "\uffff"]
    ),
    st.sampled_from(['"', "'", ";", "%22", "<script>", "&amp;", "#", "?", "*", "[a]", "{b}", "|"]),
    st.sampled_from(["👩‍👩‍👧", "é", "e\u0301", "ש", "\u202e", "\u2066", "\uef80", " "]),
    st.sampled_from(["\ufeff", "\ud800", "\uffff", "\udc80", "\U0010ffff", "\u200d"]),
    st.text(max_size=12),
)
NAMES = st.lists(PIECES, max_size=12).map("".join) | st.integers(200, 1024).flatmap(
    lambda size: st.sampled_from("aéש👍").map(lambda c: c * size + ".wav")
)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("call.wav", "call.wav"),
        ("C:\\fakepath\\call.wav", "call.wav"),
        ("../../etc/passwd", "passwd"),
        ("..", DEFAULT_FILENAME),
        ("", DEFAULT_FILENAME),
        ("folder/", DEFAULT_FILENAME),
        (".hidden.wav", "hidden.wav"),
        (".wav", "wav"),
        ("call\u202evaw.exe\x00\n.wav", "callvaw.exe .wav"),
        ("line\nbreak\tand  more.wav", "line break and more.wav"),
        ("nul\0byte.wav", "nulbyte.wav"),
        ("gnp.\u202ewav.exe", "gnp.wav.exe"),
        ("e\u0301te\u0301.wav", "été.wav"),
        ("👩‍👩‍👧.wav", "👩‍👩‍👧.wav"),
        ("שלום.wav", "שלום.wav"),
        ("100 %, really; \"so\" 'said' <b>.wav", "100 %, really; \"so\" 'said' <b>.wav"),
        ("x" * 2000 + ".wav", "x" * 213 + "….wav"),
    ],
)
def test_names_are_decoded(sent: str, kept: str) -> None:
    assert clean_filename(sent) == kept


def test_escaped_names_are_decoded() -> None:
    assert decode_file_name(b"%22so%22 100%25 a%0Ab.wav") == '"so" 100%25 a b.wav'
    assert decode_file_name(b"latin \xe9.wav") == "latin \N{REPLACEMENT CHARACTER}.wav"


@effort(max_examples=20_000 if LARGE else 500, deadline=None)
@given(name=NAMES)
@example(name="é" * 600 + ".wav")
def test_names_are_safe(name: str) -> None:
    kept = clean_filename(name)
    assert kept == clean_filename(kept)
    assert kept == unicodedata.normalize("NFC", kept)
    assert 0 < len(kept.encode()) <= MAX_FILENAME_BYTES
    assert not re.search(r"[/\\\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069\u2028\u2029]", kept)
    assert not kept.startswith(".")
    assert all(letter.isprintable() or letter in JOINERS for letter in kept)
    assert not is_unsafe_key(f".announced/x/{kept}")


@pytest.fixture(scope="module")
def app(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("app"), module_url, **WITH_KEY) as app:
        yield app


@pytest.fixture
def settings(empty_app: Served) -> Settings:
    return empty_app.settings


@pytest.fixture
def storage(empty_app: Served) -> Storage:
    return empty_app.storage


@pytest.fixture
def sender(empty_app: Served) -> Iterator[Sender]:
    with sending_to(empty_app) as sender:
        yield sender


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


# What the app's threads do with `random` meanwhile is taken for the strategies'.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
@effort(
    max_examples=10_000 if LARGE else 50,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(name=NAMES)
def test_any_file_name_stays_in_its_folder_and_is_one_call(
    sender: Sender, storage: Storage, settings: Settings, tmp_path: Path, name: str
) -> None:
    content = CONTENT + name.encode("utf-8", "surrogatepass")
    sent = re.sub(r'[\r\n"]', lambda found: f"%{ord(found[0]):02X}", name)
    reply = sender.upload(content, sent)
    assert reply.status_code in (200, 400, 415), reply.text
    outside = {path for path in files(tmp_path) if not path.is_relative_to(settings.home)}
    assert outside == set()
    for path in files(settings.home / "recordings"):
        folder, kept = path.relative_to(settings.home / "recordings").parts
        assert re.fullmatch("[0-9a-f]{12}", folder)
        assert kept == clean_filename(kept)
    if reply.status_code == 200:
        found = storage.ledger.calls(call_ids=[reply.json()["job_id"]])
        shown = found[0].key.partition("/")[2]
        assert storage.inbox.read(found[0].key) == content
        assert (
            shown == decode_file_name(sent.encode("utf-8", "surrogatepass"))
            or found[0].duplicate_of
        )
    with storage.database.transaction() as connection:
        connection.execute("DELETE FROM calls")
    for key in sender.objects():
        storage.inbox.delete(key)


@pytest.fixture(scope="module")
def bucket(s3_server: str) -> ObjectStore:
    import boto3

    boto3.client(
        "s3",
        endpoint_url=s3_server,
        aws_access_key_id="x",
        aws_secret_access_key="y",
        region_name="us-east-1",
    ).create_bucket(Bucket="names")
    return open_store("s3://names", S3Access(s3_server, None, "x", "y"))


@effort(
    max_examples=2_000 if LARGE else 40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(name=NAMES)
def test_s3_accepts_any_clean_name(bucket: ObjectStore, name: str) -> None:
    key = f"0123456789ab/{clean_filename(name)}"
    bucket.put_new(key, CONTENT)
    assert bucket.read(key) == CONTENT
    assert key in [found.key for found in bucket.list("0123456789ab")]
    bucket.delete(key)
