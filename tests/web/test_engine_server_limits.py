"""Limits of the engine server: concurrency, size, time; health, expiry and documentation."""

import asyncio
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from callpipeline.config import CHECKOUT, Settings
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.sentiment import JudgeResult
from callpipeline.engine_server.analysis import MentionJudgement
from callpipeline.engine_server.app import MAX_JSON_BYTES
from callpipeline.engine_server.state import RECHECK_AFTER_S, ExpiringFolders, HealthMonitor
from callpipeline.engine_server.transcripts import SentMention
from callpipeline.engines.ports import Conversation
from callpipeline.errors import EngineUnavailable
from callpipeline.http_server import multipart
from tests.fakes.engines import ScriptedJudge, ScriptedSplitter, ScriptedTranscriber
from tests.processes import until
from tests.web.engine_servers import Served, scripted, serving

MB = 1_000_000
HEAD = (
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="call.wav"\r\n'
    b"Content-Type: audio/wav\r\n\r\n"
)
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


@pytest.fixture(scope="module")
def served(module_settings: Settings) -> Iterator[Served]:
    with serving(module_settings, serve_max_upload_mb=1) as served:
        yield served


def audio(size: int) -> Iterator[bytes]:
    yield HEAD
    for _ in range(size // 10_000):
        yield b"s" * 10_000
    yield b"\r\n--x--\r\n"


def test_a_recording_that_is_too_large_is_rejected(served: Served) -> None:
    assert served.split(b"s" * (MB - 1000)).status_code == 200
    reply = served.split(b"s" * MB)
    assert reply.status_code == 413
    assert "1,000,000 bytes" in reply.json()["detail"]


def test_an_upload_without_length_is_cut_off_at_the_limit(served: Served) -> None:
    def endless() -> Iterator[bytes]:
        yield HEAD
        while True:
            yield b"s" * 10_000

    with suppress(httpx.WriteError, httpx.ReadError):  # the server stops reading once it rejects
        reply = served.http.post("/split", content=endless(), headers=FORM)
        assert reply.status_code == 413
    until(lambda: served.state.splits.admitted == 0, "the request has ended")
    assert served.http.post("/split", content=audio(900_000), headers=FORM).status_code == 200


def test_other_bodies_are_limited(served: Served) -> None:
    large = {"text": "x" * MAX_JSON_BYTES}
    assert served.http.post("/analyze/overall", json=large).status_code == 413
    files = {"file": ("t.json", b"x" * MAX_JSON_BYTES)}
    assert served.http.post("/analyze/overall/file", files=files).status_code == 413
    fields = {f"field {n}": "x" * 1000 for n in range(200)}
    assert served.split(b"call", **fields).status_code == 413
    many = {f"field {n}": "" for n in range(1200)}
    assert served.split(b"call", **many).status_code == 413


def test_an_idle_upload_times_out(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "IDLE_S", 0.2)
    with serving(settings) as served:
        host, port = served.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            head = b"POST /split HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n"
            kind = b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
            connection.sendall(head + kind + HEAD + b"sss")
            assert connection.recv(1000).startswith(b"HTTP/1.1 408")
    assert list((settings.home / "engine-server" / "files").iterdir()) == []


def test_a_slow_upload_times_out(settings: Settings) -> None:
    def dripping() -> Iterator[bytes]:
        yield HEAD
        for _ in range(100):
            time.sleep(0.05)
            yield b"s"

    with serving(settings, serve_timeout_s=0.4) as served:
        with suppress(httpx.WriteError, httpx.ReadError):  # the server closes before the end
            assert served.http.post("/split", content=dripping(), headers=FORM).status_code == 408
        until(lambda: served.state.splits.admitted == 0, "its slot is free")


def test_an_aborted_upload_leaves_no_files(settings: Settings) -> None:
    with serving(settings) as served:
        host, port = served.url.removeprefix("http://").split(":")
        files = settings.home / "engine-server" / "files"
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            head = b"POST /split HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n"
            kind = b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
            connection.sendall(head + kind + HEAD + b"sss")
            until(lambda: len(list(files.iterdir())) == 1, "the upload begins")
        until(lambda: list(files.iterdir()) == [], "nothing is left")
        until(lambda: served.state.splits.admitted == 0, "its slot is free")


def test_a_full_queue_rejects_requests_with_a_wait(settings: Settings) -> None:
    transcriber = ScriptedTranscriber(meets=9)
    with serving(
        settings, scripted(transcriber=transcriber), serve_concurrency=1, serve_queue=1
    ) as served:
        replies: list[httpx.Response] = []
        threads = [
            threading.Thread(target=lambda: replies.append(served.transcribe())) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        until(lambda: served.state.transcriptions.admitted == 2, "both are admitted")
        until(lambda: transcriber.most_at_once == 1, "one is transcribed")
        reply = served.transcribe()
        assert (reply.status_code, reply.headers["Retry-After"]) == (503, "5")
        assert transcriber.most_at_once == 1
        assert served.split().status_code == 200  # each service has its own limiter
        transcriber.most_at_once = 9
        for thread in threads:
            thread.join()
        assert [reply.status_code for reply in replies] == [200, 200]
        assert served.transcribe().status_code == 200


def test_work_beyond_the_time_limit_is_cancelled(settings: Settings) -> None:
    engines = scripted(transcriber=ScriptedTranscriber(meets=2))
    with serving(settings, engines, serve_timeout_s=0.2) as served:
        reply = served.transcribe()
        assert (reply.status_code, "0.2 s" in reply.json()["detail"]) == (504, True)
        assert served.state.transcriptions.admitted == 0


def test_work_for_a_disconnected_client_is_cancelled(settings: Settings) -> None:
    engines = scripted(transcriber=ScriptedTranscriber(meets=2))
    with serving(settings, engines) as served:
        served.http.headers.update(served.bearer())
        files = {"audio_file": b"call 1"}
        patience = httpx.Timeout(60, read=0.3)
        with pytest.raises(httpx.ReadTimeout):
            served.http.post("/api/v1/transcriptions/", files=files, timeout=patience)
        until(lambda: served.state.transcriptions.admitted == 0, "the work is cancelled")


def test_requests_in_progress_at_shutdown_get_a_retryable_error(settings: Settings) -> None:
    engines = scripted(transcriber=ScriptedTranscriber(meets=2))
    replies: list[httpx.Response] = []
    with serving(settings, engines, grace_s=0) as served:
        thread = threading.Thread(target=lambda: replies.append(served.transcribe()))
        thread.start()
        until(lambda: served.state.transcriptions.admitted == 1, "it is in progress")
        served.stop()
        thread.join()
    assert [(reply.status_code, reply.headers["Retry-After"]) for reply in replies] == [(503, "5")]
    assert list((settings.home / "engine-server" / "files").iterdir()) == []


def test_health_lists_the_engines_and_tests_them_once(settings: Settings) -> None:
    splitter, judge = ScriptedSplitter(), ScriptedJudge()
    with serving(settings, scripted(splitter=splitter, judge=judge)) as served:
        served.http.get("/health")
        reply = served.http.get("/health")
        assert reply.status_code == 200
        assert reply.json()["judge"] == {"name": "scripted-judge", "works": True, "detail": None}
        assert len(splitter.asked) == len(judge.asked) == 1
    assert list((settings.home / "engine-server" / "files").iterdir()) == []


class FailingJudge(ScriptedJudge):
    """A judge that fails until `is_repaired`."""

    is_repaired = False

    async def judge(
        self, conversation: Conversation, mentions: Sequence[Mention]
    ) -> tuple[JudgeResult, ...]:
        if not self.is_repaired:
            raise EngineUnavailable("the words of a call")
        return await super().judge(conversation, mentions)


def test_health_reports_a_failed_engine_until_it_works_again(settings: Settings) -> None:
    judge = FailingJudge()
    with serving(settings, scripted(judge=judge)) as served:
        reply = served.http.get("/health")
        assert reply.status_code == 503
        assert reply.json()["judge"]["works"] is False
        assert reply.json()["splitter"]["works"] is True
        assert "words" not in reply.text
        judge.is_repaired = True
        sent = {"segments": [{"text": "with EE now"}]}
        assert served.analyse("EE", sent).status_code == 200
        assert served.http.get("/health").status_code == 200


async def _works(health: HealthMonitor, folder: Path) -> bool:
    return (await health.state(folder))["judge"].works


def test_a_busy_engine_is_not_tested(tmp_path: Path) -> None:
    transcriber = ScriptedTranscriber(meets=2)  # the test would never return
    health = HealthMonitor(scripted(transcriber=transcriber))

    async def state() -> bool:
        with health.record("transcriber"):
            return (await health.state(tmp_path))["transcriber"].works

    assert asyncio.run(state())
    assert transcriber.asked == []


def test_a_failed_engine_is_tested_again_after_a_delay(tmp_path: Path) -> None:
    judge, clock = FailingJudge(), [0.0]
    health = HealthMonitor(scripted(judge=judge), now=lambda: clock[0])

    async def states() -> list[bool]:
        found = [await _works(health, tmp_path)]
        judge.is_repaired = True
        for clock[0] in (RECHECK_AFTER_S - 1, RECHECK_AFTER_S):
            found.append(await _works(health, tmp_path))
        return found

    assert asyncio.run(states()) == [False, False, True]


def test_folders_expire(tmp_path: Path) -> None:
    clock = [1000.0]
    folders = ExpiringFolders(tmp_path, now=lambda: clock[0])
    folder = folders.add(10)
    (folder / "left.flac").write_text("sound")
    (tmp_path / "something else").mkdir()
    clock[0] = 1009.0
    folders.sweep()
    assert folders.find(folder.name) == folder
    for name in ("", "..", "something else", f"{folder.name}/left.flac", f"x/../{folder.name}"):
        assert folders.find(name) is None
    clock[0] = 1012.0
    ExpiringFolders(tmp_path, now=lambda: clock[0]).sweep()  # another server, after a crash
    assert folders.find(folder.name) is None
    assert (tmp_path / "something else").exists()


def test_every_route_and_extension_field_is_documented(served: Served) -> None:
    text = (CHECKOUT / "docs" / "engines.md").read_text()
    paths = served.http.get("/openapi.json").json()["paths"]
    assert len(paths) == 11
    for path in paths:
        assert path.split("{")[0] in text, path
    extensions = {
        "agent_channel",
        "vocabulary",
        "expires_in",
        "judgements",
        "mentions",
        "segment_id",
    }
    documented = set(re.findall(r"\w+", text))
    assert (
        extensions | set(SentMention.model_fields) | set(MentionJudgement.model_fields)
        <= documented
    )


def test_the_documentation_page_loads_nothing_from_other_hosts(served: Served) -> None:
    page = served.http.get("/docs")
    assert page.text == served.http.get("/").text
    assert "/analyze/contextual/file" in page.text
    assert "vocabulary" in page.text
    assert "<script" not in page.text and "http://" not in page.text and "https://" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    described = served.http.get("/openapi.json").json()["paths"]["/split"]["post"]
    form = described["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(form["properties"]) == {"file", "agent_channel"}
