"""A full disk, a database that is away, and clients that hold connections open."""

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.errors import MachineExhausted
from callpipeline.http_server.connections import raise_file_limit
from callpipeline.storage.objects import files
from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from callpipeline.storage.postgres.migrations import migrate
from callpipeline.web import state
from callpipeline.web.services import availability, monitoring
from callpipeline.web.services.availability import Silence
from callpipeline.wiring import disk_shortage
from tests.processes import free_port, until
from tests.web.app_server import app_client

PATIENT_APP = """
from callpipeline.http_server.connections import HeaderLimit
from callpipeline.http_server.limits import BodyTimeout
from callpipeline.web.__main__ import main
from callpipeline.web.services import monitoring

HeaderLimit.__init__.__kwdefaults__["within_s"] = 3600.0
BodyTimeout.__init__.__kwdefaults__.update(idle_s=3600.0, within_s=3600.0)
monitoring.TIMEOUT_S = 60.0
main()
"""
"""The app, without the timeouts that would end held connections while a slow machine answers."""
PATIENCE_S = 300.0
KEY = "a key of sixteen or more"
LEAST_FILES = 1024
ANSWER_WITHIN_S, HEALTH_TIMEOUT_S = availability.ANSWER_WITHIN_S, monitoring.TIMEOUT_S


@contextmanager
def app_with_few_files(home: Path, url: str) -> Iterator[str]:
    """Run the app in a process that may open 1024 files."""
    port = free_port()
    environment = os.environ | {
        "CALLPIPELINE_HOME": str(home),
        "DATABASE_URL": url,
        "CALLPIPELINE_API_KEY": KEY,
        "CALLPIPELINE_WEB_PORT": str(port),
    }

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (LEAST_FILES, LEAST_FILES))

    process = subprocess.Popen(
        [sys.executable, "-c", PATIENT_APP],
        env=environment,
        preexec_fn=limit,  # noqa: PLW1509
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        until(lambda: process.poll() is not None or healthy(address), "the app", 120, every_s=0.1)
        assert process.poll() is None
        yield address
    finally:
        process.kill()
        process.wait()


def healthy(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health", timeout=PATIENCE_S).status_code == 200
    except httpx.TransportError:
        return False


OPENINGS = {
    "nothing": b"",
    "begun headers": b"GET /calls HTTP/1.1\r\nX: ",
    "a body that does not come": (
        f"POST /find-competitors HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-KEY: {KEY}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    ).encode(),
    "an event stream": (
        f"GET /events/newest HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-KEY: {KEY}\r\n\r\n"
    ).encode(),
}


def test_held_connections_do_not_starve_others(tmp_path: Path, database_url: str):
    """More connections than files, held open in each way: everyone else is served."""
    raise_file_limit()
    with app_with_few_files(tmp_path, database_url) as address:
        parts = urlsplit(address)
        for name, opening in OPENINGS.items():
            held: list[socket.socket] = []
            try:
                for _ in range(475 if name == "an event stream" else 1150):
                    one = socket.create_connection((parts.hostname, parts.port), timeout=60)
                    held.append(one)
                    one.sendall(opening)
                for _ in range(5):
                    assert healthy(address), name
            finally:
                for one in held:
                    one.close()


@pytest.fixture
def few(settings: Settings, database_url: str) -> Settings:
    return settings.model_copy(update={"database_url": SecretStr(database_url)})


def test_uploads_are_refused_before_the_disk_is_full(
    few: Settings, monkeypatch: pytest.MonkeyPatch
):
    free = [2_000_000_000]
    monkeypatch.setattr(files, "free_bytes", lambda path: free[0])
    sound = b"RIFF\xff\xff\xff\xffWAVE" + bytes(100_000)
    with app_client(few) as client:
        assert client.put("/upload/a.wav", content=sound).status_code == 200
        assert client.get("/health").status_code == 200
        free[0] = few.min_free_mb * 1_000_000 + 150_000
        refused = client.put("/upload/b.wav", content=sound + b"b")
        assert refused.status_code == 503
        assert "disk is nearly full" in refused.json()["detail"]
        assert int(refused.headers["Retry-After"]) > 0
        in_parts = client.put("/upload/c.wav", content=iter([sound, sound]))
        assert in_parts.status_code == 503, "without Content-Length, while it arrives"
        assert client.get("/jobs").json()["total"] == 1
        time.sleep(3.1)  # the health is cached
        assert client.get("/health").status_code == 200
        free[0] = few.min_free_mb * 1_000_000 - 1
        time.sleep(3.1)
        health = client.get("/health")
        assert health.status_code == 503
        assert "make room" in health.json()["dependencies"]["disk"]["detail"]
        assert client.get("/health/ready").status_code == 204, "reading still works"
        free[0] = 2_000_000_000
        assert client.put("/upload/b.wav", content=sound + b"b").status_code == 200
    assert not list((few.home / "uploads").rglob("upload"))


@contextmanager
def small_disk(at: Path) -> Iterator[Path]:
    """Mount a disk of two megabytes in memory."""
    at.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "small", str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


def can_mount() -> bool:
    return os.geteuid() == 0 and sys.platform == "linux"


@pytest.mark.skipif(not can_mount(), reason="needs root, to mount a disk")
def test_acknowledged_uploads_are_there_after_a_full_and_a_read_only_disk(
    few: Settings, tmp_path: Path
):
    sound = b"RIFF\xff\xff\xff\xffWAVE" + bytes(400_000)
    sent: dict[str, int] = {}
    with small_disk(tmp_path / "small") as disk:
        options = few.model_copy(update={"recordings": str(disk / "in"), "min_free_mb": 0})

        def upload(client: httpx.Client, name: str) -> httpx.Response:
            reply = client.put(f"/upload/{name}", content=sound + name.encode())
            if reply.status_code == 200:
                sent[name] = len(sound) + len(name)
            return reply

        def lost() -> int:
            found = {each.name: each.stat().st_size for each in disk.rglob("*.wav")}
            return sum(found.get(name) != size for name, size in sent.items())

        with app_client(options) as client:
            replies = [upload(client, f"{number}.wav") for number in range(8)]
            assert [reply.status_code for reply in replies].count(200) in range(1, 6)
            assert replies[-1].status_code == 503
            assert lost() == 0
            subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
            assert upload(client, "7.wav").status_code == 200
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            refused = upload(client, "8.wav")
            assert refused.status_code == 503
            assert "read-only" in refused.json()["detail"]
            subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
            assert upload(client, "8.wav").status_code == 200
            calls = client.get("/jobs").json()["total"]
        print(f"{len(sent)} uploads acknowledged: LOST = {lost()}, DUP = {calls - len(sent)}")
        assert (lost(), calls) == (0, len(sent))


@pytest.mark.skipif(not can_mount(), reason="needs root, to mount a disk")
def test_a_read_only_data_folder_is_unhealthy(few: Settings, tmp_path: Path):
    with small_disk(tmp_path / "small") as disk:
        options = few.model_copy(update={"home": disk / "data", "min_free_mb": 0})
        assert disk_shortage(options) is None
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert "read-only" in (disk_shortage(options) or "")
        with pytest.raises(MachineExhausted, match="read-only"):
            monitoring.check_disk(options)


PATHS = ("/", "/calls", "/jobs", "/competitors", "/analytics", "/search?query=x")


@pytest.fixture
def watchful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an app notice soon that Postgres does not answer, and otherwise wait for it for long."""
    monkeypatch.setattr(availability, "ANSWER_WITHIN_S", ANSWER_WITHIN_S)
    monkeypatch.setattr(monitoring, "TIMEOUT_S", HEALTH_TIMEOUT_S)
    monkeypatch.setattr(state, "CONNECTION_WITHIN_S", 600.0)


@pytest.mark.usefixtures("watchful")
@pytest.mark.parametrize("way", ["frozen", "killed"])
def test_pages_answer_while_the_database_is_away_and_recover(
    settings: Settings, tmp_path: Path, way: str
):
    with EmbeddedPostgres(tmp_path / "pg", durable=False).running() as url:
        migrate(url)
        known = settings.model_copy(update={"database_url": SecretStr(url)})
        with app_client(known) as client:
            until(lambda: statuses(client)[0] == {200}, "pages are shown", 60, every_s=0.2)
            server = postmaster(tmp_path / "pg")
            supervisor = supervisor_of(server)
            if way == "killed":
                os.kill(supervisor, signal.SIGSTOP)  # it would start the server again
                os.kill(server, signal.SIGKILL)
            else:
                for pid in (server, *children(server)):
                    os.kill(pid, signal.SIGSTOP)
            try:
                for wait_s in (0, 0.7, 2, 5):
                    time.sleep(wait_s)
                    found, slowest_s = statuses(client)
                    assert found == {503}, wait_s
                    print(f"{way}: slowest answer {slowest_s:.2f} s")
                assert "database" in client.get("/jobs").json()["detail"]
                assert client.get("/health").json()["dependencies"]["database"]["state"] == "down"
                assert client.get("/health/live").status_code == 204
            finally:
                if way == "killed":
                    os.kill(supervisor, signal.SIGCONT)
                else:
                    for pid in (server, *children(server)):
                        os.kill(pid, signal.SIGCONT)
            begin = time.monotonic()
            until(lambda: statuses(client)[0] == {200}, "recovered", 60, every_s=0.2)
            print(f"{way}: recovered after {time.monotonic() - begin:.1f} s")


def statuses(client: httpx.Client) -> tuple[set[int], float]:
    """Request all pages at once; return their statuses, and the time of the slowest in seconds."""
    took: list[float] = []
    found: list[int] = []

    def get(path: str) -> None:
        begin = time.monotonic()
        found.append(client.get(path, timeout=PATIENCE_S).status_code)
        took.append(time.monotonic() - begin)

    threads = [threading.Thread(target=get, args=[path]) for path in PATHS * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(threads)
    return set(found), max(took)


def postmaster(folder: Path) -> int:
    (cluster,) = folder.glob("cluster-*")
    return int((cluster / "postmaster.pid").read_text().split()[0])


def supervisor_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(each) for each in tasks.read_text().split()]


@pytest.mark.usefixtures("watchful")
def test_a_busy_database_is_not_away(settings: Settings, database_url: str):
    """Slow statements of others do not make pages give up."""
    known = settings.model_copy(update={"database_url": SecretStr(database_url)})
    with app_client(known) as client, psycopg.connect(database_url) as connection:
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                connection.execute("SELECT sum(sqrt(n)) FROM generate_series(1, 3000000) n")

        busy = threading.Thread(target=work)
        busy.start()
        try:
            # Now and then a machine that is busy as well has no processor for Postgres.
            until(lambda: is_shown_for(4, client), "pages are shown for 4 s")
        finally:
            stop.set()
            busy.join()


def is_shown_for(seconds: float, client: httpx.Client) -> bool:
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        if client.get("/jobs").status_code != 200:
            return False
    return True


def test_a_stall_of_the_whole_machine_is_no_silence_of_the_database():
    silence = Silence()
    looks = [(1.0, 0.1), (1.0, 0.1), (1.0, 30.0), (1.0, 0.1), (31.4, 0.1), (31.4, 5.0)]
    assert max(silence.look(*each) for each in looks) < ANSWER_WITHIN_S


def test_a_question_without_an_answer_is_a_silence():
    silence = Silence()
    heard = [silence.look(1.0, waited_s) for waited_s in (0.1, 0.1, 5.0, *[0.1] * 9)]
    assert heard == sorted(heard)
    assert heard[-1] > ANSWER_WITHIN_S
    assert silence.look(None, 0.1) == silence.look(15.0, 0.1) == 0.0
