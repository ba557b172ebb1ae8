"""The queue: order of calls, batches, backoff and backlog."""

from collections.abc import Iterator
from itertools import chain
from queue import Empty, Queue
from threading import Event, Thread

import pytest

from callpipeline.domain.calls.call import CallState, Lane
from callpipeline.errors import EngineUnavailable
from callpipeline.storage.calls.queue import (
    CallQueue,
    LaneBacklog,
    listen_for_waiting_calls,
)
from callpipeline.wiring import Storage
from tests.integration.calls import change, enter, ids, lose_runs, recordings, row, run_concurrently


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def queue(storage: Storage) -> CallQueue:
    return storage.queue


def assign(
    queue: CallQueue, batch_id: str, limit: int = 100, *, lane: Lane = Lane.LIVE
) -> list[str]:
    batch = queue.assign_batch(batch_id, limit, lane=lane)
    return list(batch.call_ids) if batch else []


def keys(count: int) -> list[str]:
    return [f"{number:04}.wav" for number in range(count)]


# Batches


def test_each_pending_call_is_assigned_to_one_batch(storage: Storage, queue: CallQueue):
    enter(storage, *keys(5))
    batches = [assign(queue, f"batch-{number}", 2) for number in range(4)]
    assert [len(batch) for batch in batches] == [2, 2, 1, 0]
    assert sorted(chain(*batches)) == ids(recordings(5))
    assert [batch.batch_id for batch in queue.open_batches()] == ["batch-0", "batch-1", "batch-2"]


def test_assigning_a_batch_is_idempotent(storage: Storage, queue: CallQueue):
    """The connection may be lost after the commit."""
    enter(storage, *keys(5))
    batch = queue.assign_batch("batch", 2)
    assert batch and len(batch.call_ids) == 2
    assert queue.assign_batch("batch", 2) == batch


def test_concurrent_batches_share_no_call(storage: Storage, queue: CallQueue):
    enter(storage, *keys(40))
    batches = run_concurrently(4, lambda n: assign(queue, f"batch-{n}", 10))
    assert sorted(chain(*batches)) == ids(recordings(40))


def test_a_batch_is_open_until_its_run_claims_its_calls(storage: Storage, queue: CallQueue):
    enter(storage, *keys(2), priority=1)
    batch = queue.assign_batch("batch", 10)
    assert batch
    (open_batch,) = queue.open_batches()
    assert (open_batch.call_ids, open_batch.lane, open_batch.priority) == (
        batch.call_ids, Lane.LIVE, 1,
    )  # fmt: skip
    storage.claims.claim(batch.call_ids, "run-1")
    assert queue.open_batches() == []
    storage.claims.reclaim(["run-1"])
    assert queue.open_batches() == []
    assert assign(queue, "another") == list(batch.call_ids)


def test_a_batch_has_an_age(storage: Storage, queue: CallQueue):
    call_ids = enter(storage, *keys(2))
    queue.assign_batch("batch", 10)
    (batch,) = queue.open_batches()
    assert 0 <= batch.age_s < 30
    change(storage, call_ids[:1], batched_at="now() - interval '90 seconds'")
    (batch,) = queue.open_batches()
    assert 90 <= batch.age_s < 120


# Order


def test_calls_are_ordered_by_priority_and_then_by_age(storage: Storage, queue: CallQueue):
    new, old, urgent, very_urgent = enter(storage, *keys(4))
    change(storage, [old], created_at="now() - interval '1 day'")
    change(storage, [urgent], priority="1")
    change(storage, [very_urgent], priority="2", created_at="now() + interval '1 minute'")
    order = [call_id for number in range(4) for call_id in assign(queue, f"batch-{number}", 1)]
    assert order == [very_urgent, urgent, old, new]


def test_lanes_do_not_mix(storage: Storage, queue: CallQueue):
    (bulk,) = enter(storage, "bulk.wav", lane=Lane.BULK, priority=9)
    (live,) = enter(storage, "live.wav")
    assert assign(queue, "live") == [live]
    batch = queue.assign_batch("bulk", 10, lane=Lane.BULK)
    assert batch and (batch.call_ids, batch.lane, batch.priority) == ((bulk,), Lane.BULK, 9)
    assert {batch.lane for batch in queue.open_batches()} == {Lane.LIVE, Lane.BULK}


def test_a_call_is_not_assigned_before_it_is_due(storage: Storage, queue: CallQueue):
    (call_id,) = enter(storage)
    change(storage, [call_id], next_attempt_at="now() + interval '1 minute'")
    assert assign(queue, "too-early") == []
    change(storage, [call_id], next_attempt_at="now() - interval '1 second'")
    assert assign(queue, "batch") == [call_id]


def test_a_failed_call_is_assigned_after_its_retry_wait(storage: Storage, queue: CallQueue):
    (call_id,) = enter(storage)
    storage.claims.claim([call_id], "run-1")
    retry_at = storage.claims.fail(call_id, "run-1", "transcripts", EngineUnavailable("busy"))
    assert retry_at == row(storage, call_id)["next_attempt_at"]
    assert assign(queue, "too-early") == []
    change(storage, [call_id], next_attempt_at="next_attempt_at - interval '1 minute'")
    assert assign(queue, "batch") == [call_id]


# Cancelled batches


def test_calls_of_a_cancelled_batch_are_assigned_again(storage: Storage, queue: CallQueue):
    enter(storage, *keys(2))
    cancelled = assign(queue, "cancelled", 1)
    kept = assign(queue, "kept", 1)
    assert queue.cancel_batches(["cancelled"]) == 1
    assert [list(batch.call_ids) for batch in queue.open_batches()] == [kept]
    change(storage, cancelled, next_attempt_at="now()")
    assert assign(queue, "new") == cancelled


def test_cancelled_batches_have_an_exponential_backoff(storage: Storage, queue: CallQueue):
    (call_id,) = enter(storage)
    waits: list[float] = []
    for number in range(30):
        assert assign(queue, f"batch-{number}") == [call_id]
        queue.cancel_batches([f"batch-{number}"])
        left = row(storage, call_id)
        waits.append((left["next_attempt_at"] - left["updated_at"]).total_seconds())
        change(storage, [call_id], next_attempt_at="now()")
    assert waits[:8] == [5, 10, 20, 40, 80, 160, 320, 600]
    assert set(waits[8:]) == {600}


def test_calls_of_idle_runs_have_a_backoff(storage: Storage, queue: CallQueue):
    """What ended one run, a bug or a cancellation, may end the next one too."""
    (call_id,) = enter(storage)
    assign(queue, "batch")
    queue.cancel_batches(["batch"])
    storage.claims.claim([call_id], "run-1")
    storage.claims.release("run-1")
    assert assign(queue, "too-early") == []
    assert row(storage, call_id)["idle_runs"] == 2
    storage.claims.claim([call_id], "run-2")
    storage.claims.fail(call_id, "run-2", "transcripts", EngineUnavailable("busy"))
    assert row(storage, call_id)["idle_runs"] == 0


# Suspect calls


def test_a_poison_call_does_not_fail_calls_of_the_same_run(storage: Storage, queue: CallQueue):
    """A run processes eight calls concurrently; its death counts for all of them."""
    poison, *others = enter(storage, *keys(8))
    batches: list[list[str]] = []
    for number in range(20):
        if not (batch := assign(queue, f"batch-{number}")):
            break
        batches.append(batch)
        if poison in batch:
            lose_runs(storage, *batch)
        else:
            storage.claims.claim(batch, "run")
            for call_id in batch:
                storage.claims.complete(call_id, "run")
            change(storage, batch, state="'COMPLETED'")
    assert storage.ledger.find(poison).state is CallState.FAILED
    assert {storage.ledger.find(call_id).state for call_id in others} == {CallState.COMPLETED}
    assert sorted(map(len, batches)) == [1] * 8 + [8, 8]


def test_other_calls_do_not_wait_for_suspect_ones(storage: Storage, queue: CallQueue):
    suspects = enter(storage, "1.wav", "2.wav")
    change(storage, suspects, attempts="2", created_at="now() - interval '1 day'")
    others = enter(storage, *keys(5))
    assert len(assign(queue, "batch-0")) == 1
    change(storage, suspects, created_at="now() + interval '1 day'")
    assert assign(queue, "batch-1") == sorted(others)
    assert len(assign(queue, "batch-2")) == 1


# Backlog


def test_the_backlog_is_counted_by_lane(storage: Storage, queue: CallQueue):
    assert queue.backlog() == []
    due, delayed, long_due = enter(storage, *keys(3))
    (bulk,) = enter(storage, "bulk.wav", lane=Lane.BULK)
    change(storage, [due], created_at="now() - interval '100 seconds'")
    change(storage, [long_due], created_at="now() - interval '9 hours'",
           next_attempt_at="now() - interval '200 seconds'", idle_runs="3")  # fmt: skip
    change(storage, [delayed, bulk], created_at="now() - interval '1 day'",
           next_attempt_at="now() + interval '1 hour'")  # fmt: skip
    first, second = queue.backlog()
    assert first == LaneBacklog(Lane.BULK, calls=1, delayed=1, idle_runs=0, oldest_s=None)
    assert (second.lane, second.calls, second.delayed, second.idle_runs) == (Lane.LIVE, 3, 1, 3)
    assert second.oldest_s and 200 <= second.oldest_s < 230


def test_claimed_and_ended_calls_are_not_in_the_backlog(storage: Storage, queue: CallQueue):
    claimed, batched, duplicate, failed = enter(storage, *keys(4))
    storage.claims.claim([claimed], "run-1")
    change(storage, [duplicate], state="'DUPLICATE'")
    change(storage, [failed], state="'FAILED'", error_message="'why'")
    queue.assign_batch("batch", 10)
    (waiting,) = queue.backlog()
    assert (waiting.calls, waiting.delayed) == (1, 0)
    assert row(storage, batched)["batch_id"] == "batch"


def test_the_age_of_an_old_call_starts_when_it_is_queued_again(storage: Storage, queue: CallQueue):
    failed, waits, lost = enter(storage, *keys(3))
    for call_id in (failed, waits):
        storage.claims.claim([call_id], "run-1")
        storage.claims.fail(call_id, "run-1", "transcripts", EngineUnavailable("busy"))
    change(storage, [failed], state="'FAILED'")
    storage.ledger.retry([failed, waits])
    lose_runs(storage, lost)
    change(storage, [failed, waits, lost], created_at="now() - interval '9 days'")
    (waiting,) = queue.backlog()
    assert waiting.oldest_s is not None and waiting.oldest_s < 30
    assert assign(queue, "batch") == sorted([failed, waits, lost])


# Notifications


@pytest.fixture
def notified(database_url: str) -> Iterator[Queue[None]]:
    """Return a queue that gets an item for each notification, and has got the first one."""
    told: Queue[None] = Queue()
    stop = Event()
    arguments = database_url, lambda: told.put(None), stop
    listener = Thread(target=listen_for_waiting_calls, args=arguments)
    listener.start()
    told.get(timeout=60)
    yield told
    stop.set()
    listener.join()


def test_a_new_call_notifies_the_planner(storage: Storage, notified: Queue[None]):
    enter(storage, *keys(2))
    notified.get(timeout=60)


def test_a_call_that_waits_again_notifies_the_planner(storage: Storage, notified: Queue[None]):
    [call_id] = enter(storage, *keys(1))
    notified.get(timeout=60)
    change(storage, [call_id], state="'ERASED'")
    with pytest.raises(Empty):
        notified.get(timeout=0.5)
    change(storage, [call_id], state="'PENDING'")
    notified.get(timeout=60)


def test_a_listener_that_loses_its_connection_listens_again(
    storage: Storage, notified: Queue[None], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("callpipeline.storage.calls.queue.RECONNECT_S", 0.1)
    with storage.database.transaction() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE query LIKE 'LISTEN %' AND datname = current_database()"
        )
    notified.get(timeout=60)  # for what it may have missed
    enter(storage, *keys(1))
    notified.get(timeout=60)
