"""Audio of the sample calls: speech by flite, noise of a telephone line, and encodings.

`make_samples.py` decides what is said and when.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray

Audio = NDArray[np.float32]

SPEECH_RMS = 10 ** (-21 / 20)
PEAK = 0.9
NOISE_RMS = 10 ** (-78 / 20)
AUDIBLE = 0.01
FRAME = 1024


class MissingSpeakerError(RuntimeError):
    """The speech synthesiser is not installed."""


@dataclass(frozen=True, eq=False)
class Speech:
    """Synthesised speech, and the times in seconds at which its sounds (phones) end."""

    audio: Audio
    phone_ends_s: tuple[float, ...]


@lru_cache(maxsize=1024)
def speak(text: str, voice: str, rate: int) -> Speech:
    """Return the text spoken by flite, trimmed, at `rate` samples per second."""
    if shutil.which("flite") is None:
        raise MissingSpeakerError(
            "flite synthesises the samples: install it with 'apt-get install flite'."
        )
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "turn.wav"
        command = ["flite", "-psdur", "-voice", voice, "-t", text, "-o", str(wav)]
        ran = subprocess.run(command, check=True, capture_output=True, text=True)
        spoken, spoken_rate = sf.read(wav, dtype="float32")
    audio = np.asarray(soxr.resample(spoken, spoken_rate, rate), dtype=np.float32)
    loud = np.flatnonzero(np.abs(audio) > AUDIBLE)
    begin, end = (loud[0], loud[-1] + 1) if len(loud) else (0, 0)
    phones = (phone.partition(":") for phone in ran.stdout.split())
    ends = (float(end_s) - begin / rate for name, _, end_s in phones if name != "pau")
    return Speech(audio[begin:end], tuple(ends))


def seconds_until(beginning: str, text: str, voice: str, rate: int) -> float:
    """Return the time from the start of the spoken text until the end of its beginning.

    Counts the sounds of the beginning when spoken alone: the words after it change their duration,
    rarely their number.
    """
    if not beginning:
        return 0.0
    sounds = len(speak(beginning, voice, rate).phone_ends_s)
    whole = speak(text, voice, rate)
    end_s = whole.phone_ends_s[min(sounds, len(whole.phone_ends_s)) - 1]
    return min(max(end_s, 0.0), len(whole.audio) / rate)


def levelled(speech: Audio) -> Audio:
    """Return the speech at the common loudness of all speakers, without clipping."""
    gain = SPEECH_RMS / float(np.sqrt(np.mean(speech**2)))
    return np.asarray(speech * min(gain, PEAK / float(np.max(np.abs(speech)))), dtype=np.float32)


def line_noise(length: int, seed: int) -> Audio:
    """Return the faint noise of a line, which depends only on the seed."""
    noise = np.random.default_rng(seed).normal(0.0, NOISE_RMS, length)
    return noise.astype(np.float32)


def write(path: Path, audio: Audio, rate: int, encoding: str) -> None:
    """Write the audio (samples x channels) in one of `ENCODINGS`."""
    ENCODINGS[encoding][1](path, audio, rate)


def _with_soundfile(container: str, subtype: str) -> Callable[[Path, Audio, int], None]:
    def encode(path: Path, audio: Audio, rate: int) -> None:
        sf.write(path, audio, rate, format=container, subtype=subtype)

    return encode


def _with_ffmpeg(codec: str, bit_rate: int) -> Callable[[Path, Audio, int], None]:
    def encode(path: Path, audio: Audio, rate: int) -> None:
        # Bit-exact: without it an Ogg stream carries a random serial number.
        with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
            layout = "stereo" if audio.shape[1] == 2 else "mono"
            stream = container.add_stream(codec, rate=rate, layout=layout)
            assert isinstance(stream, av.AudioStream)
            stream.bit_rate = bit_rate
            for frame in [*_frames(audio, rate), None]:
                container.mux(stream.encode(frame))

    return encode


def _frames(audio: Audio, rate: int) -> list[av.AudioFrame]:
    return [_frame(audio[at : at + FRAME], at, rate) for at in range(0, len(audio), FRAME)]


def _frame(part: Audio, at: int, rate: int) -> av.AudioFrame:
    pcm = (part * 32767).astype(np.int16).reshape(1, -1)
    layout = "stereo" if part.shape[1] == 2 else "mono"
    frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout=layout)
    frame.sample_rate = rate
    frame.time_base = Fraction(1, rate)
    frame.pts = at
    return frame


ENCODINGS: dict[str, tuple[str, Callable[[Path, Audio, int], None]]] = {
    "3gp-amr": ("3gp", _with_ffmpeg("libopencore_amrnb", 12_200)),
    "amr": ("amr", _with_ffmpeg("libopencore_amrnb", 7_950)),
    "flac": ("flac", _with_soundfile("FLAC", "PCM_16")),
    "mp3": ("mp3", _with_ffmpeg("libmp3lame", 56_000)),
    "mp3-narrow": ("mp3", _with_ffmpeg("libmp3lame", 24_000)),
    "wav": ("wav", _with_soundfile("WAV", "PCM_16")),
    "wav-mulaw": ("wav", _with_soundfile("WAV", "ULAW")),
    "m4a": ("m4a", _with_ffmpeg("aac", 48_000)),
    "opus": ("opus", _with_ffmpeg("libopus", 32_000)),
}
