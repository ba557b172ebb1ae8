"""Whisper's hallucinations: text that was not spoken, such as loops and the hints read out.

Whisper writes the most likely text even for noise: the same words until the window is full, or the
list of names that it was given as hints.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from callpipeline.domain.audio import Interval, overlap_s
from callpipeline.domain.competitors.spellings import normalise
from callpipeline.domain.transcripts import Word
from callpipeline.engines.transcribe.alignment import Passage
from callpipeline.engines.transcribe.chunks import WINDOW_S

MAX_LOOP_WORDS = 30
"""Longest loop to search for; a window of 30 s holds about 75 words."""
MIN_PHRASE_REPEATS = 3
MIN_WORD_REPEATS = 5
"""Consecutive repeats from which a phrase or sentence, and a single word, is a hallucination. A
word may be part of a number ("0 3 3 3") or a plea ("no no no")."""
MIN_ECHOED_HINTS = 4
"""People name two or three companies in a row. A window of nothing but four or more, in the order
of the hints, is the hints."""
MAX_NO_SPEECH_PROBABILITY = 0.6
MIN_MEAN_LOG_PROBABILITY = -1.0
"""Limits of Whisper's paper and code: a window is dropped if the model considers speech unlikely,
and the text too (mean log probability of a token)."""
SHORT_WINDOW_S, MIN_SHORT_LOG_PROBABILITY = 2.0, -0.5
"""A window with a moment of music becomes "Thank you.", of which Whisper is rather sure."""


def is_speechless(
    no_speech_probability: float, mean_log_probability: float, window_s: float = WINDOW_S
) -> bool:
    """Return whether the model itself doubts that there is speech in a window."""
    is_short = window_s < SHORT_WINDOW_S
    minimum = MIN_SHORT_LOG_PROBABILITY if is_short else MIN_MEAN_LOG_PROBABILITY
    is_unlikely = mean_log_probability < minimum
    return no_speech_probability > MAX_NO_SPEECH_PROBABILITY and is_unlikely


def drop_hallucinations(
    passages: Iterable[Passage], speech: Sequence[Interval], hints: Sequence[str] = ()
) -> list[Passage]:
    """Drop passages outside of the speech, loops, and the hints read out."""
    spoken = [each for each in passages if each.text and _overlaps_speech(each, speech)]
    words = remove_repeated_windows([remove_loops(_words_of(passage)) for passage in spoken])
    return [
        _with_words(passage, remaining)
        for passage, remaining in zip(spoken, words, strict=True)
        if remaining and not is_hint_echo(remaining, hints)
    ]


def remove_loops(words: Sequence[Word]) -> tuple[Word, ...]:
    """Reduce each loop to its first turn."""
    forms = [normalise(word.text) for word in words]
    remaining: list[Word] = []
    at = 0
    while at < len(words):
        length, repeats = _loop_at(words, forms, at)
        remaining += words[at : at + length]
        at += length * repeats
    return tuple(remaining)


def remove_repeated_windows(windows: Sequence[tuple[Word, ...]]) -> list[tuple[Word, ...]]:
    """Empty all but the first of three or more consecutive windows with the same words."""
    texts = [normalise(" ".join(word.text for word in words)) for words in windows]
    result: list[tuple[Word, ...]] = []
    for text, group in groupby(zip(texts, windows, strict=True), key=lambda window: window[0]):
        run = [words for _, words in group]
        is_loop = text and len(run) >= MIN_PHRASE_REPEATS
        result += [run[0], *[() for _ in run[1:]]] if is_loop else run
    return result


def is_hint_echo(words: Iterable[Word], hints: Sequence[str]) -> bool:
    """Return whether the words are nothing but four or more consecutive hints."""
    spoken = normalise(" ".join(word.text for word in words))
    forms = [normalise(hint) for hint in hints]
    for first in range(len(forms) - MIN_ECHOED_HINTS + 1):
        echo = ""
        for count, form in enumerate(forms[first:], 1):
            echo = f"{echo} {form}".strip()
            if echo == spoken and count >= MIN_ECHOED_HINTS:
                return True
            if not spoken.startswith(echo):
                break
    return False


def _loop_at(words: Sequence[Word], forms: Sequence[str], at: int) -> tuple[int, int]:
    """Return the length and repeats of the shortest loop that starts here; (1, 1) without one."""
    for length in range(1, min(MAX_LOOP_WORDS, (len(forms) - at) // MIN_PHRASE_REPEATS) + 1):
        phrase = forms[at : at + length]
        repeats = 1
        while forms[at + repeats * length : at + (repeats + 1) * length] == phrase:
            repeats += 1
        ends_sentence = words[at + length - 1].text.endswith((".", "!", "?"))
        is_phrase = length > 1 or ends_sentence
        if repeats >= (MIN_PHRASE_REPEATS if is_phrase else MIN_WORD_REPEATS):
            return length, repeats
    return 1, 1


def _overlaps_speech(passage: Passage, speech: Sequence[Interval]) -> bool:
    if passage.interval.duration_s > 0:
        return overlap_s([passage.interval], speech) > 0
    return any(interval.start_s <= passage.start_s <= interval.end_s for interval in speech)


def _words_of(passage: Passage) -> tuple[Word, ...]:
    """Return the words; those of a passage without words get its edges as times."""
    edges = passage.start_s, passage.end_s
    return passage.words or tuple(Word(text, *edges) for text in passage.text.split())


def _with_words(passage: Passage, words: tuple[Word, ...]) -> Passage:
    text = " ".join(word.text for word in words)
    return replace(passage, text=text, words=words if passage.words else ())
