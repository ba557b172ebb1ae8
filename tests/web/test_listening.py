"""Audio, waveform and words for the player, and downloads."""

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.calls.call import Stage
from callpipeline.storage.objects import keys
from callpipeline.web.api.calls import audio_chunks
from callpipeline.wiring import Storage
from tests.builders import a_mention
from tests.web.processed_calls import RATE_HZ, ProcessedCall
from tests.web.served import Served

WAV_BYTES = 44 + 20 * RATE_HZ * 2 * 2


@pytest.fixture
def client(empty_app: Served) -> Iterator[httpx.Client]:
    with empty_app.client() as client:
        yield client


@pytest.fixture
def storage(empty_app: Served) -> Storage:
    return empty_app.storage


@pytest.fixture
def call_id(storage: Storage, tmp_path: Path) -> str:
    return ProcessedCall().store(storage, tmp_path / "sound")


def test_audio_is_a_wav_file_with_a_channel_per_speaker(client: httpx.Client, call_id: str) -> None:
    reply = client.get(f"/calls/{call_id}/audio.wav")
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "audio/wav"
    assert reply.headers["accept-ranges"] == "bytes"
    samples, rate = soundfile.read(io.BytesIO(reply.content))
    assert (rate, samples.shape) == (RATE_HZ, (20 * RATE_HZ, 2))
    speaks = np.abs(samples[: 4 * RATE_HZ]).max(axis=0)
    assert speaks[0] > 0.2  # the agent begins
    assert speaks[1] == 0


def test_ranges_are_parts_of_the_whole(client: httpx.Client, call_id: str) -> None:
    url = f"/calls/{call_id}/audio.wav"
    whole = client.get(url).content
    assert len(whole) == WAV_BYTES
    wanted = {
        "bytes=0-": (0, WAV_BYTES),
        "bytes=0-1": (0, 2),
        "bytes=40-50": (40, 51),
        "bytes=44-": (44, WAV_BYTES),
        "bytes=100001-100002": (100_001, 100_003),
        "bytes=-5": (WAV_BYTES - 5, WAV_BYTES),
        f"bytes={WAV_BYTES - 1}-{WAV_BYTES + 9}": (WAV_BYTES - 1, WAV_BYTES),
    }
    for header, (start, end) in wanted.items():
        reply = client.get(url, headers={"Range": header})
        assert reply.status_code == 206, header
        assert reply.content == whole[start:end], header
        assert reply.headers["content-range"] == f"bytes {start}-{end - 1}/{WAV_BYTES}"
        assert reply.headers["content-length"] == str(end - start)


def test_ranges_past_the_end_are_refused_and_multiple_ones_ignored(
    client: httpx.Client, call_id: str
) -> None:
    url = f"/calls/{call_id}/audio.wav"
    reply = client.get(url, headers={"Range": f"bytes={WAV_BYTES}-"})
    assert reply.status_code == 416
    assert reply.headers["content-range"] == f"bytes */{WAV_BYTES}"
    reply = client.get(url, headers={"Range": "bytes=0-1,5-6"})
    assert (reply.status_code, len(reply.content)) == (200, WAV_BYTES)


def test_if_range_with_another_etag_returns_everything(client: httpx.Client, call_id: str) -> None:
    url = f"/calls/{call_id}/audio.wav"
    etag = client.head(url).headers["etag"]
    same = client.get(url, headers={"Range": "bytes=0-9", "If-Range": etag})
    other = client.get(url, headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (same.status_code, other.status_code) == (206, 200)
    assert client.get(url, headers={"If-None-Match": etag}).status_code == 304


def test_head_returns_the_size(client: httpx.Client, call_id: str) -> None:
    reply = client.head(f"/calls/{call_id}/audio.wav")
    assert (reply.status_code, reply.content) == (200, b"")
    assert reply.headers["content-length"] == str(WAV_BYTES)
    part = client.head(f"/calls/{call_id}/audio.wav", headers={"Range": "bytes=0-99"})
    assert (part.status_code, part.headers["content-length"]) == (206, "100")


def test_only_versioned_urls_are_cacheable(client: httpx.Client, call_id: str) -> None:
    for what in ("audio.wav", "peaks"):
        plain = client.get(f"/calls/{call_id}/{what}").headers["cache-control"]
        named = client.get(f"/calls/{call_id}/{what}?v=1").headers["cache-control"]
        assert plain == "private, no-cache"
        assert named.startswith("private, max-age=")
        assert named.endswith("immutable")


def test_a_disconnect_closes_the_files() -> None:
    closed: list[bool] = []

    def blocks() -> Iterator[bytes]:
        try:
            yield from (b"first", b"second")
        finally:
            closed.append(True)

    async def leave() -> None:
        listening = audio_chunks(blocks())
        assert await anext(listening) == b"first"
        await listening.aclose()

    asyncio.run(leave())
    assert closed == [True]


def test_peaks_have_a_byte_per_window_and_channel(client: httpx.Client, call_id: str) -> None:
    reply = client.get(f"/calls/{call_id}/peaks")
    channels = reply.json()["channels"]
    assert [each["speaker"] for each in channels] == ["agent", "customer"]
    for each in channels:
        loud = base64.b64decode(each["maxima"])
        assert len(loud) * each["window_s"] == pytest.approx(20, abs=each["window_s"])
        assert max(loud) > 60
    known = {"If-None-Match": reply.headers["etag"]}
    assert client.get(f"/calls/{call_id}/peaks", headers=known).status_code == 304


def test_word_start_times(client: httpx.Client, call_id: str) -> None:
    words = client.get(f"/calls/{call_id}/words").json()
    assert words["left"][0] == [0, 500, 1000, 1500, 2000]
    assert words["right"][0] == [5000, 5500, 6000, 6500, 7000, 7500]


def test_downloads_are_named_like_the_recording(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    key = 'in/“Été” "17" \u202e50%.wav'
    call_id = ProcessedCall(key=key).store(storage, tmp_path / "sound")
    files = ("call.json", "segments.csv", "transcript.json", "transcript.srt", "transcript.vtt")
    for name in (*files, "audio.wav?download=true"):
        reply = client.get(f"/calls/{call_id}/{name}")
        assert reply.status_code == 200, name
        header = reply.headers["content-disposition"]
        assert header.startswith('attachment; filename="Ete')
        assert "%C3%89t%C3%A9" in header
        assert "%E2%80%AE" not in header  # what turns letters around
        if "audio" not in name:
            assert reply.headers["cache-control"] == "no-store"


def test_downloads_contain_the_transcript(client: httpx.Client, call_id: str) -> None:
    base = f"/calls/{call_id}"
    document = client.get(f"{base}/call.json").json()
    assert document["call_id"] == call_id
    assert [m["competitor"] for m in document["mentions"]] == ["Vodafone", "Sky"]
    table = client.get(f"{base}/segments.csv").text.splitlines()
    assert table[0] == "start_s,end_s,channel,speaker,text,voice"
    assert table[2].endswith("right,customer,i saw that vodafone is cheaper,")
    words = client.get(f"{base}/transcript.json").json()["channels"][1]["segments"][0]["words"]
    assert words[3] == {"text": "vodafone", "start_s": 6.5, "end_s": 6.9, "confidence": 0.9}
    assert "00:00:05,000 --> " in client.get(f"{base}/transcript.srt").text
    assert client.get(f"{base}/transcript.vtt").text.startswith("WEBVTT")


@pytest.mark.parametrize(
    "what", ["audio.wav", "peaks", "words", "call.json", "segments.csv", "transcript.vtt"]
)
@pytest.mark.parametrize("call_id", ["2026-03-02-000000000000", "x", "%00", "..%2f..%2fetc"])
def test_unknown_calls_are_404(client: httpx.Client, call_id: str, what: str) -> None:
    reply = client.get(f"/calls/{call_id}/{what}")
    assert reply.status_code == 404
    assert reply.headers["content-type"] == "application/problem+json"


def test_a_call_without_transcripts_has_audio(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    call_id = ProcessedCall(until=Stage.CHANNEL_AUDIO).store(storage, tmp_path / "sound")
    assert client.head(f"/calls/{call_id}/audio.wav").status_code == 200
    assert client.get(f"/calls/{call_id}/transcript.srt").status_code == 404
    assert client.get(f"/calls/{call_id}/call.json").status_code == 200


def test_deleted_audio_is_404(client: httpx.Client, storage: Storage, call_id: str) -> None:
    for channel in (Channel.LEFT, Channel.RIGHT):
        storage.store.delete(keys.channel_audio(call_id, channel))
    reply = client.get(f"/calls/{call_id}/audio.wav")
    assert reply.status_code == 404
    assert "vodafone" not in json.dumps(reply.json()).lower()


NUMBERED: dict[Channel, list[str]] = {
    Channel("1"): ["hello this is riverside telecom"],
    Channel("2"): ["one moment please"],
    Channel("10"): ["i saw that vodafone is cheaper"],
}


def test_a_call_with_numbered_channels_is_shown_and_played(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    mention = a_mention("Vodafone", segment_index=0, char_start=11, channel=Channel("10"))
    call = ProcessedCall(texts=NUMBERED, mentions=(replace(mention, speaker=Speaker.UNKNOWN),))
    call_id = call.store(storage, tmp_path / "sound")
    page = client.get(f"/calls/{call_id}")
    assert page.status_code == 200
    assert 'data-lanes="agent customer unknown"' in page.text
    samples, _ = soundfile.read(io.BytesIO(client.get(f"/calls/{call_id}/audio.wav").content))
    assert samples.shape == (20 * RATE_HZ, 3)
    one = client.get(f"/calls/{call_id}/audio.wav", params={"channel": "10"})
    assert soundfile.read(io.BytesIO(one.content))[0].ndim == 1
    assert client.get(f"/calls/{call_id}/audio.wav", params={"channel": "0"}).status_code == 422
    peaks = client.get(f"/calls/{call_id}/peaks").json()["channels"]
    assert [lane["channel"] for lane in peaks] == ["1", "2", "10"]
    job = client.get(f"/jobs/{call_id}").json()
    assert job["left_channel_url"].endswith("channel=1")
    assert job["right_channel_url"].endswith("channel=2")
    assert job["competitors_found"] == ["Vodafone"]
