"""What Whisper writes that nobody said: loops, and the hints it was given.

It writes the likeliest text, also for a noise: the same words over and over until the window is
full, or the list of names it was told to listen for, read out.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from callpipeline.domain.spelling import normalise
from callpipeline.domain.transcript import Word

LONGEST_LOOP = 30
"""Words in a loop at most; a window of 30 s holds some 75."""
LOOP_TURNS, WORD_TURNS = 3, 5
"""So often in a row are a phrase or sentence, and a single word, no longer what people say. A
word may be part of a number ("0 3 3 3") or a plea ("no no no")."""
ECHO_HINTS = 4
"""People name two or three companies in a row; a whole window that is nothing but four or more,
in the very order of the list, is the list."""
NO_SPEECH, UNLIKELY_BELOW = 0.6, -1.0
"""Whisper's own limits, in its paper and its code: the text of a window is dropped where it holds
that nobody speaks, and finds the text unlikely too (mean log probability of a token)."""


def is_speechless(no_speech_probability: float, mean_log_probability: float) -> bool:
    """Whether the model itself doubts that there is speech in a window."""
    return no_speech_probability > NO_SPEECH and mean_log_probability < UNLIKELY_BELOW


def without_loops(words: Sequence[Word]) -> tuple[Word, ...]:
    """The words, of which what repeats itself too often in a row stands once, where it began."""
    forms = [normalise(word.text) for word in words]
    kept: list[Word] = []
    at = 0
    while at < len(words):
        length, turns = _loop_at(words, forms, at)
        kept += words[at : at + length]
        at += length * turns
    return tuple(kept)


def without_repeats(windows: Sequence[tuple[Word, ...]]) -> list[tuple[Word, ...]]:
    """The words of each window; where three or more in a row say the same, the first says it."""
    texts = [normalise(" ".join(word.text for word in words)) for words in windows]
    kept: list[tuple[Word, ...]] = []
    for text, run in groupby(zip(texts, windows, strict=True), key=lambda window: window[0]):
        of_run = [words for _, words in run]
        is_loop = text and len(of_run) >= LOOP_TURNS
        kept += [of_run[0], *[() for _ in of_run[1:]]] if is_loop else of_run
    return kept


def is_echo(words: Iterable[Word], hints: Sequence[str]) -> bool:
    """Whether the words are the hints read out: four or more neighbours in order, nothing else."""
    said = normalise(" ".join(word.text for word in words))
    forms = [normalise(hint) for hint in hints]
    for first in range(len(forms) - ECHO_HINTS + 1):
        read = ""
        for count, form in enumerate(forms[first:], 1):
            read = f"{read} {form}".strip()
            if read == said and count >= ECHO_HINTS:
                return True
            if not said.startswith(read):
                break
    return False


def fitted(hints: Sequence[str], tokens_of: Callable[[str], int], most: int) -> tuple[str, ...]:
    """As many hints as fit into a prompt of `most` tokens; what is too long is left out."""
    chosen: tuple[str, ...] = ()
    for hint in hints:
        if tokens_of(prompt_of((*chosen, hint))) <= most:
            chosen = (*chosen, hint)
    return chosen


def prompt_of(hints: Sequence[str]) -> str:
    """Hints as the text that is put before what is heard."""
    return ", ".join(hints)


def _loop_at(words: Sequence[Word], forms: Sequence[str], at: int) -> tuple[int, int]:
    """The length and turns of the shortest loop that begins here; one word, once, if none does."""
    for length in range(1, min(LONGEST_LOOP, (len(forms) - at) // LOOP_TURNS) + 1):
        phrase = forms[at : at + length]
        turns = 1
        while forms[at + turns * length : at + (turns + 1) * length] == phrase:
            turns += 1
        ends_sentence = words[at + length - 1].text.endswith((".", "!", "?"))
        if turns >= (LOOP_TURNS if length > 1 or ends_sentence else WORD_TURNS):
            return length, turns
    return 1, 1
