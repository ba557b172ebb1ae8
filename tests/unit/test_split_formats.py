"""All audio formats of telephone systems are split, whatever the file name."""

import asyncio
import hashlib
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from callpipeline.domain.audio import Channel, Flag, Speaker, SplitRecording
from callpipeline.engines.split import LocalSplitter


def tones(seconds: float = 1.0, rate_hz: int = 8000, channels: int = 2) -> NDArray[np.float32]:
    """Return a tone per channel: 300 and 500 Hz at -13.5 dBFS, then higher and softer ones."""
    at = np.arange(int(seconds * rate_hz)) / rate_hz
    pitches = [300 + 200 * channel for channel in range(channels)]
    sound = [np.sin(2 * np.pi * pitch * at) * 0.3 / max(1, i) for i, pitch in enumerate(pitches)]
    return np.stack(sound, axis=1).astype(np.float32)


def encoded(path: Path, codec: str, sound: NDArray[np.float32], rate_hz: int) -> Path:
    """Write a file with one of FFmpeg's encoders."""
    samples = (sound * 32_767).astype(np.int16).reshape(1, -1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz)
        assert isinstance(stream, av.AudioStream)
        stream.layout = {1: "mono", 2: "stereo", 6: "5.1"}[sound.shape[1]]
        frame = av.AudioFrame.from_ndarray(samples, "s16", stream.layout.name)
        frame.sample_rate = rate_hz
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def split(recording: Path, agent_channel: str = "left") -> SplitRecording:
    into = recording.parent / "out"
    return asyncio.run(LocalSplitter().split(recording, into, agent_channel))


def loudest_pitch_hz(flac: Path) -> float:
    samples, rate_hz = soundfile.read(flac)
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * rate_hz / len(samples))


@pytest.mark.parametrize(
    ("subtype", "codec"),
    [
        ("PCM_U8", "pcm_u8"),
        ("PCM_16", "pcm_s16le"),
        ("PCM_24", "pcm_s24le"),
        ("PCM_32", "pcm_s32le"),
        ("FLOAT", "pcm_f32le"),
        ("DOUBLE", "pcm_f64le"),
        ("ULAW", "pcm_mulaw"),
        ("ALAW", "pcm_alaw"),
        ("IMA_ADPCM", "adpcm_ima_wav"),
        ("MS_ADPCM", "adpcm_ms"),
    ],
)
def test_a_wav_file_is_split_whatever_its_sample_format(
    tmp_path: Path, subtype: str, codec: str
) -> None:
    soundfile.write(tmp_path / "call.wav", tones(), 8000, subtype=subtype)
    result = split(tmp_path / "call.wav")
    assert (result.format.container, result.format.codec) == ("wav", codec)
    assert result.format.duration_s == pytest.approx(1.0, abs=0.1)
    assert [c.rms_dbfs for c in result.channels] == pytest.approx([-13.5, -13.5], abs=0.2)
    assert loudest_pitch_hz(tmp_path / "out/left.flac") == pytest.approx(300, abs=3)
    assert loudest_pitch_hz(tmp_path / "out/right.flac") == pytest.approx(500, abs=3)
    assert result.flags == ()


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz", "channels", "format"),
    [
        ("call.mp3", "mp3", 8000, 2, ("mp3", "mp3", 8000)),
        ("call.m4a", "aac", 16_000, 2, ("mp4", "aac", 16_000)),
        ("call.aac", "aac", 16_000, 2, ("aac", "aac", 16_000)),
        ("call.opus", "libopus", 48_000, 2, ("ogg", "opus", 48_000)),
        ("call.webm", "libopus", 48_000, 2, ("matroska", "opus", 48_000)),
        ("call.amr", "libopencore_amrnb", 8000, 1, ("amr", "amr_nb", 8000)),
        ("call.wav", "mp3", 16_000, 2, ("wav", "mp3", 16_000)),
        ("call.aiff", "pcm_s16be", 8000, 2, ("aiff", "pcm_s16be", 8000)),
        ("call.au", "pcm_mulaw", 8000, 2, ("au", "pcm_mulaw", 8000)),
    ],
)
def test_other_codecs_are_split(
    tmp_path: Path, name: str, codec: str, rate_hz: int, channels: int, format: tuple[str, str, int]
) -> None:
    result = split(encoded(tmp_path / name, codec, tones(1.0, rate_hz, channels), rate_hz))
    found = result.format
    assert (found.container, found.codec, found.sample_rate_hz) == format
    assert found.duration_s == pytest.approx(1.0, abs=0.3)
    first = "left" if channels == 2 else "mixed"
    assert loudest_pitch_hz(tmp_path / f"out/{first}.flac") == pytest.approx(300, abs=5)


def test_gsm_in_wav_and_vorbis_in_ogg_are_split(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a", tones(channels=1), 8000, format="WAV", subtype="GSM610")
    soundfile.write(tmp_path / "b", tones(), 8000, format="OGG", subtype="VORBIS")
    assert split(tmp_path / "a").format.codec == "gsm_ms"
    assert split(tmp_path / "b").format.codec == "vorbis"


def test_the_format_is_detected_from_the_content_and_never_the_name(tmp_path: Path) -> None:
    mp3 = encoded(tmp_path / "call.mp3", "mp3", tones(), 8000)
    renamed = mp3.rename(tmp_path / "call.wav")
    assert split(renamed).format.container == "mp3"


def test_opus_of_telephone_audio_is_written_at_the_original_rate(tmp_path: Path) -> None:
    result = split(encoded(tmp_path / "call.opus", "libopus", tones(), 8000))
    assert {channel.sample_rate_hz for channel in result.channels} == {8000}
    assert result.format.duration_s == pytest.approx(1.0, abs=0.05)


def test_a_channel_file_is_mono_16_bit_flac_and_correctly_described(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "call.wav", tones(2.5), 8000, subtype="FLOAT")
    left, _ = split(tmp_path / "call.wav").channels
    content = (tmp_path / "out/left.flac").read_bytes()
    about = soundfile.info(tmp_path / "out/left.flac")
    assert (about.format, about.subtype, about.channels) == ("FLAC", "PCM_16", 1)
    assert (about.samplerate, about.duration) == (left.sample_rate_hz, left.duration_s)
    assert left.size_bytes == len(content)
    assert left.sha256 == hashlib.sha256(content).hexdigest()
    assert left.speech == ()


def test_16_bit_samples_are_unchanged(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(-32_768, 32_768, (100_000, 2)).astype(np.int16)
    soundfile.write(tmp_path / "call.flac", noise, 8000)
    split(tmp_path / "call.flac")
    for index, channel in enumerate(("left", "right")):
        written, _ = soundfile.read(tmp_path / f"out/{channel}.flac", dtype="int16")
        assert np.array_equal(written, noise[:, index])


def test_infinite_and_too_large_floats_are_clipped_to_full_scale(tmp_path: Path) -> None:
    sound = tones()
    sound[10], sound[11], sound[12] = np.nan, np.inf, -7.5
    soundfile.write(tmp_path / "call.wav", sound, 8000, subtype="FLOAT")
    split(tmp_path / "call.wav")
    written, _ = soundfile.read(tmp_path / "out/left.flac", dtype="int16")
    assert written[10:13].tolist() == [0, 32_767, -32_768]


@pytest.mark.parametrize(
    ("agent_channel", "speakers"),
    [
        ("left", [Speaker.AGENT, Speaker.CUSTOMER]),
        ("right", [Speaker.CUSTOMER, Speaker.AGENT]),
    ],
)
def test_speakers_follow_the_agents_channel(
    tmp_path: Path, agent_channel: str, speakers: list[Speaker]
) -> None:
    soundfile.write(tmp_path / "call.wav", tones(), 8000)
    channels = split(tmp_path / "call.wav", agent_channel).channels
    assert [channel.channel for channel in channels] == [Channel.LEFT, Channel.RIGHT]
    assert [channel.speaker for channel in channels] == speakers


def test_a_mono_recording_is_one_mixed_channel_of_unknown_speakers(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "call.wav", tones(channels=1), 8000)
    result = split(tmp_path / "call.wav")
    (only,) = result.channels
    assert (only.channel, only.speaker) == (Channel.MIXED, Speaker.UNKNOWN)
    assert [flag.flag for flag in result.flags] == [Flag.MONO]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mixed.flac"]


def test_the_same_sound_on_both_channels_is_one_mixed_channel(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "call.wav", tones()[:, [0, 0]], 8000)
    result = split(tmp_path / "call.wav")
    assert [flag.flag for flag in result.flags] == [Flag.FAKE_STEREO]
    assert [channel.channel for channel in result.channels] == [Channel.MIXED]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mixed.flac"]


def test_a_copy_encoded_as_mp3_is_still_a_copy(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).normal(0, 0.05, 16_000).astype(np.float32)
    both = np.stack((noise, noise), axis=1)
    result = split(encoded(tmp_path / "call.mp3", "mp3", both, 16_000))
    assert [flag.flag for flag in result.flags] == [Flag.FAKE_STEREO]


def test_a_silent_channel_stays_a_channel_and_is_flagged(tmp_path: Path) -> None:
    sound = tones()
    sound[:, 1] = 0
    soundfile.write(tmp_path / "call.wav", sound, 8000)
    result = split(tmp_path / "call.wav")
    assert [(flag.flag, flag.channel) for flag in result.flags] == [(Flag.SILENT, Channel.RIGHT)]
    assert [channel.rms_dbfs for channel in result.channels] == [
        pytest.approx(-13.5, abs=0.1),
        -120,
    ]


def test_silence_on_both_channels_is_no_error(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "call.wav", tones() * 0, 8000)
    result = split(tmp_path / "call.wav")
    assert len(result.channels) == 2
    assert [flag.flag for flag in result.flags] == [Flag.SILENT, Flag.SILENT]


@pytest.mark.parametrize("through", ["libsndfile", "ffmpeg"])
def test_more_than_two_channels_are_numbered(tmp_path: Path, through: str) -> None:
    sound = tones(1.0, 48_000, 6)
    if through == "ffmpeg":
        encoded(tmp_path / "call.m4a", "aac", sound, 48_000).rename(tmp_path / "call")
    else:
        soundfile.write(tmp_path / "call", sound, 48_000, format="WAV")
    result = split(tmp_path / "call")
    assert result.format.channel_count == 6
    assert [channel.channel for channel in result.channels] == list("123456")
    unknown = [Speaker.UNKNOWN] * 4
    speakers = [channel.speaker for channel in result.channels]
    assert speakers == [Speaker.AGENT, Speaker.CUSTOMER, *unknown]
    assert [(flag.flag, flag.detail) for flag in result.flags] == [
        (Flag.EXTRA_CHANNELS, "6 channels: 6 were used")
    ]
    assert loudest_pitch_hz(tmp_path / "out/2.flac") == pytest.approx(500, abs=5)
