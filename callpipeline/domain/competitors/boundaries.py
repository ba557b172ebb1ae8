"""Boundaries of names: words that belong together, and are no part of a longer name."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from callpipeline.domain.competitors.spellings import ALPHABET, is_accent, is_unspaced
from callpipeline.domain.competitors.words import (
    DIGIT_WORDS,
    NUMBER_WORDS,
    VERY_COMMON_PER_MILLION,
    word_statistics,
)

_IRREGULAR = re.compile(r"[^\x00-\x7f]|[&+]")
"""Characters whose normal form may not have length one; all other ASCII does."""
_BROKEN_OFF = re.compile(r"[-\u2010\u2011\u2013\u2014]\s+")
_BLANK_LINE = re.compile(r"\n\s*\n")
SEGMENT_END, SENTENCE_BREAK = "\x1f", "\x1e"
"""Put between joined segments: a name may go on after the first, but not after the second."""
_BARRIERS = frozenset('.?!…,;:()[]{}<>|/\\"“”«»„。、！？，；：' + SENTENCE_BREAK)
_ABBREVIATED = frozenset(
    ["dr", "st", "mt", "mr", "mrs", "ms", "no", "inc", "ltd", "bros", "co", "corp", "vs"]
)
_VOWEL_LETTERS = frozenset("aefhilmnorsx8")
"""Letters after which "a" is no article: people say "an S A P consultant"."""
_UNITS = frozenset([
    "month", "year", "day", "week", "hour", "minute", "second", "pound", "penny", "pence",
    "euro", "dollar", "percent", "gig", "gigabyte", "mb", "gb", "people", "am", "pm", "o'clock",
    "hundred", "thousand", "million", "billion", "point", "times",
])  # fmt: skip
_NUMBERS = NUMBER_WORDS | {"o", "oh"}
_TENS_WORDS = frozenset(
    ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
)
_UNIT_WORDS = DIGIT_WORDS - {"zero", "oh"}
_POWERS = frozenset(["hundred", "thousand", "million", "billion"])
_INNER_MARKS = (",", ".", "/")
"""Between the digits of figures and dates."""
_HYPHENS = ("-", "\N{HYPHEN}", "\N{NON-BREAKING HYPHEN}")
_MAX_SPELLED_GAP = 3


class Place(NamedTuple):
    """The words `first` to `last` of a text, as a candidate for a name.

    `last_chars` is the number of characters of the last word that belong to the name; None for all.
    """

    first: int
    last: int
    last_chars: int | None = None


class WordMap:
    """The words of a normalised text, and where they are in the original."""

    def __init__(self, text: str, padded: str, words: Sequence[str]) -> None:
        self.text = text
        self.words = words
        self._padded = padded
        self._spans: list[tuple[int, int]] = []
        is_regular = text.isascii() and len(text) == len(padded) - 2
        self._offsets = _IDENTITY if is_regular else _OffsetMap(text)

    def _span(self, word: int) -> tuple[int, int]:
        spans = self._spans
        end = spans[-1][1] if spans else 0
        for following in self.words[len(spans) : word + 1]:
            start = self._padded.index(following, end)
            end = start + len(following)
            spans.append((start, end))
        return spans[word]

    def start(self, word: int) -> int:
        return self._offsets[self._span(word)[0] - 1]

    def end(self, word: int, chars: int | None = None) -> int:
        begin, end = self._span(word)
        last = end - 1 if chars is None else begin + chars - 1
        at = self._offsets[last - 1] + 1
        while at < len(self.text) and is_accent(self.text[at]):
            at += 1
        return at

    def gap(self, word: int) -> str:
        """Return the original characters between a word and the next one."""
        return self.text[self.end(word) : self.start(word + 1)]

    def word(self, at: int) -> str:
        return self.words[at] if 0 <= at < len(self.words) else ""


def can_be_name(place: Place, alias: str, text: WordMap) -> bool:
    """Return whether the words at `place` can be the name `alias` there."""
    inner = range(place.first, place.last)
    words = [word for word in text.words[place.first : place.last + 1] if word.strip("'")]
    if inner:
        is_run = len(words) > 2 and all(len(word) == 1 for word in words)
        if not all(_goes_on(text, at, alias, is_run=is_run) for at in inner):
            return False
    if is_unspaced(words[0][0]):
        return _stands_in_unspaced(place, text)
    return not (
        _is_part_of_letters(place, text)
        or _is_part_of_number(place, words, text)
        or _is_part_of_figure(place, words, text)
        or _is_part_of_compound(place, text)
        or _is_part_of_code(place, words, text)
    )


def _goes_on(text: WordMap, at: int, alias: str, *, is_run: bool) -> bool:
    """Return whether a name can go on after word `at`: not after the end of a sentence."""
    gap = text.gap(at)
    if _BLANK_LINE.search(gap) or _is_decimal_point(text, at, alias) or _is_stutter(text, at):
        return False
    for mark in gap:
        if mark not in _BARRIERS or (mark in alias and (mark != "." or gap == ".")):
            continue
        if mark == "," and is_run:
            continue
        if mark != "." or gap.count(".") > 1 or not _is_inner_dot(text, at, gap):
            return False
    return True


def _is_decimal_point(text: WordMap, at: int, alias: str) -> bool:
    """Return whether a figure goes on after the word, as in "0.2"; not in a name such as "2.0"."""
    is_between_digits = text.word(at).isdigit() and text.word(at + 1).isdigit()
    return is_between_digits and text.gap(at) == "." and "." not in alias


def _is_stutter(text: WordMap, at: int) -> bool:
    """Return whether a letter is broken off and said again: "e- e- the"."""
    word = text.word(at)
    return (
        len(word) == 1
        and word == text.word(at + 1)
        and _BROKEN_OFF.fullmatch(text.gap(at)) is not None
    )


def _is_inner_dot(text: WordMap, at: int, gap: str) -> bool:
    word = text.word(at)
    is_tight = gap == "." and not text.text[text.start(at + 1)].isupper()
    return is_tight or len(word) == 1 or word in _ABBREVIATED


def _is_part_of_letters(place: Place, text: WordMap) -> bool:
    """Return whether a spelled name goes on as a longer one, as "b t" does in "e b t a"."""
    first, last = text.words[place.first], text.words[place.last]
    if first.isdigit() and place.first == place.last:
        return False
    if len(first) == 1 and _is_letter_before(place.first, text):
        return True
    return len(last) == 1 and place.last_chars is None and _is_letter_after(place.last, text)


def _is_single(text: WordMap, at: int) -> bool:
    word = text.word(at)
    return len(word) == 1 and word.isalnum() and not is_unspaced(word)


def _is_close(text: WordMap, at: int) -> bool:
    """Return whether a word and the next one may be letters of one acronym."""
    gap = text.gap(at)
    return len(gap) <= _MAX_SPELLED_GAP and not (_BARRIERS - {"."}).intersection(gap)


def _is_letter_before(first: int, text: WordMap) -> bool:
    before = first - 1
    if not _is_single(text, before) or not _is_close(text, before):
        return False
    if text.words[before] != "a" or "." in text.gap(before):
        return True
    written, letter = text.text[text.start(before)], text.text[text.start(first)]
    is_capital = written.isupper() and letter.isupper() and before > 0
    is_article = not is_capital and text.words[first] not in _VOWEL_LETTERS
    further = _is_single(text, before - 1) and _is_close(text, before - 1)
    return further or not is_article


def _is_letter_after(last: int, text: WordMap) -> bool:
    after = last + 1
    if not _is_single(text, after) or not _is_close(text, last):
        return False
    if text.words[after] == "s" and ALPHABET[ord(text.gap(last)[-1:] or " ")] == "'":
        return False  # a possessive: "K.L.M.'s"
    if text.words[after] not in ("a", "i"):
        return True
    is_alone = after + 1 >= len(text.words) or not _is_close(text, after)
    further = is_alone or _is_single(text, after + 1)
    written, letter = text.text[text.start(after)], text.text[text.start(last)]
    is_capital = written == "A" and letter.isupper() and "." not in text.gap(last)
    is_dotted = text.gap(last) == "."
    return further or is_capital or is_dotted


def _is_part_of_number(place: Place, words: Sequence[str], text: WordMap) -> bool:
    """Return whether a name of several number words is part of a longer number or an amount."""
    if not all(word in _NUMBERS or word.isdigit() for word in words):
        return False
    if len(words) == 1 and not (words[0].isdigit() and len(words[0]) > 1):
        return False
    before, after = place.first - 1, place.last + 1
    if before >= 0 and _is_digit(text.word(before)) and _is_close(text, before):
        return True
    following = text.word(after)
    is_counted = following in _UNITS or following.removesuffix("s") in _UNITS
    return bool(following) and (_is_digit(following) or is_counted) and _is_close(text, place.last)


def _is_part_of_figure(place: Place, words: Sequence[str], text: WordMap) -> bool:
    """Return whether a number at either end goes on: "pier 1,200", "twenty six flags"."""
    if len(words) < 2:
        return False
    first, last = place.first, place.last
    before, after = text.word(first - 1), text.word(last + 1)
    if before in _TENS_WORDS and words[0] in _UNIT_WORDS:
        # Not over the end of a sentence: "I pay forty. Six Flags is closer."
        between = text.gap(first - 1)
        return between.isspace() or between in _HYPHENS
    if _goes_on_in_words(words[-1], last, text):
        return True
    goes_on = words[-1].isdigit() and after.isdigit() and text.gap(last) in _INNER_MARKS
    goes_back = words[0].isdigit() and before.isdigit() and text.gap(first - 1) in _INNER_MARKS
    return goes_on or goes_back


def _goes_on_in_words(number: str, last: int, text: WordMap) -> bool:
    """Return whether a number at the end goes on: "pier one hundred", "channel twenty two"."""
    after, following = text.word(last + 1), text.word(last + 2)
    if not after or not (text.gap(last).isspace() or text.gap(last) in _HYPHENS):
        return False
    if number in _TENS_WORDS and after in _UNIT_WORDS:
        return True
    if number not in _NUMBERS and not number.isdigit():
        return False
    written, next_one = text.text[text.start(last)], text.text[text.start(last + 1)]
    if written.isupper() and next_one.islower():
        return False  # "Capital One million customers"
    return after in _POWERS or (after == "point" and _is_digit(following))


def _is_part_of_compound(place: Place, text: WordMap) -> bool:
    """Return whether a single letter is the first part of a hyphenated word: "x-ray"."""
    is_letter = place.first == place.last and len(text.words[place.first]) == 1
    after = text.word(place.last + 1)
    return is_letter and len(after) > 1 and text.gap(place.last) in _HYPHENS


def _is_part_of_code(place: Place, words: Sequence[str], text: WordMap) -> bool:
    """Return whether spelled letters begin a code that goes on with digits: "b p seven two"."""
    if len(words) < 2 or not all(len(word) == 1 and word.isalpha() for word in words):
        return False
    following = range(place.last, place.last + 2)
    if not all(_is_digit(text.word(at + 1)) and _is_close(text, at) for at in following):
        return False
    after = text.word(place.last + 3)
    return after != "times" and after not in _UNITS and after.removesuffix("s") not in _UNITS


def _is_digit(word: str) -> bool:
    return word in DIGIT_WORDS or word == "o" or word.isdigit()


def _stands_in_unspaced(place: Place, text: WordMap) -> bool:
    """Return whether a name begins a run of katakana; one of a single letter stands alone."""
    start, end = text.start(place.first), text.end(place.last)
    before, after = text.text[start - 1 : start], text.text[end : end + 1]
    if place.first == place.last:
        return not any(char and is_unspaced(char) for char in (before, after))
    return not (_is_katakana(before) and _is_katakana(text.text[start]))


def _is_katakana(char: str) -> bool:
    return "\u30a1" <= char <= "\u30ff" and char != "・"


def is_split(pieces: Sequence[str], own: int) -> bool:
    """Return whether a name may be written as these pieces: "plus net", but not "to get her".

    Bit n of `own` is set if the name itself has separate words after n letters. One other place is
    allowed, unless the pieces on both sides are frequent words.
    """
    offset, foreign = 0, list[tuple[str, str]]()
    for left, right in pairwise(pieces):
        offset += len(left)
        if not own >> offset & 1:
            foreign.append((left, right))
    if not foreign:
        return True
    if len(foreign) > 1 or not all(piece.isalpha() for piece in foreign[0]):
        return False
    rates = [word_statistics(piece).lower for piece in foreign[0]]
    is_short = any(
        len(piece) < 2 or (len(piece) == 2 and rate)
        for piece, rate in zip(foreign[0], rates, strict=True)
    )
    return not is_short and min(rates) < VERY_COMMON_PER_MILLION


class _OffsetMap:
    """Map from offsets in the padded text (without its first space) to offsets in the original.

    Few characters change in length, so only those are recorded: `_edges` are the padded offsets
    from which another shift applies.
    """

    def __init__(self, text: str) -> None:
        self._edges, self._offsets, self._strides = [0], [0], [1]
        shift = 0
        for irregular in _IRREGULAR.finditer(text):
            offset = irregular.start()
            length = len(ALPHABET[ord(text[offset])])
            if length > 1:
                self._add(offset + shift, offset, stride=0)
            shift += length - 1
            self._add(offset + 1 + shift, offset + 1, stride=1)

    def _add(self, edge: int, offset: int, stride: int) -> None:
        self._edges.append(edge)
        self._offsets.append(offset)
        self._strides.append(stride)

    def __getitem__(self, padded: int) -> int:
        if len(self._edges) == 1:
            return padded
        at = bisect_right(self._edges, padded) - 1
        return self._offsets[at] + (padded - self._edges[at]) * self._strides[at]


_IDENTITY = _OffsetMap("")
