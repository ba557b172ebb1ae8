"""The channels of a recording that somebody else took apart: checked, measured, written as ours."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from callpipeline.domain.audio import AudioFormat, Channel, QualityFlag, SplitRecording
from callpipeline.engines.split.apart import (
    Reader,
    check_rate,
    format_of,
    read_through,
    refuse_nothing,
)
from callpipeline.engines.split.blocks import BLOCK_SAMPLES
from callpipeline.engines.split.channel_file import ChannelFile
from callpipeline.engines.split.flags import Findings, flags_of
from callpipeline.engines.split.levels import Difference, Level
from callpipeline.engines.split.probe import head_of, refuse_other_kinds
from callpipeline.errors import EmptyRecording, UnsupportedAudio

SAME_LENGTH_S = 0.1
"""Encoders add some milliseconds of silence; by more the same sound does not differ."""
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Told:
    """What whoever took it apart says of the whole, where they do."""

    format: AudioFormat | None = None
    flags: tuple[QualityFlag, ...] | None = None


class BrokenChannel(Exception):
    """What is wrong with the file of a channel, as the end of a sentence."""


def format_in(recording: Path) -> AudioFormat | None:
    """What a recording is by its beginning, None where no decoder here knows it.

    Raises UnsupportedAudio for what is plainly something else, and EmptyRecording.
    """
    refuse_other_kinds(head_of(recording))

    def look(reader: Reader) -> AudioFormat:
        check_rate(reader.sample_rate_hz)
        return format_of(reader, 0.0)

    with suppress(UnsupportedAudio):
        return read_through(recording, look)
    return None


def put_together(
    files: Mapping[Channel, Path],
    into: Path,
    agent_channel: str,
    found: AudioFormat | None,
    told: Told,
) -> SplitRecording:
    """Write `into/<channel>.flac` from a file of any kind for each channel.

    `found` is what the recording is, by its beginning. Two files of the same sound give `mixed`.
    Raises BrokenChannel.
    """
    written = [_written(file, into, channel) for channel, file in files.items()]
    if len(written) == 2 and _is_same(*written):
        written.pop().discard()
    if len(written) == 1:
        written[0].channel = Channel.MIXED
    duration_s = max(file.duration_s for file in written)
    levels = {file.channel: file.level for file in written}
    channels = tuple(file.finished(agent_channel) for file in written)
    format = told.format or _format(found, duration_s, channels[0].sample_rate_hz, len(written))
    is_fake_stereo = len(channels) == 1 and format.channel_count > 1
    flags = flags_of(Findings(format, levels, is_fake_stereo=is_fake_stereo))
    return SplitRecording(format, channels, flags if told.flags is None else told.flags)


def _format(
    found: AudioFormat | None, duration_s: float, rate_hz: int, channel_count: int
) -> AudioFormat:
    if found is None:
        return AudioFormat(UNKNOWN, UNKNOWN, rate_hz, channel_count, duration_s)
    return AudioFormat(
        container=found.container,
        codec=found.codec,
        sample_rate_hz=found.sample_rate_hz,
        channel_count=found.channel_count,
        duration_s=duration_s,
        declared_duration_s=found.declared_duration_s,
    )


def _written(file: Path, into: Path, channel: Channel) -> ChannelFile:
    whose = "its audio" if channel is Channel.MIXED else f"its {channel} channel"
    try:
        side = read_through(file, _side_with_sound)
        return read_through(file, partial(_copied, side=side, into=into, channel=channel))
    except BrokenChannel as error:
        raise BrokenChannel(f"{whose} {error}") from None
    except (UnsupportedAudio, EmptyRecording) as error:
        raise BrokenChannel(f"{whose} is no audio ({error})") from None


def _side_with_sound(reader: Reader) -> int:
    """A channel's file may have two channels itself: copies of one, or one of them silent."""
    if reader.channel_count == 1:
        return 0
    levels, difference = (Level(), Level()), Difference()
    for block in reader.blocks():
        for side, level in enumerate(levels):
            level.add(block[:, side])
        difference.add(block[:, 0], block[:, 1])
    if difference.is_none or levels[1].is_silent:
        return 0
    if levels[0].is_silent:
        return 1
    raise BrokenChannel("has two channels that differ, so nobody can tell which is meant")


def _copied(reader: Reader, side: int, into: Path, channel: Channel) -> ChannelFile:
    check_rate(reader.sample_rate_hz)
    with ChannelFile(into, channel, reader.sample_rate_hz) as file:
        for block in reader.blocks():
            file.write(block[:, side])
    refuse_nothing(file)
    return file


def _is_same(one: ChannelFile, other: ChannelFile) -> bool:
    """Whether both hold the same sound, as far as both go."""
    difference = Difference()
    with soundfile.SoundFile(one.written) as left, soundfile.SoundFile(other.written) as right:
        if left.samplerate != right.samplerate:
            return False
        if abs(one.duration_s - other.duration_s) > SAME_LENGTH_S:
            return False
        for here, there in zip(_blocks(left), _blocks(right), strict=False):
            length = min(len(here), len(there))
            difference.add(here[:length], there[:length])
    return difference.is_none


def _blocks(file: soundfile.SoundFile) -> Iterator[NDArray[np.int16]]:
    while len(block := file.read(BLOCK_SAMPLES, "int16")):
        yield block.astype(np.int16, copy=False)
