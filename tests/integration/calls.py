"""Helpers for calls in a ledger: register, change, process and run concurrently."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from callpipeline.domain.calls.call import Recording, Registration, Stage
from callpipeline.storage.postgres.database import Row
from callpipeline.wiring import Storage
from tests.builders import a_recording, a_write, some_metrics

T = TypeVar("T")


def recordings(count: int) -> list[Recording]:
    return [a_recording(f"{number:04}.wav") for number in range(count)]


def ids(found: Iterable[Recording]) -> list[str]:
    return sorted(recording.call_id for recording in found)


def enter(storage: Storage, *keys: str, **options: Any) -> list[str]:
    """Register recordings with these keys and the same options; return their call ids."""
    found = [a_recording(key) for key in keys or ("call.wav",)]
    storage.ledger.register([Registration(recording, **options) for recording in found])
    return [recording.call_id for recording in found]


def change(storage: Storage, call_ids: Iterable[str], **columns: str) -> None:
    """Set columns of calls to SQL expressions."""
    changes = ", ".join(f"{column} = {value}" for column, value in columns.items())
    with storage.database.transaction() as connection:
        connection.execute(
            f"UPDATE calls SET {changes} WHERE call_id = ANY(%s)".encode(), [list(call_ids)]
        )


def row(storage: Storage, call_id: str) -> Row:
    """Return the row of a call."""
    with storage.database.transaction() as connection:
        found = connection.execute("SELECT * FROM calls WHERE call_id = %s", [call_id]).fetchone()
    assert found
    return found


def erase(storage: Storage, call_id: str) -> None:
    change(storage, [call_id], state="'ERASED'", error_message="NULL")


def store(storage: Storage, call_id: str, *stages: Stage, run_id: str = "run-1") -> None:
    """Mark stages as stored; the stage is that of the write."""
    for stage in stages:
        storage.results.save_metrics(a_write(call_id, stage, run_id), some_metrics())


def lose_runs(storage: Storage, *call_ids: str, times: int = 1) -> None:
    """Simulate runs that claim and begin these calls, and die."""
    for _ in range(times):
        storage.claims.claim(call_ids, "lost")
        for call_id in call_ids:
            storage.claims.begin(call_id, "lost")
        storage.claims.reclaim(["lost"])


def run_concurrently(count: int, work: Callable[[int], T]) -> list[T]:
    """Run `work` in `count` threads that start together; return or raise their results."""
    barrier = threading.Barrier(count)

    def run(number: int) -> T:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))
