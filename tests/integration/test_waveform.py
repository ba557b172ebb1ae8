"""The waveform of calls: stored and deleted with their audio, measured later for old calls."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
import soundfile

from callpipeline.domain.audio import Channel, SplitRecording
from callpipeline.domain.calls.call import Stage
from callpipeline.engines.split import LocalSplitter
from callpipeline.engines.split.channel_files import measure_peaks
from callpipeline.errors import ClaimLost, MissingObject
from callpipeline.pipeline.processing.redaction import measure_channel_peaks
from callpipeline.pipeline.reading.playback import waveform
from callpipeline.storage.objects import keys
from callpipeline.wiring import Storage
from tests.builders import a_write
from tests.integration.calls import change, enter
from tests.integration.test_retention import NOW, retention_of

RATE_HZ = 8000


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


def recorded(path: Path, seconds: float = 2.0) -> Path:
    """Write a recording whose left side speaks in the first half, the right one in the second."""
    at = np.arange(round(seconds * RATE_HZ))
    tone = (np.sin(at / 3) * 16_000).astype(np.int16)
    first = at < len(at) / 2
    soundfile.write(path, np.stack([tone * first, tone * ~first], axis=1), RATE_HZ)
    return path


def split(folder: Path) -> SplitRecording:
    folder.mkdir(exist_ok=True)
    recording = recorded(folder / "call.wav")
    return asyncio.run(LocalSplitter().split(recording, folder, "left"))


def stored_call(storage: Storage, folder: Path, *, with_peaks: bool = True) -> str:
    """Store the audio of a completed call."""
    (call_id,) = enter(storage, "call.wav")
    storage.claims.claim([call_id], "run-1")
    found = split(folder)
    peaks = measure_channel_peaks(found, folder, measure_peaks) if with_peaks else {}
    storage.results.save_audio(a_write(call_id, Stage.CHANNEL_AUDIO), found, folder, peaks)
    ended = {"state": "'COMPLETED'", "claimed_by": "NULL", "completed_at": "now()"}
    change(storage, [call_id], **ended)
    return call_id


def stored(storage: Storage) -> list[str]:
    return [found.key.rpartition("/")[2] for found in storage.store.list("calls")]


def test_peaks_are_stored_beside_the_audio(storage: Storage, tmp_path: Path) -> None:
    call_id = stored_call(storage, tmp_path / "work")
    assert stored(storage) == ["left.flac", "peaks.left.json", "peaks.right.json", "right.flac"]
    left, right = waveform(storage.audio, call_id, measure_peaks)
    assert left.is_stored and right.is_stored
    assert (left.channel.channel, right.channel.channel) == ("left", "right")
    assert min(left.peaks.maxima[:20]) > 100 and max(left.peaks.maxima[20:]) == 0
    assert max(right.peaks.maxima[:20]) == 0 and min(right.peaks.maxima[20:]) > 100


def test_peaks_of_older_calls_are_measured_once(storage: Storage, tmp_path: Path) -> None:
    call_id = stored_call(storage, tmp_path / "work", with_peaks=False)
    measured = waveform(storage.audio, call_id, measure_peaks)
    assert [lane.is_stored for lane in measured] == [False, False]
    again = waveform(storage.audio, call_id, measure_peaks)
    assert [lane.is_stored for lane in again] == [True, True]
    assert [lane.peaks for lane in again] == [lane.peaks for lane in measured]


def test_peaks_of_other_audio_are_not_used(storage: Storage, tmp_path: Path) -> None:
    call_id = stored_call(storage, tmp_path / "work")
    storage.store.put(
        keys.peaks(call_id, Channel.LEFT),
        storage.store.read(keys.peaks(call_id, Channel.RIGHT)),
    )
    left, right = waveform(storage.audio, call_id, measure_peaks)
    assert (left.is_stored, right.is_stored) == (False, True)
    assert min(left.peaks.maxima[:20]) > 100


def test_peaks_of_a_claimed_call_are_not_stored(storage: Storage, tmp_path: Path) -> None:
    call_id = stored_call(storage, tmp_path / "work", with_peaks=False)
    storage.claims.claim([call_id], "run-2")
    assert len(waveform(storage.audio, call_id, measure_peaks)) == 2
    assert stored(storage) == ["left.flac", "right.flac"]


def test_a_run_without_its_claim_stores_no_peaks(storage: Storage, tmp_path: Path) -> None:
    call_id = stored_call(storage, tmp_path / "work", with_peaks=False)
    found, folder = split(tmp_path / "work"), tmp_path / "work"
    write, peaks = (
        a_write(call_id, Stage.CHANNEL_AUDIO),
        measure_channel_peaks(found, folder, measure_peaks),
    )
    with pytest.raises(ClaimLost):
        storage.results.save_audio(write, found, folder, peaks)
    assert stored(storage) == ["left.flac", "right.flac"]


def test_the_waveform_is_deleted_with_the_audio(storage: Storage, tmp_path: Path) -> None:
    call_id = stored_call(storage, tmp_path / "work")
    change(storage, [call_id], first_ended_at=f"timestamptz '{NOW}' - interval '91 days'")
    with storage.database.transaction() as connection:
        connection.execute("UPDATE call_stages SET stored_at = '2026-01-01'")
    assert [one.items for one in retention_of(storage, audio=90).apply(NOW)] == [1]
    assert stored(storage) == []
    with pytest.raises(MissingObject, match=r"was deleted on .*callpipeline retention"):
        waveform(storage.audio, call_id, measure_peaks)
    with pytest.raises(MissingObject, match="was deleted on"):
        storage.audio.open_channel(call_id, Channel.LEFT)


def test_a_call_that_was_not_split_has_no_waveform(storage: Storage) -> None:
    (call_id,) = enter(storage, "call.wav")
    with pytest.raises(MissingObject, match="no channel_audio yet"):
        waveform(storage.audio, call_id, measure_peaks)
