"""Announced recordings in the ledger and the inbox: registered once, stored, and erased."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from callpipeline.config import Settings
from callpipeline.domain.calls.call import CallState, Recording, RetentionClass, RetentionPeriods
from callpipeline.domain.egress import EgressPolicy
from callpipeline.errors import DownloadFailed, DownloadRefused, MissingObject
from callpipeline.pipeline.erasure import Eraser, ExternalTraces, Retention
from callpipeline.pipeline.ingest.registration import AnnouncedCall, Announcement, announce
from callpipeline.storage.erasure import RetentionStore
from callpipeline.storage.ports.calls import ANNOUNCED_BUCKET
from callpipeline.storage.sources.recordings import AnnouncedRecordings, Recordings
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
    """A download that returns `content` or raises; `between` is called after it."""

    content: bytes | Exception = b"RIFF"
    between: Callable[[], object] = lambda: None
    requested: list[str] = field(default_factory=list)

    def __call__(self, url: str, into: Path) -> None:
        self.requested.append(url)
        if isinstance(self.content, Exception):
            raise self.content
        into.write_bytes(self.content)
        self.between()


def announced(storage: Storage, url: str = URL, **fields: Any) -> AnnouncedCall:
    return announce(
        Announcement(url, **fields), storage.announcements, storage.home, EgressPolicy()
    )


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


# Announcing


def test_an_announced_call_waits_at_once(storage: Storage):
    call = announced(storage)
    record = storage.ledger.find(call.call_id)
    assert (record.state, record.key.partition("/")[2]) == (CallState.PENDING, "447700900123.wav")
    assert row(storage, call.call_id)["bucket"] == ANNOUNCED_BUCKET
    assert call.is_new and addresses(storage) == [URL]


def test_the_same_url_and_key_are_one_call_permanently(storage: Storage, tmp_path: Path):
    first = announced(storage, idempotency_key="a", filename="one.wav")
    fetch(storage, Host(), first.call_id, tmp_path / "copy")
    change(storage, [first.call_id], state="'COMPLETED'", completed_at="now()")
    again = announced(storage, idempotency_key="a", filename="another name.wav")
    assert (again.call_id, again.is_new) == (first.call_id, False)
    assert announced(storage, idempotency_key="b").is_new
    assert announced(storage, f"{URL}&x", idempotency_key="a").is_new


def test_concurrent_announcements_of_the_same_url_are_one_call(storage: Storage):
    with ThreadPoolExecutor(6) as threads:
        keyed = list(threads.map(lambda _: announced(storage, idempotency_key="a"), range(12)))
        plain = list(threads.map(lambda _: announced(storage), range(12)))
    for calls in keyed, plain:
        assert len({call.call_id for call in calls}) == 1
        assert sum(call.is_new for call in calls) == 1


def test_without_a_key_a_url_is_one_call_until_it_is_downloaded(storage: Storage, tmp_path: Path):
    """A sender without a response sends again. Later the URL may lead to another recording."""
    first = announced(storage)
    assert announced(storage).call_id == first.call_id
    fetch(storage, Host(), first.call_id, tmp_path / "copy")
    assert announced(storage).call_id != first.call_id


def test_a_failed_announcement_can_be_repeated(storage: Storage):
    first = announced(storage)
    change(storage, [first.call_id], state="'FAILED'", error_message="'gone'")
    assert announced(storage).call_id != first.call_id


# Downloading


def test_a_download_is_stored_and_its_url_deleted(storage: Storage, tmp_path: Path):
    call, host = announced(storage), Host(b"RIFF and sound")
    assert fetch(storage, host, call.call_id, tmp_path / "one") == b"RIFF and sound"
    assert addresses(storage) == [None]
    assert row(storage, call.call_id)["size_bytes"] == 14
    host.content = b"another recording"
    assert fetch(storage, host, call.call_id, tmp_path / "two") == b"RIFF and sound"
    assert host.requested == [URL]
    [stored] = storage.inbox.list()
    assert stored.key == f".announced/{of(storage, call.call_id).key}"


def test_a_download_of_a_killed_run_is_reused_by_the_next(storage: Storage, tmp_path: Path):
    call, host = announced(storage), Host()
    storage.inbox.put(f".announced/{of(storage, call.call_id).key}", b"stored")
    assert fetch(storage, host, call.call_id, tmp_path / "copy") == b"stored"
    assert not host.requested and addresses(storage) == [None]


@pytest.mark.parametrize("error", [DownloadFailed("It is down."), DownloadRefused("It is gone.")])
def test_a_failed_download_keeps_its_url_for_a_retry(
    error: Exception, storage: Storage, tmp_path: Path
):
    call, host = announced(storage), Host(error)
    with pytest.raises(type(error)):
        fetch(storage, host, call.call_id, tmp_path / "copy")
    assert addresses(storage) == [URL] and not list(storage.inbox.list())
    host.content = b"RIFF"
    assert fetch(storage, host, call.call_id, tmp_path / "copy") == b"RIFF"


def test_the_retry_after_of_a_host_is_respected(storage: Storage):
    call = announced(storage)
    storage.claims.claim([call.call_id], "run-1")
    busy = DownloadFailed("It is busy.", retry_after_s=3000)
    retry_at = storage.claims.fail(call.call_id, "run-1", "channel_audio", busy)
    assert retry_at and retry_at > datetime.now(UTC) + timedelta(seconds=2900)


def test_an_old_url_is_deleted(storage: Storage, tmp_path: Path):
    old, young = announced(storage), announced(storage, f"{URL}&other")
    failed = {"state": "'FAILED'", "error_message": "'down'"}
    change(storage, [old.call_id], **failed, completed_at="now() - interval '31 days'")
    change(storage, [young.call_id], **failed, completed_at="now() - interval '29 days'")
    no_periods = RetentionPeriods(dict.fromkeys(RetentionClass))
    parts = (RetentionStore(storage.database), storage.erasures, storage.recordings, storage.store)
    Retention(*parts, no_periods, storage.announcements).apply(datetime.now(UTC))
    assert sorted(addresses(storage), key=str) == [None, f"{URL}&other"]
    with pytest.raises(MissingObject, match="announce the call again"):
        fetch(storage, Host(), old.call_id, tmp_path / "copy")


def test_a_deleted_copy_is_reported_and_not_downloaded_again(storage: Storage, tmp_path: Path):
    call, host = announced(storage), Host()
    fetch(storage, host, call.call_id, tmp_path / "copy")
    storage.recordings.delete(ANNOUNCED_BUCKET, of(storage, call.call_id).key)
    with pytest.raises(MissingObject, match="missing in the recordings folder"):
        fetch(storage, host, call.call_id, tmp_path / "copy")
    assert len(host.requested) == 1


# Erasing


def erased(storage: Storage, tmp_path: Path, host: Host, call_id: str) -> bool:
    """Erase a call repeatedly until nothing is left; return whether it is finished."""
    storage.erasures.begin([call_id], keep_recording=False)

    def nothing_external(call_ids: Sequence[str], thorough: bool) -> ExternalTraces:
        return ExternalTraces(0, busy=False)

    recordings = Recordings([storage.inbox, at(storage, host)])
    parts = (storage.erasures, recordings, storage.store, nothing_external, tmp_path)
    eraser = Eraser(*parts, quiet_s=0.0)
    return [look.finished for _ in range(3) for look in eraser.finish()][-1]


@pytest.mark.parametrize("how", ["waiting", "fetched", "failed"])
def test_an_erased_announced_call_leaves_nothing(
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
    assert len(host.requested) == (how == "fetched"), "an erasure downloads nothing"
    again = announced(storage, idempotency_key="a")
    assert (again.call_id, again.is_new, addresses(storage)) == (call.call_id, False, [])


def test_a_call_erased_during_its_download_leaves_nothing_in_the_inbox(
    storage: Storage, tmp_path: Path
):
    call = announced(storage)
    host = Host(between=lambda: erased(storage, tmp_path, Host(), call.call_id))
    with pytest.raises(MissingObject):
        fetch(storage, host, call.call_id, tmp_path / "copy")
    assert not list(storage.inbox.list())


def test_an_erasure_waits_for_a_recording_that_is_being_stored(storage: Storage, tmp_path: Path):
    """Otherwise it would search for the recording before it exists, and never again."""
    call = announced(storage)
    recording = of(storage, call.call_id)
    with ThreadPoolExecutor(1) as thread:

        def put() -> None:
            begun.append(thread.submit(erased, storage, tmp_path, Host(), call.call_id))
            with pytest.raises(TimeoutError):
                begun[0].result(0.2)
            storage.inbox.put(f".announced/{recording.key}", b"RIFF")

        begun = []
        storage.announcements.store(recording.key, put)
        assert begun[0].result(60)
    assert not list(storage.inbox.list())
