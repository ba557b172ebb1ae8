"""One recording into one FLAC file per channel: read, measured and written block by block."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import soundfile

from callpipeline.domain.audio import AudioFormat, Channel, SplitRecording
from callpipeline.engines.split.channel_file import ChannelFile
from callpipeline.engines.split.flags import Findings, flags_of
from callpipeline.engines.split.levels import Difference
from callpipeline.engines.split.probe import head_of, refuse_other_kinds
from callpipeline.engines.split.read_av import AvReader
from callpipeline.engines.split.read_soundfile import SoundfileReader, open_with_soundfile
from callpipeline.errors import EmptyRecording, UnsupportedAudio

Reader = SoundfileReader | AvReader
Made = TypeVar("Made")

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 4_000, 384_000
"""A damaged header that claims 1,092,676 Hz is accepted by every decoder."""


def take_apart(recording: Path, into: Path, agent_channel: str) -> SplitRecording:
    """Write `into/<channel>.flac` for each channel. Raises UnsupportedAudio, EmptyRecording."""
    into.mkdir(parents=True, exist_ok=True)
    return read_through(recording, partial(_split, into=into, agent_channel=agent_channel))


def read_through(audio: Path, make: Callable[[Reader], Made]) -> Made:
    """What `make` makes of a file of any kind of audio, with the reader that gets the most of it.

    Raises UnsupportedAudio, EmptyRecording. Where the first reader fails, `make` begins anew.
    """
    head = head_of(audio)
    refuse_other_kinds(head)
    if fast := open_with_soundfile(audio, head):
        # FFmpeg reads on behind damage at which libsndfile gives up, and what a recorder that
        # crashed left under a header of size 0.
        with suppress(soundfile.LibsndfileError, EmptyRecording), fast:
            return make(fast)
    with AvReader(audio) as reader:
        return make(reader)


def _split(reader: Reader, into: Path, agent_channel: str) -> SplitRecording:
    check_rate(reader.sample_rate_hz)
    with ExitStack() as opened:
        files = [
            opened.enter_context(ChannelFile(into, channel, reader.sample_rate_hz))
            for channel in _channels(reader.channel_count)
        ]
        difference = _copy(reader, files)
    refuse_nothing(files[0])
    is_fake_stereo = difference.is_none
    if is_fake_stereo:
        files.pop().discard()
        files[0].channel = Channel.MIXED
    findings = Findings(
        format_of(reader, files[0].duration_s),
        {file.channel: file.level for file in files},
        is_fake_stereo=is_fake_stereo,
    )
    channels = tuple(file.finished(agent_channel) for file in files)
    return SplitRecording(findings.format, channels, flags_of(findings))


def _copy(reader: Reader, files: list[ChannelFile]) -> Difference:
    """Everything from the reader into the files; how much two channels differ."""
    difference = Difference()
    for block in reader.blocks():
        for index, file in enumerate(files):
            file.write(block[:, index])
        if len(files) > 1:
            difference.add(block[:, 0], block[:, 1])
    return difference


def _channels(count: int) -> tuple[Channel, ...]:
    return (Channel.MIXED,) if count == 1 else (Channel.LEFT, Channel.RIGHT)


def refuse_nothing(file: ChannelFile) -> None:
    """Raise EmptyRecording where nothing was written."""
    if file.level.samples == 0:
        raise EmptyRecording("no samples: a header and nothing behind it")


def check_rate(rate_hz: int) -> None:
    """Raise UnsupportedAudio for a rate at which nobody records speech."""
    if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
        raise UnsupportedAudio(
            f"its sample rate is {rate_hz} Hz, outside of {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz:"
            " its header is damaged, or it is no recording of speech"
        )


def format_of(reader: Reader, duration_s: float) -> AudioFormat:
    """What the recording is; how long, is known when it was read."""
    return AudioFormat(
        container=reader.container,
        codec=reader.codec,
        sample_rate_hz=reader.sample_rate_hz,
        channel_count=reader.channel_count,
        duration_s=duration_s,
        declared_duration_s=reader.declared_s,
        bad_packets=reader.bad_packets,
    )
