"""Services that are away: known to all runs, and their calls wait without losing a try."""

from datetime import UTC, datetime

import pytest

from callpipeline.cli.checkup_calls import services
from callpipeline.cli.findings import Finding
from callpipeline.domain.call import Stage
from callpipeline.domain.outage import Outage
from callpipeline.errors import EngineAway, EngineUnavailable
from callpipeline.wiring import Storage
from tests.integration.calls import at_once, change, enter, row, store


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


SCRIBE = "transcription http://scribe"
AWAY = EngineAway("The transcription service gave no result: it answered 503.", 60.0, SCRIBE)


def wait_for_it(storage: Storage, *keys: str) -> list[str]:
    """Calls that met the service, and wait for it."""
    call_ids = enter(storage, *keys)
    storage.claims.claim(call_ids, "run-1")
    for call_id in call_ids:
        storage.claims.fail(call_id, "run-1", Stage.TRANSCRIPTS, AWAY)
    return call_ids


def test_an_outage_is_found_until_it_ends(storage: Storage) -> None:
    assert storage.outages.find(SCRIBE) is None
    storage.outages.begin(SCRIBE, "503", 0, 15.0)
    found = storage.outages.find(SCRIBE)
    assert found and (found.reason, found.tries) == ("503", 0)
    assert 14 < found.again_s <= 15
    storage.outages.begin(SCRIBE, "still 503", 1, 30.0)
    assert (storage.outages.find(SCRIBE) or Outage("", 0, 0)).tries == 1
    storage.outages.end(SCRIBE)
    assert storage.outages.find(SCRIBE) is None


def test_of_many_runs_one_tries(storage: Storage) -> None:
    storage.outages.begin(SCRIBE, "503", 0, 60.0)
    assert not storage.outages.take_try(SCRIBE, 30.0), "it is not due"
    with storage.database.transaction() as connection:
        connection.execute("UPDATE outages SET again_at = now()")
    took = at_once(8, lambda _: storage.outages.take_try(SCRIBE, 30.0))
    assert took.count(True) == 1
    assert (storage.outages.find(SCRIBE) or Outage("", 0, 0)).again_s > 25


def test_its_calls_wait_and_lose_no_try(storage: Storage) -> None:
    [call_id] = wait_for_it(storage, "a.wav")
    left = row(storage, call_id)
    assert (left["state"], left["retries"], left["error_class"]) == ("PENDING", 0, "EngineAway")
    assert 40 < (left["not_before"] - datetime.now(UTC)).total_seconds() < 80
    since = left["away_since"]
    storage.claims.claim([call_id], "run-2")
    storage.claims.fail(call_id, "run-2", Stage.TRANSCRIPTS, AWAY)
    assert row(storage, call_id)["away_since"] == since, "patience counts from the first time"


def test_they_are_due_when_it_is_back(storage: Storage) -> None:
    waiting = wait_for_it(storage, "a.wav", "b.wav")
    [other] = enter(storage, "c.wav")
    storage.claims.claim([other], "run-1")
    storage.claims.fail(other, "run-1", Stage.TRANSCRIPTS, EngineUnavailable("busy"))
    storage.outages.begin(SCRIBE, "503", 0, 15.0)
    assert storage.queue.assign_batch("b1", 10) is None
    storage.outages.end(SCRIBE)
    batch = storage.queue.assign_batch("b2", 10)
    assert batch and set(batch.call_ids) == set(waiting)


def test_patience_ends(storage: Storage) -> None:
    [call_id] = wait_for_it(storage, "a.wav")
    change(storage, [call_id], away_since="now() - interval '25 hours'")
    storage.claims.claim([call_id], "run-2")
    assert storage.claims.fail(call_id, "run-2", Stage.TRANSCRIPTS, AWAY) is None
    left = row(storage, call_id)
    assert (left["state"], left["away_since"]) == ("FAILED", None)
    assert left["error_message"] == str(AWAY)


def test_another_error_or_an_end_forgets_the_wait(storage: Storage) -> None:
    one, other = wait_for_it(storage, "a.wav", "b.wav")
    storage.claims.claim([one, other], "run-2")
    storage.claims.fail(one, "run-2", Stage.TRANSCRIPTS, EngineUnavailable("busy"))
    assert row(storage, one)["away_since"] is None
    store(storage, other, *Stage, run_id="run-2")
    storage.claims.complete(other, "run-2")
    assert row(storage, other)["away_since"] is None


def test_people_see_what_is_away(storage: Storage) -> None:
    assert services(storage.database) == "none is known to be away"
    wait_for_it(storage, "a.wav", "b.wav")
    storage.outages.begin(SCRIBE, str(AWAY), 0, 15.0)
    found = services(storage.database)
    assert isinstance(found, list)
    [finding] = found
    assert isinstance(finding, Finding)
    assert finding.name == SCRIBE
    assert "it answered 503. Away since" in finding.detail
    assert "2 calls wait" in finding.detail


def test_who_fails_late_does_not_wait_for_what_is_back(storage: Storage) -> None:
    """The run heard that it was away, then another one found it back, then the call was put off."""
    storage.outages.begin(SCRIBE, "503", 0, 300.0)
    storage.outages.end(SCRIBE)
    waiting = wait_for_it(storage, "a.wav")
    batch = storage.queue.assign_batch("b1", 10)
    assert batch and batch.call_ids == tuple(waiting)


def test_a_run_that_was_to_try_and_did_not_is_replaced(storage: Storage) -> None:
    first, other = wait_for_it(storage, "a.wav", "b.wav")
    storage.outages.begin(SCRIBE, "503", 0, 0.0)
    change(storage, [first, other], not_before="now()")
    batch = storage.queue.assign_batch("b1", 10)
    assert batch and len(batch.call_ids) == 1
    assert storage.queue.assign_batch("b2", 10) is None, "one is enough"
    with storage.database.transaction() as connection:
        connection.execute("UPDATE outages SET asked_at = now() - interval '61 seconds'")
    again = storage.queue.assign_batch("b3", 10)
    assert again and {*again.call_ids, *batch.call_ids} == {first, other}


def test_a_service_that_nobody_uses_any_more_is_not_shown_for_ever(storage: Storage) -> None:
    storage.outages.begin(SCRIBE, "503", 0, 0.0)
    assert len(storage.outages.all()) == 1
    with storage.database.transaction() as connection:
        connection.execute("UPDATE outages SET again_at = now() - interval '16 minutes'")
    assert storage.outages.all() == []
    wait_for_it(storage, "a.wav")
    assert len(storage.outages.all()) == 1, "somebody waits for it"
