"""Recordings that are announced by an address go through runs as others do, and are found once.

127.0.0.1 is allowed and stands for the public internet; RELIABILITY row 14 is in
`tests/integration/test_download`.
"""

import hashlib
import io
import socket
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
import soundfile

from callpipeline.config import Settings
from callpipeline.defs.discovery import discovery_sensors
from callpipeline.domain.call import CallState
from callpipeline.pipeline.announcing import Announcement, announce
from callpipeline.pipeline.erasing import Traces
from callpipeline.wiring import open_eraser
from tests.fakes.file_host import FileHost, answer, ok
from tests.integration.dumps import in_database, in_files
from tests.orchestration.lab import Lab

SECRET = "0ff1ce0ff1ce"
QUERY = f"?X-Amz-Signature={SECRET}"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path / "data",
        fetch_allow=("127.0.0.1",),
        connect_timeout_s=2,
        _env_file=None,  # pyright: ignore[reportCallIssue]
    )


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
        Announcement(url), lab.storage.announcements, lab.storage.home, lab.storage.reach
    )
    return entered.call_id


def state_of(lab: Lab, call_id: str) -> CallState:
    return lab.storage.ledger.find(call_id).state


def try_again(lab: Lab, call_id: str, tries: int) -> list[bool]:
    return [lab.run([call_id], tags={"callpipeline/batch": f"{n}"}).success for n in range(tries)]


def looked(lab: Lab) -> str:
    """What the sensor of the home folder says of a look at everything."""
    [sensor] = discovery_sensors([lab.storage.home], lab.settings)
    with dg.build_sensor_context(lab.instance, resources={"storage": lab.storage}) as context:
        result = sensor(context)
    assert isinstance(result, dg.SensorResult) and isinstance(result.skip_reason, dg.SkipReason)
    return result.skip_reason.skip_message or ""


def told_by_dagster(lab: Lab) -> str:
    runs = lab.instance.get_runs()
    return str([lab.instance.all_logs(run.run_id) for run in runs]) + str(runs)


def test_an_announced_recording_goes_through_and_is_one_call(lab: Lab, host: FileHost):
    host.answers["/call.wav"] = ok(sound())
    call_id = announced(lab, host.url(f"/call.wav{QUERY}"))
    assert lab.run([call_id]).success
    assert state_of(lab, call_id) is CallState.COMPLETED
    assert "transcriber" in lab.listening.used
    # What is kept of it lies in the folder that a sensor looks through.
    assert looked(lab).startswith("0 new, all 1 objects looked at")
    assert [call.call_id for call in lab.storage.ledger.calls()] == [call_id]
    # Made anew, it is not fetched again.
    host.answers.clear()
    anew = lab.run([call_id], assets=["channel_audio"], tags={"callpipeline/batch": "anew"})
    assert anew.success and len(host.asked) == 1


def test_a_host_that_is_down_is_asked_again_and_then_the_call_has_failed(lab: Lab):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    call_id = announced(lab, f"http://127.0.0.1:{port}/call.wav{QUERY}")
    assert try_again(lab, call_id, 1) == [True]
    waiting = lab.storage.ledger.find(call_id)
    assert (waiting.state, waiting.retries) == (CallState.PENDING, 1)
    assert waiting.not_before and "Connection refused" in (waiting.error_message or "")
    assert try_again(lab, call_id, 3) == [True, True, False]
    failed = lab.storage.ledger.find(call_id)
    assert (failed.state, failed.error_class) == (CallState.FAILED, "DownloadFailed")
    assert failed.error_transient and failed.error_stage == "channel_audio"
    assert SECRET not in told_by_dagster(lab)
    with FileHost() as host:  # it is back, and a person tries again
        host.answers["/call.wav"] = ok(sound())
        address = host.url(f"/call.wav{QUERY}")
        with lab.storage.database.transaction() as connection:
            connection.execute("UPDATE announced SET url = %s", [address])
        assert lab.storage.ledger.retry([call_id]) == {call_id}
        assert try_again(lab, call_id, 1) == [True]
    assert state_of(lab, call_id) is CallState.COMPLETED


def test_what_no_other_try_cures_fails_at_once_and_tells_nothing_of_the_address(
    lab: Lab, host: FileHost
):
    host.answers["/call.wav"] = answer(403, "Content-Length: 0")
    call_id = announced(lab, host.url(f"/call.wav{QUERY}"))
    assert not lab.run([call_id]).success
    failed = lab.storage.ledger.find(call_id)
    assert (failed.state, failed.error_class) == (CallState.FAILED, "DownloadRefused")
    assert "403 Forbidden" in (failed.error_message or "")
    told = f"{failed} {told_by_dagster(lab)}"
    assert SECRET not in told and str(host.port) not in told


def test_an_address_that_turns_out_to_be_private_fails_the_call(lab: Lab, host: FileHost):
    host.answers["/call.wav"] = answer(302, "Location: http://169.254.169.254/latest/meta-data")
    call_id = announced(lab, host.url())
    assert not lab.run([call_id]).success
    failed = lab.storage.ledger.find(call_id)
    assert (failed.state, failed.error_class) == (CallState.FAILED, "DownloadRefused")
    assert "private network" in (failed.error_message or "")


def test_the_bytes_of_an_earlier_call_are_worked_on_once(lab: Lab, host: FileHost):
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
    assert lab.listening.used.count("splitter") == 1


def test_an_erased_call_leaves_neither_its_address_nor_what_was_fetched(lab: Lab, host: FileHost):
    host.answers["/fetched.wav"] = ok(sound())
    done, waiting = (
        announced(lab, host.url(f"/{name}.wav{QUERY}")) for name in ("fetched", "waiting")
    )
    assert lab.run([done]).success
    assert in_database(lab.storage.database.url, [SECRET]) == ["callpipeline.announced"]
    lab.storage.erasures.begin([done, waiting], keep_recording=False)
    none = Traces(0, busy=False)
    eraser = open_eraser(lab.settings, lab.storage, lambda ids, thorough: none, quiet_s=0.0)
    assert not all(look.finished for look in eraser.finish())
    assert all(look.finished for look in eraser.finish())
    assert not in_database(lab.storage.database.url, [SECRET, "fetched.wav", "waiting.wav"])
    assert not in_files(lab.settings.home, [SECRET, "fetched.wav"])
    content = hashlib.sha256(sound()).hexdigest()
    assert lab.storage.ledger.call_of_content(content) == done, "its bytes do not come in again"
