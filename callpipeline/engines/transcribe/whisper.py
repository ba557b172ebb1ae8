"""faster-whisper: Whisper on CTranslate2, with a model that was fetched before.

Only speech that our own detector found is looked at, packed into windows; no window is conditioned
on what was heard before it, so an invention does not spread; and what looks invented is left out.
It runs in processes, which load the model once each: a crash takes one call with it.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from itertools import accumulate, islice, pairwise
from pathlib import Path
from typing import Any, Self

from callpipeline.domain.audio import ChannelAudio, Interval
from callpipeline.domain.transcript import Transcript, Word, numbered
from callpipeline.engines.processes import InProcesses, Processes, available_cpus
from callpipeline.engines.transcribe import inventions, whisper_folder
from callpipeline.engines.transcribe.stretches import RATE_HZ, opened, pieces, segments_of
from callpipeline.engines.transcribe.windows import (
    WINDOW_S,
    Laid,
    Window,
    laid_back,
    packed,
    places,
    sound,
)
from callpipeline.errors import EngineUnavailable

LONGEST_S, CUT_FROM_S = 29.0, 20.0
"""A stretch of speech longer than the first is cut at its quietest place after the second."""
AT_ONCE = 4
"""Windows given to a process in one go. A GPU takes them together; a processor is no faster for it
(0.021 s a second of speech, one by one or by four) and needs twice the memory (286 and 538 MB)."""
BEAM = 5
PROMPT_TOKENS = 223
"""Half of what the model looks back on, less one: faster-whisper cuts off what is longer."""
LONGEST_CALL_S = 3600.0
"""A large model on a slow processor may take as long for a long monologue; more is a hang."""
FRAMES_PER_S = 100


@dataclass(frozen=True, slots=True)
class Loading:
    """A model's folder, and how it is loaded; `compute_type` is CTranslate2's."""

    folder: Path
    device: str = "cpu"
    compute_type: str = "int8"
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Task:
    """What a process is to listen with, and for."""

    loading: Loading
    language: str
    hints: tuple[str, ...]


class WhisperTranscriber(InProcesses):
    """Recognises speech in `workers` processes (default: one a processor, one on a GPU).

    `hints` are names to listen for, the most important first; as many as fit are used. Raises
    SettingsInvalid where the folder holds no whole model, or none for the language.
    """

    def __init__(
        self,
        loading: Loading,
        workers: int | None = None,
        *,
        language: str = "en",
        hints: Sequence[str] = (),
        niceness: int = 0,
    ) -> None:
        whisper_folder.check(loading.folder)
        whisper_folder.check_language(loading.folder, language)
        whisper_folder.check_computing(loading.device, loading.compute_type)
        cpus = available_cpus()
        workers = workers or (cpus if loading.device == "cpu" else 1)
        loading = replace(loading, threads=max(1, cpus // workers))
        model = f"{loading.folder.name} {loading.compute_type}"
        self.name = f"faster-whisper {version('faster-whisper')} {model}"
        self._task = Task(loading, language, tuple(hints))
        self._processes = Processes(
            "recogniser", workers, timeout_s=LONGEST_CALL_S, niceness=niceness
        )

    def listening_for(self, names: Sequence[str]) -> Self:
        """See `ListensForNames`; it has the same processes."""
        other = copy(self)
        other._task = replace(self._task, hints=tuple(names))
        return other

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        """See `Transcriber`."""
        calls = ((self._task, audio, group) for group in grouped(about.speech))
        heard = await self._processes.run_each(recognise, calls)
        segments = segments_of((words for group in heard for words in group), about)
        told = numbered(segments)
        return Transcript(about.channel, about.speaker, self.name, told, self._task.language)


def grouped(speech: Iterable[Interval]) -> Iterator[tuple[Interval, ...]]:
    """Stretches for one go of a process: as many as fill `AT_ONCE` windows, or one longer one."""
    group: list[Interval] = []
    for stretch in speech:
        if group and sum(s.duration_s for s in (*group, stretch)) > AT_ONCE * WINDOW_S:
            yield tuple(group)
            group = []
        group.append(stretch)
    if group:
        yield tuple(group)


def words_of(heard: Iterable[Any], offset_s: float) -> tuple[Word, ...]:
    """Words of faster-whisper, with times from `offset_s` on.

    What does not begin with a space goes on with the word before it ("T", "-Mobile"); such a word
    is as sure as its least sure part.
    """
    words: list[Word] = []
    for part in heard:
        text, sure = part.word.strip(), round(min(1.0, max(0.0, float(part.probability))), 4)
        start_s, end_s = float(part.start) - offset_s, float(part.end) - offset_s
        if text and words and not part.word.startswith(" "):
            before = words.pop()
            text, start_s = before.text + text, before.start_s
            sure = min(sure, before.confidence or 0.0)
        if text:
            words.append(Word(text, start_s, max(start_s, end_s), sure))
    return tuple(words)


def recognise(
    task: Task, audio: Path, stretches: tuple[Interval, ...]
) -> tuple[tuple[Word, ...], ...]:
    """The words in stretches of a mono file, piece by piece; runs in a process of its own."""
    with opened(audio) as file:
        windows = packed(
            piece
            for stretch in stretches
            for piece in pieces(file, stretch, longest_s=LONGEST_S, cut_from_s=CUT_FROM_S)
        )
        said: list[tuple[Word, ...]] = []
        laid: list[tuple[Laid, ...]] = []
        while some := tuple(islice(windows, AT_ONCE)):
            said += _said_in(task, some)
            laid += map(places, some)
    heard = zip(inventions.without_repeats(said), laid, strict=True)
    return tuple(of_piece for words, where in heard for of_piece in laid_back(words, where))


def _said_in(task: Task, windows: Sequence[Window]) -> list[tuple[Word, ...]]:
    """What is said in each window, without what is invented there."""
    import numpy as np

    sounds = [sound(window) for window in windows]
    edges = [0, *accumulate(map(len, sounds))]
    clips = [{"start": start / RATE_HZ, "end": end / RATE_HZ} for start, end in pairwise(edges)]
    first_frames = [start * FRAMES_PER_S // RATE_HZ for start in edges[:-1]]
    said: list[tuple[Word, ...]] = [()] * len(windows)
    for segment in _segments(task, np.concatenate(sounds), clips):
        if not inventions.is_speechless(segment.no_speech_prob, segment.avg_logprob):
            index = bisect_right(first_frames, segment.seek) - 1
            said[index] += words_of(segment.words or (), first_frames[index] / FRAMES_PER_S)
    kept = (() if inventions.is_echo(words, task.hints) else words for words in said)
    return [inventions.without_loops(words) for words in kept]


def _segments(task: Task, samples: Any, clips: list[dict[str, float]]) -> list[Any]:
    from faster_whisper import BatchedInferencePipeline

    model = _model(task.loading)
    try:
        segments, _ = BatchedInferencePipeline(model).transcribe(
            samples,
            language=task.language,
            beam_size=BEAM,
            temperature=0.0,
            condition_on_previous_text=False,
            word_timestamps=True,
            without_timestamps=True,
            vad_filter=False,
            clip_timestamps=clips,
            batch_size=1 if task.loading.device == "cpu" else AT_ONCE,
            hotwords=_prompt(task) or None,
        )
        return list(segments)
    except RuntimeError as error:  # CTranslate2's, such as a GPU without memory
        raise EngineUnavailable(f"faster-whisper failed: {error}") from error


@cache
def _model(loading: Loading) -> Any:
    """The model, loaded once a process and never fetched."""
    from faster_whisper import WhisperModel

    try:
        return WhisperModel(
            str(loading.folder),
            device=loading.device,
            compute_type=loading.compute_type,
            cpu_threads=loading.threads,
            local_files_only=True,
        )
    except Exception as error:  # each library beneath has its own
        raise EngineUnavailable(
            f"the Whisper model in {loading.folder} cannot be loaded: {error}"
        ) from error


@cache
def _prompt(task: Task) -> str:
    def tokens_of(text: str) -> int:
        return len(_model(task.loading).hf_tokenizer.encode(f" {text}", add_special_tokens=False))

    return inventions.prompt_of(inventions.fitted(task.hints, tokens_of, PROMPT_TOKENS))
