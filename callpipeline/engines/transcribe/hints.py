"""Names as hints for Whisper: the prompt, and evidence that a hinted name was heard.

With a list of names in its prompt, Whisper spells them right, but it also skips speech and writes
names that were not said. So a transcript is made without hints. Where its words sound like a name,
the passage is decoded again with names as a prompt, and a name replaces the words that it sounds
like. Everything else is as without hints.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import log, prod

from callpipeline.domain.competitors.spellings import normalise
from callpipeline.domain.transcripts import Word

MIN_CANDIDATE_SCORE = 60.0
"""Similarity (0 to 100) from which words may be a misheard name, so that it is worth a decode."""
MAX_CANDIDATE_PROBABILITY = 0.6
"""Whisper is seldom this sure of each word of a name that it misheard."""
MIN_NAME_SCORE, MIN_SHORT_NAME_SCORE = 70.0, 80.0
"""Similarity from which a name that was decoded with hints replaces the words. Short names ("Wix")
resemble many words."""
MIN_LIKELY_NAME_SCORE, MIN_LOG_ODDS = 65.0, -1.5
"""Similarity that suffices for a name that is not much less probable than the words: the least
logarithm of its probability over theirs."""
LONG_NAME_LETTERS, MIN_LONG_NAME_SCORE, MIN_LONG_LOG_ODDS = 10, 55.0, -2.5
"""Long names ("Tesco Mobile") resemble other words only by far."""
MIN_CONFIRMED_SCORE = 73.0
"""Similarity from which the words confirm the name; below it, a person must."""
MAX_RIVAL_LEAD = 10.0
"""If another name resembles the words by this much more, the hinted one was not said."""
SHORT_NAME_LETTERS = 4
MIN_CREDIBLE_LOG_ODDS = -4.5
"""Below this, even a similar name was not said."""
MIN_SOUNDS = 3
"""Names with fewer sounds ("BT") resemble too many words: they must be heard without hints."""
MAX_SPAN_WORDS = 5
MIN_RESEMBLANCE = 60.0
"""Similarity from which a name becomes a hint for a passage."""
MAX_NAMES = 3
"""Hints for a passage: few hints invent less, and find as many names, as the whole list."""
SLACK_S = 0.3
"""The two decodes place the same word up to this far apart."""

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_SOUNDS = (
    ("ph", "f"), ("gh", "g"), ("wh", "w"), ("sch", "S"), ("sh", "S"), ("ch", "S"), ("th", "t"),
    ("x", "ks"), ("q", "k"), ("ce", "se"), ("ci", "si"), ("cy", "si"), ("c", "k"), ("z", "s"),
    ("j", "g"), ("v", "f"), ("b", "p"), ("d", "t"), ("y", "i"),
)  # fmt: skip
"""Spellings of sounds that telephone lines or recognisers confuse, folded in this order."""


@dataclass(frozen=True, slots=True)
class Span:
    """A range of words, by index, that resembles a name with a score of 0 to 100."""

    first: int
    end: int
    score: float


def hints_prompt(hints: Sequence[str]) -> str:
    """Return the prompt for hints, as a sentence that precedes the transcript."""
    return f"{', '.join(hints)}." if hints else ""


def fit_hints(
    hints: Sequence[str], count_tokens: Callable[[str], int], max_tokens: int
) -> tuple[str, ...]:
    """Return the hints that fit into a prompt, skipping those that are too long."""
    fitting: tuple[str, ...] = ()
    for hint in hints:
        if count_tokens(hints_prompt((*fitting, hint))) <= max_tokens:
            fitting = (*fitting, hint)
    return fitting


def letters_of(text: str) -> str:
    """Return the letters in lower case, with digits spelled out."""
    spelled = re.sub(r"[0-9]", lambda digit: _DIGITS[int(digit[0])], text.casefold())
    return "".join(filter(str.isalpha, spelled))


def sounds_of(text: str) -> str:
    """Return a coarse phonetic key: confusable consonants folded, vowels all alike."""
    key = letters_of(text)
    for spelling, sound in _SOUNDS:
        key = key.replace(spelling, sound)
    return re.sub(r"[aeiou]+", "a", re.sub(r"(.)\1+", r"\1", key))


def resemblance(text: str, name: str) -> float:
    """Return how similar two texts are in letters or sounds, from 0 to 100."""
    from rapidfuzz.fuzz import ratio

    return max(
        ratio(letters_of(text), letters_of(name)),
        ratio(sounds_of(text), sounds_of(name)),
    )


def candidate_spans(words: Sequence[Word], names: Sequence[str]) -> list[Span]:
    """Return the ranges of words that may be a misheard name, in order and not overlapping."""
    from rapidfuzz.fuzz import ratio
    from rapidfuzz.process import cdist

    long_enough = [name for name in names if len(sounds_of(name)) >= MIN_SOUNDS]
    ranges = list(_ranges(len(words), MAX_SPAN_WORDS - 1))
    if not long_enough or not ranges:
        return []
    texts = [" ".join(word.text for word in words[first:end]) for first, end in ranges]
    scores = [
        cdist([*map(key, texts)], [*map(key, long_enough)], scorer=ratio)
        for key in (letters_of, sounds_of)
    ]
    similar = scores[0].clip(min=scores[1])
    eligible = similar >= [_min_candidate_score(name) for name in long_enough]
    best = (similar * eligible).max(axis=1)
    known = {normalise(name) for name in names}
    found = [
        Span(first, end, float(score))
        for (first, end), text, score in zip(ranges, texts, best, strict=True)
        if score > 0 and _is_unsure(words[first:end]) and normalise(text) not in known
    ]
    return _without_overlap(found)


def _min_candidate_score(name: str) -> float:
    """Return the similarity below which a name would not be adopted, however likely."""
    letters = len(letters_of(name))
    if letters <= SHORT_NAME_LETTERS:
        return MIN_SHORT_NAME_SCORE
    return MIN_LONG_NAME_SCORE if letters >= LONG_NAME_LETTERS else MIN_CANDIDATE_SCORE


def resembling_names(words: Sequence[Word], names: Sequence[str]) -> list[str]:
    """Return the `MAX_NAMES` names that words may be a misheard form of, the most similar first."""
    text = " ".join(word.text for word in words)
    scores = {name: resemblance(text, name) for name in names}
    likely = [name for name in names if scores[name] >= MIN_RESEMBLANCE]
    return sorted(likely, key=lambda name: -scores[name])[:MAX_NAMES]


def adopt_names(
    plain: Sequence[Word], hinted: Sequence[Word], names: Sequence[str]
) -> tuple[Word, ...]:
    """Return the words decoded without hints, with names of the decode with hints.

    A name is adopted where it replaces words of the same time that sound like it; below
    `MIN_CONFIRMED_SCORE` its words are marked as heard with hints only.
    """
    words = list(plain)
    for name in _names_in(hinted, names):
        span = _best_span(words, name)
        if span is None:
            continue
        heard = words[span.first : span.end]
        if _is_credible(heard, name, names, span.score):
            words[span.first : span.end] = _respelled(heard, name, span.score)
    return tuple(words)


def _names_in(words: Sequence[Word], names: Sequence[str]) -> Iterator[tuple[Word, ...]]:
    """Yield the words of each name, the longest name first where several begin."""
    forms = {letters_of(name) for name in names if len(sounds_of(name)) >= MIN_SOUNDS}
    keys = [letters_of(word.text) for word in words]
    at = 0
    while at < len(words):
        ends = range(min(at + MAX_SPAN_WORDS, len(words)), at, -1)
        end = next((end for end in ends if "".join(keys[at:end]) in forms), None)
        if end is not None:
            yield tuple(words[at:end])
        at = end or at + 1


def _best_span(words: Sequence[Word], name: Sequence[Word]) -> Span | None:
    """Return the range of words near the time of a name that resembles it most."""
    start_s, end_s = name[0].start_s - SLACK_S, name[-1].end_s + SLACK_S
    near = [i for i, word in enumerate(words) if word.end_s > start_s and word.start_s < end_s]
    if not near:
        return None
    text = " ".join(word.text for word in name)
    spans = [
        Span(first + near[0], end + near[0],
             resemblance(" ".join(word.text for word in words[first + near[0] : end + near[0]]),
                         text))
        for first, end in _ranges(len(near), MAX_SPAN_WORDS)
    ]  # fmt: skip
    return max(spans, key=lambda span: (span.score, span.first - span.end))


def _is_credible(
    heard: Sequence[Word], name: Sequence[Word], names: Sequence[str], similarity: float
) -> bool:
    """Return whether a name was probably said where words were heard without hints."""
    text = " ".join(word.text for word in heard)
    spelled = " ".join(word.text for word in name)
    others = [other for other in names if letters_of(other) != letters_of(spelled)]
    if any(resemblance(text, other) > similarity + MAX_RIVAL_LEAD for other in others):
        return False
    log_odds = log(max(_probability(name), 1e-4) / max(_probability(heard), 1e-4))
    if similarity < 100.0 and log_odds < MIN_CREDIBLE_LOG_ODDS:
        return False
    if len(letters_of(spelled)) <= SHORT_NAME_LETTERS:
        return similarity >= MIN_SHORT_NAME_SCORE
    is_likely = similarity >= MIN_LIKELY_NAME_SCORE and log_odds >= MIN_LOG_ODDS
    if len(letters_of(spelled)) >= LONG_NAME_LETTERS:
        is_likely |= similarity >= MIN_LONG_NAME_SCORE and log_odds >= MIN_LONG_LOG_ODDS
    return similarity >= MIN_NAME_SCORE or is_likely


def _respelled(heard: Sequence[Word], name: Sequence[Word], score: float) -> list[Word]:
    """Return the words of a name with the time, and the final punctuation, of what was heard."""
    start_s, end_s = heard[0].start_s, heard[-1].end_s
    edges = [start_s, *(min(max(w.end_s, start_s), end_s) for w in name[:-1]), end_s]
    ending = re.sub(r".*\w", "", heard[-1].text)
    texts = [*(word.text for word in name[:-1]), re.sub(r"\W+$", "", name[-1].text) + ending]
    return [
        replace(word, text=text, start_s=begin, end_s=end,
                only_with_hints=score < MIN_CONFIRMED_SCORE)
        for word, text, (begin, end) in zip(name, texts, pairwise(edges), strict=True)
    ]  # fmt: skip


def _is_unsure(words: Sequence[Word]) -> bool:
    return any((word.confidence or 0.0) < MAX_CANDIDATE_PROBABILITY for word in words)


def _probability(words: Iterable[Word]) -> float:
    """Return the geometric mean of the words' probabilities; 1 for unknown ones."""
    known = [word.confidence if word.confidence is not None else 1.0 for word in words]
    return prod(known) ** (1 / len(known)) if known else 1.0


def _ranges(count: int, longest: int) -> Iterator[tuple[int, int]]:
    for first in range(count):
        for end in range(first + 1, min(first + longest, count) + 1):
            yield first, end


def _without_overlap(spans: Iterable[Span]) -> list[Span]:
    chosen: list[Span] = []
    for span in sorted(spans, key=lambda span: (-span.score, span.end - span.first)):
        if all(span.end <= other.first or span.first >= other.end for other in chosen):
            chosen.append(span)
    return sorted(chosen, key=lambda span: span.first)
