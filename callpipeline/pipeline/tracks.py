"""The samples of channels from any place on, at one rate and of one length.

It imports numpy and soundfile: import it where it is used.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import numpy as np
import soundfile
from numpy.typing import NDArray

from callpipeline.domain.wav import Wav
from callpipeline.errors import MissingObject
from callpipeline.storage.range_file import RangeFile

BLOCK_FRAMES = 16_384
Samples = NDArray[np.int16]


class Track:
    """One channel: a mono FLAC file of which `frames` samples are taken, at `rate_hz`.

    Where the file is of another rate, samples lie on straight lines between its own: enough for
    speech, and the same whichever range is asked for.
    """

    def __init__(self, file: RangeFile, rate_hz: int) -> None:
        self._file = file
        try:
            self._sound = soundfile.SoundFile(file)  # pyright: ignore[reportArgumentType]
        except soundfile.LibsndfileError:
            raise self._broken() from None
        self._own_hz, self._rate_hz = self._sound.samplerate, rate_hz
        self._length = self._sound.frames
        self._at = 0

    def close(self) -> None:
        self._sound.close()
        self._file.close()

    def samples(self, first: int, count: int) -> Samples:
        """`count` samples from `first` on; silence behind the end."""
        if self._own_hz == self._rate_hz:
            return self._own(first, count)
        places = np.arange(first, first + count, dtype=np.int64) * self._own_hz
        before, part = places // self._rate_hz, places % self._rate_hz / self._rate_hz
        start = int(before[0])
        own = self._own(start, int(before[-1]) - start + 2).astype(np.float64)
        here, there = own[before - start], own[before - start + 1]
        mixed = np.rint(here + (there - here) * part).astype(np.int16)
        mixed[before >= self._length] = 0
        return mixed

    def _own(self, first: int, count: int) -> Samples:
        """Samples of the file itself."""
        found = np.zeros(count, np.int16)
        wanted = min(count, self._length - first)
        if wanted > 0:
            found[:wanted] = self._read(first, wanted)
        return found

    def _read(self, first: int, count: int) -> Samples:
        try:
            if first != self._at:
                self._sound.seek(first)
            read = self._sound.read(count, "int16")
        except soundfile.LibsndfileError:
            raise self._broken() from None
        self._file.check()
        self._at = first + len(read)
        if len(read) < count:
            raise self._broken()
        return read.astype(np.int16, copy=False)

    def _broken(self) -> Exception:
        """Of what the store said, else of what the file is."""
        return self._file.failed or MissingObject(
            "The sound of a channel is damaged: materialize channel_audio of the call again."
        )


def pcm(files: Sequence[RangeFile], wav: Wav, start: int, end: int) -> Iterator[bytes]:
    """The bytes of the samples from `start` to before `end`, counted from the first sample's."""
    with ExitStack() as opened:
        tracks: list[Track] = []
        for file in files:
            opened.callback(file.close)
            tracks.append(Track(file, wav.sample_rate_hz))
            opened.callback(tracks[-1].close)
        first, last = start // wav.frame_bytes, -(-end // wav.frame_bytes)
        for at in range(first, last, BLOCK_FRAMES):
            count = min(BLOCK_FRAMES, last - at)
            block = np.stack([track.samples(at, count) for track in tracks], axis=1)
            offset = at * wav.frame_bytes
            yield block.astype("<i2", copy=False).tobytes()[max(0, start - offset) : end - offset]
