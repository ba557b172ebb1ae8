"""The same recording many times, a backlog beside live calls, and trouble with both stores."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from callpipeline.domain.call import Lane
from callpipeline.pipeline.ingest import ingest
from callpipeline.storage.sql import SCHEMA
from tests.processes import until
from tests.soak.faults import Fault
from tests.soak.installation import Installation
from tests.soak.script import Script
from tests.soak.tally import tally
from tests.soak.waits import waits_of

pytestmark = pytest.mark.slow

LARGE = bool(os.environ.get("LARGE"))
"""The large version: `LARGE=1 python -m pytest tests/reliability/test_crowds.py -s`."""
COPIES = 100 if LARGE else 20
BACKLOG, LIVE = (10_000, 5) if LARGE else (300, 3)


def test_a_live_call_does_not_wait_for_a_backlog(installation: Installation) -> None:
    """The wait is printed: the machine of a test run has other work to do."""
    alone = _live_calls(installation, first=1000)
    keys = [installation.record(Script(n, wait_s=0.3)) for n in range(20_000, 20_000 + BACKLOG)]
    backlog = installation.register(keys, Lane.BULK)
    until(lambda: "COMPLETED" in installation.states(backlog), "work", 120, every_s=0.2)
    waiting = len(backlog) - installation.states(backlog).count("COMPLETED")
    beside = _live_calls(installation, first=1100)
    print(
        f"a live call waits {alone:.1f} s alone, {beside:.1f} s beside {waiting} calls in bulk: "
        f"{beside / alone:.2f} times"
    )
    installation.wait_until_final(backlog, 3600 if LARGE else 240)


@pytest.fixture(scope="module")
def copies(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Script:
    """A recording that is dropped and handed over many times at once, with two daemons about."""
    installation.start_daemon("second daemon")
    (installation.home / "soak" / "asked").touch()
    script = Script(3000, mentions=1)
    folder = tmp_path_factory.mktemp("copies")
    files = [folder / f"{n}" / script.name for n in range(COPIES)]
    for file in files:
        file.parent.mkdir()
        file.write_text(script.text)
        installation.record(script, f"copies/{file.parent.name}/{script.name}")
    storage = installation.storage

    def hand_over(file: Path) -> str:
        return ingest(file, storage.inbox, storage.ledger, storage.home).call_id

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(hand_over, files))) == 1
    return script


def test_the_same_bytes_are_one_call(installation: Installation, copies: Script) -> None:
    """Before a store fails: what a lost run had not stored is rightly done again."""
    until(lambda: len(_calls_of(installation, copies)) == COPIES + 1, "registered", 120)
    found = _calls_of(installation, copies)
    installation.wait_until_final(found, 240)
    states = installation.states(found)
    assert (states.count("COMPLETED"), states.count("DUPLICATE")) == (1, COPIES)
    asked = (installation.home / "soak" / "asked").read_text().splitlines()
    assert sum(line.startswith(f"transcriber {copies.number} ") for line in asked) == 2


def test_stores_fail_under_a_run(installation: Installation, copies: Script) -> None:
    """Answers of the object store get lost, and Postgres is killed."""
    keys = [installation.record(Script(n, mentions=2)) for n in range(4000, 4006)]
    faults = [Fault("refuse", times=n) for n in (1, 2, 3)] + [Fault("hang", wait_s=3.0)] * 3
    for key, fault in zip(keys, faults, strict=True):
        installation.faults.arm("put.after", installation.call_id(key), fault)
    keys += [installation.record(Script(n, wait_s=0.5 * (n % 5))) for n in range(5000, 5050)]
    call_ids = installation.register(keys)
    until(lambda: "COMPLETED" in installation.states(call_ids), "work", 120, every_s=0.1)
    installation.kill_postgres()
    took_s = installation.wait_until_final(call_ids, 240)
    print(f"all calls ended {took_s:.0f} s after Postgres was killed")
    assert set(installation.states(call_ids)) == {"COMPLETED"}, _reasons(installation)


def test_nothing_is_lost_or_twice(installation: Installation) -> None:
    found = tally(installation.url, installation.store)
    print(found)
    assert found.is_clean, (found.lost, found.dup, found.partial)


def _live_calls(installation: Installation, first: int) -> float:
    """The median wait of calls that come in one by one, in seconds."""
    call_ids: list[str] = []
    for number in range(first, first + LIVE):
        call_ids += installation.register([installation.record(Script(number, wait_s=0.3))])
        time.sleep(1)
    installation.wait_until_final(call_ids, 240)
    return waits_of(installation.url, call_ids)


def _reasons(installation: Installation) -> list[tuple[object, ...]]:
    """Why calls failed, for who reads of it."""
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
