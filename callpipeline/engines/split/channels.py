"""Channels of a recording: split here or received, distinguished, and described."""

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import soundfile

from callpipeline.domain.audio import (
    MAX_CHANNELS,
    AudioFormat,
    Channel,
    QualityFlag,
    Speaker,
    SplitRecording,
    speaker_of,
)
from callpipeline.domain.calls.source_audio import (
    UNSPECIFIED,
    RawFormat,
    SourceAudio,
    raw_format_of,
)
from callpipeline.engines.split.av_reader import NO_SAMPLES
from callpipeline.engines.split.channel_files import ChannelFile
from callpipeline.engines.split.distinction import Distinction, distinguish
from callpipeline.engines.split.probe import has_header, read_head, reject_non_audio
from callpipeline.engines.split.quality import DifferenceMeter, LevelMeter, Measurements, flags_of
from callpipeline.engines.split.readers import (
    Reader,
    decode,
    decode_other_tracks,
    require_plausible_rate,
)
from callpipeline.errors import EmptyRecording, UnsupportedAudio

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Assignment:
    """Assignment of roles to channels, by the agent's channel or the source's roles."""

    agent_channel: str
    source: SourceAudio = UNSPECIFIED

    def speaker(self, file: ChannelFile, *, is_alone: bool) -> Speaker:
        """Return the role on a channel; `is_alone` if it is the recording's only channel."""
        if is_alone or not self.source.roles:
            return speaker_of(file.channel, self.agent_channel)
        roles = self.source.roles
        return roles[file.number - 1] if file.number <= len(roles) else Speaker.UNKNOWN

    def is_agent(self, file: ChannelFile) -> bool:
        return self.speaker(file, is_alone=False) is Speaker.AGENT


@dataclass(frozen=True, slots=True)
class ReportedDetails:
    """Format and flags of a recording as a split service reports them; both are optional."""

    format: AudioFormat | None = None
    flags: tuple[QualityFlag, ...] | None = None


class InvalidChannel(Exception):
    """A channel's file is unusable; the message is the rest of a sentence."""


def split_recording(
    recording: Path,
    into: Path,
    agent_channel: str,
    source: SourceAudio = UNSPECIFIED,
    file_name: str | None = None,
) -> SplitRecording:
    """Write `into/<channel>.flac` for each channel. Raises UnsupportedAudio, EmptyRecording.

    Samples without a header are in the format of the source, else in that which the suffix of
    `file_name` means.
    """
    into.mkdir(parents=True, exist_ok=True)
    raw = source.raw or raw_format_of(file_name or "")
    assignment = Assignment(agent_channel, source)
    return decode(
        recording, partial(_split, recording=recording, into=into, assignment=assignment), raw
    )


def raw_format(recording: Path, source: SourceAudio) -> RawFormat | None:
    """Return the format that the source sets for a recording, if that has no header."""
    return None if source.raw is None or has_header(read_head(recording)) else source.raw


def write_as_wav(recording: Path, into: Path, raw: RawFormat) -> Path:
    """Convert samples without a header into a WAV file. Raises UnsupportedAudio."""
    into.mkdir(parents=True, exist_ok=True)
    path = into / "recording.wav"

    def write(reader: Reader) -> Path:
        rate_hz, count = reader.sample_rate_hz, reader.channel_count
        with soundfile.SoundFile(path, "w", rate_hz, count, "PCM_16", format="WAV") as file:
            for block in reader.blocks():
                file.write(block)
        return path

    return decode(recording, write, raw)


def probe_format(recording: Path) -> AudioFormat | None:
    """Detect the format of a recording from its first samples; None if no decoder reads it.

    Raises UnsupportedAudio for other kinds of files, and EmptyRecording.
    """
    reject_non_audio(read_head(recording))

    def probe(reader: Reader) -> AudioFormat:
        require_plausible_rate(reader.sample_rate_hz)
        return _format_of(reader, 0.0, reader.channel_count)

    with suppress(UnsupportedAudio):
        return decode(recording, probe)
    return None


def assemble_channels(
    files: Mapping[Channel, Path],
    into: Path,
    agent_channel: str,
    probed: AudioFormat | None,
    reported: ReportedDetails,
    source: SourceAudio = UNSPECIFIED,
) -> SplitRecording:
    """Write `into/<channel>.flac` from audio files of any format.

    `probed` is the result of `probe_format`. Files of the same sound become one. Raises
    InvalidChannel.
    """
    written = [
        _write_channel(file, into, channel, number)
        for number, (channel, file) in enumerate(files.items(), start=1)
    ]
    rate_hz, assignment = written[0].sample_rate_hz, Assignment(agent_channel, source)
    found = distinguish(written, assignment.is_agent)
    duration_s = max(file.duration_s for file in found.files)
    format = reported.format or _assembled_format(probed, duration_s, rate_hz, len(found.files))
    result = _describe(found, assignment, Measurements(format, {}, channels_found=len(written)))
    return result if reported.flags is None else _with_flags(result, reported.flags)


def _with_flags(split: SplitRecording, flags: tuple[QualityFlag, ...]) -> SplitRecording:
    return SplitRecording(split.format, split.channels, flags)


def _split(reader: Reader, recording: Path, into: Path, assignment: Assignment) -> SplitRecording:
    require_plausible_rate(reader.sample_rate_hz)
    files = _write_candidates(reader, into)
    gap_s, count = reader.gap_s, reader.channel_count
    for other in decode_other_tracks(
        recording, range(1, reader.track_count), reader.sample_rate_hz
    ):
        files += _write_candidates(other, into, first_number=count + 1)
        count += other.channel_count
    if not any(file.level.samples for file in files):
        raise EmptyRecording(NO_SAMPLES)
    found = distinguish(files, assignment.is_agent)
    format = _format_of(reader, max(file.duration_s for file in files), count)
    measured = Measurements(
        format,
        {},
        gap_s=gap_s,
        unread_bytes=reader.unread_bytes,
        channels_found=len(files),
    )
    return _describe(found, assignment, measured)


def _write_candidates(reader: Reader, into: Path, first_number: int = 1) -> list[ChannelFile]:
    """Write a file for each channel of a track."""
    count = min(reader.channel_count, MAX_CHANNELS + 1 - first_number)
    names = _names(count) if reader.track_count == 1 else _numbers(first_number, count)
    with ExitStack() as opened:
        files = [
            opened.enter_context(ChannelFile(into, name, reader.sample_rate_hz, number))
            for number, name in enumerate(names, start=first_number)
        ]
        for block in reader.blocks():
            for index, file in enumerate(files):
                file.write(block[:, index])
    return files


def _names(count: int) -> list[Channel]:
    """Return the names of the channels of a recording with this number of them."""
    named = {1: [Channel.MIXED], 2: [Channel.LEFT, Channel.RIGHT]}
    return named.get(count) or _numbers(1, count)


def _numbers(first: int, count: int) -> list[Channel]:
    return [Channel(str(number)) for number in range(first, first + count)]


def _describe(found: Distinction, assignment: Assignment, measured: Measurements) -> SplitRecording:
    """Name the channels, give them roles, and describe them with the flags of the recording."""
    is_alone = len(found.files) == 1 and (measured.channels_found == 1 or bool(found.copies))
    names = _names(len(found.files))
    renamed = (
        {file.channel: name for file, name in zip(found.files, names, strict=True)}
        if len(names) < 3
        else {}
    )
    for file in found.files:
        file.channel = renamed.get(file.channel, file.channel)
    measurements = Measurements(
        measured.format,
        {file.channel: file.level for file in found.files},
        is_fake_stereo=is_alone and bool(found.copies) and measured.format.channel_count > 1,
        copies=found.copies,
        crosstalk=found.crosstalk(renamed),
        gap_s=measured.gap_s,
        unread_bytes=measured.unread_bytes,
        channels_found=measured.channels_found,
    )
    channels = tuple(
        file.finish(assignment.speaker(file, is_alone=is_alone)) for file in found.files
    )
    return SplitRecording(measured.format, channels, flags_of(measurements))


def _format_of(reader: Reader, duration_s: float, channel_count: int) -> AudioFormat:
    return AudioFormat(
        container=reader.container,
        codec=reader.codec,
        sample_rate_hz=reader.sample_rate_hz,
        channel_count=channel_count,
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


def _write_channel(file: Path, into: Path, channel: Channel, number: int) -> ChannelFile:
    name = "its audio" if channel is Channel.MIXED else f"its {channel} channel"
    try:
        side = decode(file, _audible_side)
        copy = partial(_copy_side, side=side, into=into, channel=channel, number=number)
        return decode(file, copy)
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


def _copy_side(reader: Reader, side: int, into: Path, channel: Channel, number: int) -> ChannelFile:
    require_plausible_rate(reader.sample_rate_hz)
    with ChannelFile(into, channel, reader.sample_rate_hz, number) as file:
        for block in reader.blocks():
            file.write(block[:, side])
    if file.level.samples == 0:
        raise EmptyRecording(NO_SAMPLES)
    return file
