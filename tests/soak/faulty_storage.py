"""The product's stores with crash points, which exist in tests only."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar, cast

from psycopg import Connection
from psycopg.rows import DictRow
from typing_extensions import override

from callpipeline.domain.calls.call import Call, CallState, Stage
from callpipeline.storage.calls.claims import Claims
from callpipeline.storage.notifications import Outbox
from callpipeline.storage.objects.urls import ObjectStore
from callpipeline.storage.ports.notifications import DeliveryOutcome
from callpipeline.storage.ports.results import StageWrite
from callpipeline.storage.postgres.database import Database
from callpipeline.storage.results.results import Results
from callpipeline.wiring import Storage
from tests.soak.faults import Faults

Stored = TypeVar("Stored")


def with_faults(storage: Storage, faults: Faults, retry_waits_s: tuple[float, ...]) -> Storage:
    """Wrap the storage so that armed faults are injected."""
    store = cast("ObjectStore", FaultyObjectStore(storage.store, faults))
    return replace(
        storage,
        store=store,
        results=FaultyResults(storage.database, store, faults),
        claims=FaultyClaims(storage.database, faults, retry_waits_s),
        outbox=FaultyOutbox(storage.database, faults),
    )


class FaultyResults(Results):
    """Crash points around and inside the transaction of each stage."""

    def __init__(self, database: Database, store: ObjectStore, faults: Faults) -> None:
        super().__init__(database, store)
        self._faults = faults

    @override
    def _write(self, write: StageWrite, store: Callable[[Connection[DictRow]], Stored]) -> Stored:
        def storing(connection: Connection[DictRow]) -> Stored:
            stored = store(connection)
            self._faults.reach(f"{write.stage}.during", write.call_id)
            return stored

        self._faults.reach(f"{write.stage}.before", write.call_id)
        stored = super()._write(write, storing)
        self._faults.reach(f"{write.stage}.after", write.call_id)
        return stored


class FaultyClaims(Claims):
    """Crash points around claiming and completing calls."""

    def __init__(
        self, database: Database, faults: Faults, retry_waits_s: tuple[float, ...]
    ) -> None:
        super().__init__(database, retry_waits_s=retry_waits_s)
        self._faults = faults

    @override
    def claim(
        self,
        call_ids: Collection[str],
        run_id: str,
        *,
        recompute: Collection[Stage] = (),
        required: Collection[Stage] = (),
        only_pending: bool = False,
    ) -> list[Call]:
        claimed = super().claim(
            call_ids, run_id, recompute=recompute, required=required, only_pending=only_pending
        )
        for call in claimed:
            self._faults.reach("claim.after", call.call_id)
        return claimed

    @override
    def complete(self, call_id: str, run_id: str) -> CallState:
        self._faults.reach("complete.before", call_id)
        state = super().complete(call_id, run_id)
        self._faults.reach("complete.after", call_id)
        return state


class FaultyOutbox(Outbox):
    """A crash point between delivering a message and recording it: `record.before`."""

    lease_s = 8.0

    def __init__(self, database: Database, faults: Faults) -> None:
        super().__init__(database)
        self._faults = faults

    @override
    def record(self, outcome: DeliveryOutcome) -> None:
        self._faults.reach("record.before", "message")
        super().record(outcome)


class FaultyObjectStore:
    """An object store whose response to a put may be lost: `put.after` of a call."""

    def __init__(self, store: ObjectStore, faults: Faults) -> None:
        self._store = store
        self._faults = faults

    def put(self, key: str, content: bytes | Path) -> None:
        self._store.put(key, content)
        self._faults.reach("put.after", PurePosixPath(key).parts[1])

    def put_all(
        self, contents: Mapping[str, bytes | Path], check: Callable[[], None] = lambda: None
    ) -> None:
        for key, content in contents.items():
            check()
            self.put(key, content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
