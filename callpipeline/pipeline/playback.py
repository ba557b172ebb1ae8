"""A call as a WAV file that is nowhere: each range of its bytes is made when it is asked for.

Browsers play WAV and jump in it by byte ranges, whose samples are found by arithmetic; in FLAC or
MP3 they would have to guess. Nothing is stored twice, and what comes before a range is not decoded.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from callpipeline.domain.audio import Channel, ChannelAudio, SplitRecording
from callpipeline.domain.wav import Wav
from callpipeline.errors import MissingObject
from callpipeline.storage.range_file import RangeFile

VERSION = 1
"""Of how bytes are made of channels: what browsers have kept of an earlier one is not theirs."""


class Sound(Protocol):
    """Where channels are opened; the adapter is `storage/sound.py`."""

    def of(self, call_id: str) -> SplitRecording: ...

    def opened(self, call_id: str, channel: Channel) -> RangeFile: ...


@dataclass(frozen=True, slots=True)
class Playback:
    """The sound of a call, left and right as they are, or one channel alone as mono.

    It is as long as the longest channel, and of the highest rate of all. `etag` changes with any
    of its bytes.
    """

    call_id: str
    channels: tuple[ChannelAudio, ...]
    wav: Wav
    sound: Sound

    @property
    def size_bytes(self) -> int:
        return self.wav.size_bytes

    @property
    def duration_s(self) -> float:
        return self.wav.duration_s

    @property
    def etag(self) -> str:
        made_of = [VERSION, *((each.channel, each.sha256) for each in self.channels)]
        return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:32]

    def blocks(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` to before `end`, in blocks of 64 KB at most.

        Raises MissingObject or StoreUnavailable, before the first block where it can be known then.
        """
        end = self.size_bytes if end is None else min(end, self.size_bytes)
        header = self.wav.header()
        if start < min(end, len(header)):
            yield header[start : min(end, len(header))]
        first, last = max(0, start - len(header)), end - len(header)
        if first < last:
            yield from self._sound_bytes(first, last)

    def _sound_bytes(self, first: int, last: int) -> Iterator[bytes]:
        from callpipeline.pipeline.tracks import pcm

        files = [self.sound.opened(self.call_id, each.channel) for each in self.channels]
        yield from pcm(files, self.wav, first, last)


def open_playback(sound: Sound, call_id: str, only: Channel | None = None) -> Playback:
    """The sound of a call, or of one channel. Raises MissingObject where there is none (any more).

    It costs a query, and a look at each object.
    """
    found = sound.of(call_id).channels
    channels = tuple(c for c in _in_order(found) if only in (None, c.channel))
    if not channels:
        raise MissingObject(f"Call {call_id} has no channel {only}.")
    for each in channels:
        sound.opened(call_id, each.channel).close()
    return Playback(call_id, channels, wav_of(channels), sound)


def wav_of(channels: Sequence[ChannelAudio]) -> Wav:
    """The file that channels make together."""
    rate_hz = max(each.sample_rate_hz for each in channels)
    return Wav(max(_frames(each, rate_hz) for each in channels), len(channels), rate_hz)


def _frames(channel: ChannelAudio, rate_hz: int) -> int:
    """How many samples of a rate a channel has; its duration tells its own exactly."""
    own = round(channel.duration_s * channel.sample_rate_hz)
    return -(-own * rate_hz // channel.sample_rate_hz)


def _in_order(channels: Sequence[ChannelAudio]) -> list[ChannelAudio]:
    return sorted(channels, key=lambda each: list(Channel).index(each.channel))
