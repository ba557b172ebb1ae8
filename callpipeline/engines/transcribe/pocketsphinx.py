"""Recogniser that needs no download: pocketsphinx with the English model in its wheel.

Its transcripts are good enough to demonstrate the pipeline on clear speech, and too poor to rely on
for telephone calls; their confidence shows it (`Transcript.is_reliable`).
"""

import re
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from callpipeline.domain.audio import ChannelAudio, Interval
from callpipeline.domain.transcripts import Transcript, Word, number_segments
from callpipeline.engines.processes import PooledEngine, ProcessPool
from callpipeline.engines.transcribe.alignment import segments_of
from callpipeline.engines.transcribe.chunks import AudioPiece, cut_pieces, open_audio, to_pcm16

FRAMES_PER_S = 100
LONGEST_S, CUT_FROM_S = 20.0, 12.0
"""Longest piece of speech; a longer interval is cut at its quietest moment after `CUT_FROM_S`."""
FILLER = re.compile(r"^[<\[+].*[>\]+]$")
ALTERNATIVE = re.compile(r"\(\d+\)$")


class DecodedWord(NamedTuple):
    """Word as the decoder returns it, in frames of 10 ms from the start of the utterance."""

    word: str
    start_frame: int
    end_frame: int
    probability: float


class PocketsphinxTranscriber(PooledEngine):
    """Recognises speech in `workers` processes (default: one per CPU)."""

    def __init__(self, workers: int | None = None, *, niceness: int = 0) -> None:
        self.name = f"pocketsphinx {version('pocketsphinx')} en-us"
        self._processes = ProcessPool("recogniser", workers, niceness=niceness)

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        """See `Transcriber`."""
        calls = ((audio, interval) for interval in about.speech)
        recognised = await self._processes.run_each(recognise, calls)
        segments = segments_of(recognised, about)
        return Transcript(about.channel, about.speaker, self.name, number_segments(segments))


def words_of(decoded: Iterable[DecodedWord], offset_s: float) -> tuple[Word, ...]:
    """Return words without fillers ("<sil>", "[NOISE]") and pronunciation marks ("read(2)")."""
    return tuple(
        Word(
            ALTERNATIVE.sub("", word),
            round(offset_s + start / FRAMES_PER_S, 3),
            round(offset_s + (end + 1) / FRAMES_PER_S, 3),
            round(min(1.0, max(0.0, probability)), 4),
        )
        for word, start, end, probability in decoded
        if not FILLER.match(word)
    )


def recognise(audio: Path, speech: Interval) -> tuple[Word, ...]:
    """Recognise an interval of a mono file, piece by piece; runs in a process of the pool."""
    with open_audio(audio) as file:
        cut = cut_pieces(file, speech, longest_s=LONGEST_S, cut_from_s=CUT_FROM_S)
        return tuple(word for piece in cut for word in _words(piece))


def _words(piece: AudioPiece) -> tuple[Word, ...]:
    decoder = _decoder()
    # The front end keeps state of the last utterance. Without this, times and confidences depend on
    # what the process recognised before (0.20 or 0.32 for one word).
    decoder.reinit_feat()
    decoder.start_utt()
    decoder.process_raw(to_pcm16(piece.samples), full_utt=True)
    decoder.end_utt()
    decoded = (DecodedWord(s.word, s.start_frame, s.end_frame, s.prob) for s in decoder.seg())
    return words_of(decoded, piece.at_s)


@cache
def _decoder() -> Any:
    """Return the decoder with its defaults, loaded once per process (100 to 150 MB).

    No other setting is clearly better (1,100 words of 16 kHz speech and samples/, WER and CPU time
    against the defaults' 16.1 %): topn=2 17.2 % in 0.8 of the time, no fwdflat 16.6 % in 0.8,
    maxhmmpf=3000 16.6 % in 0.8, ds=2 17.2 % in 0.95, pl_window=10 15.3 % in 1.1, beam=1e-40 25.2 %.
    """
    from pocketsphinx import Decoder

    return Decoder(loglevel="FATAL")
