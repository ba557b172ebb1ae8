"""Interrupted uploads, by the client or by the app's death."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from callpipeline.config import Settings
from callpipeline.http_server.incoming_file import UploadFolder
from callpipeline.wiring import Storage
from tests.processes import until
from tests.web.served import Served, served
from tests.web.uploads import KEY, WITH_KEY, Sender, a_recording, app_process, sending, sending_to

HEAD = (
    b"POST /upload HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-KEY: %s\r\nContent-Length: 3000000\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="call.wav"\r\n\r\n'
) % KEY.encode()


@pytest.fixture(scope="module")
def app(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("app"), module_url, **WITH_KEY) as app:
        yield app


@pytest.fixture
def sender(empty_app: Served) -> Iterator[Sender]:
    with sending_to(empty_app) as sender:
        yield sender


def break_off(sender: Sender, after: int, *, rudely: bool) -> None:
    with socket.create_connection(sender.address, timeout=60) as there:
        there.sendall(HEAD + os.urandom(after))
        until(lambda: bool(sender.landed()), "a file comes in")
        if rudely:  # a reset instead of an end
            there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def test_a_hundred_interrupted_uploads_leave_nothing(sender: Sender) -> None:
    for number in range(100):
        break_off(sender, after=number * 9_000, rudely=number % 2 == 0)
    until(lambda: not sender.landed(), "all files are gone", 20, every_s=0.05)
    assert (sender.calls(), sender.objects()) == (0, [])
    kept = sender.settings.home / "recordings"
    assert [path for path in kept.rglob("*") if path.is_file()] == [], "nor hidden ones"
    assert sender.upload(a_recording()).status_code == 200


def test_an_incomplete_form_is_refused(sender: Sender) -> None:
    body = HEAD.partition(b"\r\n\r\n")[2] + a_recording()
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    assert sender.client.post("/upload", content=body, headers=form).status_code == 400
    assert (sender.calls(), sender.objects(), sender.landed()) == (0, [], [])


@pytest.fixture
def app_in_process(
    settings: Settings, storage: Storage
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    with app_process(settings, storage) as (process, port):
        yield process, port


def test_files_of_a_killed_app_are_swept_and_a_repeat_is_one_call(
    app_in_process: tuple[subprocess.Popen[bytes], int], settings: Settings, storage: Storage
) -> None:
    process, port = app_in_process
    landed = settings.home / "uploads"
    with socket.create_connection(("127.0.0.1", port), timeout=60) as there:
        there.sendall(HEAD + os.urandom(1_500_000))
        until(lambda: any(landed.rglob("upload")), "a file comes in", 10, every_s=0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert any(landed.rglob("upload"))
    content = a_recording()
    with sending(settings, storage) as sender:
        assert sender.landed() == []
        assert (sender.calls(), sender.objects()) == (0, [])
        for _ in range(2):
            assert sender.upload(content, **{"Idempotency-Key": "k"}).status_code == 200
        assert sender.calls() == 1
    assert list(landed.glob("*/*")) == []


def test_folders_of_running_apps_are_kept(settings: Settings) -> None:
    root = settings.home / "uploads"
    with UploadFolder(root), UploadFolder(root):
        assert len([path for path in root.iterdir() if path.is_dir()]) == 2
    assert [path for path in root.iterdir() if path.is_dir()] == []


def test_a_large_upload_is_not_held_in_memory(
    app_in_process: tuple[subprocess.Popen[bytes], int],
) -> None:
    process, port = app_in_process
    before = most_mb(process.pid)

    def recording() -> Iterator[bytes]:
        yield b"RIFF\xff\xff\xff\xffWAVE"
        for _ in range(100):
            yield os.urandom(1_000_000)

    reply = httpx.put(
        f"http://127.0.0.1:{port}/upload/large.wav",
        content=recording(),
        headers={"X-API-KEY": KEY},
        timeout=60,
    )
    assert reply.status_code == 200
    assert most_mb(process.pid) - before < 50


def most_mb(pid: int) -> float:
    """Return a process's peak memory."""
    [line] = [
        each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmHWM" in each
    ]
    return int(line.split()[1]) / 1024
