"""What uploaded files are called: nothing escapes, and what can be shown is shown."""

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
from callpipeline.domain.recording_name import JOINERS, LONGEST_BYTES, UNNAMED, clean
from callpipeline.storage.object_store import is_odd
from callpipeline.storage.objects import ObjectStore, S3Access, open_store
from callpipeline.web.forms.names import of_form
from callpipeline.wiring import Storage
from tests.web.uploads import Sender, a_recording, sending

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
        ("..", UNNAMED),
        ("", UNNAMED),
        ("folder/", UNNAMED),
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
def test_a_name_is_shown_as_it_was_meant(sent: str, kept: str) -> None:
    assert clean(sent) == kept


def test_what_browsers_escape_in_a_form_is_read() -> None:
    assert of_form(b"%22so%22 100%25 a%0Ab.wav") == '"so" 100%25 a b.wav'
    assert of_form(b"latin \xe9.wav") == "latin \N{REPLACEMENT CHARACTER}.wav"


@effort(max_examples=20_000 if LARGE else 500, deadline=None)
@given(name=NAMES)
@example(name="é" * 600 + ".wav")
def test_no_name_is_dangerous(name: str) -> None:
    kept = clean(name)
    assert kept == clean(kept)
    assert kept == unicodedata.normalize("NFC", kept)
    assert 0 < len(kept.encode()) <= LONGEST_BYTES
    assert not re.search(r"[/\\\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069\u2028\u2029]", kept)
    assert not kept.startswith(".")
    assert all(letter.isprintable() or letter in JOINERS for letter in kept)
    assert not is_odd(f".announced/x/{kept}")


@pytest.fixture
def sender(settings: Settings, storage: Storage) -> Iterator[Sender]:
    with sending(settings, storage) as sender:
        yield sender


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


# What the app's threads do with `random` meanwhile is taken for the strategies'.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
@effort(
    max_examples=10_000 if LARGE else 150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(name=NAMES)
def test_whatever_a_file_is_called_it_lies_in_its_folder_and_is_one_call(
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
        assert kept == clean(kept)
    if reply.status_code == 200:
        found = storage.ledger.calls(call_ids=[reply.json()["job_id"]])
        shown = found[0].key.partition("/")[2]
        assert storage.inbox.read(found[0].key) == content
        assert shown == of_form(sent.encode("utf-8", "surrogatepass")) or found[0].duplicate_of
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
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(name=NAMES)
def test_an_s3_bucket_takes_any_clean_name(bucket: ObjectStore, name: str) -> None:
    key = f"0123456789ab/{clean(name)}"
    bucket.put_new(key, CONTENT)
    assert bucket.read(key) == CONTENT
    assert key in [found.key for found in bucket.list("0123456789ab")]
    bucket.delete(key)
