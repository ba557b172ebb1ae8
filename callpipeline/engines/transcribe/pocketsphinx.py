"""The recogniser that needs no download: pocketsphinx with the English model in its wheel.

Its transcripts are good enough to show the pipeline at work on clear speech, and too poor to
rely on for real telephone calls; their confidence says so (`Transcript.is_reliable`).
"""

import asyncio
import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from callpipeline.domain.audio import ChannelAudio, Interval
from callpipeline.domain.transcript import Segment, Transcript, Word, numbered
from callpipeline.engines.processes import Processes
from callpipeline.errors import UnsupportedAudio

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE_HZ = 16_000
FRAMES_PER_S = 100
LONGEST_S, CUT_FROM_S = 20.0, 12.0
"""A stretch of speech longer than the first is cut at its quietest place after the second."""
CUT_WINDOW_S = 0.2
PAUSE_S = 0.7
"""A pause between words from which on they are two segments."""
FILLER = re.compile(r"^[<\[+].*[>\]+]$")
ALTERNATIVE = re.compile(r"\(\d+\)$")


class Heard(NamedTuple):
    """A word as the decoder gives it: frames of 10 ms from the start of the utterance."""

    word: str
    start_frame: int
    end_frame: int
    probability: float


class PocketsphinxTranscriber:
    """Recognises stretches of speech in `workers` processes (default: one a processor)."""

    def __init__(self, workers: int | None = None, *, niceness: int = 0) -> None:
        self.name = f"pocketsphinx {version('pocketsphinx')} en-us"
        self._processes = Processes("recogniser", workers, niceness=niceness)

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        """See `Transcriber`."""
        stretches = await self._recognised(audio, about.speech)
        groups = (group for words in stretches for group in split_at_pauses(words))
        segments = (_segment(group, about) for group in groups)
        return Transcript(about.channel, about.speaker, self.name, numbered(segments))

    async def _recognised(self, audio: Path, speech: Iterable[Interval]) -> list[tuple[Word, ...]]:
        # No more at once than could run: the next stretch queues behind those of other calls,
        # so a short call need not wait for a long one to end.
        turns = asyncio.Semaphore(self._processes.count)

        async def in_turn(stretch: Interval) -> tuple[Word, ...]:
            async with turns:
                return await self._processes.run(recognise, audio, stretch)

        calls = [asyncio.ensure_future(in_turn(stretch)) for stretch in speech]
        try:
            return await asyncio.gather(*calls)
        except BaseException:
            for call in calls:  # what is left of a call that failed must not keep others waiting
                call.cancel()
            raise

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes at work."""
        return self._processes.pids

    def close(self) -> None:
        """End the processes."""
        self._processes.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)


def words_of(heard: Iterable[Heard], offset_s: float) -> tuple[Word, ...]:
    """Words without fillers ("<sil>", "[NOISE]") and marks of pronunciation ("read(2)")."""
    return tuple(
        Word(
            ALTERNATIVE.sub("", word),
            round(offset_s + start / FRAMES_PER_S, 3),
            round(offset_s + (end + 1) / FRAMES_PER_S, 3),
            round(min(1.0, max(0.0, probability)), 4),
        )
        for word, start, end, probability in heard
        if not FILLER.match(word)
    )


def split_at_pauses(words: tuple[Word, ...]) -> Iterator[tuple[Word, ...]]:
    """Groups of words with no long pause inside."""
    starts = [
        0,
        *(i for i, (a, b) in enumerate(pairwise(words), 1) if b.start_s - a.end_s > PAUSE_S),
    ]
    ends = [*starts[1:], len(words)]
    return (words[start:end] for start, end in zip(starts, ends, strict=True) if start < end)


def quietest(samples: "NDArray[Any]", first: int, width: int) -> int:
    """The middle of the `width` samples with the least energy from sample `first` on."""
    import numpy as np

    energy = np.cumsum(np.square(samples[first:], dtype=np.float64))
    return first + int(np.argmin(energy[width:] - energy[:-width])) + width // 2


def recognise(audio: Path, speech: Interval) -> tuple[Word, ...]:
    """The words in a stretch of a mono file; runs in a process of its own, a piece at a time."""
    import soundfile

    try:
        with soundfile.SoundFile(audio) as file:
            return tuple(
                word for at_s, piece in _pieces(file, speech) for word in _words(piece, at_s)
            )
    except soundfile.LibsndfileError as error:
        raise UnsupportedAudio("the channel's audio cannot be read") from error


def _words(samples: "NDArray[Any]", at_s: float) -> tuple[Word, ...]:
    decoder = _decoder()
    # The front end remembers the last utterance: without this, the times and confidences of the
    # same audio differ with what the process happened to hear before (0.20 or 0.32 for one word).
    decoder.reinit_feat()
    decoder.start_utt()
    decoder.process_raw(samples.tobytes(), full_utt=True)
    decoder.end_utt()
    heard = (Heard(s.word, s.start_frame, s.end_frame, s.prob) for s in decoder.seg())
    return words_of(heard, at_s)


@cache
def _decoder() -> Any:
    """The decoder with its own defaults, loaded once a process (100 to 150 MB).

    Nothing tried is clearly better (1,100 words of 16 kHz speech and samples/, WER and processor
    time against the defaults' 16.1 %): topn=2 17.2 % in 0.8 of the time, no fwdflat 16.6 % in 0.8,
    maxhmmpf=3000 16.6 % in 0.8, ds=2 17.2 % in 0.95, pl_window=10 15.3 % in 1.1, beam=1e-40 25.2 %.
    """
    from pocketsphinx import Decoder

    return Decoder(loglevel="FATAL")


def _pieces(file: Any, speech: Interval) -> Iterator[tuple[float, "NDArray[Any]"]]:
    """The stretch at 16 kHz in pieces of at most 20 s, each with the time at which it starts."""
    rate = file.samplerate
    at, end = round(speech.start_s * rate), round(speech.end_s * rate)
    while at < end:
        file.seek(at)
        samples = file.read(min(end - at, round(LONGEST_S * rate)), "float32")
        if not len(samples):
            return
        if at + len(samples) < end:
            samples = samples[
                : quietest(samples, round(CUT_FROM_S * rate), round(CUT_WINDOW_S * rate))
            ]
        yield at / rate, _for_the_decoder(samples, rate)
        at += len(samples)


def _for_the_decoder(samples: "NDArray[Any]", rate: int) -> "NDArray[Any]":
    import numpy as np
    import soxr

    resampled = soxr.resample(samples, rate, RATE_HZ) if rate != RATE_HZ else samples
    return np.clip(resampled * 32_768.0, -32_768, 32_767).astype(np.int16)


def _segment(words: tuple[Word, ...], about: ChannelAudio) -> Segment:
    return Segment(
        index=0,
        start_s=words[0].start_s,
        end_s=words[-1].end_s,
        channel=about.channel,
        speaker=about.speaker,
        text=" ".join(word.text for word in words),
        words=words,
    )
