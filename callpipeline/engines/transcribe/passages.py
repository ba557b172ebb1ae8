"""Written passages and heard words brought together, where a service gives them apart.

Whisper's words have times and no punctuation, its segments punctuation and coarse times. The text
is what was written; the words lend it their times.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import accumulate, pairwise
from statistics import fmean

from callpipeline.domain.audio import Interval
from callpipeline.domain.spelling import normalise
from callpipeline.domain.transcript import Word
from callpipeline.engines.transcribe.stretches import split_at_pauses

LONGEST_GUESS_S = 0.5
"""So long, at most, is a written word taken to be that nobody gives a time for."""
_SENTENCE_END = re.compile(r"(?<=[.?!])\s+")


@dataclass(frozen=True, slots=True)
class Passage:
    """Written text from one time to another (seconds), with words where their times are known.

    `confidence` is that of each word which has none of its own.
    """

    start_s: float
    end_s: float
    text: str
    words: tuple[Word, ...] = ()
    confidence: float | None = None

    @property
    def within(self) -> Interval:
        return Interval(self.start_s, self.end_s)


def laid(passages: Sequence[Passage], words: Iterable[Word]) -> tuple[Passage, ...]:
    """Passages in order of time with their words: those whose middle lies in them, or nearest."""
    in_order = sorted(passages, key=lambda passage: (passage.start_s, passage.end_s))
    starts = [passage.start_s for passage in in_order]
    theirs: list[list[Word]] = [[] for _ in in_order]
    for word in sorted(words, key=lambda word: (word.start_s, word.end_s)):
        middle_s = (word.start_s + word.end_s) / 2
        after = bisect_right(starts, middle_s)
        beside = range(max(after - 1, 0), min(after + 1, len(in_order)))
        theirs[min(beside, key=lambda i: _distance_s(in_order[i], middle_s))].append(word)
    return tuple(with_words(passage, own) for passage, own in zip(in_order, theirs, strict=True))


def with_words(passage: Passage, heard: Sequence[Word]) -> Passage:
    """The passage with the words of its text, each at the time at which it was heard.

    Where text and words differ, what differs shares the time of what was heard in its place, and
    what nobody heard lies between its neighbours. Without text the words are the text.
    """
    if not heard:
        return passage
    found = _timed(passage, heard) if passage.text.split() else heard
    words = tuple(
        replace(word, confidence=passage.confidence) if word.confidence is None else word
        for word in found
    )
    return replace(passage, text=" ".join(word.text for word in words), words=words)


def at_pauses(text: str, heard: Sequence[Word]) -> Iterator[Passage]:
    """Passages that end at long pauses, of words that came without segments."""
    whole = with_words(Passage(heard[0].start_s, heard[-1].end_s, text), heard)
    for words in split_at_pauses(whole.words):
        said = " ".join(word.text for word in words)
        yield Passage(words[0].start_s, words[-1].end_s, said, words)


def over_speech(text: str, speech: Sequence[Interval]) -> Iterator[Passage]:
    """The sentences of a text without times, spread over the speech by their length: a guess."""
    sentences = [said for said in _SENTENCE_END.split(text.strip()) if said]
    total_s, letters = sum(stretch.duration_s for stretch in speech), sum(map(len, sentences))
    edges = accumulate((len(said) * total_s / letters for said in sentences), initial=0.0)
    for said, (start_s, end_s) in zip(sentences, pairwise(edges), strict=True):
        yield Passage(_after(start_s, speech), _after(end_s, speech, is_end=True), said)


def _timed(passage: Passage, heard: Sequence[Word]) -> Iterator[Word]:
    """The words of the text with times, by what text and words have in common."""
    written = passage.text.split()
    forms = [normalise(word.text) for word in heard], [normalise(text) for text in written]
    done_s: float | None = None
    for tag, first, last, begin, end in SequenceMatcher(None, *forms).get_opcodes():
        theirs, texts = heard[first:last], written[begin:end]
        if tag == "equal" or len(theirs) == len(texts):
            placed = [replace(word, text=text) for word, text in zip(theirs, texts, strict=True)]
        elif theirs:
            placed = _spread(texts, theirs[0].start_s, theirs[-1].end_s, _confidence(theirs))
        else:
            next_s = heard[first].start_s if first < len(heard) else passage.end_s
            placed = _guessed(texts, done_s, next_s, passage.start_s)
        yield from placed
        done_s = placed[-1].end_s if placed else done_s


def _guessed(
    texts: Sequence[str], done_s: float | None, next_s: float, begin_s: float
) -> list[Word]:
    """Words that nobody heard: behind the word before, else just before the next."""
    most_s = LONGEST_GUESS_S * len(texts)
    if done_s is None:
        return _spread(texts, max(begin_s, next_s - most_s), next_s, None)
    return _spread(texts, done_s, min(next_s, done_s + most_s), None)


def _spread(
    texts: Sequence[str], start_s: float, end_s: float, confidence: float | None
) -> list[Word]:
    """The words one after the other, each as long as its letters are many."""
    letters = list(accumulate(map(len, texts), initial=0))
    step_s = max(end_s - start_s, 0.0) / letters[-1] if letters[-1] else 0.0
    return [
        Word(text, round(start_s + begin * step_s, 3), round(start_s + end * step_s, 3), confidence)
        for text, (begin, end) in zip(texts, pairwise(letters), strict=True)
    ]


def _confidence(words: Iterable[Word]) -> float | None:
    known = [word.confidence for word in words if word.confidence is not None]
    return round(fmean(known), 4) if known else None


def _distance_s(passage: Passage, at_s: float) -> float:
    return max(passage.start_s - at_s, at_s - passage.end_s, 0.0)


def _after(spoken_s: float, speech: Sequence[Interval], *, is_end: bool = False) -> float:
    """When so many seconds have been spoken; between two stretches, the end of the first if
    something ends there."""
    left_s = spoken_s
    for stretch in speech:
        if left_s < stretch.duration_s - 1e-6 or (is_end and left_s <= stretch.duration_s + 1e-6):
            return round(stretch.start_s + min(left_s, stretch.duration_s), 3)
        left_s -= stretch.duration_s
    return speech[-1].end_s
