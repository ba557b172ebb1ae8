"""Words of a call as tokens, and runs of digits in them, in digits or spoken.

A run is what one person says in one go: "four one one one", "double four", "4111-1111", with
pauses, "yeah" and "dash" in between, over any number of segments.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import NamedTuple

from callpipeline.domain.audio import Channel
from callpipeline.domain.transcripts import Segment, Transcript

MAX_PAUSE_S = 20.0
"""Longest pause inside a number: the customer looks for the card."""
MAX_FILLERS = 3
CONTEXT_S = 25.0
CONTEXT_WORDS = 30


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


_FILLERS = word_set(
    "um uh er erm mm mhm hm hmm yes yeah yep yup ok okay right sure and then so dash hyphen space "
    "comma slash stop got it that's it's thanks please"
)
_DIGITS = {
    "zero": "0", "oh": "0", "o": "0", "nought": "0", "naught": "0", "one": "1", "two": "2",
    "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9",
}  # fmt: skip
_TEENS = {
    "ten": "10", "eleven": "11", "twelve": "12", "thirteen": "13", "fourteen": "14",
    "fifteen": "15", "sixteen": "16", "seventeen": "17", "eighteen": "18", "nineteen": "19",
}  # fmt: skip
_TENS = {
    "twenty": "2", "thirty": "3", "forty": "4", "fourty": "4", "fifty": "5", "sixty": "6",
    "seventy": "7", "eighty": "8", "ninety": "9",
}  # fmt: skip
_REPEATS = {"double": 2, "triple": 3, "treble": 3}
_POWERS = {"hundred": "00", "thousand": "000"}
_AROUND = " .,;:!?()[]\"'“”‘’…"
_WRITTEN = re.compile(r"\d+(?:[-–—\s]\d+)*|\d{2,4}(?:\.\d{2,4}){2,}|0\d*(?:,\d+)+", re.ASCII)
"""Digits, perhaps in groups; not prices, decimals, dates with slashes or times."""
_SEPARATORS = re.compile(r"\D+", re.ASCII)


@dataclass(frozen=True, slots=True)
class SpokenToken:
    """A word: its place in the transcripts, and its time.

    The times of words without times of their own are spread over their segment; `mute_start_s` and
    `mute_end_s` then are those of the segment.
    """

    text: str
    channel: Channel
    segment: int
    word: int
    start_s: float
    mute_start_s: float
    mute_end_s: float
    voice: int | None = None

    @property
    def bare(self) -> str:
        """Return the word in lower case, without punctuation around it."""
        return self.text.strip(_AROUND).casefold()

    @property
    def place(self) -> tuple[str, int, int]:
        return self.channel, self.segment, self.word


class Kind(StrEnum):
    """A kind of number or address that is masked; `card` includes security codes."""

    CARD = "card"
    BANK = "bank"
    PHONE = "phone"
    EMAIL = "email"


class Finding(NamedTuple):
    """The words that say one number or address, in order."""

    kind: Kind
    tokens: tuple[SpokenToken, ...]


class Unit(NamedTuple):
    """Digits with the tokens that say them: "double four" are two, "4111" is one."""

    digits: str
    tokens: tuple[SpokenToken, ...]
    has_plus: bool = False


Run = Sequence[Unit]


def words_of(segment: Segment) -> list[str]:
    """Return the words of a segment, by which tokens are numbered."""
    return [word.text for word in segment.words] if segment.words else segment.text.split()


def tokens_of(transcript: Transcript) -> list[SpokenToken]:
    """Return the words of a channel in order."""
    return [token for segment in transcript.segments for token in _segment_tokens(segment)]


def _segment_tokens(segment: Segment) -> Iterator[SpokenToken]:
    texts = words_of(segment)
    step_s = (segment.end_s - segment.start_s) / max(1, len(texts))
    for number, text in enumerate(texts):
        word = segment.words[number] if segment.words else None
        yield SpokenToken(
            text,
            segment.channel,
            segment.index,
            number,
            word.start_s if word else segment.start_s + number * step_s,
            word.start_s if word else segment.start_s,
            word.end_s if word else segment.end_s,
            segment.voice,
        )


def streams(transcripts: Iterable[Transcript]) -> Iterator[list[SpokenToken]]:
    """Yield the words of each channel, and those of each voice where one channel has two."""
    for transcript in transcripts:
        tokens = tokens_of(transcript)
        yield tokens
        by_voice = sorted(tokens, key=lambda token: token.voice or 0)
        voices = [list(group) for _, group in groupby(by_voice, key=lambda token: token.voice)]
        if len(voices) > 1:
            yield from voices


class Context:
    """The words that all speakers of a call said before a time."""

    def __init__(self, transcripts: Iterable[Transcript]) -> None:
        tokens = [token for transcript in transcripts for token in tokens_of(transcript)]
        self._tokens = sorted(tokens, key=lambda token: token.start_s)
        self._starts = [token.start_s for token in self._tokens]

    def before(
        self, token: SpokenToken, within_s: float = CONTEXT_S, most: int = CONTEXT_WORDS
    ) -> list[str]:
        """Return up to `most` words from the last `within_s`, oldest first."""
        return [each.bare for each in self.tokens_before(token, within_s, most)]

    def tokens_before(
        self, token: SpokenToken, within_s: float = CONTEXT_S, most: int = CONTEXT_WORDS
    ) -> list[SpokenToken]:
        end = bisect_left(self._starts, token.start_s)
        start = max(end - most, bisect_left(self._starts, token.start_s - within_s))
        return self._tokens[start:end]


def digit_runs(tokens: Sequence[SpokenToken]) -> Iterator[Run]:
    """Yield the runs of digits among the words of one speaker."""
    run: list[Unit] = []
    fillers, at = 0, 0
    while at < len(tokens):
        unit, used = unit_at(tokens, at)
        if unit and run and unit.tokens[0].start_s - run[-1].tokens[-1].mute_end_s > MAX_PAUSE_S:
            yield run
            run = []
        if unit:
            run.append(unit)
            fillers = 0
        elif run:
            fillers += 1
            if fillers > MAX_FILLERS or tokens[at].bare not in _FILLERS:
                yield run
                run = []
        at += used
    if run:
        yield run


def unit_at(tokens: Sequence[SpokenToken], at: int) -> tuple[Unit | None, int]:
    """Return the unit that begins at a token, and how many tokens it has; None without one."""
    first = tokens[at]
    written = _written(first.text)
    if written is not None:
        has_plus = first.text.lstrip(_AROUND).startswith("+")
        if at and tokens[at - 1].bare == "plus":
            has_plus = True
        return Unit(written, (first,), has_plus), 1
    digits, used = _spoken([token.bare for token in tokens[at : at + 4]])
    if digits is None:
        return None, 1
    has_plus = at > 0 and tokens[at - 1].bare == "plus"
    return Unit(digits, tuple(tokens[at : at + used]), has_plus), used


def _written(text: str) -> str | None:
    """Return the digits of a token like 4111-1111; None for words, prices, dates and times."""
    plain = text.strip(_AROUND).lstrip("+").replace("(0)", "").replace(")", "-").replace("(", "")
    if not _WRITTEN.fullmatch(plain):
        return None
    return _SEPARATORS.sub("", plain)


def _spoken(words: Sequence[str]) -> tuple[str | None, int]:
    """Return the digits that words begin with, and how many words say them."""
    if "-" in words[0]:
        return _join_hyphenated(words[0].split("-")), 1
    digits, used = _number(words)
    power = _POWERS.get(words[used]) if digits and used < len(words) else None
    return (f"{digits}{power}", used + 1) if power else (digits, used)


def _join_hyphenated(parts: Sequence[str]) -> str | None:
    """Return the digits of "forty-one" or "double-four"; None if a part is another word."""
    joined, at = "", 0
    while at < len(parts):
        digits, used = _number(parts[at:])
        if digits is None:
            return None
        joined += digits
        at += used
    return joined


def _number(words: Sequence[str]) -> tuple[str | None, int]:
    """Return the digits of one number below 100, perhaps doubled, and how many words it has."""
    first, *rest = words
    if (times := _REPEATS.get(first)) and rest:
        repeated = _DIGITS.get(rest[0]) or (rest[0] if re.fullmatch(r"\d", rest[0]) else None)
        return (repeated * times, 2) if repeated else (None, 1)
    if first in _TENS:
        unit = _DIGITS.get(rest[0], "0") if rest else "0"
        return _TENS[first] + unit, 1 if unit == "0" else 2
    return _DIGITS.get(first) or _TEENS.get(first), 1
