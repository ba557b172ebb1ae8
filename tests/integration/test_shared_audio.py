"""External recordings, stored outside the repository: each is split or fails with a reason."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from benchmarks.leakage import read_two_channels
from callpipeline.domain.audio import SplitRecording
from callpipeline.engines.speech import SileroSpeechDetector
from callpipeline.engines.split import LocalSplitter
from callpipeline.errors import PermanentError

Sound = NDArray[Any]
AUDIO = Path(__file__).parents[3] / "shared/audio"

pytestmark = pytest.mark.skipif(
    not AUDIO.is_dir(), reason="the collection of recordings ../shared/audio is not here"
)

REFUSED = {
    "azure_missing_wav_header.wav": "no decoder recognises it (first bytes 00 00 f6 ff",
    "derived_text_named.mp3": "this is a text file, not audio",
    "derived_zero_bytes.wav": "the file is empty",
    "git_lfs_pointer_named.wav": "this is a Git LFS pointer, not the audio itself",
    "pocketsphinx_bad.wav": "the WAV header is damaged",
    "pocketsphinx_null.wav": "no samples: the file contains only a header",
}
SPLIT = {
    "azure_very_short_0.63s.wav": {"mono"},
    "derived_mp3_bytes_named.wav": {"mono"},
    "derived_right_channel_silent_30s.wav": {"silent"},
    "derived_truncated.mp3": {"truncated"},
    "derived_truncated_header_claims_full_length.wav": {"truncated"},
    "picovoice_no_speech.wav": {"mono"},
    # Called silence by its owners; half of its samples are at the lowest value there is.
    "pyannote_silence_1s.wav": {"mono", "clipped"},
    "symbl_fake_stereo_identical_8k.mp3": {"fake_stereo"},
    "uberi_stereo_24-bit_44k_one_two_three.wav": {"fake_stereo"},
    "uberi_stereo_8-bit_44k_one_two_three.wav": {"fake_stereo"},
    "whisperkit_8_channels.m4a": {"extra_channels"},
}
CALLS = sorted(p.name for p in AUDIO.glob("calls/*") if p.suffix != ".txt")


def split(recording: Path, into: Path) -> SplitRecording:
    return asyncio.run(LocalSplitter().split(recording, into, "left"))


@pytest.mark.parametrize(("name", "words"), REFUSED.items())
def test_unsupported_recordings_fail_with_a_reason(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(PermanentError) as refused:
        split(AUDIO / "broken" / name, tmp_path)
    assert words in str(refused.value)


@pytest.mark.parametrize(("name", "flags"), SPLIT.items())
def test_defective_recordings_are_split_and_flagged(
    tmp_path: Path, name: str, flags: set[str]
) -> None:
    result = split(AUDIO / "broken" / name, tmp_path)
    assert {flag.flag.value for flag in result.flags} == flags
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{c.channel}.flac" for c in result.channels
    }


def test_every_defective_recording_is_listed_here() -> None:
    assert {path.name for path in AUDIO.glob("broken/*")} == REFUSED.keys() | SPLIT.keys()


@pytest.mark.parametrize("name", CALLS)
def test_every_call_is_split(tmp_path: Path, name: str) -> None:
    result = split(AUDIO / "calls" / name, tmp_path)
    assert {flag.flag.value for flag in result.flags} <= {"mono"}
    assert {channel.channel.value for channel in result.channels} in ({"mixed"}, {"left", "right"})
    assert all(channel.rms_dbfs > -40 for channel in result.channels)


def test_the_customer_of_a_gated_line_is_heard(tmp_path: Path) -> None:
    """Without dithering and with the model's usual thresholds, 40 of these 95 seconds are found."""
    split(AUDIO / "calls" / "auto-repairs-49.mp3", tmp_path)
    found = asyncio.run(SileroSpeechDetector().detect(tmp_path / "right.flac"))
    assert sum(interval.duration_s for interval in found) > 90


TWO_SIDES = ("bank-two-channel-16k.wav", "auto-repairs-49.mp3")
FRAME_S = 0.032


def frames(sound: Sound, rate_hz: int) -> Sound:
    """Return the energy of each frame."""
    length = round(rate_hz * FRAME_S)
    return np.square(sound[: len(sound) // length * length]).reshape(-1, length).mean(axis=1)


@pytest.mark.parametrize("name", TWO_SIDES)
def test_nothing_is_removed_from_a_real_call_of_two_sides(tmp_path: Path, name: str) -> None:
    """What the recogniser hears is what was recorded, so no word can be lost."""
    sound, rate_hz = read_two_channels(AUDIO / "calls" / name, 60)
    soundfile.write(tmp_path / "call.wav", sound, rate_hz, "PCM_16")
    (tmp_path / "out").mkdir()
    assert split(tmp_path / "call.wav", tmp_path / "out").flags == ()
    recorded, _ = soundfile.read(tmp_path / "call.wav", dtype="int16")
    for number, channel in enumerate(("left", "right")):
        heard, _ = soundfile.read(tmp_path / "out" / f"{channel}.flac", dtype="int16")
        # Dithering changes the lowest bit of digital silence.
        assert np.abs(heard.astype(int) - recorded[:, number]).max() <= 1


@pytest.mark.parametrize("name", TWO_SIDES)
@pytest.mark.parametrize(("gain_db", "delay_s"), [(-12, 0.0), (-20, 0.02), (-20, 0.15)])
def test_no_speech_of_a_real_call_is_lost_by_the_removal_of_leakage(
    tmp_path: Path, name: str, gain_db: float, delay_s: float
) -> None:
    sound, rate_hz = read_two_channels(AUDIO / "calls" / name, 60)
    late = np.zeros(round(delay_s * rate_hz))
    leaked = np.concatenate((late, sound[:, 1]))[: len(sound)] * 10 ** (gain_db / 20)
    mixed = np.stack([sound[:, 0] + leaked, sound[:, 1]], axis=1)
    soundfile.write(tmp_path / "call.wav", np.clip(mixed, -1, 1), rate_hz, "PCM_16")
    (tmp_path / "out").mkdir()
    result = split(tmp_path / "call.wav", tmp_path / "out")
    assert {flag.flag.value for flag in result.flags} == {"crosstalk"}
    for number, channel in enumerate(("left", "right")):
        own = frames(sound[:, number], rate_hz)
        heard = frames(soundfile.read(tmp_path / "out" / f"{channel}.flac")[0], rate_hz)
        speech = own > 0.05 * own.mean()
        assert speech.sum() > 50
        lost = (heard < own / 4) & speech
        assert lost.sum() <= 0.005 * speech.sum()
