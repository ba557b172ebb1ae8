"""`/split` and the files of channels, for clients of the contract and our own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.domain.audio import AudioFormat, Channel, SplitRecording
from callpipeline.engine_server.split import PURPOSE
from callpipeline.errors import EmptyRecording, EngineUnavailable, UnsupportedAudio
from tests.builders import a_channel, a_flag, a_split, channel_files
from tests.fakes.engines import ScriptedSplitter
from tests.web.engine_servers import Served, scripted, serving


class MonoSplitter(ScriptedSplitter):
    """Returns one channel with quality flags for every recording."""

    async def split(
        self, recording: Path, into: Path, agent_channel: str, **more: Any
    ) -> SplitRecording:
        split = a_split(a_channel(Channel.MIXED), flags=[a_flag(), a_flag(Channel.MIXED)])
        channel_files(split, into, recording.read_text())
        return split


@pytest.fixture(scope="module")
def served(module_settings: Settings) -> Iterator[Served]:
    with serving(module_settings) as served:
        yield served


def test_both_channels_can_be_downloaded(served: Served) -> None:
    reply = served.split(b"call 7").json()
    for side in ("left", "right"):
        got = served.http.get(reply[f"{side}_channel_url"])
        assert (got.status_code, got.text) == (200, f"call 7 {side}")
        assert got.headers["Content-Length"] == str(len(got.content))
        assert got.headers["Content-Type"] == "audio/flac"


def test_the_response_describes_the_recording(settings: Settings) -> None:
    with serving(settings, scripted(splitter=MonoSplitter())) as served:
        reply = served.split().json()
    assert AudioFormat(**reply["format"]) == AudioFormat("wav", "pcm_s16le", 8000, 1, 20.0, 21.0, 3)
    [channel] = reply["channels"]
    expected = a_channel(Channel.MIXED)
    assert {name: channel[name] for name in channel if name != "url"} == {
        "channel": "mixed",
        "speaker": "unknown",
        "sample_rate_hz": 8000,
        "duration_s": expected.duration_s,
        "rms_dbfs": expected.rms_dbfs,
        "size_bytes": expected.size_bytes,
        "sha256": expected.sha256,
    }
    assert [flag["channel"] for flag in reply["flags"]] == [None, "mixed"]
    assert reply["engine"] == MonoSplitter.name


def test_both_urls_of_a_mono_recording_are_the_same(settings: Settings) -> None:
    with serving(settings, scripted(splitter=MonoSplitter())) as served:
        reply = served.split(b"alone").json()
        assert reply["left_channel_url"] == reply["right_channel_url"]
        assert served.http.get(reply["right_channel_url"]).text == "alone mixed"


def test_a_request_can_set_the_channel_of_the_agent(settings: Settings) -> None:
    agent_channels: list[str] = []

    class RecordingSplitter(ScriptedSplitter):
        async def split(
            self, recording: Path, into: Path, agent_channel: str, **more: Any
        ) -> SplitRecording:
            agent_channels.append(agent_channel)
            return await super().split(recording, into, agent_channel)

    with serving(settings, scripted(splitter=RecordingSplitter()), agent_channel="right") as served:
        served.split()
        served.split(agent_channel="left")
        assert served.split(agent_channel="up").status_code == 422
        assert served.split(something_else="x").status_code == 200
    assert agent_channels == ["right", "left", "right"]


def test_channels_expire(settings: Settings) -> None:
    with serving(settings, serve_keep_s=0.001) as served:
        url = served.split().json()["left_channel_url"]
        reply = served.http.get(url)
        assert reply.status_code == 410
        assert "Split the recording again" in reply.json()["detail"]


def test_only_expired_files_are_deleted(settings: Settings) -> None:
    files = settings.home / "engine-server" / "files"
    with serving(settings) as served:
        url = served.split().json()["left_channel_url"]
        [stored] = files.iterdir()
        assert sorted(path.name for path in stored.iterdir()) == ["left.flac", "right.flac"]
        old = files / f"1700000000-{'0' * 32}"
        old.mkdir()
        served.state.folders.sweep()
        assert list(files.iterdir()) == [stored]
        assert served.http.get(url).status_code == 200
    assert list(files.iterdir()) == []  # their URLs are invalid after a stop


def test_channels_survive_a_restart_if_the_key_is_set(settings: Settings) -> None:
    key = SecretStr("k" * 32)
    with serving(settings, serve_key=key) as served:
        url = served.split().json()["left_channel_url"]
    with serving(settings, serve_key=key) as served:
        assert served.http.get(url).text == "call 1 left"


def test_only_urls_from_the_server_are_valid(served: Served) -> None:
    url = served.split().json()["left_channel_url"]
    token = url.rsplit("/", 1)[1]
    payload, signature = token.split(".")
    signer = served.state.signer
    # Impossible to sign without the key, and invalid even with it.
    traversal = signer.sign(PURPOSE, "../../../etc left", 60)
    invalid = [
        "x",
        payload,
        f"{payload}.",
        f"{payload}.{signature[:-1]}",
        f"{payload[:-2]}xx.{signature}",
        signer.sign("access", "pipeline", 60),
        "../../pipeline",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "%00",
        "й.й",
    ]
    for each in invalid:
        assert served.http.get(f"/channels/{each}").status_code == 404, each
    assert served.http.get(f"/channels/{traversal}").status_code == 410
    assert served.http.get(url).status_code == 200


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnsupportedAudio("it is a PDF"), 415),
        (EmptyRecording("no samples"), 422),
        (EngineUnavailable("the disk is full"), 503),
    ],
)
def test_a_recording_that_cannot_be_split_is_rejected_with_a_sentence(
    settings: Settings, error: Exception, status: int
) -> None:
    engines = scripted(splitter=ScriptedSplitter({"bad": error}))
    with serving(settings, engines) as served:
        reply = served.split(b"bad")
        assert reply.status_code == status
        assert reply.json() == {"detail": str(error), "error": type(error).__name__}
        assert ("Retry-After" in reply.headers) == (status == 503)
    assert list((settings.home / "engine-server" / "files").iterdir()) == []


def test_an_internal_error_discloses_nothing(settings: Settings) -> None:
    engines = scripted(splitter=ScriptedSplitter({"bad": RuntimeError("the words of a call")}))
    with serving(settings, engines) as served:
        reply = served.split(b"bad")
    assert reply.status_code == 500
    assert "words" not in reply.text
