"""The ledger: registration, duplicates and lookup of calls."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from psycopg import errors as postgres_errors

from callpipeline.domain.calls.call import (
    CallState,
    DuplicatePolicy,
    Lane,
    RegisteredCall,
    Registration,
)
from callpipeline.errors import (
    DuplicateRecording,
    SameRecording,
)
from callpipeline.wiring import Storage
from tests.builders import A_MONDAY, a_recording
from tests.integration.calls import enter, erase, ids, recordings, row, run_concurrently


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


# Registering


def test_recordings_registered_concurrently_are_entered_once(storage: Storage):
    found = [Registration(recording) for recording in recordings(60)]
    entered = run_concurrently(
        6, lambda n: storage.ledger.register(found if n % 2 else list(reversed(found)))
    )
    new = [registered.call_id for each in entered for registered in each if registered.is_new]
    assert sorted(new) == ids(recordings(60))
    assert storage.ledger.count() == {CallState.PENDING: 60}


def test_a_recording_registered_concurrently_is_new_once(storage: Storage):
    for round_ in range(20):
        found = [Registration(a_recording(f"{round_}.wav"))]
        entered = run_concurrently(6, lambda _, found=found: storage.ledger.register(found))
        assert sum(registered.is_new for (registered,) in entered) == 1
        assert len({registered.call_id for (registered,) in entered}) == 1


def test_results_of_registration_are_in_the_given_order(storage: Storage):
    found = [*reversed(recordings(5)), *recordings(2)]
    entered = storage.ledger.register(Registration(recording) for recording in found)
    assert [registered.call_id for registered in entered] == [r.call_id for r in found]
    assert [registered.is_new for registered in entered] == [True] * 5 + [False] * 2


def test_a_registered_call_is_pending(storage: Storage):
    (call_id,) = enter(storage, "call.wav", agent_channel="right", sha256="aa")
    record = storage.ledger.find(call_id)
    assert (record.call_id, record.key, record.state) == (call_id, "call.wav", CallState.PENDING)
    assert (record.attempts, record.claimed_by, record.stages, record.flags) == (0, None, (), ())
    (call,) = storage.claims.claim([call_id], "run-1")
    assert (call.recording, call.agent_channel) == (a_recording(), "right")
    assert call.duplicates is DuplicatePolicy.LINK


def test_all_fields_of_a_registration_are_stored(storage: Storage):
    began = datetime(2026, 3, 1, 23, 59, 59, 123456, tzinfo=UTC)
    metadata = {"agent": "Zoë 'Z' Müller", "direction": "in:bound", "ü%s": '{"a": [1]}'}
    (call_id,) = enter(
        storage, started_at=began, metadata=metadata, lane=Lane.BULK,
        duplicates=DuplicatePolicy.REFUSE,
    )  # fmt: skip
    record = storage.ledger.find(call_id)
    assert (record.started_at, record.metadata, record.lane) == (began, metadata, Lane.BULK)
    (call,) = storage.claims.claim([call_id], "run-1")
    assert call.duplicates is DuplicatePolicy.REFUSE


def test_an_object_that_was_touched_on_another_day_is_the_call_it_was(storage: Storage):
    """An S3 object put again with the same bytes keeps its etag and gets a new day."""
    (call_id,) = enter(storage)
    touched = a_recording(last_modified=A_MONDAY + timedelta(days=1))
    assert storage.ledger.unknown([touched]) == []
    assert storage.ledger.register([Registration(touched)]) == [
        RegisteredCall(call_id, is_new=False)
    ]
    assert storage.ledger.count() == {CallState.PENDING: 1}


def test_a_registered_call_is_left_unchanged(storage: Storage):
    (call_id,) = enter(storage, agent_channel="right")
    before = row(storage, call_id)
    enter(storage, agent_channel="left", lane=Lane.BULK, sha256="aa", priority=7)
    assert row(storage, call_id) == before


def test_an_invalid_call_id_is_rejected(storage: Storage):
    with (
        pytest.raises(postgres_errors.CheckViolation),
        storage.database.transaction() as connection,
    ):
        connection.execute(
            "INSERT INTO calls (call_id, bucket, key, etag, size_bytes, last_modified)"
            " VALUES ('../etc', 'b', 'k', 'e', 1, now())"
        )


# Duplicates


def test_concurrent_uploads_of_the_same_content_are_one_call_and_its_duplicates(
    storage: Storage,
):
    found = [Registration(recording, sha256="aa") for recording in recordings(100)]

    def upload(thread: int) -> list[RegisteredCall]:
        mine = found[thread::10]
        one_by_one = [storage.ledger.register([each])[0] for each in mine[:5]]
        return one_by_one + storage.ledger.register(mine[5:])

    entered = [registered for each in run_concurrently(10, upload) for registered in each]
    assert all(registered.is_new for registered in entered)
    (owner,) = (r.call_id for r in entered if r.duplicate_of is None)
    assert Counter(r.duplicate_of for r in entered) == {owner: 99, None: 1}
    assert storage.ledger.count() == {CallState.PENDING: 1, CallState.DUPLICATE: 99}
    assert storage.ledger.call_of_content("aa") == owner
    assert {record.duplicate_of for record in storage.ledger.calls()} == {owner, None}


def test_pages_with_the_same_content_in_another_order_do_not_deadlock(storage: Storage):
    """Two transactions that lock the same content in another order would deadlock."""
    found = recordings(200)
    pages = [found[:100], found[100:]]
    in_order = [sorted(page, key=lambda recording: recording.call_id) for page in pages]

    def register(number: int) -> list[RegisteredCall]:
        shas = [f"{n:03}" for n in range(100)]
        pairs = zip(in_order[number], shas if number else reversed(shas), strict=True)
        return storage.ledger.register([Registration(r, sha256=sha) for r, sha in pairs])

    before = deadlocks(storage)
    run_concurrently(2, register)
    assert storage.ledger.count() == {CallState.PENDING: 100, CallState.DUPLICATE: 100}
    assert deadlocks(storage) == before


def deadlocks(storage: Storage) -> object:
    with storage.database.transaction() as connection:
        return connection.execute(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()


def test_content_found_by_concurrent_runs_has_one_owner(storage: Storage):
    found = recordings(8)
    storage.ledger.register(map(Registration, found))
    calls = [storage.claims.claim([r.call_id], f"run-{n}")[0] for n, r in enumerate(found)]

    def own(number: int) -> str:
        try:
            storage.claims.own_content(calls[number], f"run-{number}", "aa")
        except SameRecording as same:
            return same.original_call_id
        return "mine"

    outcomes = run_concurrently(8, own)
    (owner,) = set(outcomes) - {"mine"}
    assert Counter(outcomes) == {owner: 7, "mine": 1}
    assert storage.ledger.count() == {CallState.PROCESSING: 1, CallState.DUPLICATE: 7}
    assert storage.ledger.find(owner).state is CallState.PROCESSING


@pytest.mark.parametrize("policy", DuplicatePolicy)
def test_the_content_of_an_erased_call_is_a_duplicate(storage: Storage, policy: DuplicatePolicy):
    (erased,) = enter(storage, "1.wav", sha256="aa")
    erase(storage, erased)
    assert storage.ledger.call_of_content("aa") == erased
    (again,) = enter(storage, "2.wav", sha256="aa", duplicates=policy)
    found = storage.ledger.find(again)
    assert (found.state, found.duplicate_of) == (CallState.DUPLICATE, erased)


def test_the_duplicate_policy_applies_at_registration(
    storage: Storage,
):
    (first,) = enter(storage, "1.wav", sha256="aa")
    policies = {policy: a_recording(f"{policy}.wav") for policy in DuplicatePolicy}
    results = {
        policy: storage.ledger.register([Registration(r, duplicates=policy, sha256="aa")])[0]
        for policy, r in policies.items()
    }
    assert {policy: registered.duplicate_of for policy, registered in results.items()} == {
        DuplicatePolicy.LINK: first,
        DuplicatePolicy.PROCESS: None,
        DuplicatePolicy.REFUSE: first,
    }
    states = {p: storage.ledger.find(r.call_id).state for p, r in policies.items()}
    # A refused duplicate fails when a run reads it.
    assert states == {
        DuplicatePolicy.LINK: CallState.DUPLICATE,
        DuplicatePolicy.PROCESS: CallState.PENDING,
        DuplicatePolicy.REFUSE: CallState.PENDING,
    }
    (refused,) = storage.claims.claim([results[DuplicatePolicy.REFUSE].call_id], "run-1")
    with pytest.raises(DuplicateRecording, match=first):
        storage.claims.own_content(refused, "run-1", "aa")
