"""`callpipeline engines serve` as a process with the real engines, on sample calls."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import soundfile

from callpipeline.config import CHECKOUT
from callpipeline.domain.audio import (
    AudioFormat,
    Channel,
    ChannelAudio,
    Flag,
    QualityFlag,
    Speaker,
    SplitRecording,
)
from callpipeline.domain.transcripts import Segment, Transcript, Word
from callpipeline.engines.speech import SileroSpeechDetector
from callpipeline.engines.split import LocalSplitter
from callpipeline.engines.transcribe.pocketsphinx import PocketsphinxTranscriber
from tests.processes import free_port, is_alive, until

MONO = CHECKOUT / "samples" / "08-mono-billing.wav"
STEREO = CHECKOUT / "samples" / "05-cheaper-at-vodafone.wav"
USERS = {"pipeline": "a long enough password"}


@dataclass
class Process:
    """The running command, and a client."""

    pid: int
    http: httpx.Client
    log: Path

    def split(self, recording: Path) -> Any:
        with recording.open("rb") as file:
            reply = self.http.post("/split", files={"file": (recording.name, file)})
        assert reply.status_code == 200, reply.text
        return reply.json()

    def log_in(self) -> None:
        form = {"username": "pipeline", "password": USERS["pipeline"]}
        token = self.http.post("/api/v1/login/access-token", data=form).json()["access_token"]
        self.http.headers["Authorization"] = f"Bearer {token}"

    def peak_kb(self) -> int:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())
        assert found
        return int(found[1])


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    home, port = tmp_path_factory.mktemp("home"), free_port()
    log = home / "log"
    variables = {
        "CALLPIPELINE_HOME": str(home),
        "CALLPIPELINE_SERVE_USERS": json.dumps(USERS),
        "CALLPIPELINE_RECOGNISER_WORKERS": "1",
    }
    command = ["-c", "from callpipeline.cli import app; app()", "engines", "serve"]
    with log.open("wb") as written:
        started = subprocess.Popen(
            [sys.executable, *command, "--port", str(port)],
            env=os.environ | variables,
            cwd=home,
            stdout=written,
            stderr=written,
        )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as http:
        until(
            lambda: b"startup complete" in log.read_bytes(),
            "the server has started",
            60,
            every_s=0.1,
        )
        yield Process(started.pid, http, log)
    started.kill()
    started.wait()


def as_split(reply: Any) -> SplitRecording:
    """Return the split recording from a response of `/split`, as a client would."""
    channels = [
        ChannelAudio(
            **{k: v for k, v in each.items() if k not in ("url", "channel", "speaker")},
            channel=Channel(each["channel"]),
            speaker=Speaker(each["speaker"]),
        )
        for each in reply["channels"]
    ]
    flags = [
        QualityFlag(Flag(f["flag"]), f["detail"], f["channel"] and Channel(f["channel"]))
        for f in reply["flags"]
    ]
    return SplitRecording(AudioFormat(**reply["format"]), tuple(channels), tuple(flags))


@pytest.mark.parametrize("recording", [MONO, STEREO], ids=["mono", "stereo"])
def test_a_recording_is_split_as_in_the_pipeline(
    process: Process, tmp_path: Path, recording: Path
) -> None:
    expected = asyncio.run(LocalSplitter().split(recording, tmp_path, "left"))
    reply = process.split(recording)
    assert as_split(reply) == expected
    for channel in reply["channels"]:
        local = (tmp_path / f"{channel['channel']}.flac").read_bytes()
        assert process.http.get(channel["url"]).content == local


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ChannelAudio]:
    """Return the first words of the customer as a channel of the splitter."""
    folder = tmp_path_factory.mktemp("channel")
    asyncio.run(LocalSplitter().split(STEREO, folder, "left"))
    samples, rate = soundfile.read(folder / "right.flac", dtype="int16")
    [first, *_] = asyncio.run(SileroSpeechDetector().detect(folder / "right.flac"))
    cut = folder / "cut.wav"
    soundfile.write(cut, samples[int(first.start_s * rate) : int(first.end_s * rate)], rate)
    about = asyncio.run(LocalSplitter().split(cut, folder, "left")).channels[0]
    speech = asyncio.run(SileroSpeechDetector().detect(folder / "mixed.flac"))
    return folder / "mixed.flac", replace(about, speech=speech)


@pytest.mark.slow
def test_a_channel_is_transcribed_as_in_the_pipeline(
    process: Process, channel: tuple[Path, ChannelAudio]
) -> None:
    async def locally() -> Transcript:
        async with PocketsphinxTranscriber(1) as transcriber:
            return await transcriber.transcribe(*channel)

    expected = asyncio.run(locally())
    process.log_in()
    files = {"audio_file": ("right.flac", channel[0].read_bytes())}
    data = process.http.post("/api/v1/transcriptions/", files=files).json()["data"]
    segments = tuple(
        Segment(
            each["id"],
            each["start"],
            each["end"],
            Channel.MIXED,
            Speaker.UNKNOWN,
            each["text"],
            tuple(Word(w["word"], w["start"], w["end"], w["probability"]) for w in each["words"]),
        )
        for each in data["segments"]
    )
    got = Transcript(Channel.MIXED, Speaker.UNKNOWN, data["model"], segments, data["language"])
    assert got == expected
    assert expected.word_count > 1


def test_files_without_audio_are_rejected_with_a_sentence(process: Process) -> None:
    reply = process.http.post("/split", files={"file": ("call.wav", b"%PDF-1.7 a letter")})
    assert (reply.status_code, reply.json()["error"]) == (415, "UnsupportedAudio")
    reply = process.http.post("/split", files={"file": ("call.wav", b"")})
    assert (reply.status_code, reply.json()["error"]) == (422, "EmptyRecording")


@pytest.mark.slow
def test_an_upload_of_100_mb_needs_no_more_memory_than_a_small_one(process: Process) -> None:
    def audio(mb: int) -> Iterator[bytes]:
        size = mb * 1_000_000
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="long.wav"\r\n\r\n'
        yield (
            b"RIFF"
            + (36 + size).to_bytes(4, "little")
            + b"WAVEfmt "
            + bytes.fromhex("1000000001000200803e000000fa000004001000")
            + b"data"
            + size.to_bytes(4, "little")
        )
        piece = bytes(range(250)) * 400
        for _ in range(mb * 10):
            yield piece
        yield b"\r\n--x--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert process.http.post("/split", content=audio(5), headers=headers).status_code == 200
    before = process.peak_kb()
    reply = process.http.post("/split", content=audio(100), headers=headers)
    assert reply.json()["format"]["duration_s"] == 100_000_000 / 64_000
    assert process.peak_kb() - before < 30_000


def test_the_log_contains_no_secrets_and_no_transcripts(process: Process) -> None:
    url = process.split(MONO)["left_channel_url"]
    assert process.http.get(url).status_code == 200
    process.http.request("DELETE", "/patterns/negative/terrible words")
    log = process.log.read_text()
    assert "GET /channels/{token} 200" in log
    assert url.rsplit("/", 1)[1] not in log
    assert "terrible" not in log and USERS["pipeline"] not in log and MONO.name not in log


def test_sigterm_stops_the_server_and_its_recognisers_and_deletes_its_files(
    process: Process,
) -> None:
    process.http.get("/health")  # starts a recogniser, at the latest
    threads = Path(f"/proc/{process.pid}/task").iterdir()
    found = " ".join((thread / "children").read_text() for thread in threads)
    recognisers = [int(pid) for pid in found.split()]
    assert recognisers
    process.split(MONO)
    os.kill(process.pid, signal.SIGTERM)
    until(lambda: not is_alive(process.pid), "the server has stopped", 20)
    until(lambda: not any(map(is_alive, recognisers)), "its recognisers have stopped", 5)
    assert os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1]) == 0
    assert list((process.log.parent / "engine-server" / "files").iterdir()) == []
