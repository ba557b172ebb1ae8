"""Alignment of written text with recognised words, and segments made of words.

Whisper's words have times and no punctuation, its segments punctuation and coarse times. Where a
service returns both separately, the text is that of the segments, with the times of the words.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import accumulate, pairwise
from statistics import fmean

from callpipeline.domain.audio import ChannelAudio, Interval
from callpipeline.domain.competitors.spellings import normalise
from callpipeline.domain.transcripts import Segment, Word

MAX_GUESSED_WORD_S = 0.5
"""Longest duration assumed for a written word without a recognised one."""
PAUSE_S = 0.7
"""Shortest pause between words at which a new segment starts."""
_SENTENCE_END = re.compile(r"(?<=[.?!])\s+")


@dataclass(frozen=True, slots=True)
class Passage:
    """Text of a range of time (seconds), with words if their times are known.

    `confidence` applies to each word that has none of its own.
    """

    start_s: float
    end_s: float
    text: str
    words: tuple[Word, ...] = ()
    confidence: float | None = None

    @property
    def interval(self) -> Interval:
        return Interval(self.start_s, self.end_s)


@dataclass(frozen=True, slots=True)
class RecognizedWord:
    """Word as a recogniser returns it; its times in seconds may be missing."""

    text: str
    start_s: float | None
    end_s: float | None
    confidence: float | None = None


def assign_words(passages: Sequence[Passage], words: Iterable[Word]) -> tuple[Passage, ...]:
    """Return the passages in order, each with the words whose middle is in it or nearest to it."""
    in_order = sorted(passages, key=lambda passage: (passage.start_s, passage.end_s))
    starts = [passage.start_s for passage in in_order]
    assigned: list[list[Word]] = [[] for _ in in_order]
    for word in sorted(words, key=lambda word: (word.start_s, word.end_s)):
        middle_s = (word.start_s + word.end_s) / 2
        after = bisect_right(starts, middle_s)
        candidates = range(max(after - 1, 0), min(after + 1, len(in_order)))
        nearest = min(candidates, key=lambda i: _distance_s(in_order[i], middle_s))
        assigned[nearest].append(word)
    return tuple(with_words(passage, own) for passage, own in zip(in_order, assigned, strict=True))


def with_words(passage: Passage, recognised: Sequence[Word]) -> Passage:
    """Return the passage with the words of its text, at the times of the recognised words.

    Where both differ, the written words share the time of the recognised words in their position;
    words without counterpart are placed between their neighbours. A passage without text takes
    the recognised words.
    """
    if not recognised:
        return passage
    aligned = _align(passage, recognised) if passage.text.split() else recognised
    words = tuple(
        replace(word, confidence=passage.confidence) if word.confidence is None else word
        for word in aligned
    )
    return replace(passage, text=" ".join(word.text for word in words), words=words)


def passages_at_pauses(text: str, recognised: Sequence[Word]) -> Iterator[Passage]:
    """Return passages that end at long pauses, for words without segments."""
    whole = with_words(Passage(recognised[0].start_s, recognised[-1].end_s, text), recognised)
    for words in split_at_pauses(whole.words):
        part = " ".join(word.text for word in words)
        yield Passage(words[0].start_s, words[-1].end_s, part, words)


def spread_over_speech(text: str, speech: Sequence[Interval]) -> Iterator[Passage]:
    """Spread the sentences of a text without times over the speech, by length: a guess."""
    sentences = [sentence for sentence in _SENTENCE_END.split(text.strip()) if sentence]
    total_s = sum(interval.duration_s for interval in speech)
    letters = sum(map(len, sentences))
    edges = accumulate((len(each) * total_s / letters for each in sentences), initial=0.0)
    for sentence, (start_s, end_s) in zip(sentences, pairwise(edges), strict=True):
        yield Passage(
            _time_after(start_s, speech), _time_after(end_s, speech, is_end=True), sentence
        )


def timed_words(written: str, recognised: Sequence[RecognizedWord]) -> tuple[Word, ...]:
    """Return the words with times; none if any has no times, as words and text must be equal.

    Many recognisers return words without the punctuation of the text. If there are as many words
    in the text, those are used.
    """
    spoken = [word for word in recognised if word.text.strip()]
    texts = written.split()
    if len(texts) != len(spoken):
        texts = [word.text.strip() for word in spoken]
    words = (_timed_word(word, text) for word, text in zip(spoken, texts, strict=True))
    timed = [word for word in words if word is not None]
    return tuple(timed) if len(timed) == len(spoken) else ()


def text_of(written: str, words: Sequence[Word]) -> str:
    """Return the words joined by spaces, or the written text if there are none."""
    return " ".join(word.text for word in words) or " ".join(written.split())


def split_at_pauses(words: tuple[Word, ...]) -> Iterator[tuple[Word, ...]]:
    """Return groups of words without a long pause in them."""
    starts = [
        0,
        *(i for i, (a, b) in enumerate(pairwise(words), 1) if b.start_s - a.end_s > PAUSE_S),
    ]
    ends = [*starts[1:], len(words)]
    return (words[start:end] for start, end in zip(starts, ends, strict=True) if start < end)


def segments_of(intervals: Iterable[tuple[Word, ...]], about: ChannelAudio) -> Iterator[Segment]:
    """Return segments of the words of each interval, split at long pauses."""
    for words in intervals:
        for group in split_at_pauses(words):
            yield Segment(
                index=0,
                start_s=group[0].start_s,
                end_s=group[-1].end_s,
                channel=about.channel,
                speaker=about.speaker,
                text=" ".join(word.text for word in group),
                words=group,
            )


def clamp_words(words: Iterable[Word], about: ChannelAudio) -> Iterator[Word]:
    """Return the words with times within the channel."""
    for word in words:
        start_s, end_s = clamp_time(word.start_s, about), clamp_time(word.end_s, about)
        yield replace(word, start_s=start_s, end_s=end_s)


def clamp_time(at_s: float, about: ChannelAudio) -> float:
    """Return the nearest time within the channel (seconds)."""
    return min(max(at_s, 0.0), about.duration_s)


def _timed_word(word: RecognizedWord, text: str) -> Word | None:
    if word.start_s is None or word.end_s is None:
        return None
    return Word(text, word.start_s, max(word.start_s, word.end_s), word.confidence)


def _align(passage: Passage, recognised: Sequence[Word]) -> Iterator[Word]:
    """Return the words of the text with the times of recognised words, by their longest matches."""
    written = passage.text.split()
    forms = [normalise(word.text) for word in recognised], [normalise(text) for text in written]
    last_end_s: float | None = None
    for tag, first, last, begin, end in SequenceMatcher(None, *forms).get_opcodes():
        words, texts = recognised[first:last], written[begin:end]
        if tag == "equal" or len(words) == len(texts):
            aligned = [replace(word, text=text) for word, text in zip(words, texts, strict=True)]
        elif words:
            aligned = spread_words(texts, words[0].start_s, words[-1].end_s, _confidence(words))
        else:
            next_s = recognised[first].start_s if first < len(recognised) else passage.end_s
            aligned = _guess_times(texts, last_end_s, next_s, passage.start_s)
        yield from aligned
        last_end_s = aligned[-1].end_s if aligned else last_end_s


def _guess_times(
    texts: Sequence[str], last_end_s: float | None, next_s: float, begin_s: float
) -> list[Word]:
    """Place words without counterpart right after the previous word, else just before the next."""
    max_s = MAX_GUESSED_WORD_S * len(texts)
    if last_end_s is None:
        return spread_words(texts, max(begin_s, next_s - max_s), next_s, None)
    return spread_words(texts, last_end_s, min(next_s, last_end_s + max_s), None)


def spread_words(
    texts: Sequence[str], start_s: float, end_s: float, confidence: float | None
) -> list[Word]:
    """Place words one after the other, each as long as its number of letters."""
    letters = list(accumulate(map(len, texts), initial=0))
    step_s = max(end_s - start_s, 0.0) / letters[-1] if letters[-1] else 0.0
    return [
        Word(text, round(start_s + begin * step_s, 3), round(start_s + end * step_s, 3), confidence)
        for text, (begin, end) in zip(texts, pairwise(letters), strict=True)
    ]


def _confidence(words: Iterable[Word]) -> float | None:
    confidences = [word.confidence for word in words if word.confidence is not None]
    return round(fmean(confidences), 4) if confidences else None


def _distance_s(passage: Passage, at_s: float) -> float:
    return max(passage.start_s - at_s, at_s - passage.end_s, 0.0)


def _time_after(spoken_s: float, speech: Sequence[Interval], *, is_end: bool = False) -> float:
    """Return when so many seconds of speech have passed.

    Between two intervals, an end is that of the first one.
    """
    left_s = spoken_s
    for interval in speech:
        is_last = is_end and left_s <= interval.duration_s + 1e-6
        if left_s < interval.duration_s - 1e-6 or is_last:
            return round(interval.start_s + min(left_s, interval.duration_s), 3)
        left_s -= interval.duration_s
    return speech[-1].end_s
