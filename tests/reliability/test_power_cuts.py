"""A power cut: of what was written, only what was synced is left."""

import fcntl
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx
import psycopg
import pytest

from callpipeline.pipeline.ingest.registration import ingest_file
from callpipeline.storage.objects import files
from callpipeline.storage.objects.folder import FolderStore
from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from callpipeline.storage.postgres.migrations import migrate
from callpipeline.wiring import Storage
from tests.processes import free_port, parent, until

TIMES = 100 if os.environ.get("LARGE") else 1
UPLOADS = 5
KEY = "a key of sixteen or more"


def a_wav(file: IO[bytes]) -> None:
    """Write two seconds of silence."""
    with wave.open(file, "wb") as audio:
        audio.setparams((2, 2, 8000, 0, "NONE", ""))
        audio.writeframes(bytes(64_000))


class Disk:
    """What is on the disk: the files and names that were synced, by their inode."""

    def __init__(self) -> None:
        self.files: dict[int, bytes] = {}
        self.names: dict[int, dict[str, int]] = {}

    def sync(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_dir():
            entries = {each.name: each.stat().st_ino for each in path.iterdir()}
            self.names[path.stat().st_ino] = entries
        else:
            self.files[path.stat().st_ino] = path.read_bytes()

    def read(self, root: Path, key: str) -> bytes | None:
        """Return the content of a file after a power cut, None if it is gone."""
        inode: int | None = root.stat().st_ino
        for part in key.split("/"):
            inode = self.names.get(inode, {}).get(part) if inode is not None else None
        return self.files.get(inode) if inode is not None else None


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(files, "sync", disk.sync)
    return disk


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
class TestSynced:
    """Each way to store an object leaves it on the disk, with all folders above it."""

    @pytest.mark.parametrize("key", ["a.wav", "deep/er/a.wav"])
    def test_by_put(self, disk: Disk, tmp_path: Path, key: str):
        store = FolderStore("store", tmp_path / "store")
        for content in (b"sound", b"replaced"):
            store.put(key, content)
            assert disk.read(tmp_path / "store", key) == content

    def test_by_put_all(self, disk: Disk, tmp_path: Path):
        store = FolderStore("store", tmp_path / "store")
        store.put_all({"calls/1/left.flac": b"left", "calls/1/right.flac": b"right", "b": b"2"})
        for key, content in (("calls/1/left.flac", b"left"), ("calls/1/right.flac", b"right")):
            assert disk.read(tmp_path / "store", key) == content

    def test_by_put_new_although_another_process_has_just_written_it(
        self, disk: Disk, tmp_path: Path
    ):
        (tmp_path / "store" / "deep").mkdir(parents=True)
        store = FolderStore("store", tmp_path / "store")
        store.put_new("deep/a.wav", b"sound")
        disk.names.clear()
        store.put_new("deep/a.wav", b"sound")
        assert disk.read(tmp_path / "store", "deep/a.wav") == b"sound"

    def test_a_deletion_is_on_the_disk_too(self, disk: Disk, tmp_path: Path):
        store = FolderStore("store", tmp_path / "store")
        for key in ("deep/a.wav", "calls/1/left.flac"):
            store.put(key, b"sound")
        store.delete("deep/a.wav")
        store.delete_below("calls/1")
        assert disk.read(tmp_path / "store", "deep/a.wav") is None
        assert disk.read(tmp_path / "store", "calls/1/left.flac") is None

    def test_an_error_of_the_disk_is_not_swallowed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        def broken(descriptor: int) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(files, "sync", broken)
        store = FolderStore("store", tmp_path / "store")
        with pytest.raises(Exception, match="did not respond"):
            store.put("a.wav", b"sound")
        assert list(store.list()) == []

    @pytest.mark.parametrize("write", [files.replace_file, files.create_file])
    def test_a_single_file(self, disk: Disk, tmp_path: Path, write: Callable[[Path, bytes], None]):
        write(tmp_path / "new" / "file", b"secret")
        assert disk.read(tmp_path / "new", "file") == b"secret"
        assert (tmp_path / "new" / "file").stat().st_mode & 0o777 == 0o600

    def test_a_recording_before_its_row_is_committed(
        self, disk: Disk, tmp_path: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch
    ):
        recording = tmp_path / "call.wav"
        with recording.open("wb") as file:
            a_wav(file)
        recording.with_suffix(".srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello.\n")
        inbox = Path(storage.inbox._folder)  # pyright: ignore
        seen: list[bool] = []
        register = storage.ledger.register

        def registered(registrations: Any) -> Any:
            for each in registrations:
                key = each.recording.key
                beside = key.removesuffix(".wav") + ".srt"
                seen.append(disk.read(inbox, key) == recording.read_bytes())
                seen.append(disk.read(inbox, beside) is not None)
            return register(registrations)

        monkeypatch.setattr(storage.ledger, "register", registered)
        ingest_file(recording, storage.inbox, storage.ledger, storage.home)
        assert seen == [True, True]


def can_mount() -> bool:
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        return False
    return subprocess.run(["losetup", "-f"], capture_output=True, check=False).returncode == 0


@contextmanager
def mounted(image: Path, at: Path) -> Iterator[Path]:
    at.mkdir()
    subprocess.run(["mount", "-o", "loop", str(image), str(at)], check=True)
    try:
        yield at
    finally:
        until(lambda: subprocess.run(["umount", str(at)], check=False).returncode == 0, "unmounted")


@contextmanager
def web_app(home: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    port = free_port()
    environment = os.environ | {
        "CALLPIPELINE_HOME": str(home),
        "CALLPIPELINE_API_KEY": KEY,
        "CALLPIPELINE_WEB_PORT": str(port),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "callpipeline.web"], env=environment, stdin=subprocess.DEVNULL
    )
    try:
        until(
            lambda: process.poll() is not None or answers(f"http://127.0.0.1:{port}/health/live"),
            "the app",
            60,
            every_s=0.1,
        )
        assert process.poll() is None, "the app did not start"
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=60).status_code == 204
    except httpx.TransportError:
        return False


def kill_all(home: Path, app: subprocess.Popen[bytes]) -> None:
    """Kill the app and Postgres at once, so that nothing is written or synced any more."""
    postmaster = json.loads((home / "postgres" / "server.json").read_text())["pid"]
    supervisor = parent(postmaster)
    os.kill(supervisor, signal.SIGSTOP)  # it would start Postgres again, or shut it down
    for pid in (postmaster, app.pid, supervisor):
        os.kill(pid, signal.SIGKILL)


def wait_until_stopped(home: Path) -> None:
    """Wait until the processes of the embedded Postgres have ended."""
    for name in ("users.lock", "supervisor.lock", "server.lock"):
        with (home / "postgres" / name).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)


def upload(address: str, name: str) -> None:
    """Upload a recording with content of its own; the same again is the same request."""
    sound = io.BytesIO()
    a_wav(sound)
    sent = httpx.put(
        f"{address}/upload/{name}.wav",
        content=sound.getvalue() + name.encode(),
        headers={"X-API-KEY": KEY, "Idempotency-Key": name},
        timeout=60,
    )
    assert sent.status_code == 200, sent.text


@pytest.mark.skipif(not can_mount(), reason="needs root, mkfs.ext4 and loop devices")
def test_acknowledged_uploads_survive_kill_and_power_cut(tmp_path: Path):
    """Kill everything after the last 2xx, and copy the image of the disk: a power cut leaves just
    that. Clients that saw no answer upload again, which must not make a second call.
    """
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(1_500_000_000)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    acknowledged: list[str] = []
    lost = duplicates = 0
    with mounted(image, tmp_path / "before") as disk:
        home = disk / "data"
        with EmbeddedPostgres(home / "postgres").running() as url:
            migrate(url)
        wait_until_stopped(home)
        for round_number in range(TIMES):
            with web_app(home) as (process, address):
                names = [f"call-{round_number}-{number}" for number in range(UPLOADS)]
                for name in (*acknowledged[-1:], *names):
                    upload(address, name)
                acknowledged += names
                kill_all(home, process)
                crash = tmp_path / "crash.img"
                subprocess.run(["cp", "--sparse=always", str(image), str(crash)], check=True)
            wait_until_stopped(home)
            calls = complete(crash, tmp_path / f"after-{round_number}")
            lost += len({f"{name}.wav" for name in acknowledged} - {*calls})
            duplicates += len(calls) - len({*calls})
            assert (lost, duplicates) == (0, 0), f"round {round_number + 1}"
            assert len(calls) == len(acknowledged), f"round {round_number + 1}"
            crash.unlink()
    print(f"{TIMES} power cuts, {len(acknowledged)} uploads: LOST = {lost}, DUP = {duplicates}")


def complete(image: Path, at: Path) -> list[str]:
    """Return the file names of complete recordings of the ledger, on the copy of a disk."""
    with mounted(image, at) as disk:
        home = disk / "data"
        with EmbeddedPostgres(home / "postgres").running() as url, psycopg.connect(url) as database:
            database.execute("SET search_path TO callpipeline")
            rows = database.execute("SELECT key, size_bytes FROM calls").fetchall()
        wait_until_stopped(home)
        folder = home / "recordings"
        return [Path(key).name for key, size in rows if size_of(folder / key) == size]


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1
