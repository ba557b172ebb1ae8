"""Erasure of calls: what is deleted, what stays, and how errors are handled.

Dagster's part is in `test_records`, the whole in `tests/e2e/test_personal_data`.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from callpipeline.config import Settings
from callpipeline.domain.calls.call import CallState, DuplicatePolicy, Registration, Stage
from callpipeline.domain.calls.filters import CallFilters
from callpipeline.domain.calls.saved_views import SavedView, ViewPage
from callpipeline.domain.calls.side_files import MetadataTable
from callpipeline.domain.calls.sources import Source
from callpipeline.domain.notifications import EventKind, NotificationEvent, Severity
from callpipeline.errors import ClaimLost, EmptyRecording
from callpipeline.pipeline.erasure import Eraser, ExternalTraces
from callpipeline.storage.erasure import mask_call_ids_in_logs
from callpipeline.storage.sources.recordings import DiscoveryPositions
from callpipeline.wiring import Storage, open_eraser
from tests.builders import (
    a_judgement,
    a_mention,
    a_recording,
    a_split,
    a_transcript,
    a_write,
    channel_files,
    some_metrics,
)
from tests.integration.calls import change, enter, row
from tests.integration.dumps import in_database, in_files, rows

NAME = "zanzibar"
KEY = f"mrs-{NAME}/{NAME}-+447700900123.wav"
SECRETS = [NAME, "7700900123"]


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@dataclass
class FakeExternalEraser:
    """The traces of calls in Dagster and logs: the next of `answers` each time, then none."""

    answers: list[ExternalTraces] = field(default_factory=list)
    requested: list[tuple[list[str], bool]] = field(default_factory=list)

    def __call__(self, call_ids: Sequence[str], thorough: bool) -> ExternalTraces:
        self.requested.append((list(call_ids), thorough))
        return self.answers.pop(0) if self.answers and call_ids else ExternalTraces(0, busy=False)


def an_eraser(storage: Storage, external: FakeExternalEraser, quiet_s: float = 0.0) -> Eraser:
    """Open an eraser with a workspace beside the recordings folder of these tests."""
    home = Path(storage.home.url).parent
    options = Settings(home=home, _env_file=None)  # pyright: ignore[reportCallIssue]
    return open_eraser(options, storage, external, quiet_s=quiet_s)


def eraser_of(storage: Storage, *answers: ExternalTraces, quiet_s: float = 0.0) -> Eraser:
    return an_eraser(storage, FakeExternalEraser(list(answers)), quiet_s=quiet_s)


def put(storage: Storage, key: str = KEY) -> str:
    """Store a recording with a transcript beside it; return its call."""
    storage.inbox.put(key, f"sound of {key}".encode())
    storage.inbox.put(str(Path(key).with_suffix(".srt")), b"1\n00:00:00 --> 00:00:01\nzanzibar")
    recording = storage.inbox.recording(key)
    metadata = {"customer": "Mrs Zanzibar", "agent": "ann"}
    storage.ledger.register([Registration(recording, metadata=metadata)])
    return recording.call_id


def sha256_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def processed(storage: Storage, folder: Path, key: str = KEY) -> str:
    """Store a call with all its results, in which the secret is spoken."""
    call_id = put(storage, key)
    (call,) = storage.claims.claim([call_id], "run-1")
    results = storage.results
    files = channel_files(a_split(), folder / call_id, "sound of zanzibar in")
    results.save_audio(a_write(call_id, Stage.CHANNEL_AUDIO), a_split(), files)
    storage.claims.own_content(call, "run-1", sha256_of(key))
    results.save_metrics(a_write(call_id, Stage.CALL_METRICS), some_metrics())
    said = a_transcript(f"i am {NAME} on 7700900123")
    results.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS), [said])
    mention = a_mention(reason=f"beside {NAME}")
    results.save_mentions(a_write(call_id, Stage.COMPETITOR_MENTIONS), [mention])
    results.save_sentiment(a_write(call_id, Stage.COMPETITOR_SENTIMENT), [a_judgement(mention)])
    assert storage.claims.complete(call_id, "run-1") is CallState.COMPLETED
    return call_id


def traces_of_secret(storage: Storage, settings_home: Path) -> list[str]:
    """Return where the secret is stored."""
    return [*in_database(storage.database.url, SECRETS), *in_files(settings_home, SECRETS)]


@pytest.mark.parametrize("linked", ["file", "folder"])
def test_what_a_link_leads_to_is_not_erased(
    storage: Storage, settings: Settings, tmp_path: Path, linked: str
):
    """A call of an older version, which followed links that lead out of its folder."""
    call_id = processed(storage, tmp_path)
    recording = Path(settings.recordings_url) / KEY
    outside = tmp_path / "outside"
    outside.mkdir()
    kept = outside / recording.name
    if linked == "file":
        recording.rename(kept)
        recording.symlink_to(kept)
    else:
        recording.rename(kept)
        shutil.rmtree(recording.parent)
        recording.parent.symlink_to(outside)
    eraser = eraser_of(storage)
    storage.erasures.begin([call_id], keep_recording=False)
    [attempt] = eraser.finish()
    assert kept.read_bytes()
    if linked == "file":
        assert attempt.trouble is None
        assert not recording.is_symlink()
    else:
        assert "link in recordings leads out" in str(attempt.trouble)
        assert not attempt.finished


def test_everything_of_a_call_is_deleted_and_nothing_of_others(
    storage: Storage, settings: Settings, tmp_path: Path
):
    call_id = processed(storage, tmp_path)
    other = processed(storage, tmp_path, "another.wav")
    change(storage, [other], metadata="'{}'")
    assert len(traces_of_secret(storage, settings.home)) > 6
    before = {table for table, text in _rows(storage) if other in text}
    assert storage.erasures.begin([call_id], keep_recording=False) == [call_id]
    eraser = eraser_of(storage)
    assert [one.finished for one in eraser.finish()] == [False]
    assert [one.finished for one in eraser.finish()] == [True]
    left = [table for table, text in _rows(storage) if call_id in text]
    # The tombstone keeps the content hash, so that the content is not imported again.
    known = ["calls", "contents", "deletions", "erasures", "reading_calls"]
    assert sorted(left) == [f"callpipeline.{table}" for table in known]
    assert not [text for _, text in _rows(storage) if call_id in text and NAME in text]
    assert {table for table, text in _rows(storage) if other in text} == before
    assert in_files(settings.home, [call_id]) == []
    assert storage.inbox.exists("another.wav") and not storage.inbox.exists(KEY)


def _rows(storage: Storage) -> list[tuple[str, str]]:
    return list(rows(storage.database.url, "callpipeline"))


def test_a_tombstone_has_no_personal_data(storage: Storage, tmp_path: Path):
    call_id = processed(storage, tmp_path)
    change(storage, [call_id], started_at="'2026-03-03T01:30:00+02:00'")
    storage.erasures.begin([call_id], keep_recording=False)
    tombstone = row(storage, call_id)
    assert (tombstone["state"], tombstone["key"], tombstone["metadata"]) == (
        "ERASED",
        "(erased)",
        {},
    )
    # The daily marts of its day must be recomputed without it.
    assert tombstone["last_modified"] == datetime(2026, 3, 2, tzinfo=UTC)
    assert in_database(storage.database.url, ["Zanzibar"], "callpipeline") == []


def test_the_same_object_is_not_imported_again(storage: Storage):
    """Even with a new date, and before its content was read."""
    call_id = put(storage)
    recording = storage.inbox.recording(KEY)
    storage.erasures.begin([call_id], keep_recording=True)
    touched = a_recording(KEY, bucket=recording.bucket, etag=recording.etag)
    assert touched.call_id != call_id
    for found in (recording, touched):
        assert storage.ledger.unknown([found]) == []
        (entered,) = storage.ledger.register([Registration(found)])
        assert not entered.is_new
    assert storage.ledger.count() == {CallState.ERASED: 1}
    other = a_recording(KEY, bucket=recording.bucket, etag="of other bytes")
    assert storage.ledger.unknown([other]) == [other]


@pytest.mark.parametrize("policy", DuplicatePolicy)
def test_the_same_content_is_erased_again_when_imported(
    storage: Storage, tmp_path: Path, policy: DuplicatePolicy
):
    call_id = processed(storage, tmp_path)
    storage.erasures.begin([call_id], keep_recording=False)
    eraser = eraser_of(storage)
    eraser.finish()
    storage.inbox.put("again.wav", b"sound")
    found = storage.inbox.recording("again.wav")
    storage.ledger.register([Registration(found, duplicates=policy, sha256=sha256_of(KEY))])
    assert storage.ledger.find(found.call_id).state is CallState.DUPLICATE
    assert eraser.erase_returned() == [found.call_id]
    assert eraser.erase_returned() == []
    eraser.finish()
    assert not storage.inbox.exists("again.wav")
    assert storage.ledger.count() == {CallState.ERASED: 2}


def test_a_recording_to_keep_is_kept_when_imported_again(storage: Storage, tmp_path: Path):
    call_id = processed(storage, tmp_path)
    storage.erasures.begin([call_id], keep_recording=True)
    eraser = eraser_of(storage)
    eraser.finish()
    assert storage.inbox.exists(KEY)
    storage.inbox.put("again.wav", b"sound")
    found = storage.inbox.recording("again.wav")
    storage.ledger.register([Registration(found, sha256=sha256_of(KEY))])
    eraser.erase_returned()
    eraser.finish()
    assert storage.inbox.exists("again.wav")


def test_all_calls_of_the_same_content_are_erased(storage: Storage):
    first, second = enter(storage, "1.wav", "2.wav", sha256="aa")
    process = DuplicatePolicy.PROCESS
    (third,) = enter(storage, "3.wav", sha256="aa", duplicates=process)
    (other,) = enter(storage, "4.wav", sha256="bb")
    wanted = storage.erasures.candidates([second])
    assert {one.call_id for one in wanted} == {first, second, third}
    assert [one.call_id for one in wanted if one.is_asked_for] == [second]
    storage.erasures.begin([one.call_id for one in wanted], keep_recording=False)
    assert storage.ledger.find(other).state is CallState.PENDING
    assert storage.ledger.count() == {CallState.ERASED: 3, CallState.PENDING: 1}


def test_recordings_in_the_same_folder_stay_whatever_its_name(storage: Storage):
    """Twelve digits may be a phone number: no folder is deleted for its name."""
    one, two = (f"447700900123/{name}.wav" for name in ("one", "two"))
    call_id = put(storage, one)
    put(storage, two)
    storage.erasures.begin([call_id], keep_recording=False)
    eraser_of(storage).finish()
    assert not storage.inbox.exists(one)
    assert storage.inbox.exists(two) and storage.inbox.exists("447700900123/two.srt")


def test_metadata_that_the_source_names_after_a_recording_is_erased(storage: Storage):
    """A table about all recordings of a folder stays."""
    call_id, other = put(storage, "in/one.wav"), put(storage, "in/two.wav")
    for key in ("meta/one_info.xml", "meta/two_info.xml", "in/calls.csv"):
        storage.inbox.put(key, b"x")
    table = MetadataTable({"agent": ("agent",)}, file="../meta/{stem}_info.xml")
    source = replace(Source("home", "x"), metadata=table)
    storage.erasures.begin([call_id], keep_recording=False)
    eraser = replace(eraser_of(storage), sources={storage.inbox.name: source})
    eraser.finish()
    keys = {recording.key for recording in storage.inbox.list()}
    assert not keys & {"in/one.wav", "meta/one_info.xml"}
    assert keys >= {"in/two.wav", "meta/two_info.xml", "in/calls.csv"}
    whole = replace(source, metadata=replace(table, file="calls.csv"))
    storage.erasures.begin([other], keep_recording=False)
    replace(eraser, sources={storage.inbox.name: whole}).finish()
    assert storage.inbox.exists("in/calls.csv")


def test_empty_folders_are_removed(storage: Storage, settings: Settings):
    call_id = put(storage, f"from {NAME}/deep/call-1.wav")
    put(storage, "other/call-2.wav")
    storage.erasures.begin([call_id], keep_recording=False)
    eraser_of(storage).finish()
    assert [path.name for path in (settings.home / "recordings").iterdir()] == ["other"]


def test_a_replaced_recording_stays(storage: Storage):
    """A recorder that overwrites `latest.wav` makes a new call each time."""
    call_id = put(storage, "latest.wav")
    storage.inbox.put("latest.wav", b"another conversation")
    new = storage.inbox.recording("latest.wav")
    storage.ledger.register([Registration(new)])
    storage.erasures.begin([call_id], keep_recording=False)
    eraser_of(storage).finish()
    assert storage.erasures.open() == []
    assert storage.inbox.recording("latest.wav") == new
    assert storage.ledger.find(new.call_id).state is CallState.PENDING


def test_a_transcript_beside_another_recording_stays(storage: Storage):
    wav, _ = put(storage, "call-1.wav"), put(storage, "call-1.mp3")
    put(storage, "call-12.wav")
    storage.erasures.begin([wav], keep_recording=False)
    eraser_of(storage).finish()
    left = [found.key for found in storage.inbox.list()]
    assert left == ["call-1.mp3", "call-1.srt", "call-12.srt", "call-12.wav"]


def test_unread_content_is_recognised_when_imported_again(storage: Storage, settings: Settings):
    call_id = put(storage, "unread.wav")
    content = storage.inbox.read("unread.wav")
    storage.erasures.begin([call_id], keep_recording=False)
    eraser_of(storage).finish()
    assert storage.ledger.call_of_content(hashlib.sha256(content).hexdigest()) == call_id
    assert list((settings.home / "tmp").iterdir()) == []


def test_the_temporary_file_of_a_killed_attempt_is_removed_by_the_next(
    storage: Storage, settings: Settings
):
    call_id = put(storage, "unread.wav")
    storage.erasures.begin([call_id], keep_recording=False)
    eraser = eraser_of(storage)
    (settings.home / "tmp" / f"erasing-{call_id}").write_bytes(b"half a recording")
    eraser.finish()
    assert list((settings.home / "tmp").iterdir()) == []


def test_content_without_audio_can_be_imported_again(storage: Storage):
    """Many calls may share it, such as an empty file."""
    (first,) = enter(storage, "1.wav", sha256="of nothing")
    storage.claims.claim([first], "run-1")
    storage.claims.fail(first, "run-1", "channel_audio", EmptyRecording("Nothing in it."))
    storage.erasures.begin([first], keep_recording=False)
    eraser_of(storage).finish()
    (second,) = enter(storage, "2.wav", sha256="of nothing")
    assert storage.ledger.find(second).state is CallState.PENDING
    assert storage.erasures.returned() == []


def test_the_same_content_read_during_an_erasure_is_erased_too(storage: Storage):
    (first,) = enter(storage, "1.wav", sha256="aa")
    process = DuplicatePolicy.PROCESS
    storage.erasures.begin([first], keep_recording=False)
    (second,) = enter(storage, "2.wav", duplicates=process)
    change(storage, [second], sha256="'aa'", state="'COMPLETED'")
    eraser = eraser_of(storage)
    assert eraser.erase_returned() == [second]


def test_many_calls_are_erased_in_batches(storage: Storage):
    ids = enter(storage, *(f"many-{number:04}.wav" for number in range(450)))
    change(storage, ids, bucket="'recordings'")
    assert len(storage.erasures.begin(ids, keep_recording=False)) == 450
    eraser = eraser_of(storage)
    while storage.erasures.open():
        assert len(eraser.finish()) <= 200
    assert storage.ledger.count() == {CallState.ERASED: 450}


def test_calls_of_a_customer_are_found_in_any_case_and_spacing(storage: Storage):
    (hers,) = enter(storage, "1.wav", metadata={"customer": "Mrs Smith"})
    enter(storage, "2.wav", metadata={"customer": "Mrs Smithers"})
    enter(storage, "3.wav", metadata={"agent": "Mrs Smith"})
    enter(storage, "4.wav")
    assert [one.call_id for one in storage.erasures.candidates(customer="mrs smith")] == [hers]
    assert storage.erasures.candidates() == []


def test_a_run_cannot_write_results_of_an_erased_call(storage: Storage, tmp_path: Path):
    call_id = put(storage)
    storage.claims.claim([call_id], "run-1")
    storage.erasures.begin([call_id], keep_recording=False)
    files = channel_files(a_split(), tmp_path / "audio")
    with pytest.raises(ClaimLost):
        storage.results.save_audio(a_write(call_id, Stage.CHANNEL_AUDIO), a_split(), files)
    with pytest.raises(ClaimLost):
        storage.claims.complete(call_id, "run-1")
    assert list(storage.store.list()) == []
    assert storage.claims.claim([call_id], "run-2") == []


def test_an_erasure_is_not_finished_while_a_run_is_in_progress(storage: Storage):
    call_id = put(storage)
    storage.claims.claim([call_id], "run-1")
    storage.erasures.begin([call_id], keep_recording=False)
    eraser = eraser_of(storage)
    for _ in range(3):
        assert [one.finished for one in eraser.finish()] == [False]
    storage.claims.release("run-1")
    assert [one.finished for one in eraser.finish()] == [True]


def test_an_erasure_is_finished_after_a_quiet_period(storage: Storage):
    call_id = put(storage)
    storage.erasures.begin([call_id], keep_recording=False)
    found, going_on, nothing = (
        ExternalTraces(3, False),
        ExternalTraces(0, True),
        ExternalTraces(0, False),
    )
    eraser = eraser_of(storage, found, going_on, nothing, quiet_s=100)
    assert [eraser.finish()[0].finished for _ in range(3)] == [False] * 3
    with storage.database.transaction() as connection:
        connection.execute("UPDATE erasures SET asked_at = now() - interval '101 seconds'")
    assert eraser.finish()[0].finished
    assert eraser.finish() == []


def test_corrected_words_that_an_earlier_version_left_go_when_the_erasure_is_finished(
    storage: Storage, tmp_path: Path
):
    call_id, other = (processed(storage, tmp_path, key) for key in (KEY, "other.wav"))
    storage.erasures.begin([call_id], keep_recording=False)
    left = "INSERT INTO word_corrections (call_id, channel, start_s, end_s, original, text)"
    with storage.database.transaction() as connection:
        for each in (call_id, other):
            connection.execute(f"{left} VALUES (%s, 'left', 0, 1, 'zanzibar', 'Quartz')", [each])
    eraser = eraser_of(storage, ExternalTraces(0, busy=True))
    assert not eraser.finish()[0].finished
    assert storage.words.history(call_id)
    assert eraser.finish()[0].finished
    assert storage.words.history(call_id) == []
    assert storage.words.history(other), "of another call"


def test_a_store_error_is_recorded_and_retried(storage: Storage, tmp_path: Path):
    call_id = processed(storage, tmp_path)
    storage.erasures.begin([call_id], keep_recording=False)
    folder = tmp_path / "data" / "recordings"
    aside = folder.with_name("unmounted")
    folder.rename(aside)
    eraser = eraser_of(storage)
    (attempt,) = eraser.finish()
    assert not attempt.finished
    assert attempt.trouble and "recordings does not exist" in attempt.trouble
    (still,) = storage.erasures.open()
    assert (still.key, still.trouble) == (KEY, attempt.trouble)
    aside.rename(folder)
    assert eraser.finish()[0].trouble is None
    assert storage.erasures.open()[0].key is None
    assert eraser.finish()[0].finished
    assert not storage.inbox.exists(KEY)


def test_a_removed_source_is_reported(storage: Storage):
    (call_id,) = enter(storage, "1.wav", sha256="aa")
    change(storage, [call_id], bucket="'old'")
    storage.erasures.begin([call_id], keep_recording=False)
    (attempt,) = eraser_of(storage).finish()
    assert attempt.trouble and "old, which is not a source any more" in attempt.trouble


def notified(storage: Storage, **about: object) -> str:
    event_id = storage.outbox.add(
        NotificationEvent(EventKind.CUSTOM, Severity.INFO, "A title", **about)  # pyright: ignore
    )
    assert event_id
    return event_id


def test_events_that_mention_a_call_are_deleted_and_no_others(storage: Storage, tmp_path: Path):
    call_id = processed(storage, tmp_path)
    of_call = notified(storage, call_id=call_id, message="anything")
    by_name = notified(storage, message=f"Check {KEY.rpartition('/')[2]}, please.")
    by_id = notified(storage, metadata={"job_id": call_id})
    by_file = notified(storage, metadata={"job_filename": KEY})
    other = notified(storage, message="Check zanzibar-+447700900124.wav")
    longer = notified(storage, message=f"Check x{KEY.rpartition('/')[2]}x")
    storage.erasures.begin([call_id], keep_recording=False)
    eraser_of(storage).finish()
    with storage.database.transaction() as connection:
        found = connection.execute("SELECT event_id::text FROM outbox").fetchall()
    left = {one["event_id"] for one in found}
    assert left == {other, longer}
    assert not left & {of_call, by_name, by_id, by_file}


def test_saved_views_that_name_an_erased_file_are_deleted(storage: Storage):
    call_id, name = put(storage), KEY.rpartition("/")[2]
    views = {
        "by name": SavedView("by name", ViewPage.CALLS, CallFilters(name=name), owner="a"),
        "by words": SavedView("by words", ViewPage.SEARCH, extras=(("words", name),), owner="a"),
        "other": SavedView("other", ViewPage.CALLS, CallFilters(name=f"x{name}"), owner="a"),
    }
    for view in views.values():
        storage.views.add(view)
    storage.erasures.begin([call_id], keep_recording=False)
    eraser_of(storage).finish()
    assert [each.name for each in storage.views.list("a")] == ["other"]


def test_events_of_calls_with_the_same_file_name_stay(storage: Storage):
    mine = put(storage, "line-1/20260301-0001.wav")
    put(storage, "line-2/20260301-0001.wav")
    other = notified(storage, message="20260301-0001.wav sounds odd")
    keyed = notified(storage, message="line-1/20260301-0001.wav sounds odd")
    storage.erasures.begin([mine], keep_recording=True)
    eraser_of(storage).finish()
    with storage.database.transaction() as connection:
        found = connection.execute("SELECT event_id::text FROM outbox").fetchall()
    assert {each["event_id"] for each in found} == {other}
    assert keyed != other


def test_a_short_name_does_not_delete_events_of_others(storage: Storage):
    call_id = put(storage, "a")
    enter(storage, "deep/call.wav", "deeper/call.wav")
    kept_events = {
        notified(storage, message="Take a look"),
        notified(storage, message="call.wav failed"),
    }
    (one, _) = (c.call_id for c in storage.ledger.calls() if c.key.endswith("call.wav"))
    storage.erasures.begin([call_id, one], keep_recording=True)
    eraser_of(storage).finish()
    with storage.database.transaction() as connection:
        found = connection.execute("SELECT event_id::text FROM outbox").fetchall()
    assert {each["event_id"] for each in found} == kept_events


def test_a_scan_in_progress_stores_no_position(storage: Storage):
    """It may have listed the recording before it was deleted."""
    call_id = put(storage)
    positions = DiscoveryPositions(storage.database)
    token, _ = positions.find("home", None)
    positions.save("home", token, json.dumps({"after": KEY}))
    assert positions.find("home", token) == (token, json.dumps({"after": KEY}))
    storage.erasures.begin([call_id], keep_recording=False)
    eraser_of(storage).finish()
    positions.save("home", token, json.dumps({"after": KEY}))
    anew, position = positions.find("home", token)
    assert (anew != token, position) == (True, None)
    assert in_database(storage.database.url, [NAME]) == []


def test_discovery_continues_if_the_recording_is_kept(storage: Storage):
    call_id = put(storage)
    positions = DiscoveryPositions(storage.database)
    token, _ = positions.find("home", None)
    storage.erasures.begin([call_id], keep_recording=True)
    eraser_of(storage).finish()
    assert positions.find("home", token)[0] == token


def test_each_erasure_is_recorded_with_its_reason(storage: Storage, tmp_path: Path):
    call_id = processed(storage, tmp_path)
    storage.erasures.begin([call_id], keep_recording=False, because="ticket 7")
    with storage.database.transaction() as connection:
        noted = connection.execute("SELECT what, why, call_id, items FROM deletions").fetchall()
        because = connection.execute("SELECT because FROM erasures").fetchall()
    assert noted == [{"what": "call", "why": "erasure", "call_id": call_id, "items": 1}]
    assert because == [{"because": "ticket 7"}]


def test_erasing_twice_is_idempotent(storage: Storage, tmp_path: Path):
    call_id = processed(storage, tmp_path)
    assert storage.erasures.begin([call_id], keep_recording=False) == [call_id]
    assert storage.erasures.begin([call_id], keep_recording=True) == []
    assert len(storage.erasures.open()) == 1


def test_a_finished_erasure_can_be_lifted(storage: Storage):
    call_id = put(storage)
    recording = storage.inbox.recording(KEY)
    storage.erasures.begin([call_id], keep_recording=True)
    assert storage.erasures.lift([call_id]) == set()
    eraser = eraser_of(storage)
    eraser.finish()
    eraser.finish()
    assert storage.erasures.lift([call_id]) == {call_id}
    assert storage.ledger.unknown([recording]) == [recording]
    assert storage.ledger.register([Registration(recording)])[0].is_new


def test_lifting_one_erasure_lifts_all_of_the_same_content(storage: Storage):
    """A remaining tombstone would erase the recording again."""
    first, second = enter(storage, "1.wav", "2.wav", sha256="aa")
    storage.erasures.begin([first], keep_recording=True)
    eraser = eraser_of(storage)
    eraser.finish()
    assert eraser.erase_returned() == [second]
    assert storage.erasures.lift([first]) == set()
    eraser.finish()
    assert storage.erasures.lift([first]) == {first, second}
    (again,) = enter(storage, "3.wav", sha256="aa")
    assert storage.ledger.find(again).state is CallState.PENDING
    assert storage.erasures.returned() == []


def test_calls_erased_by_age_are_not_searched_for_in_every_text(storage: Storage):
    requested, aged = put(storage, "requested.wav"), put(storage, "aged.wav")
    storage.erasures.begin([requested], keep_recording=False)
    change(storage, [aged], state="'COMPLETED'", completed_at="now() - interval '1 day'")
    storage.erasures.begin([aged], keep_recording=True, ended_before=datetime.now(UTC))
    external = FakeExternalEraser()
    an_eraser(storage, external).finish()
    assert external.requested == [([requested], True), ([aged], False)]


def test_names_in_logs_are_masked_while_others_write_to_them(tmp_path: Path):
    log = tmp_path / "daemon.log"
    log.write_text("one of 2026-03-02-0123456789ab\nand 2026-03-02-0123456789ab\nrest\n")
    (tmp_path / "empty.log").touch()
    writer = os.open(log, os.O_WRONLY | os.O_APPEND)
    assert mask_call_ids_in_logs(tmp_path, ["2026-03-02-0123456789ab"]) == 2
    os.write(writer, b"more\n")
    os.close(writer)
    gone = "x" * 23
    assert log.read_text() == f"one of {gone}\nand {gone}\nrest\nmore\n"
    assert mask_call_ids_in_logs(tmp_path / "none", ["word"]) == 0
