"""vosk: Kaldi's recogniser, with a model in a folder; small, and quick on any processor.

It takes 16 kHz PCM as it comes, so memory does not grow with a call. Its library loads in
processes, since a crash of it ends the process that it is in.
"""

import json
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from callpipeline.domain.audio import ChannelAudio, Interval
from callpipeline.domain.transcript import Transcript, Word, numbered
from callpipeline.engines.processes import InProcesses, Processes
from callpipeline.engines.transcribe.stretches import (
    RATE_HZ,
    Piece,
    as_pcm,
    opened,
    pieces,
    segments_of,
)
from callpipeline.errors import EngineUnavailable, SettingsInvalid

LONGEST_S, CUT_FROM_S = 60.0, 45.0
BLOCK_BYTES = RATE_HZ // 2  # a quarter of a second of 16-bit samples
ACOUSTIC_MODELS = ("am/final.mdl", "final.mdl")
"""Of today's models and of older ones."""


class VoskTranscriber(InProcesses):
    """Recognises stretches of speech in `workers` processes (default: one a processor).

    Raises SettingsInvalid where the folder holds no model. It takes no hints: what vosk has for
    that, a grammar, makes it deaf to all other words.
    """

    def __init__(
        self, folder: Path, workers: int | None = None, *, language: str = "en", niceness: int = 0
    ) -> None:
        if not any((folder / name).is_file() for name in ACOUSTIC_MODELS):
            raise SettingsInvalid(
                f"There is no vosk model in {folder}: unpack one, so that {folder / 'am'} is there."
            )
        self.name = f"vosk {version('vosk')} {folder.name}"
        self._folder, self._language = folder, language
        self._processes = Processes("recogniser", workers, niceness=niceness)

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        """See `Transcriber`."""
        calls = ((self._folder, audio, stretch) for stretch in about.speech)
        stretches = await self._processes.run_each(recognise, calls)
        told = numbered(segments_of(stretches, about))
        return Transcript(about.channel, about.speaker, self.name, told, self._language)


def words_of(result: str, offset_s: float, speech: Interval) -> Iterator[Word]:
    """The words of a result as vosk writes it (JSON), within a stretch; "[unk]" is none."""
    for heard in json.loads(result).get("result", ()):
        if heard["word"].startswith("["):
            continue
        start_s, end_s = (
            round(min(max(offset_s + heard[edge], speech.start_s), speech.end_s), 3)
            for edge in ("start", "end")
        )
        sure = heard.get("conf")  # a model without confidences has none
        confidence = None if sure is None else round(min(1.0, max(0.0, sure)), 4)
        yield Word(heard["word"], start_s, end_s, confidence)


def recognise(folder: Path, audio: Path, speech: Interval) -> tuple[Word, ...]:
    """The words in a stretch of a mono file; runs in a process of its own, a piece at a time."""
    with opened(audio) as file:
        cut = pieces(file, speech, longest_s=LONGEST_S, cut_from_s=CUT_FROM_S)
        return tuple(
            word
            for piece in cut
            for result in _results(folder, piece)
            for word in words_of(result, piece.at_s, speech)
        )


def _results(folder: Path, piece: Piece) -> Iterator[str]:
    from vosk import KaldiRecognizer

    recogniser = KaldiRecognizer(_model(folder), float(RATE_HZ))
    recogniser.SetWords(True)
    samples = as_pcm(piece.samples)
    for start in range(0, len(samples), BLOCK_BYTES):
        if recogniser.AcceptWaveform(samples[start : start + BLOCK_BYTES]):
            yield recogniser.Result()
    yield recogniser.FinalResult()


@cache
def _model(folder: Path) -> Any:
    """The model, loaded once a process."""
    from vosk import Model, SetLogLevel

    SetLogLevel(-1)
    try:
        return Model(str(folder))
    except Exception as error:  # vosk has no class of its own
        raise EngineUnavailable(f"the vosk model in {folder} cannot be loaded: {error}") from error
