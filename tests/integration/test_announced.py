"""Announced recordings, in the ledger and in the inbox: once, kept, and gone when erased."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from callpipeline.config import Settings
from callpipeline.domain.call import CallState, Recording
from callpipeline.domain.reach import Reach
from callpipeline.domain.retention import Kept, Periods
from callpipeline.errors import DownloadFailed, DownloadRefused, MissingObject
from callpipeline.pipeline.announcing import Announced, Announcement, announce
from callpipeline.pipeline.erasing import Eraser, Traces
from callpipeline.pipeline.retention import Retention
from callpipeline.storage.announced import BUCKET, AnnouncedRecordings
from callpipeline.storage.recordings import Recordings
from callpipeline.storage.retention import Retained
from callpipeline.wiring import Storage
from tests.integration.calls import change, row
from tests.integration.dumps import in_database, in_files

SECRET = "0ff1ce0ff1ce"
URL = f"https://media.example/deep/447700900123.wav?X-Amz-Signature={SECRET}"
SECRETS = ["media.example", SECRET, "447700900123"]


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@dataclass
class Host:
    """Hands out `content`, or raises; `between` happens when it has."""

    content: bytes | Exception = b"RIFF"
    between: Callable[[], object] = lambda: None
    asked: list[str] = field(default_factory=list)

    def __call__(self, url: str, into: Path) -> None:
        self.asked.append(url)
        if isinstance(self.content, Exception):
            raise self.content
        into.write_bytes(self.content)
        self.between()


def announced(storage: Storage, url: str = URL, **said: Any) -> Announced:
    return announce(Announcement(url, **said), storage.announcements, storage.home, Reach())


def at(storage: Storage, host: Host) -> AnnouncedRecordings:
    return AnnouncedRecordings(storage.announcements, storage.inbox, host)


def of(storage: Storage, call_id: str) -> Recording:
    found = row(storage, call_id)
    return Recording(found["bucket"], found["key"], found["etag"], 0, found["last_modified"])


def fetch(storage: Storage, host: Host, call_id: str, into: Path) -> bytes:
    Recordings([at(storage, host)]).fetch(of(storage, call_id), into)
    return into.read_bytes()


def addresses(storage: Storage) -> list[str | None]:
    with storage.database.transaction() as connection:
        return [each["url"] for each in connection.execute("SELECT url FROM announced").fetchall()]


# announcing


def test_an_announced_call_waits_at_once(storage: Storage):
    call = announced(storage)
    record = storage.ledger.find(call.call_id)
    assert (record.state, record.key.partition("/")[2]) == (CallState.PENDING, "447700900123.wav")
    assert row(storage, call.call_id)["bucket"] == BUCKET
    assert call.is_new and addresses(storage) == [URL]


def test_the_same_with_the_same_key_is_one_call_for_ever(storage: Storage, tmp_path: Path):
    first = announced(storage, idempotency_key="a", filename="one.wav")
    fetch(storage, Host(), first.call_id, tmp_path / "copy")
    change(storage, [first.call_id], state="'COMPLETED'", completed_at="now()")
    again = announced(storage, idempotency_key="a", filename="another name.wav")
    assert (again.call_id, again.is_new) == (first.call_id, False)
    assert announced(storage, idempotency_key="b").is_new
    assert announced(storage, f"{URL}&x", idempotency_key="a").is_new


def test_the_same_at_once_from_many_sides_is_one_call(storage: Storage):
    with ThreadPoolExecutor(6) as threads:
        keyed = list(threads.map(lambda _: announced(storage, idempotency_key="a"), range(12)))
        plain = list(threads.map(lambda _: announced(storage), range(12)))
    for calls in keyed, plain:
        assert len({call.call_id for call in calls}) == 1
        assert sum(call.is_new for call in calls) == 1


def test_without_a_key_it_is_one_call_until_it_is_fetched(storage: Storage, tmp_path: Path):
    """A sender that had no answer sends again. Later the address may lead to another recording."""
    first = announced(storage)
    assert announced(storage).call_id == first.call_id
    fetch(storage, Host(), first.call_id, tmp_path / "copy")
    assert announced(storage).call_id != first.call_id


def test_what_failed_is_announced_anew(storage: Storage):
    first = announced(storage)
    change(storage, [first.call_id], state="'FAILED'", error_message="'gone'")
    assert announced(storage).call_id != first.call_id


# fetching


def test_what_is_fetched_is_kept_and_its_address_forgotten(storage: Storage, tmp_path: Path):
    call, host = announced(storage), Host(b"RIFF and sound")
    assert fetch(storage, host, call.call_id, tmp_path / "one") == b"RIFF and sound"
    assert addresses(storage) == [None]
    assert row(storage, call.call_id)["size_bytes"] == 14
    host.content = b"another recording"
    assert fetch(storage, host, call.call_id, tmp_path / "two") == b"RIFF and sound"
    assert host.asked == [URL]
    [kept] = storage.inbox.list()
    assert kept.key == f".announced/{of(storage, call.call_id).key}"


def test_what_a_run_kept_before_it_died_is_what_the_next_one_takes(
    storage: Storage, tmp_path: Path
):
    call, host = announced(storage), Host()
    storage.inbox.put(f".announced/{of(storage, call.call_id).key}", b"kept")
    assert fetch(storage, host, call.call_id, tmp_path / "copy") == b"kept"
    assert not host.asked and addresses(storage) == [None]


@pytest.mark.parametrize("error", [DownloadFailed("It is down."), DownloadRefused("It is gone.")])
def test_what_cannot_be_fetched_keeps_its_address_for_another_try(
    error: Exception, storage: Storage, tmp_path: Path
):
    call, host = announced(storage), Host(error)
    with pytest.raises(type(error)):
        fetch(storage, host, call.call_id, tmp_path / "copy")
    assert addresses(storage) == [URL] and not list(storage.inbox.list())
    host.content = b"RIFF"
    assert fetch(storage, host, call.call_id, tmp_path / "copy") == b"RIFF"


def test_a_host_that_asks_for_a_wait_is_given_it(storage: Storage):
    call = announced(storage)
    storage.claims.claim([call.call_id], "run-1")
    busy = DownloadFailed("It is busy.", retry_after_s=3000)
    again_at = storage.claims.fail(call.call_id, "run-1", "channel_audio", busy)
    assert again_at and again_at > datetime.now(UTC) + timedelta(seconds=2900)


def test_an_address_is_forgotten_when_nobody_tried_again_for_long(storage: Storage, tmp_path: Path):
    old, young = announced(storage), announced(storage, f"{URL}&other")
    failed = {"state": "'FAILED'", "error_message": "'down'"}
    change(storage, [old.call_id], **failed, completed_at="now() - interval '31 days'")
    change(storage, [young.call_id], **failed, completed_at="now() - interval '29 days'")
    no_periods = Periods(dict.fromkeys(Kept))
    parts = (Retained(storage.database), storage.erasures, storage.recordings, storage.store)
    Retention(*parts, no_periods, storage.announcements).apply(datetime.now(UTC))
    assert sorted(addresses(storage), key=str) == [None, f"{URL}&other"]
    with pytest.raises(MissingObject, match="announce the call anew"):
        fetch(storage, Host(), old.call_id, tmp_path / "copy")


def test_a_copy_that_somebody_deleted_is_told_of_and_not_fetched_again(
    storage: Storage, tmp_path: Path
):
    call, host = announced(storage), Host()
    fetch(storage, host, call.call_id, tmp_path / "copy")
    storage.recordings.delete(BUCKET, of(storage, call.call_id).key)
    with pytest.raises(MissingObject, match="not in the home of recordings any more"):
        fetch(storage, host, call.call_id, tmp_path / "copy")
    assert len(host.asked) == 1


# erasing


def erased(storage: Storage, tmp_path: Path, host: Host, call_id: str) -> bool:
    """Erase a call and look until nothing is left; whether it is known to be finished."""
    storage.erasures.begin([call_id], keep_recording=False)

    def nothing_elsewhere(call_ids: Sequence[str], thorough: bool) -> Traces:
        return Traces(0, busy=False)

    recordings = Recordings([storage.inbox, at(storage, host)])
    parts = (storage.erasures, recordings, storage.store, nothing_elsewhere, tmp_path)
    eraser = Eraser(*parts, quiet_s=0.0)
    return [look.finished for _ in range(3) for look in eraser.finish()][-1]


@pytest.mark.parametrize("how", ["waiting", "fetched", "failed"])
def test_nothing_is_left_of_an_erased_call(
    how: str, storage: Storage, settings: Settings, tmp_path: Path
):
    call, host = announced(storage, idempotency_key="a"), Host()
    if how == "fetched":
        fetch(storage, host, call.call_id, tmp_path / "copy")
        assert not in_database(storage.database.url, [SECRET, "media.example"])
        assert in_files(settings.home, SECRETS)
    else:
        assert in_database(storage.database.url, [SECRET])
    if how == "failed":
        change(storage, [call.call_id], state="'FAILED'", error_message="'gone'")
    assert erased(storage, tmp_path, host, call.call_id)
    assert not in_database(storage.database.url, SECRETS)
    assert not in_files(settings.home, SECRETS)
    assert not list(storage.inbox.list())
    assert len(host.asked) == (how == "fetched"), "an erasure fetches nothing"
    again = announced(storage, idempotency_key="a")
    assert (again.call_id, again.is_new, addresses(storage)) == (call.call_id, False, [])


def test_a_call_that_is_erased_while_it_is_fetched_leaves_nothing_in_the_inbox(
    storage: Storage, tmp_path: Path
):
    call = announced(storage)
    host = Host(between=lambda: erased(storage, tmp_path, Host(), call.call_id))
    with pytest.raises(MissingObject):
        fetch(storage, host, call.call_id, tmp_path / "copy")
    assert not list(storage.inbox.list())


def test_an_erasure_waits_for_a_recording_that_is_being_kept(storage: Storage, tmp_path: Path):
    """Else it would look for the recording before that is there, and never again."""
    call = announced(storage)
    recording = of(storage, call.call_id)
    with ThreadPoolExecutor(1) as thread:

        def put() -> None:
            begun.append(thread.submit(erased, storage, tmp_path, Host(), call.call_id))
            with pytest.raises(TimeoutError):
                begun[0].result(0.2)
            storage.inbox.put(f".announced/{recording.key}", b"RIFF")

        begun = []
        storage.announcements.keep(recording.key, put)
        assert begun[0].result(10)
    assert not list(storage.inbox.list())
