"""Calls that are imported from the system that callpipeline replaces, and its database."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection, sql
from psycopg.rows import DictRow, dict_row

from callpipeline.domain.calls.call import CallState, Recording, Stage
from callpipeline.domain.calls.legacy import IMPORTED_BUCKET
from callpipeline.errors import DatabaseUnavailable, MissingObject, SettingsInvalid
from callpipeline.storage.objects import keys
from callpipeline.storage.objects.ports import ObjectStore
from callpipeline.storage.ports.imports import (
    ImportedCall,
    ImportOutcome,
    OldJob,
    OldRow,
)
from callpipeline.storage.postgres import tables
from callpipeline.storage.postgres.database import Database, Row, sanitize_text
from callpipeline.storage.postgres.sql import query
from callpipeline.storage.results import serialization
from callpipeline.storage.results.decisions import corrections, reviews
from callpipeline.storage.results.serialization import transcript_to_json

RUN = "import-legacy"
"""First word of the run id of imported stages; the fingerprint follows."""
ENGINE = "imported"
PAGE = 200
NO_RECORDING = (
    "This call was imported from another system, without its recording: upload the recording."
)
JOB_COLUMNS = ("id", "filename", "status", "created_at")
RESULT_COLUMNS = ("id", "job_id", "competitor_name", "segment_text", "sentiment")
"""Columns that every installation must have; later versions added others."""


class Imports:
    """Stores imported calls. Implements `ImportStore`.

    A repeated import writes the same rows and objects, and leaves alone what has been changed here
    since: calls that were recomputed, erased ones, and those with masks that it would take off.
    """

    def __init__(self, database: Database, store: ObjectStore, rule_version: int) -> None:
        self._database = database
        self._store = store
        self._rule_version = rule_version

    def save(self, call: ImportedCall) -> ImportOutcome:
        """Store a call with its results. Raises DatabaseUnavailable or StoreUnavailable."""
        return self._database.with_retry(lambda connection: self._save(connection, call))

    def _save(self, connection: Connection[DictRow], call: ImportedCall) -> ImportOutcome:
        run_id = " ".join([RUN, call.fingerprint, *sorted(call.masked_kinds)])
        found = connection.execute(query("imports/lock"), {"call_id": call.call_id}).fetchone()
        if found:
            if found["state"] == CallState.ERASED:
                return ImportOutcome.ERASED
            if found["runs"] == [run_id]:
                return ImportOutcome.UNCHANGED
            if any(not run.startswith(RUN) for run in found["runs"]) or not is_ended(found):
                return ImportOutcome.CHANGED_HERE
            if not _kinds_masked_before(found) <= set(call.masked_kinds):
                return ImportOutcome.CHANGED_HERE
        connection.execute(query("imports/put_call"), _call_row(call))
        self._put_results(connection, call)
        self._put_stages(connection, call, run_id)
        # Inside the transaction: if it fails, the next import puts the same keys.
        for transcript in call.transcripts:
            key = keys.transcript(call.call_id, transcript.channel)
            self._store.put(key, transcript_to_json(transcript))
        return ImportOutcome.UPDATED if found else ImportOutcome.NEW

    @staticmethod
    def _put_results(connection: Connection[DictRow], call: ImportedCall) -> None:
        call_id = call.call_id
        heads = [serialization.transcript_row(call_id, each) for each in call.transcripts]
        segments = [
            serialization.segment_row(call_id, s) for t in call.transcripts for s in t.segments
        ]
        mentions = [serialization.mention_row(call_id, each) for each in call.mentions]
        judged = [serialization.judgement_row(call_id, each) for each in call.judgements]
        tables.replace(connection, "transcripts", "call_id", [call_id], heads)
        tables.insert(connection, "segments", segments)
        masked = [serialization.masked_row(call_id, *each) for each in enumerate(call.masked)]
        tables.replace(connection, "redactions", "call_id", [call_id], masked)
        # Masks move the mentions after them; decisions on those move along.
        ids = {"call_id": call_id, "mention_ids": [row["mention_id"] for row in mentions]}
        starts = {"starts": [each.start_s for each in call.mentions]}
        connection.execute(query("reviews/follow"), ids | starts)
        tables.replace(connection, "mentions", "call_id", [call_id], mentions)
        # Their quotes may be older than the masks.
        connection.execute(query("results/forget_replaced"), {"call_id": call_id})
        tables.insert(connection, "sentiment", judged)
        reviews.apply(connection, call_id, call.mentions)
        corrections.apply(connection, call_id)

    def _put_stages(self, connection: Connection[DictRow], call: ImportedCall, run_id: str) -> None:
        """Record the stages that have results. The mentions count as found with today's list."""
        connection.execute(query("imports/delete_stages"), {"call_id": call.call_id})
        current = connection.execute(query("imports/current_list")).fetchone()
        version = current["version"] if current else None
        ended = call.state is CallState.COMPLETED
        stages = [Stage.TRANSCRIPTS] if call.transcripts else []
        stages += [Stage.COMPETITOR_MENTIONS, Stage.COMPETITOR_SENTIMENT]
        if not ended and not call.transcripts and not call.mentions:
            # A failed job has no results; this records its import, so that a repeat sees it.
            stages = [Stage.COMPETITOR_MENTIONS]
        for stage in stages:
            is_found = stage is not Stage.TRANSCRIPTS
            row = {"call_id": call.call_id, "stage": stage, "run_id": run_id, "engine": ENGINE}
            row |= {"catalog_version": version if is_found else None}
            row |= {"rule_version": self._rule_version if is_found else None}
            is_sentiment = stage is Stage.COMPETITOR_SENTIMENT
            row |= {"stored_at": call.judged_at if is_sentiment else call.ended_at}
            connection.execute(query("imports/put_stage"), row)


class ImportedRecordings:
    """The recordings of imported calls, of which there are none. Implements `RecordingStore`."""

    name = IMPORTED_BUCKET

    def fetch(self, key: str, into: Path, etag: str | None = None) -> None:
        """Raises MissingObject."""
        raise MissingObject(NO_RECORDING)

    def beside(self, stem: str) -> Sequence[str]:
        """Return nothing: there are no files beside them."""
        return ()

    def read(self, key: str) -> bytes:
        """Raises MissingObject."""
        raise MissingObject(NO_RECORDING)

    def recording(self, key: str) -> Recording:
        """Raises MissingObject."""
        raise MissingObject(NO_RECORDING)

    def exists(self, key: str) -> bool:
        return False

    def delete(self, key: str) -> None:
        return

    def remove_empty_folders(self, key: str) -> None:
        return


def _kinds_masked_before(row: Row) -> set[str]:
    """Return the kinds that the last import masked: another one must not bring them back."""
    of_runs = {kind for run in row["runs"] for kind in run.split()[2:]}
    return of_runs | set(row["masked"])


def is_ended(row: Row) -> bool:
    return row["state"] in (CallState.COMPLETED, CallState.FAILED)


def _call_row(call: ImportedCall) -> Row:
    recording, failed = call.recording, call.state is CallState.FAILED
    return {
        "call_id": call.call_id,
        "bucket": recording.bucket,
        "key": recording.key,
        "etag": recording.etag,
        "size_bytes": recording.size_bytes,
        "last_modified": recording.last_modified,
        "state": call.state,
        "error_class": "ImportedFailure" if failed else None,
        "error_message": sanitize_text(call.error_message or "") if failed else None,
        "error_transient": False if failed else None,
        "created_at": call.created_at,
        "ended_at": call.ended_at,
    }


class LegacyDatabase:
    """The old system's tables `jobs` and `sentiment_results`. Implements `OldDatabase`.

    It reads in one snapshot, page by page, and changes nothing.
    """

    def __init__(self, connection: Connection[DictRow]) -> None:
        """Raises SettingsInvalid if the database doesn't have these tables."""
        self._connection = connection
        self._jobs = self._columns("jobs", JOB_COLUMNS)
        self._results = self._columns("sentiment_results", RESULT_COLUMNS)

    def count(self) -> int:
        return self._scalar("SELECT count(*) FROM jobs")

    def jobs(self) -> Iterator[OldJob]:
        """Yield the jobs, oldest first, with their sentiment results."""
        name = "callpipeline_import"
        with self._connection.cursor(name=name) as cursor:
            cursor.itersize = PAGE
            order = sql.SQL(" ORDER BY created_at NULLS FIRST, id")
            cursor.execute(self._select("jobs", self._jobs) + order)
            while page := cursor.fetchmany(PAGE):
                results = self._results_of([row["id"] for row in page])
                for row in page:
                    yield OldJob(row, results.get(str(row["id"]), []))

    def orphans(self) -> list[str]:
        """Return the ids of sentiment results without a job."""
        rows = self._connection.execute(
            "SELECT r.id::text AS id FROM sentiment_results r WHERE NOT EXISTS"
            " (SELECT FROM jobs j WHERE j.id::text = r.job_id::text) ORDER BY 1"
        )
        return [row["id"] for row in rows.fetchall()]

    def _results_of(self, job_ids: list[Any]) -> dict[str, list[OldRow]]:
        condition = sql.SQL(" WHERE job_id::text = ANY(%s) ORDER BY job_id::text, id")
        statement = self._select("sentiment_results", self._results) + condition
        rows = self._connection.execute(statement, [[str(job_id) for job_id in job_ids]])
        found = groupby(rows.fetchall(), key=lambda row: str(row["job_id"]))
        return {job_id: list(group) for job_id, group in found}

    @staticmethod
    def _select(table: str, columns: list[str]) -> sql.Composed:
        """Select columns as text where Postgres and Python may disagree on their values."""
        named = sql.SQL(", ").join(
            sql.SQL("{0}::text").format(sql.Identifier(column))
            if column.endswith("_at")
            else sql.Identifier(column)
            for column in columns
        )
        return sql.SQL("SELECT {} FROM {}").format(named, sql.Identifier(table))

    def _columns(self, table: str, required: tuple[str, ...]) -> list[str]:
        rows = self._connection.execute(
            "SELECT attname AS name FROM pg_attribute WHERE attrelid = to_regclass(%s)"
            " AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            [table],
        )
        columns = [row["name"] for row in rows.fetchall()]
        if missing := set(required) - set(columns):
            raise SettingsInvalid(
                f"This is not a database of the old system: its table {table} has no column "
                f"{min(missing)}."
            )
        return columns

    def _scalar(self, statement: str) -> int:
        row = self._connection.execute(statement.encode()).fetchone()
        return next(iter(row.values())) if row else 0


@contextmanager
def open_legacy_database(url: str) -> Iterator[LegacyDatabase]:
    """Open the old system's database for reading.

    Raises DatabaseUnavailable if it can't be read, SettingsInvalid if it is another one.
    """
    try:
        with Connection[DictRow].connect(
            url, row_factory=dict_row, application_name=RUN
        ) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            yield LegacyDatabase(connection)
    except psycopg.Error as error:
        # Not chained: the message may contain the URL's password.
        reason = type(error).__name__
        raise DatabaseUnavailable(
            f"The old database can't be read ({reason}): check its URL, such as "
            "postgresql://user:password@host:5432/name."
        ) from None
