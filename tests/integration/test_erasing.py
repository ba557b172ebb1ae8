"""Erasing: what goes with a call, what stays of it, and what is done where something is in the way.

Dagster's part is in `test_records`, all of it together in `tests/e2e/test_personal_data`.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from callpipeline.config import Settings
from callpipeline.domain.call import CallState, DuplicatePolicy, Registration, Stage
from callpipeline.domain.notification import EventKind, Occurrence, Severity
from callpipeline.errors import ClaimLost, EmptyRecording
from callpipeline.pipeline.erasing import Eraser, Traces
from callpipeline.storage.log_files import mask
from callpipeline.storage.positions import Positions
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
class Elsewhere:
    """What Dagster and logs have of calls; each look finds the next of `answers`, then nothing."""

    answers: list[Traces] = field(default_factory=list)
    asked: list[tuple[list[str], bool]] = field(default_factory=list)

    def __call__(self, call_ids: Sequence[str], thorough: bool) -> Traces:
        self.asked.append((list(call_ids), thorough))
        return self.answers.pop(0) if self.answers and call_ids else Traces(0, busy=False)


def opened(storage: Storage, elsewhere: Elsewhere, quiet_s: float = 0.0) -> Eraser:
    """Its workspace is beside the folder of recordings, which every one of these tests has."""
    home = Path(storage.home.url).parent
    options = Settings(home=home, _env_file=None)  # pyright: ignore[reportCallIssue]
    return open_eraser(options, storage, elsewhere, quiet_s=quiet_s)


def eraser(storage: Storage, *answers: Traces, quiet_s: float = 0.0) -> Eraser:
    return opened(storage, Elsewhere(list(answers)), quiet_s=quiet_s)


def put(storage: Storage, key: str = KEY) -> str:
    """A recording in the inbox, with a transcript beside it, and its call."""
    storage.inbox.put(key, f"sound of {key}".encode())
    storage.inbox.put(str(Path(key).with_suffix(".srt")), b"1\n00:00:00 --> 00:00:01\nzanzibar")
    recording = storage.inbox.recording(key)
    metadata = {"customer": "Mrs Zanzibar", "agent": "ann"}
    storage.ledger.register([Registration(recording, metadata=metadata)])
    return recording.call_id


def sha256_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def processed(storage: Storage, folder: Path, key: str = KEY) -> str:
    """A call with everything that is kept of one, in which the secret is said."""
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


def kept(storage: Storage, settings_home: Path) -> list[str]:
    """Where the secret stands."""
    return [*in_database(storage.database.url, SECRETS), *in_files(settings_home, SECRETS)]


def test_everything_of_a_call_goes_and_nothing_of_another(
    storage: Storage, settings: Settings, tmp_path: Path
):
    call_id = processed(storage, tmp_path)
    other = processed(storage, tmp_path, "another.wav")
    change(storage, [other], metadata="'{}'")
    assert len(kept(storage, settings.home)) > 6
    before = {table for table, text in _rows(storage) if other in text}
    assert storage.erasures.begin([call_id], keep_recording=False) == [call_id]
    at_hand = eraser(storage)
    assert [one.finished for one in at_hand.finish()] == [False]
    assert [one.finished for one in at_hand.finish()] == [True]
    left = [table for table, text in _rows(storage) if call_id in text]
    # Of what bytes it was made is known, so that these do not come in again; and that it is gone.
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
    # The day on which it took place is to be counted without it.
    assert tombstone["last_modified"] == datetime(2026, 3, 2, tzinfo=UTC)
    assert in_database(storage.database.url, ["Zanzibar"], "callpipeline") == []


def test_the_same_object_does_not_come_in_again(storage: Storage):
    """Also where it is touched on another day, and before anybody has read it."""
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
def test_the_same_bytes_are_erased_again_when_they_come_in(
    storage: Storage, tmp_path: Path, policy: DuplicatePolicy
):
    call_id = processed(storage, tmp_path)
    storage.erasures.begin([call_id], keep_recording=False)
    at_hand = eraser(storage)
    at_hand.finish()
    storage.inbox.put("again.wav", b"sound")
    found = storage.inbox.recording("again.wav")
    storage.ledger.register([Registration(found, duplicates=policy, sha256=sha256_of(KEY))])
    assert storage.ledger.find(found.call_id).state is CallState.DUPLICATE
    assert at_hand.take_returned() == [found.call_id]
    assert at_hand.take_returned() == []
    at_hand.finish()
    assert not storage.inbox.exists("again.wav")
    assert storage.ledger.count() == {CallState.ERASED: 2}


def test_a_recording_that_was_to_stay_stays_also_when_it_comes_in_again(
    storage: Storage, tmp_path: Path
):
    call_id = processed(storage, tmp_path)
    storage.erasures.begin([call_id], keep_recording=True)
    at_hand = eraser(storage)
    at_hand.finish()
    assert storage.inbox.exists(KEY)
    storage.inbox.put("again.wav", b"sound")
    found = storage.inbox.recording("again.wav")
    storage.ledger.register([Registration(found, sha256=sha256_of(KEY))])
    at_hand.take_returned()
    at_hand.finish()
    assert storage.inbox.exists("again.wav")


def test_with_a_call_go_all_of_the_same_bytes(storage: Storage):
    first, second = enter(storage, "1.wav", "2.wav", sha256="aa")
    process = DuplicatePolicy.PROCESS
    (third,) = enter(storage, "3.wav", sha256="aa", duplicates=process)
    (other,) = enter(storage, "4.wav", sha256="bb")
    wanted = storage.erasures.wanted([second])
    assert {one.call_id for one in wanted} == {first, second, third}
    assert [one.call_id for one in wanted if one.is_asked_for] == [second]
    storage.erasures.begin([one.call_id for one in wanted], keep_recording=False)
    assert storage.ledger.find(other).state is CallState.PENDING
    assert storage.ledger.count() == {CallState.ERASED: 3, CallState.PENDING: 1}


def test_recordings_beside_it_stay_whatever_their_folder_is_called(storage: Storage):
    """Twelve digits may be a phone number: no folder goes by the look of its name."""
    one, two = (f"447700900123/{name}.wav" for name in ("one", "two"))
    call_id = put(storage, one)
    put(storage, two)
    storage.erasures.begin([call_id], keep_recording=False)
    eraser(storage).finish()
    assert not storage.inbox.exists(one)
    assert storage.inbox.exists(two) and storage.inbox.exists("447700900123/two.srt")


def test_folders_in_which_nothing_is_left_go_with_their_names(storage: Storage, settings: Settings):
    call_id = put(storage, f"from {NAME}/deep/call-1.wav")
    put(storage, "other/call-2.wav")
    storage.erasures.begin([call_id], keep_recording=False)
    eraser(storage).finish()
    assert [path.name for path in (settings.home / "recordings").iterdir()] == ["other"]


def test_a_recording_that_took_its_place_stays(storage: Storage):
    """A recorder that writes to `latest.wav` makes a call each time."""
    call_id = put(storage, "latest.wav")
    storage.inbox.put("latest.wav", b"another conversation")
    new = storage.inbox.recording("latest.wav")
    storage.ledger.register([Registration(new)])
    storage.erasures.begin([call_id], keep_recording=False)
    eraser(storage).finish()
    assert storage.erasures.open() == []
    assert storage.inbox.recording("latest.wav") == new
    assert storage.ledger.find(new.call_id).state is CallState.PENDING


def test_a_transcript_that_lies_beside_another_recording_too_stays(storage: Storage):
    wav, _ = put(storage, "call-1.wav"), put(storage, "call-1.mp3")
    put(storage, "call-12.wav")
    storage.erasures.begin([wav], keep_recording=False)
    eraser(storage).finish()
    left = [found.key for found in storage.inbox.list()]
    assert left == ["call-1.mp3", "call-1.srt", "call-12.srt", "call-12.wav"]


def test_bytes_that_nobody_had_read_are_known_again_too(storage: Storage, settings: Settings):
    call_id = put(storage, "unread.wav")
    content = storage.inbox.read("unread.wav")
    storage.erasures.begin([call_id], keep_recording=False)
    eraser(storage).finish()
    assert storage.ledger.call_of_content(hashlib.sha256(content).hexdigest()) == call_id
    assert list((settings.home / "tmp").iterdir()) == []


def test_what_a_killed_look_left_of_a_recording_goes_with_the_next(
    storage: Storage, settings: Settings
):
    call_id = put(storage, "unread.wav")
    storage.erasures.begin([call_id], keep_recording=False)
    at_hand = eraser(storage)
    (settings.home / "tmp" / f"erasing-{call_id}").write_bytes(b"half a recording")
    at_hand.finish()
    assert list((settings.home / "tmp").iterdir()) == []


def test_bytes_that_are_no_sound_are_not_kept_out(storage: Storage):
    """Many calls may share them, as those of an empty file."""
    (first,) = enter(storage, "1.wav", sha256="of nothing")
    storage.claims.claim([first], "run-1")
    storage.claims.fail(first, "run-1", "channel_audio", EmptyRecording("Nothing in it."))
    storage.erasures.begin([first], keep_recording=False)
    eraser(storage).finish()
    (second,) = enter(storage, "2.wav", sha256="of nothing")
    assert storage.ledger.find(second).state is CallState.PENDING
    assert storage.erasures.returned() == []


def test_what_was_read_while_the_first_was_erased_is_erased_too(storage: Storage):
    (first,) = enter(storage, "1.wav", sha256="aa")
    process = DuplicatePolicy.PROCESS
    storage.erasures.begin([first], keep_recording=False)
    (second,) = enter(storage, "2.wav", duplicates=process)
    change(storage, [second], sha256="'aa'", state="'COMPLETED'")
    at_hand = eraser(storage)
    assert at_hand.take_returned() == [second]


def test_many_calls_are_erased_in_pieces(storage: Storage):
    ids = enter(storage, *(f"many-{number:04}.wav" for number in range(450)))
    change(storage, ids, bucket="'recordings'")
    assert len(storage.erasures.begin(ids, keep_recording=False)) == 450
    at_hand = eraser(storage)
    while storage.erasures.open():
        assert len(at_hand.finish()) <= 200
    assert storage.ledger.count() == {CallState.ERASED: 450}


def test_calls_of_a_customer_are_found_by_the_name_as_people_write_it(storage: Storage):
    (hers,) = enter(storage, "1.wav", metadata={"customer": "Mrs Smith"})
    enter(storage, "2.wav", metadata={"customer": "Mrs Smithers"})
    enter(storage, "3.wav", metadata={"agent": "Mrs Smith"})
    enter(storage, "4.wav")
    assert [one.call_id for one in storage.erasures.wanted(customer="mrs smith")] == [hers]
    assert storage.erasures.wanted() == []


def test_a_run_at_work_on_it_writes_nothing_more(storage: Storage, tmp_path: Path):
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


def test_it_is_not_finished_while_its_run_is_at_work(storage: Storage):
    call_id = put(storage)
    storage.claims.claim([call_id], "run-1")
    storage.erasures.begin([call_id], keep_recording=False)
    at_hand = eraser(storage)
    for _ in range(3):
        assert [one.finished for one in at_hand.finish()] == [False]
    storage.claims.give_back("run-1")
    assert [one.finished for one in at_hand.finish()] == [True]


def test_it_is_finished_when_nothing_was_found_for_a_while(storage: Storage):
    call_id = put(storage)
    storage.erasures.begin([call_id], keep_recording=False)
    found, going_on, nothing = Traces(3, False), Traces(0, True), Traces(0, False)
    at_hand = eraser(storage, found, going_on, nothing, quiet_s=100)
    assert [at_hand.finish()[0].finished for _ in range(3)] == [False] * 3
    with storage.database.transaction() as connection:
        connection.execute("UPDATE erasures SET asked_at = now() - interval '101 seconds'")
    assert at_hand.finish()[0].finished
    assert at_hand.finish() == []


def test_what_a_store_refuses_is_told_and_tried_again(storage: Storage, tmp_path: Path):
    call_id = processed(storage, tmp_path)
    storage.erasures.begin([call_id], keep_recording=False)
    folder = tmp_path / "data" / "recordings"
    aside = folder.with_name("unmounted")
    folder.rename(aside)
    at_hand = eraser(storage)
    (looked,) = at_hand.finish()
    assert not looked.finished
    assert looked.trouble and "recordings is not there" in looked.trouble
    (still,) = storage.erasures.open()
    assert (still.key, still.trouble) == (KEY, looked.trouble)
    aside.rename(folder)
    assert at_hand.finish()[0].trouble is None
    assert storage.erasures.open()[0].key is None
    assert at_hand.finish()[0].finished
    assert not storage.inbox.exists(KEY)


def test_a_recording_of_a_source_that_is_gone_is_told(storage: Storage):
    (call_id,) = enter(storage, "1.wav", sha256="aa")
    change(storage, [call_id], bucket="'old'")
    storage.erasures.begin([call_id], keep_recording=False)
    (looked,) = eraser(storage).finish()
    assert looked.trouble and "old, which is no source any more" in looked.trouble


def told(storage: Storage, **about: object) -> str:
    event_id = storage.outbox.add(
        Occurrence(EventKind.CUSTOM, Severity.INFO, "A title", **about)  # pyright: ignore
    )
    assert event_id
    return event_id


def test_what_people_were_to_be_told_goes_and_nothing_else_of_it(storage: Storage, tmp_path: Path):
    call_id = processed(storage, tmp_path)
    of_call = told(storage, call_id=call_id, message="anything")
    by_name = told(storage, message=f"Look at {KEY.rpartition('/')[2]}, please.")
    by_id = told(storage, metadata={"job_id": call_id})
    by_file = told(storage, metadata={"job_filename": KEY})
    other = told(storage, message="Look at zanzibar-+447700900124.wav")
    longer = told(storage, message=f"Look at x{KEY.rpartition('/')[2]}x")
    storage.erasures.begin([call_id], keep_recording=False)
    eraser(storage).finish()
    with storage.database.transaction() as connection:
        found = connection.execute("SELECT event_id::text FROM outbox").fetchall()
    left = {one["event_id"] for one in found}
    assert left == {other, longer}
    assert not left & {of_call, by_name, by_id, by_file}


def test_messages_of_calls_with_the_same_file_name_stay(storage: Storage):
    mine = put(storage, "line-1/20260301-0001.wav")
    put(storage, "line-2/20260301-0001.wav")
    other = told(storage, message="20260301-0001.wav sounds odd")
    keyed = told(storage, message="line-1/20260301-0001.wav sounds odd")
    storage.erasures.begin([mine], keep_recording=True)
    eraser(storage).finish()
    with storage.database.transaction() as connection:
        found = connection.execute("SELECT event_id::text FROM outbox").fetchall()
    assert {each["event_id"] for each in found} == {other}
    assert keyed != other


def test_a_short_name_does_not_take_messages_of_others_with_it(storage: Storage):
    call_id = put(storage, "a")
    enter(storage, "deep/call.wav", "deeper/call.wav")
    kept_events = {told(storage, message="Take a look"), told(storage, message="call.wav failed")}
    (one, _) = (c.call_id for c in storage.ledger.calls() if c.key.endswith("call.wav"))
    storage.erasures.begin([call_id, one], keep_recording=True)
    eraser(storage).finish()
    with storage.database.transaction() as connection:
        found = connection.execute("SELECT event_id::text FROM outbox").fetchall()
    assert {each["event_id"] for each in found} == kept_events


def test_a_look_for_recordings_that_was_under_way_writes_no_position(storage: Storage):
    """It may have met the recording before it was deleted."""
    call_id = put(storage)
    positions = Positions(storage.database)
    token, _ = positions.find("home", None)
    positions.keep("home", token, json.dumps({"after": KEY}))
    assert positions.find("home", token) == (token, json.dumps({"after": KEY}))
    storage.erasures.begin([call_id], keep_recording=False)
    eraser(storage).finish()
    positions.keep("home", token, json.dumps({"after": KEY}))
    anew, position = positions.find("home", token)
    assert (anew != token, position) == (True, None)
    assert in_database(storage.database.url, [NAME]) == []


def test_where_the_recording_stays_looking_goes_on_where_it_was(storage: Storage):
    call_id = put(storage)
    positions = Positions(storage.database)
    token, _ = positions.find("home", None)
    storage.erasures.begin([call_id], keep_recording=True)
    eraser(storage).finish()
    assert positions.find("home", token)[0] == token


def test_each_erasure_is_recorded_with_its_reason(storage: Storage, tmp_path: Path):
    call_id = processed(storage, tmp_path)
    storage.erasures.begin([call_id], keep_recording=False, because="ticket 7")
    with storage.database.transaction() as connection:
        noted = connection.execute("SELECT what, why, call_id, items FROM deletions").fetchall()
        because = connection.execute("SELECT because FROM erasures").fetchall()
    assert noted == [{"what": "call", "why": "erasure", "call_id": call_id, "items": 1}]
    assert because == [{"because": "ticket 7"}]


def test_to_erase_twice_is_like_once(storage: Storage, tmp_path: Path):
    call_id = processed(storage, tmp_path)
    assert storage.erasures.begin([call_id], keep_recording=False) == [call_id]
    assert storage.erasures.begin([call_id], keep_recording=True) == []
    assert len(storage.erasures.open()) == 1


def test_an_erasure_can_be_lifted_when_it_is_finished(storage: Storage):
    call_id = put(storage)
    recording = storage.inbox.recording(KEY)
    storage.erasures.begin([call_id], keep_recording=True)
    assert storage.erasures.lift([call_id]) == set()
    at_hand = eraser(storage)
    at_hand.finish()
    at_hand.finish()
    assert storage.erasures.lift([call_id]) == {call_id}
    assert storage.ledger.unknown([recording]) == [recording]
    assert storage.ledger.register([Registration(recording)])[0].is_new


def test_to_lift_one_lifts_all_of_the_same_bytes_when_they_are_finished(storage: Storage):
    """A tombstone that stayed would have the recording erased again."""
    first, second = enter(storage, "1.wav", "2.wav", sha256="aa")
    storage.erasures.begin([first], keep_recording=True)
    at_hand = eraser(storage)
    at_hand.finish()
    assert at_hand.take_returned() == [second]
    assert storage.erasures.lift([first]) == set()
    at_hand.finish()
    assert storage.erasures.lift([first]) == {first, second}
    (again,) = enter(storage, "3.wav", sha256="aa")
    assert storage.ledger.find(again).state is CallState.PENDING
    assert storage.erasures.returned() == []


def test_what_went_by_its_age_is_not_searched_for_in_every_text(storage: Storage):
    asked, aged = put(storage, "asked.wav"), put(storage, "aged.wav")
    storage.erasures.begin([asked], keep_recording=False)
    change(storage, [aged], state="'COMPLETED'", completed_at="now() - interval '1 day'")
    storage.erasures.begin([aged], keep_recording=True, ended_before=datetime.now(UTC))
    elsewhere = Elsewhere()
    opened(storage, elsewhere).finish()
    assert elsewhere.asked == [([asked], True), ([aged], False)]


def test_names_in_logs_are_masked_while_others_write_to_them(tmp_path: Path):
    log = tmp_path / "daemon.log"
    log.write_text("one of 2026-03-02-0123456789ab\nand 2026-03-02-0123456789ab\nrest\n")
    (tmp_path / "empty.log").touch()
    writer = os.open(log, os.O_WRONLY | os.O_APPEND)
    assert mask(tmp_path, ["2026-03-02-0123456789ab"]) == 2
    os.write(writer, b"more\n")
    os.close(writer)
    gone = "x" * 23
    assert log.read_text() == f"one of {gone}\nand {gone}\nrest\nmore\n"
    assert mask(tmp_path / "none", ["word"]) == 0
