"""Every failed call is reported once, whichever process dies meanwhile."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from callpipeline.defs.jobs.process_calls import waiting_run_commands
from tests.fakes.receivers import Answer, HttpReceiver
from tests.processes import is_alive, until
from tests.soak.installation import Installation, installed
from tests.soak.notifications import tally_notifications

pytestmark = pytest.mark.slow

LARGE = bool(os.environ.get("LARGE"))
"""Large version: `LARGE=1 python -m pytest tests/reliability/test_notifications.py -s`."""
FAILURES = 1000 if LARGE else 100
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
    with installed(tmp_path_factory.mktemp("notifications") / "data", environment) as running:
        yield running


def add_broken_recording(installation: Installation, name: str) -> str:
    """Add a file that isn't audio, whose call fails permanently; return the call's ID."""
    path = installation.recordings / f"{name}.wav"
    partial = installation.home / path.name
    partial.write_bytes(b"<!DOCTYPE html>" + name.encode())
    partial.rename(path)
    return installation.call_id(path.name)


def reported_calls(receiver: HttpReceiver) -> set[str]:
    documents = [request.json for request in receiver.accepted]
    return {call["job_id"] for each in documents for call in each["metadata"].get("calls", [])}


def test_many_failures_at_once_are_few_messages(
    installation: Installation, receiver: HttpReceiver
) -> None:
    receiver.answers = [Answer(503, b"<html>busy</html>")]
    began = time.monotonic()
    call_ids = {add_broken_recording(installation, f"many-{number}") for number in range(FAILURES)}
    until(lambda: reported_calls(receiver) >= call_ids, "a report of each", 300, every_s=0.5)
    messages = {request.headers["webhook-id"] for request in receiver.accepted}
    print(f"{len(call_ids)} failures in {len(messages)} messages")
    assert len(messages) <= 2 + (time.monotonic() - began) / WINDOW_S


def test_failures_while_the_daemon_is_down_are_reported_when_it_is_back(
    installation: Installation, receiver: HttpReceiver, tmp_path: Path
) -> None:
    installation.kill("daemon")
    call_ids = [add_broken_recording(installation, f"offline-{number}") for number in range(3)]
    installation.register([f"offline-{number}.wav" for number in range(3)])
    with installation.instance():
        commands = waiting_run_commands(installation.storage.queue, 50, tmp_path)
        for command in commands.values():
            subprocess.run([sys.executable, *command], check=False, capture_output=True)
    installation.wait_until_final(call_ids, 60)
    time.sleep(3)
    assert not reported_calls(receiver) & set(call_ids)
    installation.start_daemon()
    began = time.monotonic()
    until(lambda: reported_calls(receiver) >= set(call_ids), "a report of each", 120, every_s=0.2)
    print(f"reported {time.monotonic() - began:.0f} s after the daemon was back")


def test_a_dispatcher_that_dies_before_recording_delivers_again_under_the_same_id(
    installation: Installation, receiver: HttpReceiver
) -> None:
    time.sleep(WINDOW_S)
    server = installation.running["code-server"].pid
    installation.faults.arm("record.before", "message")
    call_id = add_broken_recording(installation, "in-between")

    def ids() -> list[str]:
        with_it = [r for r in receiver.accepted if call_id in r.body.decode()]
        return [request.headers["webhook-id"] for request in with_it]

    until(
        lambda: len(ids()) == 1 and not is_alive(server),
        "a delivery before the death",
        90,
    )
    assert installation.faults.struck()
    installation.running["code-server"].wait()
    installation.start_code_server()
    until(lambda: len(ids()) == 2, "the same message again", 120, every_s=0.2)
    assert len(set(ids())) == 1
    time.sleep(WINDOW_S)
    assert len(ids()) == 2


def test_the_receiver_got_every_failure_once(
    installation: Installation, receiver: HttpReceiver
) -> None:
    found = tally_notifications(installation.url, receiver)
    print(found)
    assert found.is_clean, (found.missed, found.twice)
    assert found.repeated == 1
