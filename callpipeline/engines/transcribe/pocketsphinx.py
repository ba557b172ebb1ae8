"""The recogniser that needs no download: pocketsphinx with the English model in its wheel.

Its transcripts are good enough to show the pipeline at work on clear speech, and too poor to
rely on for real telephone calls; their confidence says so (`Transcript.is_reliable`).
"""

import re
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from callpipeline.domain.audio import ChannelAudio, Interval
from callpipeline.domain.transcript import Transcript, Word, numbered
from callpipeline.engines.processes import InProcesses, Processes
from callpipeline.engines.transcribe.stretches import Piece, as_pcm, opened, pieces, segments_of

FRAMES_PER_S = 100
LONGEST_S, CUT_FROM_S = 20.0, 12.0
"""A stretch of speech longer than the first is cut at its quietest place after the second."""
FILLER = re.compile(r"^[<\[+].*[>\]+]$")
ALTERNATIVE = re.compile(r"\(\d+\)$")


class Heard(NamedTuple):
    """A word as the decoder gives it: frames of 10 ms from the start of the utterance."""

    word: str
    start_frame: int
    end_frame: int
    probability: float


class PocketsphinxTranscriber(InProcesses):
    """Recognises stretches of speech in `workers` processes (default: one a processor)."""

    def __init__(self, workers: int | None = None, *, niceness: int = 0) -> None:
        self.name = f"pocketsphinx {version('pocketsphinx')} en-us"
        self._processes = Processes("recogniser", workers, niceness=niceness)

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        """See `Transcriber`."""
        calls = ((audio, stretch) for stretch in about.speech)
        stretches = await self._processes.run_each(recognise, calls)
        segments = segments_of(stretches, about)
        return Transcript(about.channel, about.speaker, self.name, numbered(segments))


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


def recognise(audio: Path, speech: Interval) -> tuple[Word, ...]:
    """The words in a stretch of a mono file; runs in a process of its own, a piece at a time."""
    with opened(audio) as file:
        cut = pieces(file, speech, longest_s=LONGEST_S, cut_from_s=CUT_FROM_S)
        return tuple(word for piece in cut for word in _words(piece))


def _words(piece: Piece) -> tuple[Word, ...]:
    decoder = _decoder()
    # The front end remembers the last utterance: without this, the times and confidences of the
    # same audio differ with what the process happened to hear before (0.20 or 0.32 for one word).
    decoder.reinit_feat()
    decoder.start_utt()
    decoder.process_raw(as_pcm(piece.samples), full_utt=True)
    decoder.end_utt()
    heard = (Heard(s.word, s.start_frame, s.end_frame, s.prob) for s in decoder.seg())
    return words_of(heard, piece.at_s)


@cache
def _decoder() -> Any:
    """The decoder with its own defaults, loaded once a process (100 to 150 MB).

    Nothing tried is clearly better (1,100 words of 16 kHz speech and samples/, WER and processor
    time against the defaults' 16.1 %): topn=2 17.2 % in 0.8 of the time, no fwdflat 16.6 % in 0.8,
    maxhmmpf=3000 16.6 % in 0.8, ds=2 17.2 % in 0.95, pl_window=10 15.3 % in 1.1, beam=1e-40 25.2 %.
    """
    from pocketsphinx import Decoder

    return Decoder(loglevel="FATAL")
