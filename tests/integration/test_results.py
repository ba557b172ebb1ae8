"""What is particular to results in Postgres; the rest is in `tests/contracts`."""

import threading
from pathlib import Path

import psycopg
import pytest

from callpipeline.domain.audio import Channel
from callpipeline.domain.call import Stage
from callpipeline.errors import ClaimLost, MissingObject
from callpipeline.wiring import Storage
from tests.builders import (
    CATALOG,
    a_mention,
    a_recording,
    a_split,
    a_transcript,
    a_write,
    channel_files,
    some_metrics,
)
from tests.processes import until


@pytest.fixture
def call_id(storage: Storage) -> str:
    storage.ledger.register([a_recording()])
    (call,) = storage.ledger.claim([a_recording().call_id], "run-1")
    return call.call_id


def rows(storage: Storage, table: str) -> list[dict[str, object]]:
    with storage.database.transaction() as connection:
        return connection.execute(f"SELECT * FROM {table}".encode()).fetchall()


def test_segments_are_rows_that_sql_can_read(storage: Storage, call_id: str):
    said = a_transcript("hello there", "goodbye")
    storage.results.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS), [said])
    assert [
        (row["segment_index"], row["speaker"], row["text"]) for row in rows(storage, "segments")
    ] == [
        (0, "agent", "hello there"),
        (1, "agent", "goodbye"),
    ]
    (head,) = rows(storage, "transcripts")
    assert (head["word_count"], head["reliable"]) == (3, True)


def test_a_stage_is_remembered_with_who_made_it(storage: Storage, call_id: str):
    storage.results.remember_catalog(CATALOG)
    storage.results.remember_catalog(CATALOG)
    write = a_write(call_id, Stage.COMPETITOR_MENTIONS, catalog=CATALOG)
    storage.results.save_mentions(write, [])
    (stage,) = rows(storage, "call_stages")
    assert (stage["stage"], stage["run_id"], stage["engine"], stage["catalog_version"]) == (
        "competitor_mentions", "run-1", "by hand", CATALOG.version,
    )  # fmt: skip
    assert storage.ledger.find(call_id).stages == (Stage.COMPETITOR_MENTIONS,)


def test_a_zombie_run_leaves_no_row_behind(storage: Storage, call_id: str, tmp_path: Path):
    """Objects aside: those are written before, under keys that the next writer overwrites."""
    storage.ledger.release(["run-1"])
    storage.ledger.claim([call_id], "run-2")
    files = channel_files(a_split(), tmp_path)
    results = storage.results
    with pytest.raises(ClaimLost):
        results.save_audio(a_write(call_id, Stage.CHANNEL_AUDIO), a_split(), files)
    with pytest.raises(ClaimLost):
        results.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS), [a_transcript("late")])
    for table in ("recordings", "channels", "transcripts", "segments", "call_stages"):
        assert rows(storage, table) == [], table


def test_a_write_that_fails_half_way_leaves_what_was_there(storage: Storage, call_id: str):
    write = a_write(call_id, Stage.COMPETITOR_MENTIONS)
    storage.results.save_mentions(write, [a_mention()])
    from dataclasses import replace

    broken = replace(a_mention("Sky"), status="perhaps")  # pyright: ignore[reportArgumentType]
    with pytest.raises(psycopg.errors.CheckViolation):
        storage.results.save_mentions(write, [broken])
    assert storage.results.mentions(call_id) == (a_mention(),)


def test_a_claim_cannot_be_taken_over_in_the_middle_of_a_write(
    storage: Storage, call_id: str, database_url: str
):
    """The release waits for the write that holds the call's row, and the write is whole."""
    released = threading.Event()

    def release() -> None:
        storage.ledger.release(["run-1"])
        released.set()

    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute("SET search_path TO callpipeline")
        other.execute("BEGIN")
        # What a write in progress holds:
        other.execute("SELECT 1 FROM calls WHERE call_id = %s FOR UPDATE", [call_id])
        thread = threading.Thread(target=release)
        thread.start()
        until(lambda: _waits_for_a_lock(storage), "the release waits for the row")
        assert not released.is_set()
        other.execute("COMMIT")
        thread.join()
    with pytest.raises(ClaimLost):
        storage.results.save_metrics(a_write(call_id, Stage.CALL_METRICS), some_metrics())


def _waits_for_a_lock(storage: Storage) -> bool:
    with storage.database.transaction() as connection:
        row = connection.execute(
            "SELECT count(*) AS waiting FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchone()
    return bool(row and row["waiting"])


def test_a_transcript_whose_object_is_gone_is_missing(storage: Storage, call_id: str):
    storage.results.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS), [a_transcript("x")])
    storage.store.delete(f"calls/{call_id}/transcript.left.json")
    with pytest.raises(MissingObject):
        storage.results.transcripts(call_id)


def test_a_deleted_call_takes_all_its_rows_with_it(storage: Storage, call_id: str, tmp_path: Path):
    results = storage.results
    results.save_audio(
        a_write(call_id, Stage.CHANNEL_AUDIO), a_split(), channel_files(a_split(), tmp_path)
    )
    results.save_metrics(a_write(call_id, Stage.CALL_METRICS), some_metrics())
    said = [a_transcript("x", channel=Channel.RIGHT)]
    results.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS), said)
    results.save_mentions(a_write(call_id, Stage.COMPETITOR_MENTIONS), [a_mention()])
    with storage.database.transaction() as connection:
        connection.execute("DELETE FROM calls WHERE call_id = %s", [call_id])
    for table in ("recordings", "channels", "call_metrics", "transcripts", "segments", "mentions",
                  "sentiment", "call_stages"):  # fmt: skip
        assert rows(storage, table) == [], table
