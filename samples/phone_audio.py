"""The sound of the sample calls: speech by flite, a telephone line's noise, and the encodings.

`make_samples.py` decides what is said and when; here it becomes samples, and a file.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from fractions import Fraction
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


def speak(text: str, voice: str, rate: int) -> Audio:
    """The text as flite says it, without the silence around it, at `rate` samples a second."""
    if shutil.which("flite") is None:
        raise MissingSpeakerError(
            "flite speaks the samples: install it with 'apt-get install flite'."
        )
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "turn.wav"
        command = ["flite", "-voice", voice, "-t", text, "-o", str(wav)]
        subprocess.run(command, check=True, capture_output=True)
        spoken, spoken_rate = sf.read(wav, dtype="float32")
    return _trimmed(np.asarray(soxr.resample(spoken, spoken_rate, rate), dtype=np.float32))


def _trimmed(audio: Audio) -> Audio:
    loud = np.flatnonzero(np.abs(audio) > AUDIBLE)
    return audio[loud[0] : loud[-1] + 1] if len(loud) else audio[:0]


def levelled(speech: Audio) -> Audio:
    """The speech at the loudness that all speakers have, without clipping."""
    gain = SPEECH_RMS / float(np.sqrt(np.mean(speech**2)))
    return np.asarray(speech * min(gain, PEAK / float(np.max(np.abs(speech)))), dtype=np.float32)


def line_noise(length: int, seed: int) -> Audio:
    """The faint hiss of a line, the same for the same seed."""
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
            stream = container.add_stream(codec, rate=rate, layout="stereo")
            assert isinstance(stream, av.AudioStream)
            stream.bit_rate = bit_rate
            for frame in [*_frames(audio, rate), None]:
                container.mux(stream.encode(frame))

    return encode


def _frames(audio: Audio, rate: int) -> list[av.AudioFrame]:
    return [_frame(audio[at : at + FRAME], at, rate) for at in range(0, len(audio), FRAME)]


def _frame(part: Audio, at: int, rate: int) -> av.AudioFrame:
    pcm = (part * 32767).astype(np.int16).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="stereo")
    frame.sample_rate = rate
    frame.time_base = Fraction(1, rate)
    frame.pts = at
    return frame


ENCODINGS: dict[str, tuple[str, Callable[[Path, Audio, int], None]]] = {
    "flac": ("flac", _with_soundfile("FLAC", "PCM_16")),
    "mp3": ("mp3", _with_ffmpeg("libmp3lame", 56_000)),
    "wav": ("wav", _with_soundfile("WAV", "PCM_16")),
    "wav-mulaw": ("wav", _with_soundfile("WAV", "ULAW")),
    "m4a": ("m4a", _with_ffmpeg("aac", 48_000)),
    "opus": ("opus", _with_ffmpeg("libopus", 32_000)),
}
