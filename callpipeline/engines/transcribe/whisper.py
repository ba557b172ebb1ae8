"""Whisper on CTranslate2 (faster-whisper), with a model that was pulled before.

Only intervals in which our own detector found speech are transcribed, packed into windows, without
hints. Then two kinds of passages are decoded again: speech that no word covers, and words that
sound like a name of the hints, which are then given as a prompt. It runs in processes that load
the model once: a crash fails one call.
"""

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Self

from callpipeline.domain.audio import ChannelAudio, Interval
from callpipeline.domain.transcripts import Transcript, Word, number_segments
from callpipeline.engines.models.manifest import model_label
from callpipeline.engines.models.verify import verify_device, verify_language, verify_model
from callpipeline.engines.processes import PooledEngine, ProcessPool, available_cpus
from callpipeline.engines.transcribe.alignment import segments_of
from callpipeline.engines.transcribe.chunks import (
    WINDOW_S,
    AudioPiece,
    cut_pieces,
    open_audio,
    pack_windows,
)
from callpipeline.engines.transcribe.second_decode import adopt_hinted_names, recover_lost_speech
from callpipeline.engines.transcribe.whisper_windows import (
    BATCH_WINDOWS,
    WhisperModelConfig,
    decode_windows,
)

LONGEST_S, CUT_FROM_S = 29.0, 20.0
"""Longest piece of speech; a longer interval is cut at its quietest moment after `CUT_FROM_S`."""
CALL_TIMEOUT_S = 3600.0
"""A large model on a slow CPU may take this long for a long monologue; beyond it, it hangs."""


@dataclass(frozen=True, slots=True)
class WhisperTask:
    """Model, language and hints of a transcription, as sent to a process."""

    model: WhisperModelConfig
    language: str
    hints: tuple[str, ...]


class WhisperTranscriber(PooledEngine):
    """Recognises speech in `workers` processes (default: one per CPU, one on a GPU).

    `hints` are names that are likely to be said, the most important first; as many as fit are used.
    Raises SettingsInvalid if the folder holds no complete model, or none for the language.
    """

    def __init__(
        self,
        model: WhisperModelConfig,
        workers: int | None = None,
        *,
        language: str = "en",
        hints: Sequence[str] = (),
        niceness: int = 0,
    ) -> None:
        verify_model(model.folder)
        verify_language(model.folder, language)
        verify_device(model.device, model.compute_type)
        cpus = available_cpus()
        workers = workers or (cpus if model.device == "cpu" else 1)
        model = replace(model, threads=max(1, cpus // workers))
        engine = f"faster-whisper {version('faster-whisper')}"
        self.name = f"{engine} {model_label(model.folder)} {model.compute_type}"
        self._task = WhisperTask(model, language, tuple(hints))
        self._processes = ProcessPool(
            "recogniser", workers, timeout_s=CALL_TIMEOUT_S, niceness=niceness
        )

    def with_hints(self, names: Sequence[str]) -> Self:
        """See `SupportsHints`; the result shares the processes."""
        other = copy(self)
        other._task = replace(self._task, hints=tuple(names))
        return other

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        """See `Transcriber`."""
        calls = ((self._task, audio, batch) for batch in batch_speech(about.speech))
        recognised = await self._processes.run_each(recognise, calls)
        words = (words for batch in recognised for words in batch)
        segments = number_segments(segments_of(words, about))
        return Transcript(about.channel, about.speaker, self.name, segments, self._task.language)


def batch_speech(speech: Iterable[Interval]) -> Iterator[tuple[Interval, ...]]:
    """Batch intervals for one call of a process: up to `BATCH_WINDOWS` windows, or one interval."""
    batch: list[Interval] = []
    for interval in speech:
        if batch and sum(i.duration_s for i in (*batch, interval)) > BATCH_WINDOWS * WINDOW_S:
            yield tuple(batch)
            batch = []
        batch.append(interval)
    if batch:
        yield tuple(batch)


def recognise(
    task: WhisperTask, audio: Path, intervals: tuple[Interval, ...]
) -> tuple[tuple[Word, ...], ...]:
    """Recognise intervals of a mono file, piece by piece; runs in a process of the pool."""
    recognised: list[tuple[Word, ...]] = []
    with open_audio(audio) as file:
        windows = pack_windows(
            piece
            for interval in intervals
            for piece in cut_pieces(file, interval, longest_s=LONGEST_S, cut_from_s=CUT_FROM_S)
        )
        while batch := tuple(islice(windows, BATCH_WINDOWS)):
            pieces = [piece for window in batch for piece in window]
            words = decode_windows(task.model, task.language, batch)
            recognised += _complete(task, pieces, words)
    return tuple(recognised)


def _complete(
    task: WhisperTask, pieces: Sequence[AudioPiece], words: Sequence[tuple[Word, ...]]
) -> list[tuple[Word, ...]]:
    """Decode passages of pieces a second time where the first decode may be wrong."""

    def decode(window: Sequence[AudioPiece], hints: Sequence[str]) -> list[tuple[Word, ...]]:
        return decode_windows(task.model, task.language, [tuple(window)], hints)

    return adopt_hinted_names(
        pieces, recover_lost_speech(pieces, words, decode), task.hints, decode
    )
