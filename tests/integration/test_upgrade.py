"""Upgrade from the first schema, with calls in every state, on two versions of Postgres."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from callpipeline.domain.calls.call import CallState, Registration, Stage
from callpipeline.storage.calls.claims import Claims
from callpipeline.storage.calls.ledger import Ledger
from callpipeline.storage.calls.queue import CallQueue
from callpipeline.storage.postgres.database import Database
from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from callpipeline.storage.postgres.migrations import migrate
from tests.builders import a_recording
from tests.integration.databases import execute_sql, new_database
from tests.processes import until


@pytest.fixture(scope="session")
def other_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of the other major version in the wheel."""
    folder = tmp_path_factory.mktemp("postgres-16")
    with EmbeddedPostgres(folder, major=16, durable=False).running() as url:
        yield url


@pytest.fixture(params=["postgres", "other_postgres"])
def any_empty_url(request: pytest.FixtureRequest) -> Iterator[str]:
    with new_database(request.getfixturevalue(request.param)) as url:
        yield url


FIRST_CALLS = """
INSERT INTO calls (call_id, bucket, key, etag, size_bytes, last_modified, sha256, state, batch_id,
                   claimed_by, error_stage, error_class, error_message, error_transient,
                   created_at, updated_at)
SELECT format('2026-03-02-00000000000%s', n), 'b', format('%s.wav', n), 'e', 1, now(), sha256,
       state, batch_id, claimed_by, 'transcripts', 'EngineUnavailable', error, true,
       now() - n * interval '1 hour', now() - interval '90 seconds'
FROM (VALUES
    (1, 'aa', 'COMPLETED',  NULL,    NULL,    NULL),
    (2, 'aa', 'COMPLETED',  NULL,    NULL,    NULL),
    (3, 'aa', 'ERASED',     NULL,    NULL,    NULL),
    (4, 'bb', 'FAILED',     NULL,    NULL,    'busy'),
    (5, NULL, 'PENDING',    'batch', NULL,    NULL),
    (6, 'cc', 'PROCESSING', NULL,    'run-1', NULL),
    (7, 'dd', 'ERASED',     NULL,    NULL,    NULL),
    (8, NULL, 'PENDING',    NULL,    NULL,    NULL)
) AS old (n, sha256, state, batch_id, claimed_by, error);
INSERT INTO call_stages (call_id, stage, run_id, took_s)
    VALUES ('2026-03-02-000000000001', 'channel_audio', 'run-0', 1);
"""


def old(number: int) -> str:
    return f"2026-03-02-00000000000{number}"


@pytest.fixture
def first_schema_url(any_empty_url: str) -> str:
    """A database with the first schema and calls in every state."""
    assert migrate(any_empty_url, "0001") == "0001"
    execute_sql(any_empty_url, FIRST_CALLS)
    return any_empty_url


def test_an_upgrade_keeps_all_calls(first_schema_url: str):
    columns = "call_id, key, sha256, state, batch_id, claimed_by, error_message, created_at"
    everything = f"SELECT {columns} FROM calls ORDER BY call_id"
    before = execute_sql(first_schema_url, everything)
    assert migrate(first_schema_url) == "0052"
    assert execute_sql(first_schema_url, everything) == before
    assert len(before) == 8
    assert execute_sql(first_schema_url, "SELECT call_id, stage FROM call_stages") == [
        (old(1), "channel_audio")
    ]


def test_earlier_failures_are_not_notified(first_schema_url: str):
    migrate(first_schema_url)
    assert execute_sql(first_schema_url, "SELECT count(*) FROM outbox") == [(0,)]


def test_content_belongs_to_the_oldest_call_that_is_not_erased(
    first_schema_url: str,
):
    migrate(first_schema_url)
    owners = execute_sql(first_schema_url, "SELECT sha256, call_id FROM contents ORDER BY sha256")
    assert owners == [("aa", old(2)), ("bb", old(4)), ("cc", old(6))]
    with Database(first_schema_url) as database:
        claims = Claims(database)
        # Same content as the oldest, but with its own results, and processed again.
        (younger,) = claims.claim([old(1)], "run-2", recompute=list(Stage))
        claims.own_content(younger, "run-2", "aa")
        assert Ledger(database).find(old(1)).state is CallState.PROCESSING


def test_calls_can_be_processed_after_the_upgrade(first_schema_url: str):
    migrate(first_schema_url)
    with Database(first_schema_url) as database:
        ledger, claims, queue = Ledger(database), Claims(database), CallQueue(database)
        (run,) = claims.claiming_runs()
        assert run.run_id == "run-1" and 90 <= run.heartbeat_age_s < 120
        assert claims.reclaim(["run-1"]) == {old(6): CallState.PENDING}
        (batch,) = queue.open_batches()
        assert batch.call_ids == (old(5),) and 90 <= batch.age_s < 120
        assert queue.cancel_batches(["batch"]) == 1
        waiting = queue.assign_batch("new", 10)
        assert waiting and waiting.call_ids == (old(6), old(8))
        assert ledger.failed() == [old(4)]
        assert ledger.retry([old(4)]) == {old(4)}


def test_a_new_call_is_processed_on_every_postgres_version(any_empty_url: str):
    migrate(any_empty_url)
    with Database(any_empty_url) as database:
        ledger, claims, queue = Ledger(database), Claims(database), CallQueue(database)
        first, second = (Registration(a_recording(key), sha256="aa") for key in "12")
        (entered, linked) = ledger.register([first, second])
        assert linked.duplicate_of == entered.call_id
        batch = queue.assign_batch("batch", 10)
        assert batch and batch.call_ids == (entered.call_id,)
        (call,) = claims.claim(batch.call_ids, "run-1", only_pending=True)
        claims.begin(call.call_id, "run-1")
        claims.own_content(call, "run-1", "aa")
        assert claims.complete(call.call_id, "run-1") is CallState.PENDING
        assert claims.release("run-1") == 0
        assert ledger.count() == {CallState.PENDING: 1, CallState.DUPLICATE: 1}


OLD_VALUES = """
INSERT INTO mentions (call_id, mention_id, competitor, alias, said, channel, speaker, segment_index,
                      char_start, char_end, start_s, end_s, status, reason, found_status)
SELECT '{call_id}', mention_id, 'EE', 'EE', 'ee', 'left', 'agent', 0, 0, 2, 1, 2, status, reason,
       found_status
FROM (VALUES
    ('1', 'accepted', 'a person accepted it', 'unsure'),
    ('2', 'unsure', 'no cue', NULL),
    ('3', 'rejected', 'a person refused it', 'accepted'),
    ('4', 'accepted', 'unambiguous name', NULL)
) AS old (mention_id, status, reason, found_status);
INSERT INTO sentiment (call_id, mention_id, competitor, sentiment, score, rule, quote, engine)
    VALUES ('{call_id}', '1', 'EE', 'unsure', 0, 'r', 'q', 'e'),
           ('{call_id}', '4', 'EE', 'positive', 1, 'r', 'q', 'e');
INSERT INTO reviews (call_id, mention_id, start_s, decision)
    VALUES ('{call_id}', '1', 1, 'accepted'), ('{call_id}', '3', 1, 'refused'),
           ('{call_id}', '2', 1, 'left');
INSERT INTO incidents (group_key, kind, recovers, opened_at, last_event_at)
    VALUES ('call_failed:transcripts:EngineAway', 'call_failed', true, now(), now());
INSERT INTO outbox (kind, severity, group_key, error_class)
    VALUES ('call_failed', 'error', 'call_failed:transcripts:EngineAway', 'EngineAway'),
           ('run_failed', 'error', 'run_failed', NULL);
"""


def test_values_of_earlier_versions_are_renamed(first_schema_url: str):
    assert migrate(first_schema_url, "0015") == "0015"
    execute_sql(first_schema_url, OLD_VALUES.format(call_id=old(1)))
    migrate(first_schema_url)
    assert execute_sql(
        first_schema_url,
        "SELECT status, reason, found_status, text FROM mentions ORDER BY mention_id",
    ) == [
        ("counted", "a person confirmed it", "needs_review", "ee"),
        ("needs_review", "no cue", None, "ee"),
        ("dismissed", "a person dismissed it", "counted", "ee"),
        ("counted", "unambiguous name", None, "ee"),
    ]
    assert execute_sql(first_schema_url, "SELECT sentiment FROM sentiment ORDER BY mention_id") == [
        ("mixed",),
        ("positive",),
    ]
    assert execute_sql(first_schema_url, "SELECT decision FROM reviews ORDER BY review_id") == [
        ("confirmed",),
        ("dismissed",),
        ("reset",),
    ]
    assert execute_sql(
        first_schema_url, "SELECT mention_id, stance FROM reading_mentions ORDER BY mention_id"
    ) == [("1", "mixed"), ("4", "positive")]
    renamed = "call_failed:transcripts:ServiceUnavailable"
    assert execute_sql(first_schema_url, "SELECT group_key FROM incidents") == [(renamed,)]
    assert execute_sql(
        first_schema_url, "SELECT group_key, error_class FROM outbox ORDER BY group_key"
    ) == [(renamed, "ServiceUnavailable"), ("run_failed", None)]


def test_an_upgrade_waits_for_a_call_that_is_being_changed(any_empty_url: str):
    """A transaction writes what is read of its call, and later its mentions: neither is refused."""
    migrate(any_empty_url, "0039")
    execute_sql(any_empty_url, FIRST_CALLS)
    with (
        psycopg.connect(any_empty_url, options="-c search_path=callpipeline") as erasure,
        ThreadPoolExecutor(1) as pool,
    ):
        call_id = old(1)
        erasure.execute("UPDATE calls SET key = 'moved.wav' WHERE call_id = %s", (call_id,))
        upgraded = pool.submit(migrate, any_empty_url, "0040")
        waiting = (
            "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database"
            " WHERE NOT granted AND datname = current_database()"
        )
        until(lambda: execute_sql(any_empty_url, waiting) != [(0,)], "the upgrade waits", 120)
        erasure.execute("UPDATE calls SET state = 'ERASED' WHERE call_id = %s", (call_id,))
        erasure.commit()
        assert upgraded.result() == "0040"
    read = execute_sql(any_empty_url, "SELECT call_id FROM reading_calls WHERE state = 'ERASED'")
    assert (old(1),) in read
