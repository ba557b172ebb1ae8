"""Each port's fake and its real adapters, under one name."""

import uuid
from pathlib import Path
from typing import Protocol

import httpx
import pytest

from callpipeline.domain.call import Call
from callpipeline.domain.sentiment import Judgement
from callpipeline.pipeline.ingest import ContentRegistry
from callpipeline.storage.database import Database, Row
from callpipeline.storage.ledger import Ledger
from callpipeline.storage.objects import ObjectStore, S3Access, open_store
from callpipeline.storage.ports import CallStates, ResultStore
from callpipeline.storage.results import Results
from tests.builders import a_call, a_recording
from tests.fakes.storage import (
    InMemoryRecordings,
    InMemoryRegistry,
    InMemoryResults,
    InMemoryStates,
)

Store = ObjectStore | InMemoryRecordings


class Reading(ResultStore, Protocol):
    """Results with what the command line reads besides."""

    def metrics(self, call_id: str) -> Row | None: ...

    def judgements(self, call_id: str) -> tuple[Judgement, ...]: ...


class Office(Protocol):
    """Results and states of calls, and a way to hold a call in the name of a run."""

    @property
    def results(self) -> Reading: ...

    @property
    def states(self) -> CallStates: ...

    def claimed(self, key: str = "call.wav", run_id: str = "run-1") -> Call: ...

    def take_over(self, call: Call, run_id: str) -> None: ...


class OfficeInMemory:
    def __init__(self) -> None:
        self.states = InMemoryStates()
        self.results: Reading = InMemoryResults(self.states)

    def claimed(self, key: str = "call.wav", run_id: str = "run-1") -> Call:
        call = a_call(a_recording(key))
        self.states.claim(call.call_id, run_id)
        return call

    def take_over(self, call: Call, run_id: str) -> None:
        self.states.claim(call.call_id, run_id)


class OfficeInPostgres:
    def __init__(self, database: Database, store: ObjectStore) -> None:
        self.states = Ledger(database)
        self.results: Reading = Results(database, store)

    def claimed(self, key: str = "call.wav", run_id: str = "run-1") -> Call:
        self.states.register([a_recording(key)])
        (call,) = self.states.claim([a_recording(key).call_id], run_id)
        return call

    def take_over(self, call: Call, run_id: str) -> None:
        self.states.release(self.states.claiming_runs())
        self.states.claim([call.call_id], run_id)


@pytest.fixture(params=["in memory", "postgres"])
def office(request: pytest.FixtureRequest, tmp_path: Path) -> Office:
    if request.param == "in memory":
        return OfficeInMemory()
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
