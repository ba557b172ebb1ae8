"""Many copies of a recording, live calls during a backlog, and failures of both stores."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from callpipeline.domain.calls.call import Lane
from callpipeline.pipeline.ingest.registration import ingest_file
from callpipeline.storage.postgres.sql import SCHEMA
from tests.processes import until
from tests.soak.faults import Fault
from tests.soak.installation import Installation
from tests.soak.script import Script
from tests.soak.tally import median_wait_s, tally

pytestmark = pytest.mark.slow

LARGE = bool(os.environ.get("LARGE"))
"""Large version: `LARGE=1 python -m pytest tests/reliability/test_load.py -s`."""
COPIES = 100 if LARGE else 20
BACKLOG, LIVE = (10_000, 5) if LARGE else (300, 3)


def test_a_live_call_does_not_wait_for_a_backlog(installation: Installation) -> None:
    """The wait is printed, not asserted: a test machine may be busy."""
    alone = _live_calls(installation, first=1000)
    keys = [installation.record(Script(n, wait_s=0.3)) for n in range(20_000, 20_000 + BACKLOG)]
    backlog = installation.register(keys, Lane.BULK)
    until(lambda: "COMPLETED" in installation.states(backlog), "a completed call", 120, every_s=0.2)
    waiting = len(backlog) - installation.states(backlog).count("COMPLETED")
    beside = _live_calls(installation, first=1100)
    print(
        f"a live call waits {alone:.1f} s alone, {beside:.1f} s beside {waiting} calls in bulk: "
        f"{beside / alone:.2f} times"
    )
    installation.wait_until_final(backlog, 3600 if LARGE else 240)


@pytest.fixture(scope="module")
def copies(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Script:
    """Drop and ingest a recording many times at once, with two daemons running."""
    installation.start_daemon("second daemon")
    (installation.home / "soak" / "requests").touch()
    script = Script(3000, mentions=1)
    folder = tmp_path_factory.mktemp("copies")
    files = [folder / f"{n}" / script.name for n in range(COPIES)]
    for file in files:
        file.parent.mkdir()
        file.write_text(script.text)
        installation.record(script, f"copies/{file.parent.name}/{script.name}")
    storage = installation.storage

    def ingest(file: Path) -> str:
        return ingest_file(file, storage.inbox, storage.ledger, storage.home).call_id

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(ingest, files))) == 1
    return script


def test_the_same_bytes_are_one_call(installation: Installation, copies: Script) -> None:
    """Runs before the stores fail: the results that a lost run didn't store are computed again."""
    until(lambda: len(_calls_of(installation, copies)) == COPIES + 1, "registered", 120)
    call_ids = _calls_of(installation, copies)
    installation.wait_until_final(call_ids, 240)
    states = installation.states(call_ids)
    assert (states.count("COMPLETED"), states.count("DUPLICATE")) == (1, COPIES)
    requests = (installation.home / "soak" / "requests").read_text().splitlines()
    assert sum(line.startswith(f"transcriber {copies.number} ") for line in requests) == 2


def test_calls_complete_although_stores_fail_during_a_run(
    installation: Installation, copies: Script
) -> None:
    """Responses of the object store are lost, and Postgres is killed."""
    keys = [installation.record(Script(n, mentions=2)) for n in range(4000, 4006)]
    faults = [Fault("refuse", times=n) for n in (1, 2, 3)] + [Fault("hang", wait_s=3.0)] * 3
    for key, fault in zip(keys, faults, strict=True):
        installation.faults.arm("put.after", installation.call_id(key), fault)
    keys += [installation.record(Script(n, wait_s=0.5 * (n % 5))) for n in range(5000, 5050)]
    call_ids = installation.register(keys)
    until(
        lambda: "COMPLETED" in installation.states(call_ids), "a completed call", 120, every_s=0.1
    )
    installation.kill_postgres()
    took_s = installation.wait_until_final(call_ids, 240)
    print(f"all calls ended {took_s:.0f} s after Postgres was killed")
    assert set(installation.states(call_ids)) == {"COMPLETED"}, _errors(installation)


def test_nothing_is_lost_or_duplicated(installation: Installation) -> None:
    found = tally(installation.url, installation.store)
    print(found)
    assert found.is_clean, (found.lost, found.dup, found.partial)


def _live_calls(installation: Installation, first: int) -> float:
    """Return the median wait in seconds of calls that arrive one by one."""
    call_ids: list[str] = []
    for number in range(first, first + LIVE):
        call_ids += installation.register([installation.record(Script(number, wait_s=0.3))])
        time.sleep(1)
    installation.wait_until_final(call_ids, 240)
    return median_wait_s(installation.url, call_ids)


def _errors(installation: Installation) -> list[tuple[object, ...]]:
    """Return the errors of failed calls, for the assertion message."""
    with psycopg.connect(installation.url) as connection:
        return connection.execute(
            f"SELECT call_id, error_stage, error_class, error_message, retries FROM {SCHEMA}.calls "
            "WHERE state = 'FAILED'".encode()
        ).fetchall()


def _calls_of(installation: Installation, script: Script) -> list[str]:
    with psycopg.connect(installation.url) as connection:
        rows = connection.execute(
            f"SELECT call_id FROM {SCHEMA}.calls WHERE key LIKE %s".encode(), [f"%{script.name}"]
        ).fetchall()
    return [row[0] for row in rows]
