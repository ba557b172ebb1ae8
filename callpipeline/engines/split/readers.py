"""Decoders of recordings: libsndfile for WAV and FLAC, FFmpeg (PyAV) for all other formats.

Both run in this process, release the GIL, and stream blocks of 16-bit samples, so memory use does
not grow with the recording. libsndfile is ten times as fast as FFmpeg.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, Self, TypeVar

import av
import av.container
import numpy as np
import soundfile
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.error import FFmpegError
from numpy.typing import NDArray

from callpipeline.engines.split.probe import (
    explain_unreadable,
    mp3_states_its_length,
    read_head,
    reject_non_audio,
    wav_declared_s,
)
from callpipeline.errors import EmptyRecording, UnsupportedAudio

Block = NDArray[np.int16]
"""Samples × channels; at most the first two channels."""

BLOCK_SAMPLES = 65_536
"""Passing on FFmpeg's frames one by one takes 2.5 times as long as in blocks of this size."""
MIN_RATE_HZ = 4_000
MAX_RATE_HZ = 384_000
"""Decoders accept any rate, even the 1,092,676 Hz of a damaged header."""

NO_SAMPLES = "no samples: the file contains only a header"

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
    """Reader of a WAV or FLAC file. Raises soundfile.LibsndfileError where the file is damaged."""

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
        """Read blocks until a read returns nothing.

        `.frames` and `.blocks()` trust the header, and the latter returns uninitialised memory
        where the file ends early.
        """
        # libsndfile does not scale floating-point samples to integers.
        is_float = self._file.subtype in ("FLOAT", "DOUBLE")
        dtype = "float32" if is_float else "int16"
        while len(read := self._file.read(BLOCK_SAMPLES, dtype, always_2d=True)):
            yield _to_int16(read[:, :2])

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


def _to_int16(samples: NDArray[Any]) -> Block:
    if samples.dtype == np.int16:
        return samples
    scaled = np.nan_to_num(samples, posinf=1.0, neginf=-1.0) * 32_768.0
    return np.clip(np.rint(scaled), -32_768, 32_767).astype(np.int16)


AV_DEMUXERS = (
    "wav,w64,rf64,mp3,aac,ac3,eac3,flac,ogg,mov,mp4,matroska,webm,asf,avi,flv,mpeg,mpegts,au,aiff,"
    "caf,amr,amrnb,amrwb,gsm,wv,ape,tta,voc,sln,rm"
)
"""No playlists, images or network: a recording must never make FFmpeg open anything else."""
AV_NAMES = {"mov": "mp4", "matroska": "matroska", "asf": "wma"}
DURATION_CONTAINERS = frozenset(
    {"mp4", "matroska", "flac", "wma", "avi", "au", "aiff", "caf", "w64"}
)
"""Containers whose header states a duration; for others FFmpeg estimates it."""
OPUS_INPUT_RATES = frozenset({8000, 12_000, 16_000, 24_000})


class AvReader:
    """Reader of all other formats. Raises UnsupportedAudio or EmptyRecording."""

    def __init__(self, path: Path) -> None:
        self._container = _open_container(path)
        self.bad_packets = 0
        self.container = _container_name(self._container.format.name)
        try:
            self._stream = self._audio_stream()
            self._frames = self._probed_frames()
        except BaseException:
            self._container.close()
            raise
        self.codec = self._stream.codec_context.codec.canonical_name
        self.declared_s = self._declared_s(path)

    def blocks(self) -> Iterator[Block]:
        resampler, layout = None, None
        for frame in self._frames:
            key = (frame.format.name, frame.layout.name, frame.sample_rate)
            if resampler is None or key != layout:
                # A concatenated MP3 may change its rate or channels midway.
                yield from self._converted(resampler, None)
                resampler, layout = self._resampler(), key
            yield from self._converted(resampler, frame)
        yield from self._converted(resampler, None)

    def _converted(
        self, resampler: AudioResampler | None, frame: AudioFrame | None
    ) -> Iterator[Block]:
        for converted in resampler.resample(frame) if resampler else ():
            samples = converted.to_ndarray().astype(np.int16, copy=False)
            yield samples.reshape(-1, self.channel_count)[:, :2]

    def _resampler(self) -> AudioResampler:
        return AudioResampler("s16", self._layout, self.sample_rate_hz, BLOCK_SAMPLES)

    def _audio_stream(self) -> AudioStream:
        if not self._container.streams.audio:
            raise UnsupportedAudio("the file has no audio track")
        stream = self._container.streams.audio[0]
        if stream.codec_context is None:
            raise UnsupportedAudio("no decoder supports its audio codec")
        return stream

    def _probed_frames(self) -> Iterator[AudioFrame]:
        """Decode the first frame to detect the format: headers of HE-AAC state half the rate."""
        frames = self._decoded()
        first = next(frames, None)
        if first is None and self.bad_packets:
            raise UnsupportedAudio(
                f"too damaged to read: none of its {self.bad_packets} packets can be decoded"
            )
        if first is None:
            raise EmptyRecording(NO_SAMPLES)
        self._layout = first.layout
        self.channel_count = first.layout.nb_channels
        self.sample_rate_hz = self._opus_input_rate() or first.sample_rate
        return chain((first,), frames)

    def _decoded(self) -> Iterator[AudioFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, FFmpegError):  # the end, or a truncated container
                return
            try:
                yield from packet.decode()
            except FFmpegError:
                self.bad_packets += 1 if packet.size else 0

    def _opus_input_rate(self) -> int | None:
        """Return the original rate of Opus, which always decodes to 48 kHz.

        Keeping 48 kHz would mean six times the samples of a telephone call, without any gain.
        """
        header = self._stream.codec_context.extradata or b""
        rate = int.from_bytes(header[12:16], "little") if header[:8] == b"OpusHead" else 0
        return rate if rate in OPUS_INPUT_RATES else None

    def _declared_s(self, path: Path) -> float | None:
        if self.container == "wav":
            return wav_declared_s(path)
        declares = self.container in DURATION_CONTAINERS
        declares = declares or (self.container == "mp3" and mp3_states_its_length(path))
        duration = self._container.duration
        return duration / 1_000_000 if declares and duration is not None else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()


def _open_container(path: Path) -> av.container.InputContainer:
    try:
        # "file:" keeps a name such as "http:x.wav" from being taken for a URL.
        return av.open(
            f"file:{path.absolute()}",
            metadata_errors="replace",
            options={"protocol_whitelist": "file", "format_whitelist": AV_DEMUXERS},
        )
    except (FFmpegError, ValueError) as error:
        raise UnsupportedAudio(explain_unreadable(read_head(path))) from error


def _container_name(av_name: str) -> str:
    first = av_name.split(",", maxsplit=1)[0]
    return AV_NAMES.get(first, first)


Reader = SoundfileReader | AvReader
Result = TypeVar("Result")


def decode(audio: Path, process: Callable[[Reader], Result]) -> Result:
    """Return the result of `process` for the reader that decodes most of a file.

    `process` runs again from the start if the first reader fails. Raises UnsupportedAudio,
    EmptyRecording.
    """
    head = read_head(audio)
    reject_non_audio(head)
    if fast := open_with_soundfile(audio, head):
        # FFmpeg continues after damage at which libsndfile stops, and reads what a crashed
        # recorder left under a header of size 0.
        with suppress(soundfile.LibsndfileError, EmptyRecording), fast:
            return process(fast)
    with AvReader(audio) as reader:
        return process(reader)


def require_plausible_rate(rate_hz: int) -> None:
    """Raise UnsupportedAudio for a sample rate at which speech is never recorded."""
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise UnsupportedAudio(
            f"its sample rate of {rate_hz} Hz is outside {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz: "
            "its header is damaged, or it is not a recording of speech"
        )
