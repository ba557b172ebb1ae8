"""Outages: shared between runs; calls wait for them without using up retries."""

from datetime import UTC, datetime

import pytest

from callpipeline.cli.doctor.findings import DoctorFinding
from callpipeline.cli.doctor.operations import services
from callpipeline.domain.calls.call import Stage
from callpipeline.domain.egress import Outage
from callpipeline.errors import EngineUnavailable, ServiceUnavailable
from callpipeline.wiring import Storage
from tests.integration.calls import change, enter, row, run_concurrently, store


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


SCRIBE = "transcription http://scribe"
UNAVAILABLE = ServiceUnavailable(
    "The transcription service gave no result: it answered 503.", 60.0, SCRIBE
)


def fail_during_outage(storage: Storage, *keys: str) -> list[str]:
    """Register calls that wait for the service; return their ids."""
    call_ids = enter(storage, *keys)
    storage.claims.claim(call_ids, "run-1")
    for call_id in call_ids:
        storage.claims.fail(call_id, "run-1", Stage.TRANSCRIPTS, UNAVAILABLE)
    return call_ids


def test_an_outage_is_found_until_it_ends(storage: Storage) -> None:
    assert storage.outages.find(SCRIBE) is None
    storage.outages.begin(SCRIBE, "503", 0, 15.0)
    found = storage.outages.find(SCRIBE)
    assert found and (found.reason, found.attempts) == ("503", 0)
    assert 14 < found.retry_after_s <= 15
    storage.outages.begin(SCRIBE, "still 503", 1, 30.0)
    assert (storage.outages.find(SCRIBE) or Outage("", 0, 0)).attempts == 1
    storage.outages.end(SCRIBE)
    assert storage.outages.find(SCRIBE) is None


def test_one_of_many_runs_acquires_the_probe(storage: Storage) -> None:
    storage.outages.begin(SCRIBE, "503", 0, 60.0)
    assert not storage.outages.acquire_probe(SCRIBE, 30.0), "not due yet"
    with storage.database.transaction() as connection:
        connection.execute("UPDATE outages SET retry_at = now()")
    acquired = run_concurrently(8, lambda _: storage.outages.acquire_probe(SCRIBE, 30.0))
    assert acquired.count(True) == 1
    assert (storage.outages.find(SCRIBE) or Outage("", 0, 0)).retry_after_s > 25


def test_calls_wait_without_using_up_a_retry(storage: Storage) -> None:
    [call_id] = fail_during_outage(storage, "a.wav")
    left = row(storage, call_id)
    assert (left["state"], left["retries"], left["error_class"]) == (
        "PENDING",
        0,
        "ServiceUnavailable",
    )
    assert 40 < (left["next_attempt_at"] - datetime.now(UTC)).total_seconds() < 80
    since = left["unavailable_since"]
    storage.claims.claim([call_id], "run-2")
    storage.claims.fail(call_id, "run-2", Stage.TRANSCRIPTS, UNAVAILABLE)
    assert row(storage, call_id)["unavailable_since"] == since, (
        "the patience starts at the first failure"
    )


def test_calls_are_due_when_the_outage_ends(storage: Storage) -> None:
    waiting = fail_during_outage(storage, "a.wav", "b.wav")
    [other] = enter(storage, "c.wav")
    storage.claims.claim([other], "run-1")
    storage.claims.fail(other, "run-1", Stage.TRANSCRIPTS, EngineUnavailable("busy"))
    storage.outages.begin(SCRIBE, "503", 0, 15.0)
    assert storage.queue.assign_batch("b1", 10) is None
    storage.outages.end(SCRIBE)
    batch = storage.queue.assign_batch("b2", 10)
    assert batch and set(batch.call_ids) == set(waiting)


def test_a_call_fails_after_the_outage_patience(storage: Storage) -> None:
    [call_id] = fail_during_outage(storage, "a.wav")
    change(storage, [call_id], unavailable_since="now() - interval '25 hours'")
    storage.claims.claim([call_id], "run-2")
    assert storage.claims.fail(call_id, "run-2", Stage.TRANSCRIPTS, UNAVAILABLE) is None
    left = row(storage, call_id)
    assert (left["state"], left["unavailable_since"]) == ("FAILED", None)
    assert left["error_message"] == str(UNAVAILABLE)


def test_another_error_or_completion_ends_the_wait(storage: Storage) -> None:
    one, other = fail_during_outage(storage, "a.wav", "b.wav")
    storage.claims.claim([one, other], "run-2")
    storage.claims.fail(one, "run-2", Stage.TRANSCRIPTS, EngineUnavailable("busy"))
    assert row(storage, one)["unavailable_since"] is None
    store(storage, other, *Stage, run_id="run-2")
    storage.claims.complete(other, "run-2")
    assert row(storage, other)["unavailable_since"] is None


def test_doctor_shows_unavailable_services(storage: Storage) -> None:
    assert services(storage.database) == "all available"
    fail_during_outage(storage, "a.wav", "b.wav")
    storage.outages.begin(SCRIBE, str(UNAVAILABLE), 0, 15.0)
    found = services(storage.database)
    assert isinstance(found, list)
    [finding] = found
    assert isinstance(finding, DoctorFinding)
    assert finding.name == SCRIBE
    assert "it answered 503. Unavailable since" in finding.detail
    assert "2 calls wait" in finding.detail


def test_a_call_that_fails_after_the_outage_does_not_wait(storage: Storage) -> None:
    """A run gets an error, another one ends the outage, and then the call is put off."""
    storage.outages.begin(SCRIBE, "503", 0, 300.0)
    storage.outages.end(SCRIBE)
    waiting = fail_during_outage(storage, "a.wav")
    batch = storage.queue.assign_batch("b1", 10)
    assert batch and batch.call_ids == tuple(waiting)


def test_a_run_that_did_not_probe_is_replaced(storage: Storage) -> None:
    first, other = fail_during_outage(storage, "a.wav", "b.wav")
    storage.outages.begin(SCRIBE, "503", 0, 0.0)
    change(storage, [first, other], next_attempt_at="now()")
    batch = storage.queue.assign_batch("b1", 10)
    assert batch and len(batch.call_ids) == 1
    assert storage.queue.assign_batch("b2", 10) is None, "one probe at a time"
    with storage.database.transaction() as connection:
        connection.execute("UPDATE outages SET probe_started_at = now() - interval '61 seconds'")
    again = storage.queue.assign_batch("b3", 10)
    assert again and {*again.call_ids, *batch.call_ids} == {first, other}


def test_an_outage_of_an_unused_service_expires(storage: Storage) -> None:
    storage.outages.begin(SCRIBE, "503", 0, 0.0)
    assert len(storage.outages.all()) == 1
    with storage.database.transaction() as connection:
        connection.execute("UPDATE outages SET retry_at = now() - interval '16 minutes'")
    assert storage.outages.all() == []
    fail_during_outage(storage, "a.wav")
    assert len(storage.outages.all()) == 1, "a call waits for it"
