"""Channels of a recording: split here or received, measured, written as FLAC."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import soundfile
from numpy.typing import NDArray

from callpipeline.domain.audio import (
    MAX_PEAK,
    AudioFormat,
    Channel,
    ChannelAudio,
    Peaks,
    QualityFlag,
    SplitRecording,
    speaker_of,
    window_samples,
)
from callpipeline.engines.split.probe import read_head, reject_non_audio
from callpipeline.engines.split.quality import (
    FULL_SCALE,
    DifferenceMeter,
    LevelMeter,
    Measurements,
    flags_of,
)
from callpipeline.engines.split.readers import (
    BLOCK_SAMPLES,
    NO_SAMPLES,
    Reader,
    decode,
    require_plausible_rate,
)
from callpipeline.errors import EmptyRecording, EngineUnavailable, UnsupportedAudio

LENGTH_TOLERANCE_S = 0.1
"""Encoders add some milliseconds of silence; two files of the same sound never differ by more."""
UNKNOWN = "unknown"


class ChannelFile:
    """Writer of mono 16-bit FLAC; the file gets its final name when it is complete."""

    def __init__(self, into: Path, channel: Channel, sample_rate_hz: int) -> None:
        self.channel = channel
        self.level = LevelMeter()
        self.part = into / f"{channel}.flac.part"
        self._into = into
        self._sample_rate_hz = sample_rate_hz
        with _write_errors():
            # By default libsndfile writes 24-bit FLAC for samples that were decoded as floats.
            self._file = soundfile.SoundFile(
                self.part, "w", sample_rate_hz, 1, "PCM_16", format="FLAC"
            )

    def write(self, samples: NDArray[np.int16]) -> None:
        """Append samples. Raises EngineUnavailable if the disk is full."""
        with _write_errors():
            self._file.write(samples)
        self.level.add(samples)

    @property
    def duration_s(self) -> float:
        return self.level.samples / self._sample_rate_hz

    def discard(self) -> None:
        self.part.unlink()

    def finish(self, agent_channel: str) -> ChannelAudio:
        """Give the closed file its final name and describe it."""
        path = self.part.rename(self._into / f"{self.channel}.flac")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        return ChannelAudio(
            channel=self.channel,
            speaker=speaker_of(self.channel, agent_channel),
            sample_rate_hz=self._sample_rate_hz,
            duration_s=self.duration_s,
            rms_dbfs=round(self.level.rms_dbfs, 2),
            size_bytes=path.stat().st_size,
            sha256=digest.hexdigest(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with _write_errors():
            self._file.close()


def measure_peaks(flac: Path, sha256: str) -> Peaks:
    """Return the peaks of a mono file with the given digest. Raises EngineUnavailable."""
    try:
        with soundfile.SoundFile(flac) as file:
            window = window_samples(file.frames, file.samplerate)
            # Whole windows, so that no window spans two blocks.
            length = max(1, BLOCK_SAMPLES // window) * window
            maxima = bytearray()
            while len(block := file.read(length, "int16")):
                maxima += _maxima(block.astype(np.int16, copy=False), window)
            return Peaks(window / file.samplerate, bytes(maxima), sha256)
    except soundfile.LibsndfileError as error:
        raise EngineUnavailable("the waveform of a channel could not be measured.") from error


def _maxima(samples: NDArray[np.int16], window: int) -> bytes:
    """Return a byte per window, rounded up, so that only silence is 0."""
    starts = np.arange(0, len(samples), window)
    highest = np.maximum.reduceat(samples, starts).astype(np.int32)
    lowest = np.minimum.reduceat(samples, starts).astype(np.int32)
    loudest = np.maximum(highest, -lowest)
    scaled = np.ceil(loudest * (MAX_PEAK / FULL_SCALE))
    return np.minimum(MAX_PEAK, scaled).astype(np.uint8).tobytes()


@contextmanager
def _write_errors() -> Iterator[None]:
    """Keep errors of writing apart from errors of reading the recording."""
    try:
        yield
    except soundfile.LibsndfileError as error:
        raise EngineUnavailable("a channel could not be written: is the disk full?") from error


@dataclass(frozen=True, slots=True)
class ReportedDetails:
    """Format and flags of a recording as a split service reports them; both are optional."""

    format: AudioFormat | None = None
    flags: tuple[QualityFlag, ...] | None = None


class InvalidChannel(Exception):
    """A channel's file is unusable; the message is the rest of a sentence."""


def split_recording(recording: Path, into: Path, agent_channel: str) -> SplitRecording:
    """Write `into/<channel>.flac` for each channel. Raises UnsupportedAudio, EmptyRecording."""
    into.mkdir(parents=True, exist_ok=True)
    return decode(recording, partial(_split, into=into, agent_channel=agent_channel))


def probe_format(recording: Path) -> AudioFormat | None:
    """Detect the format of a recording from its first samples; None if no decoder reads it.

    Raises UnsupportedAudio for other kinds of files, and EmptyRecording.
    """
    reject_non_audio(read_head(recording))

    def probe(reader: Reader) -> AudioFormat:
        require_plausible_rate(reader.sample_rate_hz)
        return _format_of(reader, 0.0)

    with suppress(UnsupportedAudio):
        return decode(recording, probe)
    return None


def assemble_channels(
    files: Mapping[Channel, Path],
    into: Path,
    agent_channel: str,
    probed: AudioFormat | None,
    reported: ReportedDetails,
) -> SplitRecording:
    """Write `into/<channel>.flac` from audio files of any format.

    `probed` is the result of `probe_format`. Two files of the same sound become `mixed`. Raises
    InvalidChannel.
    """
    written = [_write_channel(file, into, channel) for channel, file in files.items()]
    if len(written) == 2 and _is_same_sound(*written):
        written.pop().discard()
    if len(written) == 1:
        written[0].channel = Channel.MIXED
    duration_s = max(file.duration_s for file in written)
    levels = {file.channel: file.level for file in written}
    channels = tuple(file.finish(agent_channel) for file in written)
    format = reported.format or _assembled_format(
        probed, duration_s, channels[0].sample_rate_hz, len(written)
    )
    is_fake_stereo = len(channels) == 1 and format.channel_count > 1
    flags = flags_of(Measurements(format, levels, is_fake_stereo=is_fake_stereo))
    return SplitRecording(format, channels, flags if reported.flags is None else reported.flags)


def _split(reader: Reader, into: Path, agent_channel: str) -> SplitRecording:
    require_plausible_rate(reader.sample_rate_hz)
    with ExitStack() as opened:
        files = [
            opened.enter_context(ChannelFile(into, channel, reader.sample_rate_hz))
            for channel in _channels(reader.channel_count)
        ]
        difference = _copy(reader, files)
    _require_samples(files[0])
    is_fake_stereo = difference.is_same_sound
    if is_fake_stereo:
        files.pop().discard()
        files[0].channel = Channel.MIXED
    measurements = Measurements(
        _format_of(reader, files[0].duration_s),
        {file.channel: file.level for file in files},
        is_fake_stereo=is_fake_stereo,
    )
    channels = tuple(file.finish(agent_channel) for file in files)
    return SplitRecording(measurements.format, channels, flags_of(measurements))


def _copy(reader: Reader, files: list[ChannelFile]) -> DifferenceMeter:
    """Copy all samples into the files; return how much the channels differ."""
    difference = DifferenceMeter()
    for block in reader.blocks():
        for index, file in enumerate(files):
            file.write(block[:, index])
        if len(files) > 1:
            difference.add(block[:, 0], block[:, 1])
    return difference


def _channels(count: int) -> tuple[Channel, ...]:
    return (Channel.MIXED,) if count == 1 else (Channel.LEFT, Channel.RIGHT)


def _require_samples(file: ChannelFile) -> None:
    """Raise EmptyRecording if nothing was written."""
    if file.level.samples == 0:
        raise EmptyRecording(NO_SAMPLES)


def _format_of(reader: Reader, duration_s: float) -> AudioFormat:
    return AudioFormat(
        container=reader.container,
        codec=reader.codec,
        sample_rate_hz=reader.sample_rate_hz,
        channel_count=reader.channel_count,
        duration_s=duration_s,
        declared_duration_s=reader.declared_s,
        bad_packets=reader.bad_packets,
    )


def _assembled_format(
    probed: AudioFormat | None, duration_s: float, rate_hz: int, channel_count: int
) -> AudioFormat:
    if probed is None:
        return AudioFormat(UNKNOWN, UNKNOWN, rate_hz, channel_count, duration_s)
    return AudioFormat(
        container=probed.container,
        codec=probed.codec,
        sample_rate_hz=probed.sample_rate_hz,
        channel_count=probed.channel_count,
        duration_s=duration_s,
        declared_duration_s=probed.declared_duration_s,
    )


def _write_channel(file: Path, into: Path, channel: Channel) -> ChannelFile:
    name = "its audio" if channel is Channel.MIXED else f"its {channel} channel"
    try:
        side = decode(file, _audible_side)
        return decode(file, partial(_copy_side, side=side, into=into, channel=channel))
    except InvalidChannel as error:
        raise InvalidChannel(f"{name} {error}") from None
    except (UnsupportedAudio, EmptyRecording) as error:
        raise InvalidChannel(f"{name} is not audio ({error})") from None


def _audible_side(reader: Reader) -> int:
    """Return the side to use of a stereo file: both must be equal, or one of them silent."""
    if reader.channel_count == 1:
        return 0
    levels, difference = (LevelMeter(), LevelMeter()), DifferenceMeter()
    for block in reader.blocks():
        for side, level in enumerate(levels):
            level.add(block[:, side])
        difference.add(block[:, 0], block[:, 1])
    if difference.is_same_sound or levels[1].is_silent:
        return 0
    if levels[0].is_silent:
        return 1
    raise InvalidChannel("has two different channels, so it is unclear which one to use")


def _copy_side(reader: Reader, side: int, into: Path, channel: Channel) -> ChannelFile:
    require_plausible_rate(reader.sample_rate_hz)
    with ChannelFile(into, channel, reader.sample_rate_hz) as file:
        for block in reader.blocks():
            file.write(block[:, side])
    _require_samples(file)
    return file


def _is_same_sound(one: ChannelFile, other: ChannelFile) -> bool:
    """Compare two files over the length of the shorter one."""
    difference = DifferenceMeter()
    with soundfile.SoundFile(one.part) as left, soundfile.SoundFile(other.part) as right:
        if left.samplerate != right.samplerate:
            return False
        if abs(one.duration_s - other.duration_s) > LENGTH_TOLERANCE_S:
            return False
        for left_block, right_block in zip(_blocks(left), _blocks(right), strict=False):
            length = min(len(left_block), len(right_block))
            difference.add(left_block[:length], right_block[:length])
    return difference.is_same_sound


def _blocks(file: soundfile.SoundFile) -> Iterator[NDArray[np.int16]]:
    while len(block := file.read(BLOCK_SAMPLES, "int16")):
        yield block.astype(np.int16, copy=False)
