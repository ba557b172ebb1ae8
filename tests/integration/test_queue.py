"""What waits for a run: in which order calls are put into batches, and when they may be."""

from itertools import chain

import pytest

from callpipeline.domain.call import CallState, Lane
from callpipeline.errors import EngineUnavailable
from callpipeline.storage.queue import Queue, Waiting
from callpipeline.wiring import Storage
from tests.integration.calls import at_once, change, enter, ids, lose, recordings, row


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def queue(storage: Storage) -> Queue:
    return storage.queue


def taken(queue: Queue, batch_id: str, limit: int = 100, *, lane: Lane = Lane.LIVE) -> list[str]:
    batch = queue.assign_batch(batch_id, limit, lane=lane)
    return list(batch.call_ids) if batch else []


def keys(count: int) -> list[str]:
    return [f"{number:04}.wav" for number in range(count)]


# Batches


def test_waiting_calls_are_put_into_batches_of_a_size_each_once(storage: Storage, queue: Queue):
    enter(storage, *keys(5))
    batches = [taken(queue, f"batch-{number}", 2) for number in range(4)]
    assert [len(batch) for batch in batches] == [2, 2, 1, 0]
    assert sorted(chain(*batches)) == ids(recordings(5))
    assert [batch.batch_id for batch in queue.open_batches()] == ["batch-0", "batch-1", "batch-2"]


def test_a_batch_that_is_made_twice_is_made_once(storage: Storage, queue: Queue):
    """The connection may be cut after the batch was made and before that is known."""
    enter(storage, *keys(5))
    batch = queue.assign_batch("batch", 2)
    assert batch and len(batch.call_ids) == 2
    assert queue.assign_batch("batch", 2) == batch


def test_batches_made_at_once_share_no_call(storage: Storage, queue: Queue):
    enter(storage, *keys(40))
    batches = at_once(4, lambda n: taken(queue, f"batch-{n}", 10))
    assert sorted(chain(*batches)) == ids(recordings(40))


def test_a_batch_is_open_until_its_run_claims_its_calls(storage: Storage, queue: Queue):
    enter(storage, *keys(2), priority=1)
    batch = queue.assign_batch("batch", 10)
    assert batch
    (open_batch,) = queue.open_batches()
    assert (open_batch.call_ids, open_batch.lane, open_batch.priority) == (
        batch.call_ids, Lane.LIVE, 1,
    )  # fmt: skip
    storage.claims.claim(batch.call_ids, "run-1")
    assert queue.open_batches() == []
    storage.claims.release(["run-1"])
    assert queue.open_batches() == []
    assert taken(queue, "another") == list(batch.call_ids)


def test_a_batch_says_how_long_ago_it_was_asked_for(storage: Storage, queue: Queue):
    call_ids = enter(storage, *keys(2))
    queue.assign_batch("batch", 10)
    (batch,) = queue.open_batches()
    assert 0 <= batch.age_s < 30
    change(storage, call_ids[:1], batched_at="now() - interval '90 seconds'")
    (batch,) = queue.open_batches()
    assert 90 <= batch.age_s < 120


# Order


def test_what_is_urgent_goes_first_then_what_is_oldest(storage: Storage, queue: Queue):
    new, old, urgent, very_urgent = enter(storage, *keys(4))
    change(storage, [old], created_at="now() - interval '1 day'")
    change(storage, [urgent], priority="1")
    change(storage, [very_urgent], priority="2", created_at="now() + interval '1 minute'")
    order = [call_id for number in range(4) for call_id in taken(queue, f"batch-{number}", 1)]
    assert order == [very_urgent, urgent, old, new]


def test_lanes_do_not_mix(storage: Storage, queue: Queue):
    (bulk,) = enter(storage, "bulk.wav", lane=Lane.BULK, priority=9)
    (live,) = enter(storage, "live.wav")
    assert taken(queue, "live") == [live]
    batch = queue.assign_batch("bulk", 10, lane=Lane.BULK)
    assert batch and (batch.call_ids, batch.lane, batch.priority) == ((bulk,), Lane.BULK, 9)
    assert {batch.lane for batch in queue.open_batches()} == {Lane.LIVE, Lane.BULK}


def test_a_call_is_not_asked_for_before_its_time(storage: Storage, queue: Queue):
    (call_id,) = enter(storage)
    change(storage, [call_id], not_before="now() + interval '1 minute'")
    assert taken(queue, "too-early") == []
    change(storage, [call_id], not_before="now() - interval '1 second'")
    assert taken(queue, "batch") == [call_id]


def test_a_call_that_failed_is_asked_for_when_its_wait_is_over(storage: Storage, queue: Queue):
    (call_id,) = enter(storage)
    storage.claims.claim([call_id], "run-1")
    again_at = storage.claims.fail(call_id, "run-1", "transcripts", EngineUnavailable("busy"))
    assert again_at == row(storage, call_id)["not_before"]
    assert taken(queue, "too-early") == []
    change(storage, [call_id], not_before="not_before - interval '1 minute'")
    assert taken(queue, "batch") == [call_id]


# Batches that never run


def test_a_batch_that_will_never_run_gives_its_calls_to_another(storage: Storage, queue: Queue):
    enter(storage, *keys(2))
    forgotten = taken(queue, "forgotten", 1)
    kept = taken(queue, "kept", 1)
    assert queue.forget_batches(["forgotten"]) == 1
    assert [list(batch.call_ids) for batch in queue.open_batches()] == [kept]
    change(storage, forgotten, not_before="now()")
    assert taken(queue, "new") == forgotten


def test_each_time_that_a_batch_is_forgotten_its_calls_wait_longer(storage: Storage, queue: Queue):
    (call_id,) = enter(storage)
    waits: list[float] = []
    for number in range(30):
        assert taken(queue, f"batch-{number}") == [call_id]
        queue.forget_batches([f"batch-{number}"])
        left = row(storage, call_id)
        waits.append((left["not_before"] - left["updated_at"]).total_seconds())
        change(storage, [call_id], not_before="now()")
    assert waits[:8] == [5, 10, 20, 40, 80, 160, 320, 600]
    assert set(waits[8:]) == {600}


def test_calls_of_runs_that_end_before_them_wait_longer_each_time(storage: Storage, queue: Queue):
    """Whatever ended one run in order, a fault of ours or a cancellation, may end the next."""
    (call_id,) = enter(storage)
    taken(queue, "batch")
    queue.forget_batches(["batch"])
    storage.claims.claim([call_id], "run-1")
    storage.claims.give_back("run-1")
    assert taken(queue, "too early") == []
    assert row(storage, call_id)["fruitless"] == 2
    storage.claims.claim([call_id], "run-2")
    storage.claims.fail(call_id, "run-2", "transcripts", EngineUnavailable("busy"))
    assert row(storage, call_id)["fruitless"] == 0


# Calls that may kill their run


def test_a_call_that_kills_its_runs_takes_none_along_that_were_under_way_beside_it(
    storage: Storage, queue: Queue
):
    """The runs work on eight calls at once: each death is laid to all of them."""
    killer, *beside = enter(storage, *keys(8))
    batches: list[list[str]] = []
    for number in range(20):
        if not (batch := taken(queue, f"batch-{number}")):
            break
        batches.append(batch)
        if killer in batch:
            lose(storage, *batch)
        else:
            storage.claims.claim(batch, "run")
            for call_id in batch:
                storage.claims.complete(call_id, "run")
            change(storage, batch, state="'COMPLETED'")
    assert storage.ledger.find(killer).state is CallState.FAILED
    assert {storage.ledger.find(call_id).state for call_id in beside} == {CallState.COMPLETED}
    assert sorted(map(len, batches)) == [1] * 8 + [8, 8]


def test_calls_that_are_not_suspected_do_not_wait_for_those_that_are(
    storage: Storage, queue: Queue
):
    suspects = enter(storage, "1.wav", "2.wav")
    change(storage, suspects, attempts="2", created_at="now() - interval '1 day'")
    others = enter(storage, *keys(5))
    assert len(taken(queue, "batch-0")) == 1
    change(storage, suspects, created_at="now() + interval '1 day'")
    assert taken(queue, "batch-1") == sorted(others)
    assert len(taken(queue, "batch-2")) == 1


# Numbers


def test_what_waits_is_counted_by_lane(storage: Storage, queue: Queue):
    assert queue.waiting() == []
    due, later, long_due = enter(storage, *keys(3))
    (bulk,) = enter(storage, "bulk.wav", lane=Lane.BULK)
    change(storage, [due], created_at="now() - interval '100 seconds'")
    change(storage, [long_due], created_at="now() - interval '9 hours'",
           not_before="now() - interval '200 seconds'", fruitless="3")  # fmt: skip
    change(storage, [later, bulk], created_at="now() - interval '1 day'",
           not_before="now() + interval '1 hour'")  # fmt: skip
    first, second = queue.waiting()
    assert first == Waiting(Lane.BULK, calls=1, later=1, fruitless=0, oldest_s=None)
    assert (second.lane, second.calls, second.later, second.fruitless) == (Lane.LIVE, 3, 1, 3)
    assert second.oldest_s and 200 <= second.oldest_s < 230


def test_calls_that_a_run_holds_or_that_have_ended_do_not_wait(storage: Storage, queue: Queue):
    held, batched, duplicate, failed = enter(storage, *keys(4))
    storage.claims.claim([held], "run-1")
    change(storage, [duplicate], state="'DUPLICATE'")
    change(storage, [failed], state="'FAILED'", error_message="'why'")
    queue.assign_batch("batch", 10)
    (waiting,) = queue.waiting()
    assert (waiting.calls, waiting.later) == (1, 0)
    assert row(storage, batched)["batch_id"] == "batch"


def test_a_call_of_long_ago_has_waited_since_it_came_back_to_the_queue(
    storage: Storage, queue: Queue
):
    failed, waits, lost = enter(storage, *keys(3))
    for call_id in (failed, waits):
        storage.claims.claim([call_id], "run-1")
        storage.claims.fail(call_id, "run-1", "transcripts", EngineUnavailable("busy"))
    change(storage, [failed], state="'FAILED'")
    storage.ledger.retry([failed, waits])
    lose(storage, lost)
    change(storage, [failed, waits, lost], created_at="now() - interval '9 days'")
    (waiting,) = queue.waiting()
    assert waiting.oldest_s is not None and waiting.oldest_s < 30
    assert taken(queue, "batch") == sorted([failed, waits, lost])
