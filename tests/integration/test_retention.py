"""Deletion by retention period: on time, no sooner, and recorded."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from callpipeline.config import Settings
from callpipeline.domain.calls.call import (
    CallState,
    DuplicatePolicy,
    RetentionClass,
    RetentionPeriods,
    Stage,
    missing_dependencies,
)
from callpipeline.errors import MissingObject, SettingsInvalid
from callpipeline.pipeline.erasure import DeletionResult, Retention
from callpipeline.storage.erasure import RetentionStore
from callpipeline.wiring import Storage, open_retention
from callpipeline.wiring.stores import retention_periods
from tests.builders import a_split, a_write, channel_files
from tests.integration.calls import change, enter
from tests.integration.dumps import in_database
from tests.integration.notifying import NotificationDesk
from tests.integration.test_erasure import eraser_of, processed

NOW = datetime(2026, 11, 25, 3, 40, tzinfo=UTC)
OLD, YOUNG = "old.wav", "young.wav"


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


def retention_of(storage: Storage, **days: int) -> Retention:
    return Retention(
        RetentionStore(storage.database),
        storage.erasures,
        storage.recordings,
        storage.store,
        RetentionPeriods({each: days.get(each) for each in RetentionClass}),
        storage.announcements,
    )


@pytest.fixture
def calls(storage: Storage, tmp_path: Path) -> Mapping[str, str]:
    """Return a call completed 91 days ago, and one completed 89 days ago."""
    ids = {name: processed(storage, tmp_path, name) for name in (OLD, YOUNG)}
    for name, days in ((OLD, 91), (YOUNG, 89)):
        then = f"timestamptz '{NOW - timedelta(days=days)}'"
        change(storage, [ids[name]], completed_at=then, first_ended_at=then)
        _age(storage, ids[name], then)
    return ids


def _age(storage: Storage, call_id: str, then: str) -> None:
    with storage.database.transaction() as connection:
        statement = f"UPDATE call_stages SET stored_at = {then} WHERE call_id = %s"
        connection.execute(statement.encode(), [call_id])


def objects(storage: Storage, call_id: str) -> list[str]:
    return [found.key.rpartition("/")[2] for found in storage.store.list(f"calls/{call_id}")]


def recorded(storage: Storage) -> list[tuple[Any, ...]]:
    with storage.database.transaction() as connection:
        rows = connection.execute("SELECT what, why, call_id, items FROM deletions ORDER BY 1, 3")
        return [tuple(row.values()) for row in rows]


def counts(done: list[DeletionResult]) -> dict[str, int]:
    return {one.what: one.items for one in done}


def test_without_a_period_nothing_is_deleted(storage: Storage, calls: Mapping[str, str]):
    retention = retention_of(storage)
    assert retention.plan(NOW) == retention.apply(NOW) == []
    assert recorded(storage) == []


def test_audio_is_deleted_after_its_period_and_all_else_stays(
    storage: Storage, calls: Mapping[str, str]
):
    retention = retention_of(storage, audio=90)
    assert counts(retention.plan(NOW)) == {"audio": 1}
    assert counts(retention.apply(NOW)) == {"audio": 1}
    assert objects(storage, calls[OLD]) == ["transcript.left.json"]
    assert objects(storage, calls[YOUNG]) == ["left.flac", "right.flac", "transcript.left.json"]
    assert recorded(storage) == [("channel_audio", "retention", calls[OLD], 2)]
    assert storage.results.transcripts(calls[OLD])
    with pytest.raises(
        MissingObject, match="channel_audio of call .* was deleted on .*`callpipeline retention`"
    ):
        storage.results.fetch_channel(calls[OLD], a_split().channels[0].channel, Path("unused"))
    # A second deletion changes nothing.
    assert counts(retention.plan(NOW)) == counts(retention.apply(NOW)) == {"audio": 0}


def test_transcripts_are_deleted_and_word_counts_stay(storage: Storage, calls: Mapping[str, str]):
    assert counts(retention_of(storage, transcripts=90).apply(NOW)) == {"transcripts": 1}
    assert objects(storage, calls[OLD]) == ["left.flac", "right.flac"]
    with storage.database.transaction() as connection:
        said = connection.execute("SELECT DISTINCT call_id FROM segments").fetchall()
        words = connection.execute("SELECT call_id, word_count FROM transcripts").fetchall()
    assert [row["call_id"] for row in said] == [calls[YOUNG]]
    assert len(words) == 2 and all(row["word_count"] for row in words)
    assert storage.results.mentions(calls[OLD])
    verdicts = {j.quote for j in storage.results.judgements(calls[OLD])}
    assert verdicts == {""}, "which quoted the words"
    assert {j.quote for j in storage.results.judgements(calls[YOUNG])} != {""}
    with pytest.raises(MissingObject, match="transcripts of call .* was deleted on"):
        storage.results.transcripts(calls[OLD])


def test_corrected_words_are_deleted_with_their_transcript(
    storage: Storage, calls: Mapping[str, str]
):
    for call_id in calls.values():
        [segment] = storage.calls.segments(call_id)
        place = (segment.channel, segment.index)
        storage.words.correct(call_id, place, "i am Mrs Quartz", seen=segment.text, by="ann")
    retention_of(storage, transcripts=90).apply(NOW)
    assert storage.words.history(calls[OLD]) == []
    [kept] = storage.words.history(calls[YOUNG])
    assert "Quartz" in kept.correction.text
    retention_of(storage, transcripts=80).apply(NOW)
    assert in_database(storage.database.url, ["Quartz", "zanzibar on 7700900123"]) == []


def test_a_stage_without_its_deleted_transcript_does_not_fail_the_call(
    storage: Storage, calls: Mapping[str, str]
):
    """A rematch of all calls must not fail these."""
    retention_of(storage, transcripts=90).apply(NOW)
    wanted = [Stage.COMPETITOR_MENTIONS, Stage.COMPETITOR_SENTIMENT]
    taken = storage.claims.claim(
        list(calls.values()), "run-2", recompute=wanted, required=missing_dependencies(wanted)
    )
    assert [call.call_id for call in taken] == [calls[YOUNG]]
    old = storage.ledger.find(calls[OLD])
    assert old.state is CallState.COMPLETED
    assert Stage.TRANSCRIPTS not in old.stages and Stage.CHANNEL_AUDIO in old.stages


def test_a_new_result_of_an_old_call_is_deleted_the_next_night(
    storage: Storage, calls: Mapping[str, str], tmp_path: Path
):
    retention = retention_of(storage, audio=90)
    retention.apply(NOW)
    (call,) = storage.claims.claim([calls[OLD]], "run-2")
    assert Stage.CHANNEL_AUDIO not in call.stages_done
    files = channel_files(a_split(), tmp_path / "anew")
    write = a_write(calls[OLD], Stage.CHANNEL_AUDIO, "run-2")
    storage.results.save_audio(write, a_split(), files)
    assert storage.claims.complete(calls[OLD], "run-2") is CallState.COMPLETED
    assert Stage.CHANNEL_AUDIO in storage.ledger.find(calls[OLD]).stages
    assert counts(retention.apply(NOW)) == {"audio": 1}


def test_judging_a_call_again_does_not_extend_its_retention(
    storage: Storage, calls: Mapping[str, str]
):
    """A new competitor list every month would keep recordings permanently."""
    storage.claims.claim([calls[OLD]], "run-2", recompute=[Stage.COMPETITOR_SENTIMENT])
    judged = a_write(calls[OLD], Stage.COMPETITOR_SENTIMENT, "run-2")
    storage.results.save_sentiment(judged, [])
    assert storage.claims.complete(calls[OLD], "run-2") is CallState.COMPLETED
    done = counts(retention_of(storage, recordings=90, audio=90, results=90).apply(NOW))
    assert done == {"recordings": 1, "audio": 1, "results": 1}


def test_recordings_are_deleted_at_their_source_with_their_sidecars(
    storage: Storage, calls: Mapping[str, str]
):
    assert counts(retention_of(storage, recordings=90).apply(NOW)) == {"recordings": 1}
    assert [found.key for found in storage.inbox.list()] == ["young.srt", YOUNG]
    assert recorded(storage) == [("recording", "retention", calls[OLD], 2)]
    assert storage.ledger.find(calls[OLD]).state is CallState.COMPLETED


def test_a_call_is_erased_after_the_period_of_its_results(
    storage: Storage, calls: Mapping[str, str]
):
    assert counts(retention_of(storage, results=90).apply(NOW)) == {"results": 1}
    (erasure,) = storage.erasures.open()
    assert (erasure.call_id, erasure.by_retention) == (calls[OLD], True)
    retention = eraser_of(storage)
    retention.finish()
    assert objects(storage, calls[OLD]) == []
    assert storage.ledger.count() == {CallState.COMPLETED: 1, CallState.ERASED: 1}
    # The recording has no period: it stays, and is not imported again.
    recording = storage.inbox.recording(OLD)
    assert storage.ledger.unknown([recording]) == []


def test_a_recording_with_a_period_is_deleted_with_the_call(
    storage: Storage, calls: Mapping[str, str]
):
    done = counts(retention_of(storage, recordings=90, results=90).apply(NOW))
    assert done == {"recordings": 1, "results": 1}
    assert not storage.inbox.exists(OLD)


@pytest.mark.parametrize("state", ["PENDING", "PROCESSING"])
def test_a_call_in_progress_is_skipped(storage: Storage, calls: Mapping[str, str], state: str):
    holder = "'run-9'" if state == "PROCESSING" else "NULL"
    change(storage, [calls[OLD]], state=f"'{state}'", claimed_by=holder)
    retention = retention_of(storage, recordings=1, audio=1, transcripts=1, results=90)
    retention.apply(NOW)
    assert len(objects(storage, calls[OLD])) == 3
    assert storage.inbox.exists(OLD)


def test_a_call_claimed_meanwhile_is_skipped(storage: Storage, calls: Mapping[str, str]):
    """Claimed between the query of due calls and the deletion."""
    retained = RetentionStore(storage.database)
    then = NOW - timedelta(days=90)
    [(due, _)] = retained.due(RetentionClass.AUDIO, then)
    storage.claims.claim([due], "run-2")
    assert not retained.delete(
        RetentionClass.AUDIO, due, then, lambda row: pytest.fail("it is taken")
    )
    assert storage.erasures.begin([due], keep_recording=True, ended_before=then) == []


def test_an_unavailable_store_does_not_affect_other_deletions(
    storage: Storage, calls: Mapping[str, str], tmp_path: Path
):
    recordings = tmp_path / "data" / "recordings"
    recordings.rename(recordings.with_name("unmounted"))
    done = retention_of(storage, recordings=90, audio=90).apply(NOW)
    assert counts(done) == {"recordings": 0, "audio": 1}
    (wrong,) = [one.trouble for one in done if one.trouble]
    assert "recordings does not exist" in wrong
    recordings.with_name("unmounted").rename(recordings)
    assert counts(retention_of(storage, recordings=90).apply(NOW)) == {"recordings": 1}


def test_calls_of_a_removed_source_do_not_affect_the_others(
    storage: Storage, calls: Mapping[str, str]
):
    gone = enter(storage, *(f"{number}.wav" for number in range(20)))
    then = f"timestamptz '{NOW - timedelta(days=99)}'"
    change(storage, gone, state="'COMPLETED'", completed_at=then, bucket="'old'")
    assert max(gone) < calls[OLD], "they come first"
    (done,) = retention_of(storage, recordings=90).apply(NOW)
    assert (done.items, "not a source any more" in (done.trouble or "")) == (1, True)
    assert not storage.inbox.exists(OLD)


def test_a_replaced_recording_stays(storage: Storage, calls: Mapping[str, str]):
    storage.inbox.put(OLD, b"another conversation")
    assert counts(retention_of(storage, recordings=90).apply(NOW)) == {"recordings": 1}
    assert storage.inbox.read(OLD) == b"another conversation"
    assert storage.inbox.exists("old.srt")


def test_content_of_calls_erased_by_age_may_be_imported_again(storage: Storage):
    """Otherwise a new call with the same content, such as an empty file, would be erased too."""
    process = DuplicatePolicy.PROCESS
    old, linked = enter(storage, "1.wav", "2.wav", sha256="aa")
    (young,) = enter(storage, "3.wav", sha256="aa", duplicates=process)
    then = f"timestamptz '{NOW - timedelta(days=99)}'"
    change(storage, [old], state="'COMPLETED'", completed_at=then)
    retention_of(storage, results=90).apply(NOW)
    assert storage.ledger.find(old).state is CallState.ERASED
    assert storage.erasures.returned() == []
    assert storage.ledger.call_of_content("aa") == young
    (call,) = storage.claims.claim([young], "run-2")
    storage.claims.own_content(call, "run-2", "aa")
    assert storage.ledger.find(young).state is CallState.PROCESSING
    assert storage.ledger.find(linked).state is CallState.DUPLICATE


def test_many_calls_are_erased_in_batches(storage: Storage):
    names = [f"{number:04}.wav" for number in range(1203)]
    then = f"timestamptz '{NOW - timedelta(days=99)}'"
    change(storage, enter(storage, *names), state="'COMPLETED'", completed_at=then)
    retention = retention_of(storage, results=90)
    assert counts(retention.plan(NOW)) == counts(retention.apply(NOW)) == {"results": 1203}


def test_notifications_of_closed_incidents_are_deleted(storage: Storage):
    desk = NotificationDesk(storage)
    desk.fail("1.wav")
    desk.deliver()
    old = retention_of(storage, notifications=90)
    later = desk.now + timedelta(days=92)
    # The incident is not known to be over.
    assert counts(old.apply(later)) == {"notifications": 0}
    desk.deliver(after_s=86_400)
    assert counts(old.plan(later)) == {"notifications": 1}
    assert counts(old.apply(desk.now + timedelta(days=60))) == {"notifications": 0}
    assert counts(old.apply(later)) == {"notifications": 1}
    for table in ("outbox", "notifications", "deliveries", "incidents"):
        with storage.database.transaction() as connection:
            assert connection.execute(f"SELECT * FROM {table}".encode()).fetchall() == [], table


def test_periods_are_in_days_and_zero_keeps_permanently(settings: Settings):
    assert retention_periods(settings).days == {
        **dict.fromkeys(RetentionClass),
        RetentionClass.DAGSTER: 30,
        RetentionClass.NOTIFICATIONS: 90,
        RetentionClass.AUDIT: 365,
    }


def test_recordings_are_not_kept_longer_than_their_calls(settings: Settings, storage: Storage):
    chosen = settings.model_copy(update={"keep_recordings_days": 9, "keep_results_days": 8})
    with pytest.raises(SettingsInvalid, match="KEEP_RECORDINGS_DAYS exceeds"):
        open_retention(chosen, storage)
