"""Words that names are made of: numbers in digits and in words, and how common a word is.

How often words are said comes from `data/words.tsv`, which has a licence of its own (see
`data/README.md`).
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import NamedTuple

_SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth",
    "nine": "ninth", "twelve": "twelfth",
}  # fmt: skip
_ORDINAL = re.compile(r"(\d{1,2})(?:st|nd|rd|th)")


def _below_hundred(number: int) -> str:
    if number < len(_SMALL):
        return _SMALL[number]
    tens, unit = divmod(number, 10)
    return f"{_TENS[tens - 2]} {_SMALL[unit]}" if unit else _TENS[tens - 2]


def _ordinal(number: int) -> str:
    *rest, last = _below_hundred(number).split()
    regular = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    return " ".join((*rest, _ORDINALS.get(last, regular)))


_VALUES = {_below_hundred(number): number for number in range(100)}
_ORDINAL_DIGITS = {
    _ordinal(number): f"{number}{_suffix}"
    for number in range(1, 32)
    for _suffix in [
        "th" if 10 < number < 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    ]
}
DIGIT_WORDS = frozenset((*_SMALL[:10], "oh"))
"""Words of a number that is read out digit by digit, as a telephone number is."""


NUMBER_WORDS = frozenset((*(word for each in _VALUES for word in each.split()), *_ORDINAL_DIGITS))
ROUND_NUMBERS = {
    f"{count}{unit}": value * times
    for unit, value in (("hundred", 100), ("thousand", 1000))
    for count, times in (
        ("", 1), ("a ", 1), *((f"{word} ", n) for n, word in enumerate(_SMALL[1:10], start=1)),
    )
}  # fmt: skip
"""Hundreds and thousands; those without a number before them are ordinary words on their own."""


def number_readings(word: str) -> list[str]:
    """Return the other readings of a number in a name; none if it is no number.

    Words become digits, and digits words: "six" is "6", and "365" is "three six five", "three
    sixty five" or "three hundred and sixty five".
    """
    if word in _VALUES:
        return [str(_VALUES[word])]
    if word in ROUND_NUMBERS:
        return [str(ROUND_NUMBERS[word]), *_round_readings(ROUND_NUMBERS[word], but=word)]
    if not (word.isascii() and word.isdigit() and len(word) <= 4):
        return []
    return list(dict.fromkeys(_readings(word)))


def _round_readings(number: int, but: str = "") -> list[str]:
    return [words for words, value in ROUND_NUMBERS.items() if value == number and words != but]


def _readings(digits: str) -> list[str]:
    number, one_by_one = int(digits), " ".join(_SMALL[int(digit)] for digit in digits)
    if len(digits) <= 2:
        return [_below_hundred(number) if digits[0] != "0" else one_by_one, one_by_one]
    head, tail = divmod(number, 100)
    rest = _below_hundred(tail)
    paired = f"{_below_hundred(head)} {'oh ' if 0 < tail < 10 else ''}{rest}"
    if number in ROUND_NUMBERS.values():
        return [*_round_readings(number), one_by_one]
    if tail == 0:
        return [f"{_below_hundred(head)} hundred", one_by_one]
    with_o = one_by_one.replace("zero", "o")
    return [paired, one_by_one, with_o, f"{_below_hundred(head)} hundred and {rest}"]


def ordinal_words(word: str) -> list[str]:
    """Return "first" for "1st" and "1st" for "first"; nothing for other words."""
    match = _ORDINAL.fullmatch(word)
    if match and int(match[1]):
        return [_ordinal(int(match[1]))]
    return [_ORDINAL_DIGITS[word]] if word in _ORDINAL_DIGITS else []


LETTER_NAMES = {
    "b": "bee", "d": "dee", "f": "eff", "g": "gee", "h": "aitch", "i": "eye", "j": "jay",
    "k": "kay", "l": "ell", "p": "pee", "q": "queue", "s": "ess", "t": "tee", "u": "you",
    "v": "vee", "w": "double u", "z": "zed",
}  # fmt: skip
"""Names of letters; without those that are frequent words (are, see, why, ex, 'em)."""
EQUIVALENTS = {
    "ltd": "limited", "inc": "incorporated", "corp": "corporation", "bros": "brothers",
    "intl": "international", "dr": "doctor", "mt": "mount", "st": "saint", "no": "number",
    "co": "company", "mr": "mister", "ft": "fort",
}  # fmt: skip
SHORT_FOR = {long: short for short, long in EQUIVALENTS.items() if short not in ("no", "co")}
"""Words that are written short, and back; "company" is only short after "and" (Tiffany & Co.)."""


def spelled_with_doubles(letters: str) -> str:
    """Spell letters as people do: "u s double a" for "usaa"."""
    runs = ((letter, len(list(run))) for letter, run in groupby(letters))
    counts = {2: "double ", 3: "triple "}
    return " ".join(
        f"{counts[count]}{letter}" if count in counts else " ".join(letter * count)
        for letter, count in runs
    )


COMMON_PER_MILLION = 5.0
VERY_COMMON_PER_MILLION, PLAIN_TALK_PER_MILLION = 200.0, 250.0


class WordStatistics(NamedTuple):
    """Occurrences per million words in lower case, and with a capital inside a sentence."""

    lower: float
    capitalised: float

    @property
    def total(self) -> float:
        return self.lower + self.capitalised

    @property
    def capital_share(self) -> float:
        return self.capitalised / self.total if self.total else 0.0


UNKNOWN = WordStatistics(0.0, 0.0)


def read_data(name: str) -> str:
    """Return the text of a file in `data/`."""
    return files("callpipeline.domain.competitors").joinpath("data", name).read_text("utf-8")


@cache
def _table() -> Mapping[str, WordStatistics]:
    lines = read_data("words.tsv").splitlines()
    rows = (line.split("\t") for line in lines if not line.startswith("#"))
    return {word: WordStatistics(float(low), float(cap)) for word, low, cap in rows}


def word_statistics(word: str) -> WordStatistics:
    """Return the figures of a word in lower case; zeros if it is rare."""
    return _table().get(word, UNKNOWN)


def is_common_word(word: str) -> bool:
    """Return true for a word that general text has in lower case."""
    return word_statistics(word).lower >= COMMON_PER_MILLION


def is_plain_talk(text: str) -> bool:
    """Return true for several different words that people say all the time: "go to"."""
    words = text.split()
    return len(set(words)) > 1 and all(
        len(word) > 1 and word_statistics(word).lower >= PLAIN_TALK_PER_MILLION for word in words
    )


_SENTENCE_END = re.compile(r"[.?!…\n\x1e]")
MAX_SENTENCE_SIDE = 200


def is_capitalised_name(text: str, start: int, end: int) -> bool:
    """Return whether the words at `start:end` are set off by capitals: "we use Service Now".

    Not at the start of a sentence, nor where as many of its other words have a capital.
    """
    written = text[start:end].split()
    if not all(word[0].isupper() and not word.isupper() for word in written):
        return False
    before = _SENTENCE_END.split(text[max(start - MAX_SENTENCE_SIDE, 0) : start])[-1].split()
    after = _SENTENCE_END.split(text[end : end + MAX_SENTENCE_SIDE], maxsplit=1)[0].split()
    others = [word for word in (*before[1:], *after) if word[0].isalpha() and word != "I"]
    capitals = sum(word[0].isupper() for word in others)
    return bool(before) and capitals * 2 < len(others)
