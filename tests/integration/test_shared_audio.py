"""External recordings, stored outside the repository: each is split or fails with a reason."""

import asyncio
from pathlib import Path

import pytest

from callpipeline.domain.audio import SplitRecording
from callpipeline.engines.speech import SileroSpeechDetector
from callpipeline.engines.split import LocalSplitter
from callpipeline.errors import PermanentError

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
