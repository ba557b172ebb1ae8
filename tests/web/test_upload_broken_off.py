"""Uploads that end before they are whole: by the client, or with the app."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from callpipeline.config import Settings
from callpipeline.web.forms.landing import Landing
from callpipeline.wiring import Storage
from tests.processes import until
from tests.web.uploads import KEY, Sender, a_recording, app_process, sending

HEAD = (
    b"POST /upload HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-KEY: %s\r\nContent-Length: 3000000\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="call.wav"\r\n\r\n'
) % KEY.encode()


@pytest.fixture
def sender(settings: Settings, storage: Storage) -> Iterator[Sender]:
    with sending(settings, storage) as sender:
        yield sender


def break_off(sender: Sender, after: int, *, rudely: bool) -> None:
    with socket.create_connection(sender.address, timeout=10) as there:
        there.sendall(HEAD + os.urandom(after))
        until(lambda: bool(sender.landed()), "a file comes in")
        if rudely:  # a reset instead of an end
            there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def test_a_hundred_uploads_that_are_broken_off_leave_nothing(sender: Sender) -> None:
    for number in range(100):
        break_off(sender, after=number * 9_000, rudely=number % 2 == 0)
    until(lambda: not sender.landed(), "all files are gone", 20, every_s=0.05)
    assert (sender.calls(), sender.objects()) == (0, [])
    kept = sender.settings.home / "recordings"
    assert [path for path in kept.rglob("*") if path.is_file()] == [], "nor hidden ones"
    assert sender.upload(a_recording()).status_code == 200


def test_a_form_without_its_end_is_refused(sender: Sender) -> None:
    body = HEAD.partition(b"\r\n\r\n")[2] + a_recording()
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    assert sender.client.post("/upload", content=body, headers=form).status_code == 400
    assert (sender.calls(), sender.objects(), sender.landed()) == (0, [], [])


@pytest.fixture
def app(settings: Settings, storage: Storage) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    with app_process(settings, storage) as (process, port):
        yield process, port


def test_what_a_killed_app_left_goes_at_the_next_start_and_the_repeat_is_one_call(
    app: tuple[subprocess.Popen[bytes], int], settings: Settings, storage: Storage
) -> None:
    process, port = app
    landed = settings.home / "uploads"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as there:
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


def test_the_folder_of_another_app_that_lives_is_left_alone(settings: Settings) -> None:
    root = settings.home / "uploads"
    with Landing(root), Landing(root):
        assert len([path for path in root.iterdir() if path.is_dir()]) == 2
    assert [path for path in root.iterdir() if path.is_dir()] == []


def test_a_large_upload_takes_no_memory_of_its_size(
    app: tuple[subprocess.Popen[bytes], int],
) -> None:
    process, port = app
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
    """The most memory that a process has had."""
    [line] = [
        each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmHWM" in each
    ]
    return int(line.split()[1]) / 1024
