"""People are told of every call that failed, whatever dies meanwhile (row 13): real processes."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from callpipeline.defs.runs import waiting_runs
from tests.fakes.receivers import Answer, HttpReceiver
from tests.processes import is_alive, until
from tests.soak.installation import Installation, installed
from tests.soak.telling import telling

pytestmark = pytest.mark.slow

LARGE = bool(os.environ.get("LARGE"))
"""The large version: `LARGE=1 python -m pytest tests/reliability/test_telling.py -s`."""
CROWD = 1000 if LARGE else 100
WINDOW_S = 8


@pytest.fixture(scope="module")
def receiver() -> Iterator[HttpReceiver]:
    with HttpReceiver().running() as running:
        yield running


@pytest.fixture(scope="module")
def installation(
    receiver: HttpReceiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    environment = {
        "CALLPIPELINE_NOTIFY_WEBHOOK_URL": f"{receiver.url}/hook",
        "CALLPIPELINE_NOTIFY_WINDOW_S": str(WINDOW_S),
    }
    with installed(tmp_path_factory.mktemp("telling") / "data", environment) as running:
        yield running


def broken(installation: Installation, name: str) -> str:
    """A recording that is none: its call fails for good in its run. Returns the call's id."""
    path = installation.recordings / f"{name}.wav"
    partial = installation.home / path.name
    partial.write_bytes(b"<!DOCTYPE html>" + name.encode())
    partial.rename(path)
    return installation.call_id(path.name)


def told_of(receiver: HttpReceiver) -> set[str]:
    documents = [request.json for request in receiver.taken]
    return {call["job_id"] for told in documents for call in told["metadata"].get("calls", [])}


def test_many_failures_at_once_are_few_messages(
    installation: Installation, receiver: HttpReceiver
) -> None:
    receiver.answers = [Answer(503, b"<html>busy</html>")]
    call_ids = {broken(installation, f"crowd-{number}") for number in range(CROWD)}
    until(lambda: told_of(receiver) >= call_ids, "a word of each", 300, every_s=0.5)
    messages = {request.headers["webhook-id"] for request in receiver.taken}
    print(f"{len(call_ids)} failures in {len(messages)} messages")
    assert len(messages) <= 3


def test_calls_that_fail_while_the_daemon_is_down_are_told_when_it_is_back(
    installation: Installation, receiver: HttpReceiver, tmp_path: Path
) -> None:
    installation.kill("daemon")
    call_ids = [broken(installation, f"alone-{number}") for number in range(3)]
    installation.register([f"alone-{number}.wav" for number in range(3)])
    with installation.instance():
        commands = waiting_runs(installation.storage.queue, 50, tmp_path)
        for command in commands.values():
            subprocess.run([sys.executable, *command], check=False, capture_output=True)
    installation.wait_until_final(call_ids, 60)
    time.sleep(3)
    assert not told_of(receiver) & set(call_ids)
    installation.start_daemon()
    began = time.monotonic()
    until(lambda: told_of(receiver) >= set(call_ids), "a word of each", 120, every_s=0.2)
    print(f"told {time.monotonic() - began:.0f} s after the daemon was back")


def test_a_dispatcher_that_dies_between_delivery_and_record_tells_it_again_under_its_id(
    installation: Installation, receiver: HttpReceiver
) -> None:
    time.sleep(WINDOW_S)
    server = installation.running["code-server"].pid
    installation.faults.arm("record.before", "message")
    call_id = broken(installation, "in-between")

    def ids() -> list[str]:
        with_it = [r for r in receiver.taken if call_id in r.body.decode()]
        return [request.headers["webhook-id"] for request in with_it]

    until(lambda: len(ids()) == 1 and not is_alive(server), "a delivery, and a death", 90)
    assert installation.faults.struck()
    installation.running["code-server"].wait()
    installation.start_code_server()
    until(lambda: len(ids()) == 2, "the same message again", 120, every_s=0.2)
    assert len(set(ids())) == 1
    time.sleep(WINDOW_S)
    assert len(ids()) == 2


def test_of_every_failure_the_receiver_heard_once(
    installation: Installation, receiver: HttpReceiver
) -> None:
    found = telling(installation.url, receiver)
    print(found)
    assert found.is_clean, (found.untold, found.twice)
    assert found.again == 1
