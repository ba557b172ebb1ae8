"""Fixtures with the fake and the real adapters of each port."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import httpx
import pytest

from callpipeline.domain.calls.call import Call, CallState, DuplicatePolicy, Registration
from callpipeline.domain.sentiment import Judgement
from callpipeline.storage.calls.claims import Claims
from callpipeline.storage.calls.ledger import Ledger
from callpipeline.storage.objects.urls import ObjectStore, S3Access, open_store
from callpipeline.storage.ports.calls import CallStates, ContentRegistry
from callpipeline.storage.ports.results import MissingJudgements, ResultStore
from callpipeline.storage.postgres.database import Database, Row
from callpipeline.storage.results.results import Results
from callpipeline.storage.results.unjudged import UnjudgedStore
from tests.builders import a_call, a_recording
from tests.fakes.storage import (
    InMemoryMissing,
    InMemoryRecordings,
    InMemoryRegistry,
    InMemoryResults,
    InMemoryStates,
)
from tests.integration.databases import clear_database, new_database

Store = ObjectStore | InMemoryRecordings


class ReadableResults(ResultStore, Protocol):
    """Results with the reads of the command line."""

    def metrics(self, call_id: str) -> Row | None: ...

    def judgements(self, call_id: str) -> tuple[Judgement, ...]: ...


class Backend(Protocol):
    """Results and states of calls, and concurrent changes to calls."""

    @property
    def results(self) -> ReadableResults: ...

    @property
    def states(self) -> CallStates: ...

    @property
    def judges(self) -> MissingJudgements: ...

    def missing(self, call: Call) -> dict[str, bool]:
        """Return the unjudged mentions, and whether each is retried automatically."""
        ...

    def skip_wait(self, call: Call) -> None:
        """Make the unjudged mentions of a call due now."""
        ...

    def claimed(
        self, key: str = "call.wav", *, duplicates: DuplicatePolicy = DuplicatePolicy.LINK
    ) -> Call:
        """Return a new call that run-1 has claimed."""
        ...

    def claim(self, call: Call) -> bool:
        """Claim an unclaimed call for run-1; return whether that succeeded."""
        ...

    def take_over(self, call: Call, run_id: str) -> None: ...

    def retry(self, call: Call) -> None: ...

    def erase(self, call: Call) -> None: ...

    def state(self, call: Call) -> CallState: ...

    def reason(self, call: Call) -> str | None:
        """Return why the call failed, or waits for another attempt."""
        ...


class InMemoryBackend:
    def __init__(self) -> None:
        self.states = InMemoryStates()
        self._store = InMemoryResults(self.states)
        self.results: ReadableResults = self._store
        self.judges = InMemoryMissing(self.states, self._store)

    def missing(self, call: Call) -> dict[str, bool]:
        missing = self._store.missing.get(call.call_id, {})
        return {id_: one.is_retried for id_, one in missing.items()}

    def skip_wait(self, call: Call) -> None:
        for one in self._store.missing[call.call_id].values():
            one.is_due = True

    def claimed(
        self, key: str = "call.wav", *, duplicates: DuplicatePolicy = DuplicatePolicy.LINK
    ) -> Call:
        call = replace(a_call(a_recording(key)), duplicates=duplicates)
        self.states.claim(call.call_id, "run-1")
        return call

    def claim(self, call: Call) -> bool:
        return self.states.claim(call.call_id, "run-1")

    def take_over(self, call: Call, run_id: str) -> None:
        self.states.claim(call.call_id, run_id)

    def retry(self, call: Call) -> None:
        self.states.states[call.call_id] = CallState.PENDING
        self.states.retries[call.call_id] = 0

    def erase(self, call: Call) -> None:
        self.states.states[call.call_id] = CallState.ERASED

    def state(self, call: Call) -> CallState:
        return self.states.states[call.call_id]

    def reason(self, call: Call) -> str | None:
        return str(self.states.errors[call.call_id][1])


class PostgresBackend:
    def __init__(self, database: Database, store: ObjectStore) -> None:
        self.database, self.ledger = database, Ledger(database)
        self.states = Claims(database)
        self.results: ReadableResults = Results(database, store)
        self.judges = UnjudgedStore(database)
        for run_id in ("run-1", "run-2"):
            self.judges.register_run(run_id)

    def missing(self, call: Call) -> dict[str, bool]:
        found = self.judges.of_calls([call.call_id])
        return {one.mention_id: one.next_attempt_at is not None for one in found}

    def skip_wait(self, call: Call) -> None:
        with self.database.transaction() as connection:
            connection.execute(
                "UPDATE unjudged SET next_attempt_at = now() "
                "WHERE next_attempt_at > now() AND call_id = %s",
                [call.call_id],
            )

    def claimed(
        self, key: str = "call.wav", *, duplicates: DuplicatePolicy = DuplicatePolicy.LINK
    ) -> Call:
        self.ledger.register([Registration(a_recording(key), duplicates=duplicates)])
        (call,) = self.states.claim([a_recording(key).call_id], "run-1")
        return call

    def claim(self, call: Call) -> bool:
        return bool(self.states.claim([call.call_id], "run-1"))

    def take_over(self, call: Call, run_id: str) -> None:
        self.states.reclaim([run.run_id for run in self.states.claiming_runs()])
        self.states.claim([call.call_id], run_id)

    def retry(self, call: Call) -> None:
        assert self.ledger.retry([call.call_id]) == {call.call_id}

    def erase(self, call: Call) -> None:
        with self.database.transaction() as connection:
            connection.execute(
                "UPDATE calls SET state = 'ERASED', error_message = NULL WHERE call_id = %s",
                [call.call_id],
            )

    def state(self, call: Call) -> CallState:
        return self.ledger.find(call.call_id).state

    def reason(self, call: Call) -> str | None:
        return self.ledger.find(call.call_id).error_message


@pytest.fixture(scope="session")
def shared_url(postgres: str, template: str) -> Iterator[str]:
    with new_database(postgres, template) as url:
        yield url


@pytest.fixture
def database_url(shared_url: str) -> str:
    return clear_database(shared_url)


@pytest.fixture(params=["in memory", "postgres"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    if request.param == "in memory":
        return InMemoryBackend()
    (tmp_path / "store").mkdir()
    store = open_store(str(tmp_path / "store"), S3Access())
    return PostgresBackend(request.getfixturevalue("database"), store)


@pytest.fixture(params=["in memory", "postgres"])
def registry(request: pytest.FixtureRequest) -> ContentRegistry:
    if request.param == "in memory":
        return InMemoryRegistry()
    return Ledger(request.getfixturevalue("database"))


@pytest.fixture(params=["in memory", "folder", "s3", "s3 below a prefix"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "in memory":
        return InMemoryRecordings()
    if request.param == "folder":
        return open_store(str(tmp_path / "store"), S3Access())
    prefix = "/deep/er" if "prefix" in request.param else ""
    return bucket_on(request.getfixturevalue("s3_server"), prefix)


def bucket_on(server: str, prefix: str = "") -> ObjectStore:
    """Create an empty bucket."""
    name = f"bucket-{uuid.uuid4().hex}"
    httpx.put(f"{server}/{name}", timeout=60).raise_for_status()
    access = S3Access(endpoint=server, access_key_id="x", secret_access_key="y")
    return open_store(f"s3://{name}{prefix}", access)
