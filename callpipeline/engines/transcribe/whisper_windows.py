"""Decodes of windows of 30 s with faster-whisper; runs in the recogniser's processes."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from callpipeline.domain.transcripts import Word
from callpipeline.engines.transcribe import hallucinations
from callpipeline.engines.transcribe.chunks import (
    RATE_HZ,
    Window,
    piece_positions,
    render_window,
    words_by_piece,
)
from callpipeline.engines.transcribe.hints import fit_hints, hints_prompt
from callpipeline.errors import EngineUnavailable

BATCH_WINDOWS = 4
"""Windows per decode. A GPU processes them together. A CPU is no faster with a batch (0.021 s per
second of speech, one by one or four at once) and needs twice the memory (538 instead of 286 MB)."""
BEAM_SIZE = 5
PROMPT_TOKENS = 223
"""Half of the model's context, less one: faster-whisper truncates longer prompts."""
FRAMES_PER_S = 100
MIN_CONTEXT_S, PADDING_S = 15.0, 3.0
"""Least audio, and silence after speech, that the encoder sees instead of always 30 s. Attention to
padding costs 1.4 of 2.7 CPU s per window; below 15 s, and without silence at the end, the base
model writes nonsense over utterances of two seconds."""


@dataclass(frozen=True, slots=True)
class WhisperModelConfig:
    """Folder of a model, and how to load it; `compute_type` is CTranslate2's."""

    folder: Path
    device: str = "cpu"
    compute_type: str = "int8"
    threads: int = 1


def decode_windows(
    model: WhisperModelConfig, language: str, windows: Sequence[Window], hints: Sequence[str] = ()
) -> list[tuple[Word, ...]]:
    """Return the words of each piece of each window, with times in the call.

    No window is conditioned on the text of another one, and hallucinations are removed.
    """
    prompt = _prompt(model, tuple(hints))
    by_window: list[tuple[Word, ...]] = []
    for first in range(0, len(windows), BATCH_WINDOWS):
        batch = windows[first : first + BATCH_WINDOWS]
        by_window += _decode(model, language, prompt, batch)
    spoken = hallucinations.remove_repeated_windows(by_window)
    return [
        words
        for window, heard in zip(windows, spoken, strict=True)
        for words in words_by_piece(heard, piece_positions(window))
    ]


def words_of(recognised: Iterable[Any], offset_s: float) -> tuple[Word, ...]:
    """Convert faster-whisper's words, subtracting `offset_s` from their times.

    A word without a leading space continues the word before it ("T", "-Mobile"); the confidence of
    a joined word is the lowest of its parts.
    """
    words: list[Word] = []
    for part in recognised:
        text, confidence = part.word.strip(), min(1.0, max(0.0, float(part.probability)))
        confidence = round(confidence, 4)
        start_s, end_s = float(part.start) - offset_s, float(part.end) - offset_s
        if text and words and not part.word.startswith(" "):
            previous = words.pop()
            text, start_s = previous.text + text, previous.start_s
            confidence = min(confidence, previous.confidence or 0.0)
        if text:
            words.append(Word(text, start_s, max(start_s, end_s), confidence))
    return tuple(words)


def _decode(
    model: WhisperModelConfig, language: str, prompt: str, windows: Sequence[Window]
) -> list[tuple[Word, ...]]:
    """Return the words of each window, with times in the window."""
    import numpy as np

    rendered = [render_window(window) for window in windows]
    edges = [0, *accumulate(map(len, rendered))]
    clips = [{"start": start / RATE_HZ, "end": end / RATE_HZ} for start, end in pairwise(edges)]
    first_frames = [start * FRAMES_PER_S // RATE_HZ for start in edges[:-1]]
    words: list[tuple[Word, ...]] = [()] * len(windows)
    for segment in _transcribe_clips(model, language, prompt, np.concatenate(rendered), clips):
        index = bisect_right(first_frames, segment.seek) - 1
        window_s = len(rendered[index]) / RATE_HZ
        doubts = segment.no_speech_prob, segment.avg_logprob
        if not hallucinations.is_speechless(*doubts, window_s):
            words[index] += words_of(segment.words or (), first_frames[index] / FRAMES_PER_S)
    return [hallucinations.remove_loops(each) for each in words]


def _transcribe_clips(
    model: WhisperModelConfig,
    language: str,
    prompt: str,
    samples: Any,
    clips: list[dict[str, float]],
) -> list[Any]:
    from faster_whisper import BatchedInferencePipeline

    try:
        segments, _ = BatchedInferencePipeline(_load_model(model)).transcribe(
            samples,
            language=language,
            beam_size=BEAM_SIZE,
            temperature=0.0,
            condition_on_previous_text=False,
            word_timestamps=True,
            without_timestamps=True,
            vad_filter=False,
            clip_timestamps=clips,
            batch_size=1 if model.device == "cpu" else BATCH_WINDOWS,
            hotwords=prompt or None,
        )
        return list(segments)
    except RuntimeError as error:  # of CTranslate2, such as a GPU out of memory
        raise EngineUnavailable(f"faster-whisper failed: {error}") from error


@cache
def _load_model(model: WhisperModelConfig) -> Any:
    """Load the model from its folder, once per process."""
    try:
        return _model_class()(
            str(model.folder),
            device=model.device,
            compute_type=model.compute_type,
            cpu_threads=model.threads,
            local_files_only=True,
        )
    except Exception as error:  # the libraries below raise errors of their own
        raise EngineUnavailable(
            f"the Whisper model in {model.folder} can't be loaded: {error}"
        ) from error


@cache
def _model_class() -> Any:
    """Return faster-whisper's model with an encoder that skips most of the padding."""
    from faster_whisper import WhisperModel

    class PaddingTrimmed(WhisperModel):
        def encode(self, features: Any) -> Any:
            return super().encode(trim_padding(features))

    return PaddingTrimmed


def trim_padding(features: Any) -> Any:
    """Shorten mel features (..., bands, frames), padded with zeros to 30 s, to what is needed."""
    import numpy as np

    used = np.flatnonzero(features.any(axis=tuple(range(features.ndim - 1))))
    heard = int(used[-1]) + 1 if used.size else 0
    frames = max(heard + round(PADDING_S * FRAMES_PER_S), round(MIN_CONTEXT_S * FRAMES_PER_S))
    frames += frames % 2  # the encoder halves their number
    return np.ascontiguousarray(features[..., : min(frames, features.shape[-1])])


def _prompt(model: WhisperModelConfig, hints: tuple[str, ...]) -> str:
    def count_tokens(text: str) -> int:
        tokenizer = _load_model(model).hf_tokenizer
        return len(tokenizer.encode(f" {text}", add_special_tokens=False))

    return hints_prompt(fit_hints(hints, count_tokens, PROMPT_TOKENS)) if hints else ""
