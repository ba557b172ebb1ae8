"""Misheard names: runs of words that may be a competitor's name, and how likely each is one.

A candidate has a score, the log-odds that it is the name: the sum of its features times weights.
Weights and thresholds come from half of the names of `benchmarks/misheard.py`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import log, log10, prod, sqrt
from typing import NamedTuple

from callpipeline.domain.competitors.boundaries import WordMap
from callpipeline.domain.competitors.disambiguation.vocabulary import GIVEN_NAMES
from callpipeline.domain.competitors.spellings import normalise, pad_symbols
from callpipeline.domain.competitors.words import COMMON_PER_MILLION, word_statistics

MAX_RUN_WORDS = 4
MIN_RUN_LETTERS = 4
CONTEXT_WORDS = 5
"""Words on either side of a run that are its neighbourhood."""
MAX_CONTEXT = 200
"""Different words of a neighbourhood that are counted."""
UNLISTED_PER_MILLION = 0.5
"""Assumed rate of a word that general text doesn't have in lower case."""
FUNCTION_PER_MILLION = 2000.0
"""Words that are more frequent ("and", "in") join other words and say little themselves."""

ACCEPT = 0.25
"""Log-odds from which a candidate is proposed as automatic, if its words are no ordinary ones."""
MIN_AUTOMATIC_SIMILARITY = 0.74
ASK = -3.0
"""Log-odds below which a candidate isn't worth a question."""
MIN_OTHER_CALLS = 10
"""Calls without some ordinary words that must be read before these can be proposed as automatic."""
MAX_QUESTIONS = 5
"""Candidates of a name that are put to a person."""
_MAX_BURST = 1.4
_TITLES = frozenset(("mr", "mrs", "ms", "dr", "sir"))
_WEIGHTS: Mapping[str, float] = {
    "": -2.8, "similarity": 3.0, "very similar": 1.7, "unlisted word": 0.5, "several words": -1.1,
    "together": 0.6, "ordinary word": 0.2, "never capitalised": -1.0, "neighbours": 0.5,
    "same calls": 2.6, "calls": -0.8, "repeated": 0.9, "given name": -0.2, "person": -1.4,
}  # fmt: skip


def alias_letters(alias: str) -> str:
    """Return the letters of an alias: all spacings of it are found together."""
    return "".join(normalise(alias).split()).replace("'", "")


class WordRun(NamedTuple):
    """A run of words in a text, at `char_start:char_end`; `key` is its letters without spaces."""

    key: str
    words: tuple[str, ...]
    first: int
    char_start: int
    char_end: int


class RunText:
    """A text with the runs of words that a name could be written as."""

    def __init__(self, text: str) -> None:
        padded = pad_symbols(text)
        self.words = tuple(padded.split())
        self._map = WordMap(text, padded, self.words)
        self._text = text

    def lettered(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield the letters and words of each run."""
        for first, end in self._ranges():
            words = self.words[first:end]
            key = "".join(words)
            if len(key) >= MIN_RUN_LETTERS:
                yield key, words

    def runs(self, wanted: Mapping[str, object]) -> Iterator[WordRun]:
        """Yield the runs whose letters are wanted, with their places."""
        for first, end in self._ranges():
            words = self.words[first:end]
            key = "".join(words)
            if key in wanted:
                start, stop = self._map.start(first), self._map.end(end - 1)
                yield WordRun(key, words, first, start, stop)

    def _ranges(self) -> Iterator[tuple[int, int]]:
        """Yield the first word and the end of runs of 1 to 4 words without inner punctuation."""
        for first in range(len(self.words)):
            for last in range(first, min(first + MAX_RUN_WORDS, len(self.words))):
                is_split = last > first and self._map.gap(last - 1).strip() not in ("", "-")
                if is_split or not self.words[last].isalnum():
                    break
                yield first, last + 1

    def neighbours(self, char_start: int, char_end: int) -> list[str]:
        """Return the words around a place that say something."""
        before = pad_symbols(self._text[:char_start]).split()[-CONTEXT_WORDS:]
        after = pad_symbols(self._text[char_end:]).split()[:CONTEXT_WORDS]
        return [word for word in (*before, *after) if len(word) > 2]

    def is_capitalised(self, run: WordRun) -> bool:
        return self._text[run.char_start].isupper()

    def begins_sentence(self, run: WordRun) -> bool:
        before = self._text[: run.char_start].rstrip()
        return not before or before[-1] in ".?!"

    def follows_given_name(self, run: WordRun) -> bool:
        before = self.words[run.first - 1] if run.first else ""
        return before in GIVEN_NAMES or before in _TITLES


@dataclass(frozen=True, slots=True)
class SpeechRead:
    """The stored speech that candidates were counted in; `is_cased` if most of it has capitals."""

    calls: int
    words: int
    is_cased: bool


@dataclass(slots=True)
class NameUse:
    """The calls in which a name is found, and the words around it there."""

    calls: set[str] = field(default_factory=set[str])
    context: Counter[str] = field(default_factory=Counter[str])


@dataclass(slots=True)
class HeardCandidate:
    """Counts of a run of words that sounds like a competitor's name, in stored calls.

    `inside` counts occurrences inside sentences, `capitals` those of them with a capital, and
    `new_mentions` those that no name of the catalog covers.
    """

    competitor: str
    key: str
    similarity: float
    is_refused: bool = False
    occurrences: int = 0
    new_mentions: int = 0
    inside: int = 0
    capitals: int = 0
    persons: int = 0
    spellings: Counter[str] = field(default_factory=Counter[str])
    calls: set[str] = field(default_factory=set[str])
    context: Counter[str] = field(default_factory=Counter[str])

    @property
    def alias(self) -> str:
        """Return the most frequent spelling, in normal form."""
        return min(self.spellings, key=lambda each: (-self.spellings[each], each))

    @property
    def is_open(self) -> bool:
        """Return whether it would add mentions, and was not refused."""
        return self.new_mentions > 0 and not self.is_refused

    @property
    def words(self) -> list[str]:
        return self.alias.split()

    def add(self, call_id: str, text: RunText, run: WordRun, *, is_new: bool) -> None:
        """Count an occurrence."""
        self.occurrences += 1
        self.new_mentions += is_new
        self.calls.add(call_id)
        self.spellings[" ".join(run.words)] += 1
        self.persons += text.follows_given_name(run)
        if not text.begins_sentence(run):
            self.inside += 1
            self.capitals += text.is_capitalised(run)
        add_context(self.context, text.neighbours(run.char_start, run.char_end))


def add_context(context: Counter[str], words: list[str]) -> None:
    """Count words of a neighbourhood, within its limit."""
    for word in words:
        if word in context or len(context) < MAX_CONTEXT:
            context[word] += 1


class Tier(StrEnum):
    """The trust in a suggestion: accept it without a look, or decide on it."""

    AUTOMATIC = "automatic"
    TO_DECIDE = "to decide"


@dataclass(frozen=True, slots=True)
class ScoredAlias:
    """A candidate with its score, its tier (None if it isn't worth a question), and evidence."""

    candidate: HeardCandidate
    score: float
    tier: Tier | None
    evidence: tuple[str, ...]


def score_candidate(candidate: HeardCandidate, use: NameUse, read: SpeechRead) -> ScoredAlias:
    """Add up what speaks for and against a candidate."""
    found = _features(candidate, use, read)
    score = sum(_WEIGHTS[name] * value for name, value in found.items())
    tier = None
    if score >= ACCEPT and _may_be_automatic(candidate, found, read):
        tier = Tier.AUTOMATIC
    elif score >= ASK:
        tier = Tier.TO_DECIDE
    return ScoredAlias(candidate, round(score, 2), tier, tuple(_evidence(candidate, use, found)))


def _features(candidate: HeardCandidate, use: NameUse, read: SpeechRead) -> dict[str, float]:
    """Return the features of a candidate by the names of their weights."""
    rates = [word_statistics(word) for word in candidate.words]
    lower = [max(rate.lower, UNLISTED_PER_MILLION) for rate in rates]
    is_several = len(rates) > 1
    expected = read.words * prod(rate / 1e6 for rate in lower)
    together = min(max(log10(candidate.occurrences / max(expected, 1e-12)), 0.0), 4.0)
    calls = len(candidate.calls)
    return {
        "": 1.0,
        "similarity": candidate.similarity - 0.75,
        "very similar": max(candidate.similarity - 0.85, 0.0) * 10,
        "unlisted word": float(any(rate.total == 0 for rate in rates)),
        "several words": float(is_several),
        "together": together if is_several else 0.0,
        "ordinary word": float(not is_several and _is_ordinary(candidate)),
        "never capitalised": float(
            read.is_cased and candidate.inside > 0 and not candidate.capitals
        ),
        "neighbours": _likeness(candidate.context, use.context),
        "same calls": len(candidate.calls & use.calls) / calls,
        "calls": log(calls),
        "repeated": min(log(candidate.occurrences / calls), _MAX_BURST),
        "given name": float(any(word in GIVEN_NAMES for word in candidate.words)),
        "person": candidate.persons / candidate.occurrences,
    }


def _is_ordinary(candidate: HeardCandidate) -> bool:
    return all(word_statistics(word).lower >= COMMON_PER_MILLION for word in candidate.words)


def _may_be_automatic(
    candidate: HeardCandidate, found: Mapping[str, float], read: SpeechRead
) -> bool:
    """Return whether a candidate is surely more than ordinary words.

    Ordinary words are accepted only several together, and only if many other calls were read, and
    no call without the name has them.
    """
    if candidate.similarity < MIN_AUTOMATIC_SIMILARITY:
        return False
    if any(word_statistics(word).lower >= FUNCTION_PER_MILLION for word in candidate.words):
        return False
    if not _is_ordinary(candidate):
        return True
    others = read.calls - len(candidate.calls)
    is_rare = found["same calls"] == 1.0 and others >= MIN_OTHER_CALLS
    return is_rare and len(candidate.words) > 1


def _likeness(one: Mapping[str, int], other: Mapping[str, int]) -> float:
    """Return the cosine of two neighbourhoods; frequent words weigh little."""
    first, second = _weighed(one), _weighed(other)
    norm = sqrt(sum(v * v for v in first.values()) * sum(v * v for v in second.values()))
    shared = first.keys() & second.keys()
    return sum(first[word] * second[word] for word in shared) / norm if norm else 0.0


def _weighed(context: Mapping[str, int]) -> dict[str, float]:
    return {
        word: log(1 + count) * log(1e6 / (1 + word_statistics(word).total))
        for word, count in context.items()
    }


MIN_LIKENESS = 0.1


def _evidence(candidate: HeardCandidate, use: NameUse, found: Mapping[str, float]) -> Iterator[str]:
    """Yield what speaks for a candidate and against it, in words."""
    name = candidate.competitor
    yield f"sounds {candidate.similarity:.0%} like {name}"
    calls = len(candidate.calls)
    together = len(candidate.calls & use.calls)
    if together == calls:
        yield f"only in calls that name {name}"
    elif together:
        yield f"{together:,} of its {calls:,} calls name {name}"
    if found["neighbours"] >= MIN_LIKENESS:
        yield f"among the same words as {name}"
    unlisted = [word for word in candidate.words if word_statistics(word).total == 0]
    if unlisted:
        yield f'"{unlisted[0]}" is no known word'
    elif _is_ordinary(candidate):
        yield "ordinary words" if found["several words"] else "an ordinary word"
    if found["together"] >= 1:
        yield f"{10 ** int(found['together']):,} times as often together as by chance"
    if found["never capitalised"]:
        yield "never capitalised"
    if found["person"] >= 0.5:
        yield "follows a given name"
