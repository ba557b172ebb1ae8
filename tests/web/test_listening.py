"""What the player loads, as browsers ask for it, and the files that people take away."""

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

from callpipeline.domain.audio import Channel
from callpipeline.domain.call import Stage
from callpipeline.storage import keys
from callpipeline.web.api.listening import given
from callpipeline.wiring import Storage
from tests.web.heard_calls import RATE_HZ, Heard
from tests.web.served import Served, served

WAV_BYTES = 44 + 20 * RATE_HZ * 2 * 2


@pytest.fixture(scope="module")
def app(postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("app"), postgres, template) as app:
        yield app


@pytest.fixture
def client(app: Served) -> Iterator[httpx.Client]:
    with app.client() as client:
        yield client


@pytest.fixture
def storage(app: Served, client: httpx.Client) -> Storage:
    return app.storage


@pytest.fixture
def call_id(storage: Storage, tmp_path: Path) -> str:
    return Heard().store(storage, tmp_path / "sound")


def test_the_sound_is_a_wav_file_with_a_channel_for_each_speaker(
    client: httpx.Client, call_id: str
) -> None:
    reply = client.get(f"/calls/{call_id}/audio.wav")
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "audio/wav"
    assert reply.headers["accept-ranges"] == "bytes"
    samples, rate = soundfile.read(io.BytesIO(reply.content))
    assert (rate, samples.shape) == (RATE_HZ, (20 * RATE_HZ, 2))
    speaks = np.abs(samples[: 4 * RATE_HZ]).max(axis=0)
    assert speaks[0] > 0.2  # the agent begins
    assert speaks[1] == 0


def test_each_range_is_that_part_of_the_whole(client: httpx.Client, call_id: str) -> None:
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


def test_a_range_behind_the_end_is_refused_and_several_are_answered_with_all(
    client: httpx.Client, call_id: str
) -> None:
    url = f"/calls/{call_id}/audio.wav"
    reply = client.get(url, headers={"Range": f"bytes={WAV_BYTES}-"})
    assert reply.status_code == 416
    assert reply.headers["content-range"] == f"bytes */{WAV_BYTES}"
    reply = client.get(url, headers={"Range": "bytes=0-1,5-6"})
    assert (reply.status_code, len(reply.content)) == (200, WAV_BYTES)


def test_a_range_of_another_sound_is_answered_with_all_of_this_one(
    client: httpx.Client, call_id: str
) -> None:
    url = f"/calls/{call_id}/audio.wav"
    etag = client.head(url).headers["etag"]
    same = client.get(url, headers={"Range": "bytes=0-9", "If-Range": etag})
    other = client.get(url, headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (same.status_code, other.status_code) == (206, 200)
    assert client.get(url, headers={"If-None-Match": etag}).status_code == 304


def test_the_head_tells_the_size_without_the_sound(client: httpx.Client, call_id: str) -> None:
    reply = client.head(f"/calls/{call_id}/audio.wav")
    assert (reply.status_code, reply.content) == (200, b"")
    assert reply.headers["content-length"] == str(WAV_BYTES)
    part = client.head(f"/calls/{call_id}/audio.wav", headers={"Range": "bytes=0-99"})
    assert (part.status_code, part.headers["content-length"]) == (206, "100")


def test_only_an_address_that_names_its_version_is_kept(client: httpx.Client, call_id: str) -> None:
    for what in ("audio.wav", "peaks"):
        plain = client.get(f"/calls/{call_id}/{what}").headers["cache-control"]
        named = client.get(f"/calls/{call_id}/{what}?v=1").headers["cache-control"]
        assert plain == "private, no-cache"
        assert named.startswith("private, max-age=")
        assert named.endswith("immutable")


def test_the_files_of_who_leaves_in_the_middle_are_closed() -> None:
    closed: list[bool] = []

    def blocks() -> Iterator[bytes]:
        try:
            yield from (b"first", b"second")
        finally:
            closed.append(True)

    async def leave() -> None:
        listening = given(blocks())
        assert await anext(listening) == b"first"
        await listening.aclose()

    asyncio.run(leave())
    assert closed == [True]


def test_peaks_are_a_byte_for_each_window_of_each_channel(
    client: httpx.Client, call_id: str
) -> None:
    reply = client.get(f"/calls/{call_id}/peaks")
    channels = reply.json()["channels"]
    assert [each["speaker"] for each in channels] == ["agent", "customer"]
    for each in channels:
        loud = base64.b64decode(each["maxima"])
        assert len(loud) * each["window_s"] == pytest.approx(20, abs=each["window_s"])
        assert max(loud) > 60
    known = {"If-None-Match": reply.headers["etag"]}
    assert client.get(f"/calls/{call_id}/peaks", headers=known).status_code == 304


def test_words_are_told_when_they_begin_where_they_have_times(
    client: httpx.Client, call_id: str
) -> None:
    words = client.get(f"/calls/{call_id}/words").json()
    assert words["left"][0] == [0, 500, 1000, 1500, 2000]
    assert words["right"][0] == [5000, 5500, 6000, 6500, 7000, 7500]


def test_each_download_has_the_name_of_the_recording(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    key = 'in/“Été” "17" \u202e50%.wav'
    call_id = Heard(key=key).store(storage, tmp_path / "sound")
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


def test_downloads_have_what_was_said(client: httpx.Client, call_id: str) -> None:
    base = f"/calls/{call_id}"
    document = client.get(f"{base}/call.json").json()
    assert document["call_id"] == call_id
    assert [m["competitor"] for m in document["mentions"]] == ["Vodafone", "Sky"]
    table = client.get(f"{base}/segments.csv").text.splitlines()
    assert table[0] == "start_s,end_s,channel,speaker,text"
    assert table[2].endswith("right,customer,i saw that vodafone is cheaper")
    words = client.get(f"{base}/transcript.json").json()["channels"][1]["segments"][0]["words"]
    assert words[3] == {"text": "vodafone", "start_s": 6.5, "end_s": 6.9, "confidence": 0.9}
    assert "00:00:05,000 --> " in client.get(f"{base}/transcript.srt").text
    assert client.get(f"{base}/transcript.vtt").text.startswith("WEBVTT")


@pytest.mark.parametrize(
    "what", ["audio.wav", "peaks", "words", "call.json", "segments.csv", "transcript.vtt"]
)
@pytest.mark.parametrize("call_id", ["2026-03-02-000000000000", "x", "%00", "..%2f..%2fetc"])
def test_what_no_call_has_is_not_found(client: httpx.Client, call_id: str, what: str) -> None:
    reply = client.get(f"/calls/{call_id}/{what}")
    assert reply.status_code == 404
    assert reply.headers["content-type"] == "application/problem+json"


def test_a_call_without_transcripts_has_its_sound(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    call_id = Heard(until=Stage.CHANNEL_AUDIO).store(storage, tmp_path / "sound")
    assert client.head(f"/calls/{call_id}/audio.wav").status_code == 200
    assert client.get(f"/calls/{call_id}/transcript.srt").status_code == 404
    assert client.get(f"/calls/{call_id}/call.json").status_code == 200


def test_sound_that_was_deleted_is_not_found_and_says_nothing_of_its_words(
    client: httpx.Client, storage: Storage, call_id: str
) -> None:
    for channel in (Channel.LEFT, Channel.RIGHT):
        storage.store.delete(keys.channel_audio(call_id, channel))
    reply = client.get(f"/calls/{call_id}/audio.wav")
    assert reply.status_code == 404
    assert "vodafone" not in json.dumps(reply.json()).lower()
