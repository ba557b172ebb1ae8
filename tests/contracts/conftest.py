"""Each port's fake and its real adapters, under one name."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import httpx
import pytest

from callpipeline.domain.call import Call, CallState, DuplicatePolicy, Registration
from callpipeline.domain.sentiment import Judgement
from callpipeline.pipeline.ingest import ContentRegistry
from callpipeline.storage.claims import Claims
from callpipeline.storage.database import Database, Row
from callpipeline.storage.ledger import Ledger
from callpipeline.storage.objects import ObjectStore, S3Access, open_store
from callpipeline.storage.ports import CallStates, MissingJudgements, ResultStore
from callpipeline.storage.results import Results
from callpipeline.storage.unjudged import UnjudgedMentions
from tests.builders import a_call, a_recording
from tests.fakes.storage import (
    InMemoryMissing,
    InMemoryRecordings,
    InMemoryRegistry,
    InMemoryResults,
    InMemoryStates,
)
from tests.integration.databases import emptied, new_database

Store = ObjectStore | InMemoryRecordings


class Reading(ResultStore, Protocol):
    """Results with what the command line reads besides."""

    def metrics(self, call_id: str) -> Row | None: ...

    def judgements(self, call_id: str) -> tuple[Judgement, ...]: ...


class Office(Protocol):
    """Results and states of calls, and what others do to the calls meanwhile."""

    @property
    def results(self) -> Reading: ...

    @property
    def states(self) -> CallStates: ...

    @property
    def judges(self) -> MissingJudgements: ...

    def missing(self, call: Call) -> dict[str, bool]:
        """The mentions that are not judged yet, and whether each is tried again by itself."""
        ...

    def let_wait_pass(self, call: Call) -> None:
        """As if the waits of its missing mentions were over."""
        ...

    def claimed(
        self, key: str = "call.wav", *, duplicates: DuplicatePolicy = DuplicatePolicy.LINK
    ) -> Call:
        """A new call that run-1 holds."""
        ...

    def claim(self, call: Call) -> bool:
        """Let run-1 take a call that nobody holds; whether it may."""
        ...

    def take_over(self, call: Call, run_id: str) -> None: ...

    def retry(self, call: Call) -> None: ...

    def erase(self, call: Call) -> None: ...

    def state(self, call: Call) -> CallState: ...

    def reason(self, call: Call) -> str | None:
        """Why the call failed, or waits for another try."""
        ...


class OfficeInMemory:
    def __init__(self) -> None:
        self.states = InMemoryStates()
        self._kept = InMemoryResults(self.states)
        self.results: Reading = self._kept
        self.judges = InMemoryMissing(self.states, self._kept)

    def missing(self, call: Call) -> dict[str, bool]:
        kept = self._kept.missing.get(call.call_id, {})
        return {id_: one.is_tried for id_, one in kept.items()}

    def let_wait_pass(self, call: Call) -> None:
        for one in self._kept.missing[call.call_id].values():
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


class OfficeInPostgres:
    def __init__(self, database: Database, store: ObjectStore) -> None:
        self.database, self.ledger = database, Ledger(database)
        self.states = Claims(database)
        self.results: Reading = Results(database, store)
        self.judges = UnjudgedMentions(database)
        for run_id in ("run-1", "run-2"):
            self.judges.enter_run(run_id)

    def missing(self, call: Call) -> dict[str, bool]:
        found = self.judges.of_calls([call.call_id])
        return {one.mention_id: one.not_before is not None for one in found}

    def let_wait_pass(self, call: Call) -> None:
        with self.database.transaction() as connection:
            connection.execute(
                "UPDATE unjudged SET not_before = now() WHERE not_before > now() AND call_id = %s",
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
        self.states.release([run.run_id for run in self.states.claiming_runs()])
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
    return emptied(shared_url)


@pytest.fixture(params=["in memory", "postgres"])
def office(request: pytest.FixtureRequest, tmp_path: Path) -> Office:
    if request.param == "in memory":
        return OfficeInMemory()
    (tmp_path / "kept").mkdir()
    store = open_store(str(tmp_path / "kept"), S3Access())
    return OfficeInPostgres(request.getfixturevalue("database"), store)


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
    """A new empty bucket."""
    name = f"bucket-{uuid.uuid4().hex}"
    httpx.put(f"{server}/{name}").raise_for_status()
    access = S3Access(endpoint=server, access_key_id="x", secret_access_key="y")
    return open_store(f"s3://{name}{prefix}", access)
