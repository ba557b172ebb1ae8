"""Words that speak to a machine and not to the person on the telephone: no model is shown them.

This is what a list of phrases can do, and no more: see docs/decisions/0018.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise

from callpipeline.domain.spelling import is_accent
from callpipeline.engines.sentiment.addressed_phrases import (
    ADDRESSED,
    ARTICLES,
    ORDINARY_BEFORE,
    OTHER_LANGUAGES,
    RUN_TOGETHER,
    SAID_ALONE,
)
from callpipeline.engines.sentiment.lines import Line, Place, Token

Word = tuple[int, int]
"""The number of a line and of a token in it."""

_LOOKALIKES = str.maketrans(
    "авеіӏјкмнорѕтухсԁɡһղοαερτυνικηωɑıⅼ", "abeiijkmhopstyxcdghnoaeptuvikhwail"
)
_AS_LETTERS = str.maketrans("013457@$!", "oieastasi")
_MARKUP = re.compile(
    r"<\||\|>|\[/?INST|<</?SYS|```|</|<\w+|\{\"|\"\}|\{'|\":|\]\]>|\{\{|\}\}|^#{2,}|!\[|\]\("
)
_DIGITS_AS_LETTERS = re.compile(r"(?<=[a-z])[013457@$!]+(?=[a-z])|(?<!\w)[013457@$]+(?=[a-z]{2})")
_CODED = re.compile(r"[A-Za-z0-9+/_=-]{16,}")
_SPELLED_AT_LEAST = 4


def addressed(lines: Sequence[Line], places: Mapping[str, Place]) -> frozenset[Word]:
    """The words to hide, given where the mentions stand.

    From where the address begins to the end of its line; what stands before it in the line is
    hidden too unless a competitor is named there, and so is what follows in the segment, up to
    the next line that names one.
    """
    named: dict[int, list[Place]] = {}
    for place in places.values():
        named.setdefault(place.line, []).append(place)
    hidden: set[Word] = set()
    for first, last in _found(lines):
        hidden.update(_from(lines, first, last, named))
        hidden.update(_rest_of_segment(lines, last[0], named))
    return frozenset(hidden)


def _from(
    lines: Sequence[Line], first: Word, last: Word, named: Mapping[int, Sequence[Place]]
) -> Iterator[Word]:
    """The address, in all the lines of its speakers that it runs through."""
    for number in range(first[0], last[0] + 1):
        begins_here = number == first[0]
        kept = begins_here and any(place.last < first[1] for place in named.get(number, ()))
        start = first[1] if kept else 0
        yield from ((number, at) for at in range(start, len(lines[number].tokens)))


def _rest_of_segment(
    lines: Sequence[Line], number: int, named: Mapping[int, Sequence[Place]]
) -> Iterator[Word]:
    line = lines[number]
    for after in range(number + 1, len(lines)):
        follows = lines[after]
        same = (follows.channel, follows.segment_index) == (line.channel, line.segment_index)
        if not same or after in named:
            return
        yield from ((after, at) for at in range(len(follows.tokens)))


def _found(lines: Sequence[Line]) -> Iterator[tuple[Word, Word]]:
    """First and last word of each address, also of one that runs over lines and speakers."""
    everything = range(len(lines))
    yield from _in_row(lines, everything)
    channels = {line.channel for line in lines}
    if len(channels) > 1:
        for channel in channels:
            yield from _in_row(lines, [n for n in everything if lines[n].channel is channel])


def _in_row(lines: Sequence[Line], numbers: Iterable[int]) -> Iterator[tuple[Word, Word]]:
    words = [
        (form, (number, at))
        for number in numbers
        for at, token in enumerate(lines[number].tokens)
        for form in _forms(token)
    ]
    for number, at in {place for form, place in words if form == _MACHINE_TEXT}:
        yield (number, at), (number, at)
    words = [word for word in words if word[0] != _MACHINE_TEXT]
    text = " ".join(form for form, _ in words)
    starts = list(accumulate((len(form) + 1 for form, _ in words), initial=0))
    ends_of_lines = {starts[i + 1] - 1 for i in range(len(words)) if _ends_line(words, i)}
    for start, end in _matches(text, ends_of_lines):
        first, last = (bisect_right(starts, edge) - 1 for edge in (start, end - 1))
        yield words[first][1], words[last][1]
    yield from _spelled(words)


def _ends_line(words: Sequence[tuple[str, Word]], at: int) -> bool:
    return at + 1 == len(words) or words[at + 1][1][0] != words[at][1][0]


def _matches(text: str, ends_of_lines: set[int]) -> Iterator[tuple[int, int]]:
    for pattern in (ADDRESSED, OTHER_LANGUAGES, RUN_TOGETHER):
        for match in pattern.finditer(text):
            if not (pattern is ADDRESSED and _is_report(text, match)):
                yield match.span()
    for match in SAID_ALONE.finditer(text):
        if match.end() in ends_of_lines and not _is_report(text, match):
            yield match.span()


def _is_report(text: str, match: re.Match[str]) -> bool:
    """Whether somebody tells what is said or thought, rather than orders it."""
    if not SAID_ALONE.match(match[0]):
        return False
    before = text[max(match.start() - 60, 0) : match.start()].split()[-3:]
    return bool(ORDINARY_BEFORE.intersection(before) or ARTICLES.intersection(before[-1:]))


def _spelled(words: Sequence[tuple[str, Word]]) -> Iterator[tuple[Word, Word]]:
    """Addresses spelled letter by letter."""
    run: list[tuple[str, Word]] = []
    for word in [*words, ("..", (-1, -1))]:
        if len(word[0]) == 1:
            run.append(word)
            continue
        if len(run) >= _SPELLED_AT_LEAST and RUN_TOGETHER.search("".join(f for f, _ in run)):
            yield run[0][1], run[-1][1]
        run = []


_MACHINE_TEXT = "\0"


def _forms(token: Token) -> list[str]:
    """The words in a token as they sound, whatever letters they are made of."""
    if _MARKUP.search(token.text) or any(map(_is_coded, _CODED.findall(token.text))):
        return [_MACHINE_TEXT]
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", token.text).casefold())
    bare = "".join(
        letter
        for letter in folded
        if not is_accent(letter) and unicodedata.category(letter) != "Cf"
    )
    if any("a" <= letter <= "z" for letter in bare):
        bare = bare.translate(_LOOKALIKES)
        if any(letter.isalpha() for letter in bare) and not re.fullmatch(r"\W*\d+\w?\w?\W*", bare):
            bare = _DIGITS_AS_LETTERS.sub(_letters, bare)
    return re.findall(r"\w+", re.sub(r"['’‘`´ʼ]", "", bare).replace("_", " "))


def _letters(digits: re.Match[str]) -> str:
    return digits[0].translate(_AS_LETTERS)


def _is_coded(text: str) -> bool:
    """Whether it is base64 or hexadecimal rather than a word, by how its letters mix."""
    kinds = (str.isupper, str.islower, str.isdigit)
    mixed = all(any(kind(letter) for letter in text) for kind in kinds)
    turns = sum(a.islower() and b.isupper() for a, b in pairwise(text))
    is_hex = (
        len(text) >= 24 and not re.search(r"[^0-9a-fA-F]", text) and any(map(str.isdigit, text))
    )
    return is_hex or (mixed and turns >= 2) or turns >= 4
