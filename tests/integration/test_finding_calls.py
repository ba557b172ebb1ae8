"""Asking the ledger: calls are found, listed, and tried again at a person's wish."""

from datetime import UTC, datetime, timedelta

import pytest

from callpipeline.domain.calls.call import CallState, Lane, Stage
from callpipeline.errors import CallpipelineError, EngineUnavailable, UnknownCall, UnsupportedAudio
from callpipeline.storage.calls.ledger import REQUESTED_PRIORITY
from callpipeline.wiring import Storage
from tests.integration.calls import change, enter, lose_runs, row, store


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


PICTURE, BUSY = UnsupportedAudio("a picture"), EngineUnavailable("busy")


def fail(storage: Storage, call_id: str, error: CallpipelineError = PICTURE) -> datetime | None:
    storage.claims.claim([call_id], "run-1")
    return storage.claims.fail(call_id, "run-1", "transcripts", error)


def test_a_call_is_found_by_a_prefix_of_its_id(storage: Storage):
    (call_id,) = enter(storage)
    assert storage.ledger.find(call_id[:14]).call_id == call_id


def test_unknown_and_ambiguous_prefixes_have_different_errors(storage: Storage):
    enter(storage, "1.wav", "2.wav")
    for ambiguous in ("2026-03-02", ""):
        with pytest.raises(UnknownCall, match="Several call ids"):
            storage.ledger.find(ambiguous)
    for unknown in ("2025-01-01", "%", "2026-03-0_"):
        with pytest.raises(UnknownCall, match="not found"):
            storage.ledger.find(unknown)


def test_calls_are_listed_by_state_newest_first_and_limited(storage: Storage):
    enter(storage, "old.wav")
    enter(storage, "new.wav")
    assert [record.key for record in storage.ledger.calls()] == ["new.wav", "old.wav"]
    assert [record.key for record in storage.ledger.calls(limit=1)] == ["new.wav"]
    assert storage.ledger.calls(states=[CallState.FAILED]) == []
    assert storage.ledger.calls(call_ids=[]) == []
    assert storage.ledger.calls(limit=0) == []


def test_failed_calls_are_found_by_time_and_error_oldest_first(storage: Storage):
    new, old, refused = enter(storage, "1.wav", "2.wav", "3.wav")
    for call_id in (new, old):
        fail(storage, call_id)
    fail(storage, refused, CallpipelineError("why"))
    change(storage, [old], completed_at="now() - interval '2 days'")
    change(storage, [refused], completed_at="now() - interval '1 day'")
    enter(storage, "waiting.wav")
    assert storage.ledger.failed() == [old, refused, new]
    assert storage.ledger.failed(error_class="UnsupportedAudio") == [old, new]
    today = datetime.now(UTC) - timedelta(hours=12)
    assert storage.ledger.failed(since=today) == [new]
    assert storage.ledger.failed(since=today, error_class="CallpipelineError") == []


# Retries


def test_a_failed_call_that_is_retried_goes_first(storage: Storage):
    (call_id,) = enter(storage, lane=Lane.BULK)
    storage.claims.claim([call_id], "run-1")
    store(storage, call_id, Stage.CHANNEL_AUDIO)
    fail(storage, call_id)
    assert storage.ledger.retry([call_id, "2026-03-02-000000000000"]) == {call_id}
    record = storage.ledger.find(call_id)
    assert (record.state, record.lane, record.completed_at) == (CallState.PENDING, Lane.LIVE, None)
    assert record.stages == (Stage.CHANNEL_AUDIO,)
    batch = storage.queue.assign_batch("batch", 10)
    assert batch and (batch.call_ids, batch.priority) == ((call_id,), REQUESTED_PRIORITY)


def test_a_delayed_call_is_retried_now(storage: Storage):
    (call_id,) = enter(storage, lane=Lane.BULK)
    assert fail(storage, call_id, BUSY)
    assert storage.queue.assign_batch("too-early", 10, lane=Lane.BULK) is None
    assert storage.ledger.retry([call_id]) == {call_id}
    record = storage.ledger.find(call_id)
    assert (record.retries, record.lane, record.error_message) == (0, Lane.LIVE, "busy")
    assert storage.queue.assign_batch("batch", 10)


def test_a_retry_resets_the_count_of_lost_runs(storage: Storage):
    (call_id,) = enter(storage)
    lose_runs(storage, call_id, times=3)
    storage.ledger.retry([call_id])
    lose_runs(storage, call_id, times=2)
    assert storage.ledger.find(call_id).state is CallState.PENDING


def test_completed_and_assigned_calls_are_not_retried(storage: Storage):
    complete, held, batched = enter(storage, "1.wav", "2.wav", "3.wav")
    storage.claims.claim([complete, held], "run-1")
    store(storage, complete, *Stage)
    storage.claims.complete(complete, "run-1")
    storage.queue.assign_batch("batch", 10)
    before = [row(storage, call_id) for call_id in (complete, held, batched)]
    assert storage.ledger.retry([complete, held, batched]) == set()
    assert [row(storage, call_id) for call_id in (complete, held, batched)] == before
