"""What a server of engines does not take: too much at once, too large, too slow, too long."""

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
from callpipeline.domain.mention import Mention
from callpipeline.domain.sentiment import Verdict as Judged
from callpipeline.engines.ports import Conversation
from callpipeline.errors import EngineUnavailable
from callpipeline.web.engine_server.analysing import Verdict
from callpipeline.web.engine_server.app import MOST_JSON_BYTES
from callpipeline.web.engine_server.documents import SentMention
from callpipeline.web.engine_server.health import TRY_AGAIN_S, Health
from callpipeline.web.engine_server.shelf import Shelf
from callpipeline.web.forms import reading
from tests.fakes.engines import ScriptedJudge, ScriptedSplitter, ScriptedTranscriber
from tests.processes import until
from tests.web.engine_servers import Served, scripted, serving

MB = 1_000_000
HEAD = (
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="call.wav"\r\n'
    b"Content-Type: audio/wav\r\n\r\n"
)
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


@pytest.fixture
def served(settings: Settings) -> Iterator[Served]:
    with serving(settings, serve_max_upload_mb=1) as served:
        yield served


def sound(size: int) -> Iterator[bytes]:
    yield HEAD
    for _ in range(size // 10_000):
        yield b"s" * 10_000
    yield b"\r\n--x--\r\n"


def test_a_recording_that_is_too_large_is_refused(served: Served) -> None:
    assert served.split(b"s" * (MB - 1000)).status_code == 200
    reply = served.split(b"s" * MB)
    assert reply.status_code == 413
    assert "1,000,000 bytes" in reply.json()["detail"]


def test_one_that_does_not_say_how_large_it_is_is_cut_off(served: Served) -> None:
    def endless() -> Iterator[bytes]:
        yield HEAD
        while True:
            yield b"s" * 10_000

    with suppress(httpx.WriteError, httpx.ReadError):  # as soon as it is refused, nobody reads
        reply = served.http.post("/split", content=endless(), headers=FORM)
        assert reply.status_code == 413
    until(lambda: served.opened.splits.taken == 0, "the request is over")
    assert served.http.post("/split", content=sound(900_000), headers=FORM).status_code == 200


def test_other_bodies_are_limited_too(served: Served) -> None:
    large = {"text": "x" * MOST_JSON_BYTES}
    assert served.http.post("/analyze/overall", json=large).status_code == 413
    files = {"file": ("t.json", b"x" * MOST_JSON_BYTES)}
    assert served.http.post("/analyze/overall/file", files=files).status_code == 413
    fields = {f"field {n}": "x" * 1000 for n in range(200)}
    assert served.split(b"call", **fields).status_code == 413
    many = {f"field {n}": "" for n in range(1200)}
    assert served.split(b"call", **many).status_code == 413


def test_an_upload_that_stops_is_given_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "IDLE_S", 0.2)
    with serving(settings) as served:
        host, port = served.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            head = b"POST /split HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n"
            kind = b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
            connection.sendall(head + kind + HEAD + b"sss")
            assert connection.recv(1000).startswith(b"HTTP/1.1 408")
    assert list((settings.home / "engine-server" / "files").iterdir()) == []


def test_an_upload_that_drips_is_given_up_when_its_time_is_over(settings: Settings) -> None:
    def dripping() -> Iterator[bytes]:
        yield HEAD
        for _ in range(100):
            time.sleep(0.05)
            yield b"s"

    with serving(settings, serve_timeout_s=0.4) as served:
        with suppress(httpx.WriteError):  # closed before all was sent
            assert served.http.post("/split", content=dripping(), headers=FORM).status_code == 408
        until(lambda: served.opened.splits.taken == 0, "its place is free")


def test_an_upload_that_is_broken_off_leaves_nothing(settings: Settings) -> None:
    with serving(settings) as served:
        host, port = served.url.removeprefix("http://").split(":")
        files = settings.home / "engine-server" / "files"
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            head = b"POST /split HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n"
            kind = b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
            connection.sendall(head + kind + HEAD + b"sss")
            until(lambda: len(list(files.iterdir())) == 1, "the upload begins")
        until(lambda: list(files.iterdir()) == [], "nothing is left")
        assert served.opened.splits.taken == 0


def test_who_comes_when_all_places_are_taken_is_told_to_come_again(settings: Settings) -> None:
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
        until(lambda: served.opened.transcriptions.taken == 2, "both are in")
        reply = served.transcribe()
        assert (reply.status_code, reply.headers["Retry-After"]) == (503, "5")
        assert transcriber.most_at_once == 1
        assert served.split().status_code == 200  # each service has places of its own
        transcriber.most_at_once = 9
        for thread in threads:
            thread.join()
        assert [reply.status_code for reply in replies] == [200, 200]
        assert served.transcribe().status_code == 200


def test_what_takes_too_long_is_given_up(settings: Settings) -> None:
    engines = scripted(transcriber=ScriptedTranscriber(meets=2))
    with serving(settings, engines, serve_timeout_s=0.2) as served:
        reply = served.transcribe()
        assert (reply.status_code, "0.2 s" in reply.json()["detail"]) == (504, True)
        assert served.opened.transcriptions.taken == 0


def test_work_for_a_client_that_left_is_given_up(settings: Settings) -> None:
    engines = scripted(transcriber=ScriptedTranscriber(meets=2))
    with serving(settings, engines) as served:
        served.http.headers.update(served.bearer())
        files = {"audio_file": b"call 1"}
        with pytest.raises(httpx.ReadTimeout):
            served.http.post("/api/v1/transcriptions/", files=files, timeout=0.3)
        until(lambda: served.opened.transcriptions.taken == 0, "the work is given up", 5)


def test_what_is_at_work_when_the_server_stops_is_to_be_tried_again(settings: Settings) -> None:
    engines = scripted(transcriber=ScriptedTranscriber(meets=2))
    replies: list[httpx.Response] = []
    with serving(settings, engines, grace_s=0) as served:
        thread = threading.Thread(target=lambda: replies.append(served.transcribe()))
        thread.start()
        until(lambda: served.opened.transcriptions.taken == 1, "it is at work")
        served.stop()
        thread.join()
    assert [(reply.status_code, reply.headers["Retry-After"]) for reply in replies] == [(503, "5")]
    assert list((settings.home / "engine-server" / "files").iterdir()) == []


def test_health_names_the_engines_and_tries_them_once(settings: Settings) -> None:
    splitter, judge = ScriptedSplitter(), ScriptedJudge()
    with serving(settings, scripted(splitter=splitter, judge=judge)) as served:
        served.http.get("/health")
        reply = served.http.get("/health")
        assert reply.status_code == 200
        assert reply.json()["judge"] == {"name": "scripted-judge", "works": True, "detail": None}
        assert len(splitter.asked) == len(judge.asked) == 1
    assert list((settings.home / "engine-server" / "files").iterdir()) == []


class Broken(ScriptedJudge):
    """A judge that does not answer until it is mended."""

    is_mended = False

    async def judge(
        self, conversation: Conversation, mentions: Sequence[Mention]
    ) -> tuple[Judged, ...]:
        if not self.is_mended:
            raise EngineUnavailable("the words of a call")
        return await super().judge(conversation, mentions)


def test_health_tells_of_an_engine_that_failed_until_it_works_again(settings: Settings) -> None:
    judge = Broken()
    with serving(settings, scripted(judge=judge)) as served:
        reply = served.http.get("/health")
        assert reply.status_code == 503
        assert reply.json()["judge"]["works"] is False
        assert reply.json()["splitter"]["works"] is True
        assert "words" not in reply.text
        judge.is_mended = True
        sent = {"segments": [{"text": "with EE now"}]}
        assert served.analyse("EE", sent).status_code == 200
        assert served.http.get("/health").status_code == 200


async def _works(health: Health, folder: Path) -> bool:
    return (await health.state(folder))["judge"].works


def test_an_engine_at_work_is_not_tried(tmp_path: Path) -> None:
    transcriber = ScriptedTranscriber(meets=2)  # it would wait for ever
    health = Health(scripted(transcriber=transcriber))

    async def state() -> bool:
        with health.noted("transcriber"):
            return (await health.state(tmp_path))["transcriber"].works

    assert asyncio.run(state())
    assert transcriber.asked == []


def test_a_failed_engine_is_tried_again_after_a_while(tmp_path: Path) -> None:
    judge, clock = Broken(), [0.0]
    health = Health(scripted(judge=judge), now=lambda: clock[0])

    async def states() -> list[bool]:
        found = [await _works(health, tmp_path)]
        judge.is_mended = True
        for clock[0] in (TRY_AGAIN_S - 1, TRY_AGAIN_S):
            found.append(await _works(health, tmp_path))
        return found

    assert asyncio.run(states()) == [False, False, True]


def test_folders_go_when_their_time_is_over(tmp_path: Path) -> None:
    clock = [1000.0]
    shelf = Shelf(tmp_path, now=lambda: clock[0])
    folder = shelf.add(10)
    (folder / "left.flac").write_text("sound")
    (tmp_path / "something else").mkdir()
    clock[0] = 1009.0
    shelf.sweep()
    assert shelf.find(folder.name) == folder
    for name in ("", "..", "something else", f"{folder.name}/left.flac", f"x/../{folder.name}"):
        assert shelf.find(name) is None
    clock[0] = 1012.0
    Shelf(tmp_path, now=lambda: clock[0]).sweep()  # whoever comes after a killed server
    assert shelf.find(folder.name) is None
    assert (tmp_path / "something else").exists()


def test_every_route_and_every_field_of_ours_is_in_the_docs(served: Served) -> None:
    told = (CHECKOUT / "docs" / "engines.md").read_text()
    paths = served.http.get("/openapi.json").json()["paths"]
    assert len(paths) == 11
    for path in paths:
        assert path.split("{")[0] in told, path
    ours = {"agent_channel", "vocabulary", "expires_in", "judgements", "mentions", "segment_id"}
    named = set(re.findall(r"\w+", told))
    assert ours | set(SentMention.model_fields) | set(Verdict.model_fields) <= named


def test_the_description_is_there_without_anything_from_elsewhere(served: Served) -> None:
    page = served.http.get("/docs")
    assert page.text == served.http.get("/").text
    assert "/analyze/contextual/file" in page.text
    assert "vocabulary" in page.text
    assert "<script" not in page.text and "http://" not in page.text and "https://" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    described = served.http.get("/openapi.json").json()["paths"]["/split"]["post"]
    form = described["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(form["properties"]) == {"file", "agent_channel"}
