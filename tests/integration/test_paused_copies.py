"""Copies into a recordings folder that pause half-way."""

import os
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from callpipeline.domain.calls.sources import Source
from callpipeline.pipeline.ingest.cursor import DiscoveryCursor
from callpipeline.pipeline.ingest.discovery import ScanBudget, ScanResult, discover
from callpipeline.storage.objects import open_files
from callpipeline.storage.objects.urls import S3Access, open_store
from callpipeline.wiring import Storage

WRITER = """
import sys
content = open(sys.argv[1], "rb").read()
with open(sys.argv[2], "wb") as copy:
    copy.write(content[: len(content) // 2])
    copy.flush()
    print("half", flush=True)
    sys.stdin.readline()
    copy.write(content[len(content) // 2 :])
"""


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    path = tmp_path / "whole.wav"
    with wave.open(str(path), "wb") as audio:
        audio.setparams((2, 2, 8000, 0, "NONE", ""))
        audio.writeframes(bytes(64_000))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    return folder


@contextmanager
def paused_copy(whole: Path, to: Path) -> Iterator[subprocess.Popen[str]]:
    """Copy half of a file in another process, which then waits; it ends with the context."""
    command = [sys.executable, "-c", WRITER, str(whole), str(to)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe) as process:
        assert process.stdout and process.stdin
        process.stdout.readline()
        yield process
        process.stdin.close()


def scanned(storage: Storage, folder: Path) -> ScanResult:
    store = open_store(str(folder), S3Access())
    budget = ScanBudget(datetime.now(UTC), settle_s=1.0)
    source = Source("recordings", str(folder))
    return discover(source, store, storage.ledger, DiscoveryCursor(), budget).result


def unchanged_for(path: Path, seconds: float) -> None:
    at = time.time() - seconds
    os.utime(path, (at, at))


@pytest.mark.parametrize("name", ["call.wav", "call.mp3"])
@pytest.mark.parametrize("pause_s", [15, 90, 1800])
def test_a_paused_copy_becomes_one_complete_call(
    storage: Storage, whole: Path, folder: Path, name: str, pause_s: float
):
    with paused_copy(whole, folder / name):
        unchanged_for(folder / name, pause_s)
        found = scanned(storage, folder)
        assert (len(found.registered), found.unsettled) == (0, 1)
    unchanged_for(folder / name, 5)
    assert len(scanned(storage, folder).registered) == 1
    [call] = storage.ledger.calls()
    assert call.state == "PENDING"
    assert (folder / name).read_bytes() == whole.read_bytes()


def test_a_file_that_is_never_closed_is_not_lost(storage: Storage, whole: Path, folder: Path):
    with paused_copy(whole, folder / "call.wav"):
        unchanged_for(folder / "call.wav", open_files.MAX_PAUSE_S + 5)
        assert len(scanned(storage, folder).registered) == 1


def test_a_reader_does_not_make_a_file_wait(storage: Storage, whole: Path, folder: Path):
    (folder / "call.wav").write_bytes(whole.read_bytes())
    unchanged_for(folder / "call.wav", 5)
    with (folder / "call.wav").open("rb"):
        assert len(scanned(storage, folder).registered) == 1


def test_on_a_network_drive_a_short_wav_file_waits(
    storage: Storage, whole: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(open_files, "LOCAL", set[str]())
    content = whole.read_bytes()
    streamed = content[:4] + b"\xff\xff\xff\xff" + content[8:]
    for name, written in (
        ("half.wav", content[: len(content) // 2]),
        ("whole.wav", content),
        ("streamed.wav", streamed),
        ("other.mp3", b"ID3" + bytes(2000)),
    ):
        (folder / name).write_bytes(written)
        unchanged_for(folder / name, 60)
    found = scanned(storage, folder)
    assert (len(found.registered), found.unsettled) == (3, 1)
    unchanged_for(folder / "half.wav", open_files.MAX_SHORT_S + 5)
    assert len(scanned(storage, folder).registered) == 1


def test_a_writer_that_comes_while_a_file_is_examined_does_not_end_this_process(
    storage: Storage, whole: Path, folder: Path
):
    """The kernel signals a process whose lease is broken."""
    path = folder / "call.wav"
    path.write_bytes(whole.read_bytes())
    opening = f"while True: open({str(path)!r}, 'r+b').close()"
    with subprocess.Popen([sys.executable, "-c", opening]) as writer:
        try:
            until = time.monotonic() + 2
            while time.monotonic() < until:
                with path.open("rb") as file:
                    open_files.is_being_written(file)
        finally:
            writer.send_signal(signal.SIGKILL)
