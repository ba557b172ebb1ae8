"""What is particular to results in Postgres; the rest is in `tests/contracts`."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import psycopg
import pytest
import stamina
from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.domain.audio import Channel
from callpipeline.domain.calls.call import Registration, Stage
from callpipeline.errors import ClaimLost, DatabaseUnavailable, MissingObject
from callpipeline.pipeline.reading.documents import call_document
from callpipeline.storage.objects.urls import ObjectStore
from callpipeline.storage.postgres import tables
from callpipeline.storage.postgres.database import Database, Row
from callpipeline.storage.results.results import Results
from callpipeline.wiring import Storage
from tests.builders import (
    CATALOG,
    a_judgement,
    a_mention,
    a_recording,
    a_split,
    a_transcript,
    a_write,
    channel_files,
    some_metrics,
)
from tests.fakes.storage import InMemoryRecordings
from tests.processes import until


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def call_id(storage: Storage) -> str:
    storage.ledger.register([Registration(a_recording())])
    (call,) = storage.claims.claim([a_recording().call_id], "run-1")
    return call.call_id


def rows(storage: Storage, table: str) -> list[dict[str, object]]:
    with storage.database.transaction() as connection:
        return connection.execute(f"SELECT * FROM {table}".encode()).fetchall()


def test_segments_are_rows(storage: Storage, call_id: str):
    said = a_transcript("hello there", "goodbye")
    storage.results.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS), [said])
    assert [
        (row["segment_index"], row["speaker"], row["text"]) for row in rows(storage, "segments")
    ] == [
        (0, "agent", "hello there"),
        (1, "agent", "goodbye"),
    ]
    (head,) = rows(storage, "transcripts")
    assert (head["word_count"], head["reliable"], head["unheard_s"]) == (3, True, None)


def test_unheard_speech_is_stored_and_read_back(storage: Storage, call_id: str, tmp_path: Path):
    split = a_split()
    files = channel_files(split, tmp_path)
    storage.results.save_audio(a_write(call_id, Stage.CHANNEL_AUDIO), split, files)
    measured = replace(a_transcript("hello there"), unheard_s=12.4)
    supplied = a_transcript("good morning", channel=Channel.RIGHT)
    write = a_write(call_id, Stage.TRANSCRIPTS)
    storage.results.save_transcripts(write, [measured, supplied])
    read = {each.channel: each.unheard_s for each in storage.results.transcripts(call_id)}
    assert read == {Channel.LEFT: 12.4, Channel.RIGHT: None}
    detail = storage.calls.find(call_id)
    assert detail is not None
    assert {each.channel: each.unheard_s for each in detail.channels} == read
    document = call_document(storage, storage.ledger.find(call_id))
    assert [each["unheard_s"] for each in document["transcripts"]] == [12.4, None]
    with storage.database.transaction() as connection:
        view = connection.execute("SELECT channel, unheard_s FROM analytics.channels").fetchall()
    assert {Channel(row["channel"]): row["unheard_s"] for row in view} == read


def test_a_stage_is_recorded_with_its_run_and_engine(storage: Storage, call_id: str):
    storage.results.save_catalog(CATALOG)
    storage.results.save_catalog(CATALOG)
    write = a_write(call_id, Stage.COMPETITOR_MENTIONS, catalog=CATALOG)
    storage.results.save_mentions(write, [])
    (stage,) = rows(storage, "call_stages")
    assert (stage["stage"], stage["run_id"], stage["engine"], stage["catalog_version"]) == (
        "competitor_mentions", "run-1", "by hand", CATALOG.version,
    )  # fmt: skip
    assert storage.ledger.find(call_id).stages == (Stage.COMPETITOR_MENTIONS,)


def test_a_run_without_its_claim_writes_no_row(storage: Storage, call_id: str, tmp_path: Path):
    """Objects may be written, under keys that the next writer overwrites."""
    storage.claims.reclaim(["run-1"])
    storage.claims.claim([call_id], "run-2")
    files = channel_files(a_split(), tmp_path)
    results = storage.results
    with pytest.raises(ClaimLost):
        results.save_audio(a_write(call_id, Stage.CHANNEL_AUDIO), a_split(), files)
    with pytest.raises(ClaimLost):
        results.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS), [a_transcript("late")])
    for table in ("recordings", "channels", "transcripts", "segments", "call_stages"):
        assert rows(storage, table) == [], table


def test_a_failed_write_changes_nothing(storage: Storage, call_id: str):
    write = a_write(call_id, Stage.COMPETITOR_MENTIONS)
    storage.results.save_mentions(write, [a_mention()])
    broken = replace(a_mention("Sky"), status="perhaps")  # pyright: ignore[reportArgumentType]
    with pytest.raises(psycopg.errors.CheckViolation):
        storage.results.save_mentions(write, [broken])
    assert storage.results.mentions(call_id) == (a_mention(),)


class CuttingStore(InMemoryRecordings):
    """Store that cuts every database connection on its first put."""

    def __init__(self, database_url: str) -> None:
        super().__init__()
        self.database_url = database_url

    def put(self, key: str, content: bytes | Path) -> None:
        super().put(key, content)
        if len(self.put_keys) == 1:
            with psycopg.connect(self.database_url, autocommit=True) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )


def test_an_interrupted_write_is_repeated_completely(
    storage: Storage, call_id: str, database_url: str
):
    store = CuttingStore(database_url)
    results = Results(storage.database, cast("ObjectStore", store))
    said = [a_transcript("hello there"), a_transcript("hi", channel=Channel.RIGHT)]
    with stamina.set_testing(True, attempts=3):
        results.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS), said)
    assert len(store.put_keys) == 1 + 2  # nothing more over the connection that was cut
    assert [row["text"] for row in rows(storage, "segments")] == ["hello there", "hi"]
    assert len(rows(storage, "call_stages")) == 1
    assert results.transcripts(call_id) == tuple(said)


def test_a_suspended_run_that_was_declared_dead_puts_nothing(
    storage: Storage, call_id: str, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    """It resumes with its rows written and its connection cut; another run has the claim."""
    store, insert = InMemoryRecordings(), tables.insert

    def stopped(connection: Connection[DictRow], table: str, segments: Sequence[Row]) -> int:
        inserted = insert(connection, table, segments)
        if table == "segments" and storage.claims.reclaim(["run-1"]):
            storage.claims.claim([call_id], "run-2")
        return inserted

    monkeypatch.setattr(tables, "insert", stopped)
    with Database(database_url, run_id="run-1") as database:
        zombie = Results(database, cast("ObjectStore", store))
        with stamina.set_testing(True, attempts=3), pytest.raises(ClaimLost):
            zombie.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS), [a_transcript("late")])
    assert store.put_keys == []


class StoreWhileReleased(InMemoryRecordings):
    """Store that reclaims the run's calls during its first put."""

    def __init__(self, storage: Storage) -> None:
        super().__init__()
        self.storage = storage
        self.reclaim = threading.Thread(target=storage.claims.reclaim, args=[["run-1"]])

    def put(self, key: str, content: bytes | Path) -> None:
        super().put(key, content)
        if not self.reclaim.ident:
            self.reclaim.start()
            until(lambda: _waits_for_a_lock(self.storage), "the release waits for the call")


def test_a_claim_cannot_be_reclaimed_during_a_write(storage: Storage, call_id: str):
    """Reclaiming waits for the write, which has locked the row and is complete."""
    store = StoreWhileReleased(storage)
    results = Results(storage.database, cast("ObjectStore", store))
    said = [a_transcript("hello there"), a_transcript("hi", channel=Channel.RIGHT)]
    results.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS), said)
    store.reclaim.join()
    assert results.transcripts(call_id) == tuple(said)
    with pytest.raises(ClaimLost):
        results.save_metrics(a_write(call_id, Stage.CALL_METRICS), some_metrics())


def _waits_for_a_lock(storage: Storage) -> bool:
    with storage.database.transaction() as connection:
        row = connection.execute(
            "SELECT count(*) AS waiting FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchone()
    return bool(row and row["waiting"])


def test_a_transcript_without_its_object_is_missing(storage: Storage, call_id: str):
    storage.results.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS), [a_transcript("x")])
    storage.store.delete(f"calls/{call_id}/transcript.left.json")
    with pytest.raises(MissingObject):
        storage.results.transcripts(call_id)


def test_all_rows_are_deleted_with_their_call(storage: Storage, call_id: str, tmp_path: Path):
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


def test_a_stage_lost_in_a_failover_is_recomputed(storage: Storage, call_id: str):
    """After a failover, a stage of this run may be missing through no fault of the call."""
    mention = a_mention()
    write = a_write(call_id, Stage.COMPETITOR_SENTIMENT)
    with pytest.raises(DatabaseUnavailable, match="lost the results of an earlier stage"):
        storage.results.save_sentiment(write, [a_judgement(mention)])
    assert rows(storage, "call_stages") == []
