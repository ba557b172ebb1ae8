"""WAV and FLAC by libsndfile, ten times as fast as FFmpeg.

It runs in this process, releases the GIL and streams: memory does not grow with the recording.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import soundfile
from numpy.typing import NDArray

from callpipeline.engines.split.blocks import BLOCK_SAMPLES, Block
from callpipeline.engines.split.probe import wav_declared_s

CODECS = {
    "PCM_U8": "pcm_u8",
    "PCM_S8": "pcm_s8",
    "PCM_16": "pcm_s16le",
    "PCM_24": "pcm_s24le",
    "PCM_32": "pcm_s32le",
    "FLOAT": "pcm_f32le",
    "DOUBLE": "pcm_f64le",
    "ULAW": "pcm_mulaw",
    "ALAW": "pcm_alaw",
}
MAGICS = (b"RIFF", b"RF64", b"fLaC")
CONTAINERS = {"WAV": "wav", "WAVEX": "wav", "RF64": "wav", "FLAC": "flac"}


class SoundfileReader:
    """A WAV or FLAC file. Raises soundfile.LibsndfileError while it reads on through damage."""

    bad_packets = 0

    def __init__(self, file: soundfile.SoundFile, path: Path) -> None:
        self._file = file
        self.container = CONTAINERS[file.format]
        self.codec = "flac" if self.container == "flac" else CODECS[file.subtype]
        self.sample_rate_hz = file.samplerate
        self.channel_count = file.channels
        is_wav = self.container == "wav"
        self.declared_s = wav_declared_s(path) if is_wav else file.frames / file.samplerate

    def blocks(self) -> Iterator[Block]:
        """Blocks until a read comes back empty: `.frames` and `.blocks()` believe the header, and
        the latter hands out uninitialised memory where the file ends early."""
        # libsndfile does not scale floating point samples when it is asked for integers.
        is_float = self._file.subtype in ("FLOAT", "DOUBLE")
        dtype = "float32" if is_float else "int16"
        while len(read := self._file.read(BLOCK_SAMPLES, dtype, always_2d=True)):
            yield _as_int16(read[:, :2])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def open_with_soundfile(path: Path, head: bytes) -> SoundfileReader | None:
    """A reader where libsndfile is trusted with the file, else None.

    It is not with MP3, also inside of WAV: it invents samples at the end and prints warnings.
    """
    if head[:4] not in MAGICS:
        return None
    try:
        file = soundfile.SoundFile(path)
    except soundfile.LibsndfileError:
        return None
    if file.format == "FLAC" or (file.format in CONTAINERS and file.subtype in CODECS):
        return SoundfileReader(file, path)
    file.close()
    return None


def _as_int16(samples: NDArray[Any]) -> Block:
    if samples.dtype == np.int16:
        return samples
    scaled = np.nan_to_num(samples, posinf=1.0, neginf=-1.0) * 32_768.0
    return np.clip(np.rint(scaled), -32_768, 32_767).astype(np.int16)
