"""Calls in a ledger: entered, changed behind its back, and worked on from many sides at once."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from callpipeline.domain.call import Recording, Registration, Stage
from callpipeline.storage.database import Row
from callpipeline.wiring import Storage
from tests.builders import a_recording, a_write, some_metrics

T = TypeVar("T")


def recordings(count: int) -> list[Recording]:
    return [a_recording(f"{number:04}.wav") for number in range(count)]


def ids(found: Iterable[Recording]) -> list[str]:
    return sorted(recording.call_id for recording in found)


def enter(storage: Storage, *keys: str, **how: Any) -> list[str]:
    """Register recordings under these keys, all in the same way; returns their call ids."""
    found = [a_recording(key) for key in keys or ("call.wav",)]
    storage.ledger.register([Registration(recording, **how) for recording in found])
    return [recording.call_id for recording in found]


def change(storage: Storage, call_ids: Iterable[str], **columns: str) -> None:
    """Set columns of calls to SQL expressions, as time and other programs would."""
    changes = ", ".join(f"{column} = {value}" for column, value in columns.items())
    with storage.database.transaction() as connection:
        connection.execute(
            f"UPDATE calls SET {changes} WHERE call_id = ANY(%s)".encode(), [list(call_ids)]
        )


def row(storage: Storage, call_id: str) -> Row:
    """The call as it stands in the table."""
    with storage.database.transaction() as connection:
        found = connection.execute("SELECT * FROM calls WHERE call_id = %s", [call_id]).fetchone()
    assert found
    return found


def erase(storage: Storage, call_id: str) -> None:
    change(storage, [call_id], state="'ERASED'", error_message="NULL")


def store(storage: Storage, call_id: str, *stages: Stage, run_id: str = "run-1") -> None:
    """Mark stages as stored; which stage a write is of is said by the write alone."""
    for stage in stages:
        storage.results.save_metrics(a_write(call_id, stage, run_id), some_metrics())


def lose(storage: Storage, *call_ids: str, times: int = 1) -> None:
    """Let runs take and begin these calls, and die."""
    for _ in range(times):
        storage.claims.claim(call_ids, "lost")
        for call_id in call_ids:
            storage.claims.begin(call_id, "lost")
        storage.claims.release(["lost"])


def at_once(count: int, work: Callable[[int], T]) -> list[T]:
    """What `count` threads return that start together; raises what one of them raises."""
    together = threading.Barrier(count)

    def run(number: int) -> T:
        together.wait()
        return work(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))
