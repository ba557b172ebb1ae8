"""What is kept of calls goes when its time is over, no sooner, and each deletion is recorded."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from callpipeline.config import Settings
from callpipeline.domain.call import CallState, DuplicatePolicy, Stage, needed_for
from callpipeline.domain.retention import Kept, Periods
from callpipeline.errors import MissingObject, SettingsInvalid
from callpipeline.pipeline.retention import Deleted, Retention
from callpipeline.storage.retention import Retained
from callpipeline.wiring import Storage, open_retention, periods
from tests.builders import a_split, a_write, channel_files
from tests.integration.calls import change, enter
from tests.integration.telling import Desk
from tests.integration.test_erasing import eraser, processed

NOW = datetime(2026, 11, 25, 3, 40, tzinfo=UTC)
OLD, YOUNG = "old.wav", "young.wav"


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


def kept_for(storage: Storage, **days: int) -> Retention:
    return Retention(
        Retained(storage.database),
        storage.erasures,
        storage.recordings,
        storage.store,
        Periods({kept: days.get(kept) for kept in Kept}),
        storage.announcements,
    )


@pytest.fixture
def calls(storage: Storage, tmp_path: Path) -> Mapping[str, str]:
    """A call that was completed 91 days ago, and one of 89 days ago."""
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


def counts(done: list[Deleted]) -> dict[str, int]:
    return {one.what: one.items for one in done}


def test_nothing_goes_where_no_period_is_set(storage: Storage, calls: Mapping[str, str]):
    at_hand = kept_for(storage)
    assert at_hand.plan(NOW) == at_hand.apply(NOW) == []
    assert recorded(storage) == []


def test_audio_goes_when_its_time_is_over_and_all_else_stays(
    storage: Storage, calls: Mapping[str, str]
):
    at_hand = kept_for(storage, audio=90)
    assert counts(at_hand.plan(NOW)) == {"audio": 1}
    assert counts(at_hand.apply(NOW)) == {"audio": 1}
    assert objects(storage, calls[OLD]) == ["transcript.left.json"]
    assert objects(storage, calls[YOUNG]) == ["left.flac", "right.flac", "transcript.left.json"]
    assert recorded(storage) == [("channel_audio", "retention", calls[OLD], 2)]
    assert storage.results.transcripts(calls[OLD])
    with pytest.raises(
        MissingObject, match="channel_audio of call .* was deleted on .*`callpipeline retention`"
    ):
        storage.results.fetch_channel(calls[OLD], a_split().channels[0].channel, Path("unused"))
    # Twice is like once.
    assert counts(at_hand.plan(NOW)) == counts(at_hand.apply(NOW)) == {"audio": 0}


def test_transcripts_go_with_the_words_and_leave_how_many_there_were(
    storage: Storage, calls: Mapping[str, str]
):
    assert counts(kept_for(storage, transcripts=90).apply(NOW)) == {"transcripts": 1}
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


def test_what_needs_a_deleted_transcript_leaves_the_call_as_it_is(
    storage: Storage, calls: Mapping[str, str]
):
    """A new competitor list over all calls must not make FAILED ones of those."""
    kept_for(storage, transcripts=90).apply(NOW)
    wanted = [Stage.COMPETITOR_MENTIONS, Stage.COMPETITOR_SENTIMENT]
    taken = storage.claims.claim(
        list(calls.values()), "run-2", anew=wanted, needed=needed_for(wanted)
    )
    assert [call.call_id for call in taken] == [calls[YOUNG]]
    old = storage.ledger.find(calls[OLD])
    assert old.state is CallState.COMPLETED
    assert Stage.TRANSCRIPTS not in old.stages and Stage.CHANNEL_AUDIO in old.stages


def test_what_is_made_anew_of_an_old_call_is_there_and_goes_the_next_night(
    storage: Storage, calls: Mapping[str, str], tmp_path: Path
):
    at_hand = kept_for(storage, audio=90)
    at_hand.apply(NOW)
    (call,) = storage.claims.claim([calls[OLD]], "run-2")
    assert Stage.CHANNEL_AUDIO not in call.stages_done
    files = channel_files(a_split(), tmp_path / "anew")
    write = a_write(calls[OLD], Stage.CHANNEL_AUDIO, "run-2")
    storage.results.save_audio(write, a_split(), files)
    assert storage.claims.complete(calls[OLD], "run-2") is CallState.COMPLETED
    assert Stage.CHANNEL_AUDIO in storage.ledger.find(calls[OLD]).stages
    assert counts(at_hand.apply(NOW)) == {"audio": 1}


def test_to_judge_a_call_anew_is_no_reason_to_keep_it_longer(
    storage: Storage, calls: Mapping[str, str]
):
    """A new competitor list every month would keep recordings for ever."""
    storage.claims.claim([calls[OLD]], "run-2", anew=[Stage.COMPETITOR_SENTIMENT])
    judged = a_write(calls[OLD], Stage.COMPETITOR_SENTIMENT, "run-2")
    storage.results.save_sentiment(judged, [])
    assert storage.claims.complete(calls[OLD], "run-2") is CallState.COMPLETED
    done = counts(kept_for(storage, recordings=90, audio=90, results=90).apply(NOW))
    assert done == {"recordings": 1, "audio": 1, "results": 1}


def test_recordings_go_where_they_arrived_with_what_lies_beside_them(
    storage: Storage, calls: Mapping[str, str]
):
    assert counts(kept_for(storage, recordings=90).apply(NOW)) == {"recordings": 1}
    assert [found.key for found in storage.inbox.list()] == ["young.srt", YOUNG]
    assert recorded(storage) == [("recording", "retention", calls[OLD], 2)]
    assert storage.ledger.find(calls[OLD]).state is CallState.COMPLETED


def test_when_the_time_of_all_results_is_over_a_call_is_erased(
    storage: Storage, calls: Mapping[str, str]
):
    assert counts(kept_for(storage, results=90).apply(NOW)) == {"results": 1}
    (erasure,) = storage.erasures.open()
    assert (erasure.call_id, erasure.by_retention) == (calls[OLD], True)
    at_hand = eraser(storage)
    at_hand.finish()
    assert objects(storage, calls[OLD]) == []
    assert storage.ledger.count() == {CallState.COMPLETED: 1, CallState.ERASED: 1}
    # Nobody asked for the recording to go, and it does not come in again.
    recording = storage.inbox.recording(OLD)
    assert storage.ledger.unknown([recording]) == []


def test_with_a_period_of_its_own_the_recording_goes_with_the_call(
    storage: Storage, calls: Mapping[str, str]
):
    done = counts(kept_for(storage, recordings=90, results=90).apply(NOW))
    assert done == {"recordings": 1, "results": 1}
    assert not storage.inbox.exists(OLD)


@pytest.mark.parametrize("state", ["PENDING", "PROCESSING"])
def test_a_call_that_is_under_way_again_is_left_alone(
    storage: Storage, calls: Mapping[str, str], state: str
):
    holder = "'run-9'" if state == "PROCESSING" else "NULL"
    change(storage, [calls[OLD]], state=f"'{state}'", claimed_by=holder)
    at_hand = kept_for(storage, recordings=1, audio=1, transcripts=1, results=90)
    at_hand.apply(NOW)
    assert len(objects(storage, calls[OLD])) == 3
    assert storage.inbox.exists(OLD)


def test_a_call_that_is_taken_just_now_is_left_alone(storage: Storage, calls: Mapping[str, str]):
    """Between the look for what is due and its deletion."""
    retained = Retained(storage.database)
    then = NOW - timedelta(days=90)
    [(due, _)] = retained.due(Kept.AUDIO, then)
    storage.claims.claim([due], "run-2")
    assert not retained.delete(Kept.AUDIO, due, then, lambda row: pytest.fail("it is taken"))
    assert storage.erasures.begin([due], keep_recording=True, ended_before=then) == []


def test_a_store_that_does_not_answer_keeps_nothing_else_from_going(
    storage: Storage, calls: Mapping[str, str], tmp_path: Path
):
    recordings = tmp_path / "data" / "recordings"
    recordings.rename(recordings.with_name("unmounted"))
    done = kept_for(storage, recordings=90, audio=90).apply(NOW)
    assert counts(done) == {"recordings": 0, "audio": 1}
    (wrong,) = [one.trouble for one in done if one.trouble]
    assert "recordings is not there" in wrong
    recordings.with_name("unmounted").rename(recordings)
    assert counts(kept_for(storage, recordings=90).apply(NOW)) == {"recordings": 1}


def test_calls_of_a_source_that_is_gone_keep_none_of_the_others(
    storage: Storage, calls: Mapping[str, str]
):
    gone = enter(storage, *(f"{number}.wav" for number in range(20)))
    then = f"timestamptz '{NOW - timedelta(days=99)}'"
    change(storage, gone, state="'COMPLETED'", completed_at=then, bucket="'old'")
    assert max(gone) < calls[OLD], "they come first"
    (done,) = kept_for(storage, recordings=90).apply(NOW)
    assert (done.items, "no source any more" in (done.trouble or "")) == (1, True)
    assert not storage.inbox.exists(OLD)


def test_a_recording_that_took_the_place_of_an_old_one_stays(
    storage: Storage, calls: Mapping[str, str]
):
    storage.inbox.put(OLD, b"another conversation")
    assert counts(kept_for(storage, recordings=90).apply(NOW)) == {"recordings": 1}
    assert storage.inbox.read(OLD) == b"another conversation"
    assert storage.inbox.exists("old.srt")


def test_bytes_of_what_went_by_its_age_may_come_in_again(storage: Storage):
    """Else a young call of the same bytes, as of empty files, would go with an old one."""
    process = DuplicatePolicy.PROCESS
    old, linked = enter(storage, "1.wav", "2.wav", sha256="aa")
    (young,) = enter(storage, "3.wav", sha256="aa", duplicates=process)
    then = f"timestamptz '{NOW - timedelta(days=99)}'"
    change(storage, [old], state="'COMPLETED'", completed_at=then)
    kept_for(storage, results=90).apply(NOW)
    assert storage.ledger.find(old).state is CallState.ERASED
    assert storage.erasures.returned() == []
    assert storage.ledger.call_of_content("aa") == young
    (call,) = storage.claims.claim([young], "run-2")
    storage.claims.own_content(call, "run-2", "aa")
    assert storage.ledger.find(young).state is CallState.PROCESSING
    assert storage.ledger.find(linked).state is CallState.DUPLICATE


def test_many_calls_go_in_pieces(storage: Storage):
    names = [f"{number:04}.wav" for number in range(1203)]
    then = f"timestamptz '{NOW - timedelta(days=99)}'"
    change(storage, enter(storage, *names), state="'COMPLETED'", completed_at=then)
    at_hand = kept_for(storage, results=90)
    assert counts(at_hand.plan(NOW)) == counts(at_hand.apply(NOW)) == {"results": 1203}


def test_what_people_were_told_goes_when_it_is_over(storage: Storage):
    desk = Desk(storage)
    desk.fail("1.wav")
    desk.look()
    old = kept_for(storage, notifications=90)
    later = desk.now + timedelta(days=92)
    # It is not known to be over.
    assert counts(old.apply(later)) == {"notifications": 0}
    desk.look(after_s=86_400)
    assert counts(old.plan(later)) == {"notifications": 1}
    assert counts(old.apply(desk.now + timedelta(days=60))) == {"notifications": 0}
    assert counts(old.apply(later)) == {"notifications": 1}
    for table in ("outbox", "notifications", "deliveries", "incidents"):
        with storage.database.transaction() as connection:
            assert connection.execute(f"SELECT * FROM {table}".encode()).fetchall() == [], table


def test_periods_are_days_of_the_settings_and_nought_is_for_ever(settings: Settings):
    assert periods(settings).days == {
        **dict.fromkeys(Kept),
        Kept.DAGSTER: 30,
        Kept.NOTIFICATIONS: 90,
    }


def test_recordings_are_not_kept_longer_than_who_knows_of_them(
    settings: Settings, storage: Storage
):
    chosen = settings.model_copy(update={"keep_recordings_days": 9, "keep_results_days": 8})
    with pytest.raises(SettingsInvalid, match="KEEP_RECORDINGS_DAYS is more than"):
        open_retention(chosen, storage)
