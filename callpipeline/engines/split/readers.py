"""Readers of recordings: libsndfile for WAV and FLAC, FFmpeg (PyAV) for all other formats.

Both stream blocks of 16-bit samples, so memory use does not grow with the recording. libsndfile
is ten times as fast as FFmpeg.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import soundfile
from numpy.typing import NDArray

from callpipeline.domain.calls.source_audio import RawFormat
from callpipeline.engines.split.av_reader import BLOCK_SAMPLES, AvReader, Block
from callpipeline.engines.split.containers import (
    AppendedFile,
    Extent,
    FileWindow,
    find_extent,
    read_wav_header,
    wav_declared_s,
)
from callpipeline.engines.split.probe import has_header, read_head, reject_non_audio
from callpipeline.engines.split.stated_sizes import true_sizes
from callpipeline.errors import EmptyRecording, UnsupportedAudio

MIN_RATE_HZ = 4_000
MAX_RATE_HZ = 384_000
"""Decoders accept any rate, even the 1,092,676 Hz of a damaged header."""

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
    "VOX_ADPCM": "adpcm_ima_oki",
}
MAGICS = (b"RIFF", b"RIFX", b"RF64", b"fLaC", b"NIST")
CONTAINERS = {
    **dict.fromkeys(("WAV", "WAVEX", "RF64"), "wav"),
    **{"FLAC": "flac", "NIST": "nist", "RAW": "raw"},
}
RAW_SUBTYPES = {
    "ulaw": ("ULAW", "FILE"),
    "alaw": ("ALAW", "FILE"),
    "slin": ("PCM_16", "LITTLE"),
    "l16": ("PCM_16", "BIG"),
    "vox": ("VOX_ADPCM", "FILE"),
}
"""Formats without a header that libsndfile reads, and their order of bytes; others FFmpeg reads."""
MAX_STRAY_SHARE = 0.1
"""Bytes behind the samples, relative to them, that may be something else than samples."""


class SoundfileReader:
    """Reader of a WAV or FLAC file. Raises soundfile.LibsndfileError where the file is damaged."""

    bad_packets, gap_s, track_count, unread_bytes = 0, 0.0, 1, 0

    def __init__(self, file: soundfile.SoundFile, path: Path) -> None:
        self._file = file
        self.container = CONTAINERS[file.format]
        self.codec = "flac" if self.container == "flac" else CODECS[file.subtype]
        self.sample_rate_hz = file.samplerate
        self.channel_count = file.channels
        states_length = self.container == "flac"
        self.declared_s = file.frames / file.samplerate if states_length else wav_declared_s(path)

    def blocks(self) -> Iterator[Block]:
        """Read blocks until a read returns nothing.

        `.frames` and `.blocks()` trust the header, and the latter returns uninitialised memory
        where the file ends early.
        """
        # libsndfile does not scale floating-point samples to integers.
        is_float = self._file.subtype in ("FLOAT", "DOUBLE")
        dtype = "float32" if is_float else "int16"
        while len(read := self._file.read(BLOCK_SAMPLES, dtype, always_2d=True)):
            yield _to_int16(read)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def open_with_soundfile(path: Path, head: bytes) -> SoundfileReader | None:
    """Open a file that libsndfile reads reliably; return None for all others.

    MP3 is excluded, also within WAV: libsndfile adds samples at the end and prints warnings.
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


def open_raw(path: Path, raw: RawFormat) -> "Reader":
    """Open samples without a header. Raises UnsupportedAudio."""
    if raw.name not in RAW_SUBTYPES:
        return AvReader(path, raw_demuxer=raw.name)
    subtype, endian = RAW_SUBTYPES[raw.name]
    try:
        file = soundfile.SoundFile(
            path, "r", raw.sample_rate_hz, raw.channel_count, subtype, endian, "RAW"
        )
    except soundfile.LibsndfileError as error:
        raise UnsupportedAudio(f"the file can't be read as {raw.name} samples") from error
    return SoundfileReader(file, path)


def _to_int16(samples: NDArray[Any]) -> Block:
    if samples.dtype == np.int16:
        return samples
    scaled = np.nan_to_num(samples, posinf=1.0, neginf=-1.0) * 32_768.0
    return np.clip(np.rint(scaled), -32_768, 32_767).astype(np.int16)


class AppendedReader:
    """Reader of files that were appended to each other, at the rate of the first one.

    A file with one channel is heard on all channels of the others.
    """

    track_count = 1

    def __init__(self, path: Path, extent: Extent) -> None:
        self._path, self._segments = path, extent.segments
        self.bad_packets, self.gap_s = 0, 0.0
        self.unread_bytes = extent.unread_bytes
        with self._open(0, None) as first:
            self.container, self.codec = first.container, first.codec
            self.sample_rate_hz = first.sample_rate_hz
        counts = [self._channel_count(number) for number in range(len(self._segments))]
        self.channel_count = max(counts)
        self.declared_s = None

    def blocks(self) -> Iterator[Block]:
        """Yield the samples of all files; one that can't be read is counted as unread."""
        for number, segment in enumerate(self._segments):
            try:
                reader = self._open(number, self.sample_rate_hz)
            except (UnsupportedAudio, EmptyRecording):
                self.unread_bytes += segment.end - segment.start
                continue
            with reader:
                for block in reader.blocks():
                    yield _with_channels(block, self.channel_count)
            self.bad_packets += reader.bad_packets
            self.gap_s += reader.gap_s

    def _channel_count(self, number: int) -> int:
        try:
            with self._open(number, None) as reader:
                return reader.channel_count
        except (UnsupportedAudio, EmptyRecording):
            return 1

    def _open(self, number: int, rate_hz: int | None) -> AvReader:
        return AvReader(FileWindow(self._path, self._segments[number]), rate_hz=rate_hz)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


def _with_channels(block: Block, count: int) -> Block:
    if block.shape[1] == count:
        return block
    if block.shape[1] == 1:
        return np.repeat(block, count, axis=1)
    return np.pad(block, ((0, 0), (0, count - block.shape[1])))


Reader = SoundfileReader | AvReader | AppendedReader
Result = TypeVar("Result")


def decode(
    audio: Path, process: Callable[[Reader], Result], raw: RawFormat | None = None
) -> Result:
    """Return the result of `process` for the reader that decodes most of a file.

    `process` runs again from the start if the first reader fails. Without a header, the file is
    in the format `raw`. Raises UnsupportedAudio, EmptyRecording.
    """
    head = read_head(audio)
    is_raw = raw is not None and not has_header(head)
    reject_non_audio(head, is_raw=is_raw)
    if raw is not None and is_raw:
        with open_raw(audio, raw) as reader:
            return process(reader)
    extent = find_extent(audio)
    continues = goes_on(audio, extent)
    if len(extent.segments) > 1:
        with suppress(UnsupportedAudio, EmptyRecording), AppendedReader(audio, extent) as reader:
            return process(reader)
    if patches := true_sizes(audio, head):
        window = FileWindow(audio, AppendedFile(0, audio.stat().st_size), patches)
        with suppress(UnsupportedAudio, EmptyRecording), AvReader(window) as reader:
            return process(reader)
    fast = None if continues else open_with_soundfile(audio, head)
    unread_bytes = 0 if continues else extent.unread_bytes
    if fast:
        # FFmpeg continues after damage at which libsndfile stops, and reads what a crashed
        # recorder left under a header of size 0.
        with suppress(soundfile.LibsndfileError, EmptyRecording), fast:
            fast.unread_bytes = unread_bytes
            return process(fast)
    with AvReader(audio, ignores_length=continues) as reader:
        reader.unread_bytes = unread_bytes
        return process(reader)


def decode_other_tracks(audio: Path, tracks: Sequence[int], rate_hz: int) -> Iterator[AvReader]:
    """Yield an open reader of each other audio track; those that can't be read are left out."""
    for track in tracks:
        with (
            suppress(UnsupportedAudio, EmptyRecording),
            AvReader(audio, track=track, rate_hz=rate_hz) as reader,
        ):
            yield reader


def goes_on(audio: Path, extent: Extent) -> bool:
    """Return whether samples go on behind the end that a WAV header states."""
    if not extent.unread_bytes:
        return False
    with audio.open("rb") as file:
        header = read_wav_header(file)
    if header is None or header.data_end is None or not header.bytes_per_s:
        return False
    least = max(header.bytes_per_s, MAX_STRAY_SHARE * (header.data_end - header.data_start))
    return extent.unread_bytes >= least


def require_plausible_rate(rate_hz: int) -> None:
    """Raise UnsupportedAudio for a sample rate at which speech is never recorded."""
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise UnsupportedAudio(
            f"its sample rate of {rate_hz} Hz is outside {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz: "
            "its header is damaged, or it is not a recording of speech"
        )
