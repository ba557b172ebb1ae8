"""Stretches of speech on their way into a recogniser on this machine, and its words on theirs out.

Recognisers take 16 kHz and are given no silence: what is passed to them are the stretches in which
the speech detector heard a voice, long ones in pieces.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from callpipeline.domain.audio import ChannelAudio, Interval
from callpipeline.domain.transcript import Segment, Word
from callpipeline.errors import UnsupportedAudio

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE_HZ = 16_000
CUT_WINDOW_S = 0.2
PAUSE_S = 0.7
"""A pause between words from which on they are two segments."""


class Piece(NamedTuple):
    """Samples (mono float32 at 16 kHz), and when in the call they start."""

    at_s: float
    samples: "NDArray[Any]"

    @property
    def duration_s(self) -> float:
        return len(self.samples) / RATE_HZ


@contextmanager
def opened(audio: Path) -> Iterator[Any]:
    """A channel's file, open. Raises UnsupportedAudio."""
    import soundfile

    try:
        with soundfile.SoundFile(audio) as file:
            yield file
    except soundfile.LibsndfileError as error:
        raise UnsupportedAudio("the channel's audio cannot be read") from error


def pieces(file: Any, speech: Interval, *, longest_s: float, cut_from_s: float) -> Iterator[Piece]:
    """A stretch of an open file; if longer than `longest_s`, cut where it is quietest.

    That place is looked for after `cut_from_s` seconds of each piece.
    """
    rate = file.samplerate
    at, end = round(speech.start_s * rate), round(speech.end_s * rate)
    while at < end:
        file.seek(at)
        wanted = min(end - at, round(longest_s * rate))
        samples = file.read(wanted, "float32")
        if not len(samples):
            return
        if len(samples) < wanted:  # the file ends before the stretch does
            end = at + len(samples)
        if at + len(samples) < end:
            first, width = round(cut_from_s * rate), round(CUT_WINDOW_S * rate)
            samples = samples[: quietest(samples, first, width)]
        yield Piece(at / rate, _at_16_khz(samples, rate))
        at += len(samples)


def quietest(samples: "NDArray[Any]", first: int, width: int) -> int:
    """The middle of the `width` samples with the least energy from sample `first` on."""
    import numpy as np

    energy = np.cumsum(np.square(samples[first:], dtype=np.float64))
    return first + int(np.argmin(energy[width:] - energy[:-width])) + width // 2


def as_pcm(samples: "NDArray[Any]") -> bytes:
    """16-bit PCM, for recognisers that take nothing else."""
    import numpy as np

    return np.clip(samples * 32_768.0, -32_768, 32_767).astype(np.int16).tobytes()


def split_at_pauses(words: tuple[Word, ...]) -> Iterator[tuple[Word, ...]]:
    """Groups of words with no long pause inside."""
    starts = [
        0,
        *(i for i, (a, b) in enumerate(pairwise(words), 1) if b.start_s - a.end_s > PAUSE_S),
    ]
    ends = [*starts[1:], len(words)]
    return (words[start:end] for start, end in zip(starts, ends, strict=True) if start < end)


def segments_of(stretches: Iterable[tuple[Word, ...]], about: ChannelAudio) -> Iterator[Segment]:
    """Segments of the words of each stretch, ended by its end and by long pauses."""
    for words in stretches:
        for group in split_at_pauses(words):
            yield Segment(
                index=0,
                start_s=group[0].start_s,
                end_s=group[-1].end_s,
                channel=about.channel,
                speaker=about.speaker,
                text=" ".join(word.text for word in group),
                words=group,
            )


def _at_16_khz(samples: "NDArray[Any]", rate: int) -> "NDArray[Any]":
    import soxr

    return soxr.resample(samples, rate, RATE_HZ) if rate != RATE_HZ else samples
