"""Recordings announced by URL are processed like others, and discovered once.

127.0.0.1 is allowed and stands for the public internet; RELIABILITY row 14 is in
`tests/integration/test_download`.
"""

import hashlib
import io
import socket
from collections.abc import Iterator
from typing import Any

import dagster as dg
import numpy as np
import pytest
import soundfile

from callpipeline.defs.sensors.ingest import discovery_sensors
from callpipeline.domain.calls.call import CallState
from callpipeline.pipeline.erasure import ExternalTraces
from callpipeline.pipeline.ingest.registration import Announcement, announce
from callpipeline.wiring import open_eraser
from tests.fakes.file_host import FileHost, answer, ok
from tests.integration.dumps import in_database, in_files
from tests.orchestration.lab import Lab

SECRET = "0ff1ce0ff1ce"
QUERY = f"?X-Amz-Signature={SECRET}"


@pytest.fixture(scope="module")
def lab_options() -> dict[str, Any]:
    return {"fetch_allow": ("127.0.0.1",), "connect_timeout_s": 30}


@pytest.fixture
def host() -> Iterator[FileHost]:
    with FileHost() as host:
        yield host


def sound(seed: int = 0) -> bytes:
    content = io.BytesIO()
    noise = np.random.default_rng(seed).normal(0, 0.1, (16000, 2))
    soundfile.write(content, noise, 8000, format="WAV")
    return content.getvalue()


def announced(lab: Lab, url: str) -> str:
    entered = announce(
        Announcement(url), lab.storage.announcements, lab.storage.home, lab.storage.egress_policy
    )
    return entered.call_id


def state_of(lab: Lab, call_id: str) -> CallState:
    return lab.storage.ledger.find(call_id).state


def retry(lab: Lab, call_id: str, attempts: int) -> list[bool]:
    return [
        lab.run([call_id], tags={"callpipeline/batch": f"{n}"}).success for n in range(attempts)
    ]


def scan(lab: Lab) -> str:
    """Scan the home folder; returns the sensor's summary."""
    [sensor] = discovery_sensors([lab.storage.home], lab.settings)
    with dg.build_sensor_context(lab.instance, resources={"storage": lab.storage}) as context:
        result = sensor(context)
    assert isinstance(result, dg.SensorResult) and isinstance(result.skip_reason, dg.SkipReason)
    return result.skip_reason.skip_message or ""


def dagster_records(lab: Lab) -> str:
    runs = lab.instance.get_runs()
    return str([lab.instance.all_logs(run.run_id) for run in runs]) + str(runs)


def test_an_announced_recording_is_processed_as_one_call(lab: Lab, host: FileHost):
    host.answers["/call.wav"] = ok(sound())
    call_id = announced(lab, host.url(f"/call.wav{QUERY}"))
    assert lab.run([call_id]).success
    assert state_of(lab, call_id) is CallState.COMPLETED
    assert "transcriber" in lab.engines.used
    # Its copy is in the folder that a sensor scans.
    assert scan(lab).startswith("0 new, all 1 objects scanned")
    assert [call.call_id for call in lab.storage.ledger.calls()] == [call_id]
    # Computing it again does not fetch it again.
    host.answers.clear()
    again = lab.run([call_id], assets=["channel_audio"], tags={"callpipeline/batch": "again"})
    assert again.success and len(host.asked) == 1


def test_a_host_that_is_down_is_retried_and_then_the_call_fails(lab: Lab):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    call_id = announced(lab, f"http://127.0.0.1:{port}/call.wav{QUERY}")
    assert retry(lab, call_id, 1) == [True]
    waiting = lab.storage.ledger.find(call_id)
    assert (waiting.state, waiting.retries) == (CallState.PENDING, 1)
    assert waiting.next_attempt_at and "Connection refused" in (waiting.error_message or "")
    assert retry(lab, call_id, 3) == [True, True, False]
    failed = lab.storage.ledger.find(call_id)
    assert (failed.state, failed.error_class) == (CallState.FAILED, "DownloadFailed")
    assert failed.error_transient and failed.error_stage == "channel_audio"
    assert SECRET not in dagster_records(lab)
    with FileHost() as host:  # it is up again, and a user retries the call
        host.answers["/call.wav"] = ok(sound())
        address = host.url(f"/call.wav{QUERY}")
        with lab.storage.database.transaction() as connection:
            connection.execute("UPDATE announced SET url = %s", [address])
        assert lab.storage.ledger.retry([call_id]) == {call_id}
        assert retry(lab, call_id, 1) == [True]
    assert state_of(lab, call_id) is CallState.COMPLETED


def test_a_permanent_error_fails_at_once_and_does_not_reveal_the_url(lab: Lab, host: FileHost):
    host.answers["/call.wav"] = answer(403, "Content-Length: 0")
    call_id = announced(lab, host.url(f"/call.wav{QUERY}"))
    assert not lab.run([call_id]).success
    failed = lab.storage.ledger.find(call_id)
    assert (failed.state, failed.error_class) == (CallState.FAILED, "DownloadRefused")
    assert "403 Forbidden" in (failed.error_message or "")
    records = f"{failed} {dagster_records(lab)}"
    assert SECRET not in records and str(host.port) not in records


def test_a_redirect_to_a_private_address_fails_the_call(lab: Lab, host: FileHost):
    host.answers["/call.wav"] = answer(302, "Location: http://169.254.169.254/latest/meta-data")
    call_id = announced(lab, host.url())
    assert not lab.run([call_id]).success
    failed = lab.storage.ledger.find(call_id)
    assert (failed.state, failed.error_class) == (CallState.FAILED, "DownloadRefused")
    assert "private network" in (failed.error_message or "")


def test_the_bytes_of_an_earlier_call_are_processed_once(lab: Lab, host: FileHost):
    first = lab.add_call("first", audio=sound())
    host.answers["/call.wav"] = ok(sound())
    calls = [first, announced(lab, host.url())]
    assert lab.run(sorted(calls), tags={"callpipeline/batch": "both"}).success
    later = announced(lab, host.url())
    assert later not in calls
    assert lab.run([later], tags={"callpipeline/batch": "later"}).success
    for call_id in (calls[1], later):
        record = lab.storage.ledger.find(call_id)
        assert (record.state, record.duplicate_of) == (CallState.DUPLICATE, first)
    assert lab.engines.used.count("splitter") == 1


def test_an_erased_call_leaves_neither_its_url_nor_the_fetched_file(lab: Lab, host: FileHost):
    host.answers["/fetched.wav"] = ok(sound())
    done, waiting = (
        announced(lab, host.url(f"/{name}.wav{QUERY}")) for name in ("fetched", "waiting")
    )
    assert lab.run([done]).success
    assert in_database(lab.storage.database.url, [SECRET]) == ["callpipeline.announced"]
    lab.storage.erasures.begin([done, waiting], keep_recording=False)
    none = ExternalTraces(0, busy=False)
    eraser = open_eraser(lab.settings, lab.storage, lambda ids, thorough: none, quiet_s=0.0)
    assert not all(attempt.finished for attempt in eraser.finish())
    assert all(attempt.finished for attempt in eraser.finish())
    assert not in_database(lab.storage.database.url, [SECRET, "fetched.wav", "waiting.wav"])
    assert not in_files(lab.settings.home, [SECRET, "fetched.wav"])
    content = hashlib.sha256(sound()).hexdigest()
    assert lab.storage.ledger.call_of_content(content) == done, "its bytes are not imported again"
