"""Recognition with vosk (Kaldi) and a model in a folder: small, and fast on any CPU.

vosk streams 16 kHz PCM, so memory use does not grow with the call. It runs in a process pool, since
a crash of the library ends its process.
"""

import json
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from callpipeline.domain.audio import ChannelAudio, Interval
from callpipeline.domain.transcripts import Transcript, Word, number_segments
from callpipeline.engines.processes import PooledEngine, ProcessPool
from callpipeline.engines.transcribe.alignment import segments_of
from callpipeline.engines.transcribe.chunks import (
    RATE_HZ,
    AudioPiece,
    cut_pieces,
    open_audio,
    to_pcm16,
)
from callpipeline.errors import EngineUnavailable, SettingsInvalid

LONGEST_S, CUT_FROM_S = 60.0, 45.0
"""Longest piece of speech; a longer interval is cut at its quietest moment after `CUT_FROM_S`."""
BLOCK_BYTES = RATE_HZ // 2  # a quarter of a second of 16-bit samples
ACOUSTIC_MODELS = ("am/final.mdl", "final.mdl")
"""Acoustic models of current and of older releases."""


class VoskTranscriber(PooledEngine):
    """Recognises speech in `workers` processes (default: one per CPU).

    Raises SettingsInvalid if the folder holds no model. Hints are not supported: with vosk's
    grammars it would recognise no other words.
    """

    def __init__(
        self, folder: Path, workers: int | None = None, *, language: str = "en", niceness: int = 0
    ) -> None:
        if not any((folder / name).is_file() for name in ACOUSTIC_MODELS):
            raise SettingsInvalid(
                f"There is no vosk model in {folder}: unpack one, so that {folder / 'am'} exists."
            )
        self.name = f"vosk {version('vosk')} {folder.name}"
        self._folder, self._language = folder, language
        self._processes = ProcessPool("recogniser", workers, niceness=niceness)

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        """See `Transcriber`."""
        calls = ((self._folder, audio, interval) for interval in about.speech)
        recognised = await self._processes.run_each(recognise, calls)
        segments = number_segments(segments_of(recognised, about))
        return Transcript(about.channel, about.speaker, self.name, segments, self._language)


def words_of(result: str, offset_s: float, speech: Interval) -> Iterator[Word]:
    """Return the words of a result in vosk's JSON, clamped to an interval, without "[unk]"."""
    for word in json.loads(result).get("result", ()):
        if word["word"].startswith("["):
            continue
        start_s, end_s = (
            round(min(max(offset_s + word[edge], speech.start_s), speech.end_s), 3)
            for edge in ("start", "end")
        )
        probability = word.get("conf")  # some models have no confidences
        confidence = None if probability is None else round(min(1.0, max(0.0, probability)), 4)
        yield Word(word["word"], start_s, end_s, confidence)


def recognise(folder: Path, audio: Path, speech: Interval) -> tuple[Word, ...]:
    """Recognise an interval of a mono file, piece by piece; runs in a process of the pool."""
    with open_audio(audio) as file:
        cut = cut_pieces(file, speech, longest_s=LONGEST_S, cut_from_s=CUT_FROM_S)
        return tuple(
            word
            for piece in cut
            for result in _results(folder, piece)
            for word in words_of(result, piece.at_s, speech)
        )


def _results(folder: Path, piece: AudioPiece) -> Iterator[str]:
    from vosk import KaldiRecognizer

    recogniser = KaldiRecognizer(_model(folder), float(RATE_HZ))
    recogniser.SetWords(True)
    samples = to_pcm16(piece.samples)
    for start in range(0, len(samples), BLOCK_BYTES):
        if recogniser.AcceptWaveform(samples[start : start + BLOCK_BYTES]):
            yield recogniser.Result()
    yield recogniser.FinalResult()


@cache
def _model(folder: Path) -> Any:
    """Return the model, loaded once per process."""
    from vosk import Model, SetLogLevel

    SetLogLevel(-1)
    try:
        return Model(str(folder))
    except Exception as error:  # vosk raises a plain Exception
        raise EngineUnavailable(f"the vosk model in {folder} can't be loaded: {error}") from error
