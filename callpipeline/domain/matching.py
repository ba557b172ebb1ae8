"""Finding competitors' names in text, all at once, and where they stand in the original.

Text and names are brought to one normal form (see spelling), and one Aho-Corasick automaton is
run over it. Only texts with a hit pay for the way back to the original characters.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

import ahocorasick  # pyright: ignore[reportMissingImports] a C extension without stubs

from callpipeline.domain.catalog import Catalog, Competitor, SpokenForm
from callpipeline.domain.spelling import ALPHABET, is_accent, spread

_WORD = re.compile(r"\S+")
_IRREGULAR = re.compile(r"[^\x00-\x7f]|[&+]")
"""What may become more or less than one character; all other ASCII keeps its length."""
_Match = tuple[int, int, SpokenForm]


@dataclass(frozen=True, slots=True)
class Hit:
    """A name found at `char_start:char_end` of the original text; `alias` is as the list has it."""

    competitor: Competitor
    alias: str
    char_start: int
    char_end: int


class Matcher:
    """Finds every name of a catalog in one pass over the text."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._automaton = ahocorasick.Automaton()
        for form, spoken in catalog.spoken_forms().items():
            # Spaces at both ends are the word boundaries.
            self._automaton.add_word(f" {form} ", spoken)
        self._automaton.make_automaton()
        self._is_empty = len(self._automaton) == 0  # searching an empty automaton raises

    def find(self, text: str) -> list[Hit]:
        """The names in `text` from left to right; where two overlap, the first, then the longer."""
        if self._is_empty or not text:
            return []
        spaced = spread(text)
        line = f" {' '.join(spaced.split())} "
        matches = [
            (end + 1 - len(spoken.form) - 2, end, spoken)
            for end, spoken in self._automaton.iter(line)
        ]
        if not matches:
            return []
        return _located(text, spaced, _leftmost_longest(matches))


def _leftmost_longest(matches: Iterable[_Match]) -> list[_Match]:
    """Our own, since `iter_long` hides "o2" inside a failed "o2 business" and drops neighbours.

    A match runs from its first space to its last; neighbours share one.
    """
    kept: list[_Match] = []
    free_from = 0
    for start, end, spoken in sorted(matches, key=lambda match: (match[0], -match[1])):
        if start >= free_from:
            kept.append((start, end, spoken))
            free_from = end
    return kept


def _located(text: str, spaced: str, matches: Iterable[_Match]) -> list[Hit]:
    """From places in the line of words to places in the original: the n-th word is the n-th."""
    spans = [word.span() for word in _WORD.finditer(spaced)]
    in_line = list(accumulate((end - start + 1 for start, end in spans), initial=0))
    origins = _Origins(text)
    hits: list[Hit] = []
    for start, end, spoken in matches:
        first, last = bisect_right(in_line, start) - 1, bisect_right(in_line, end - 1) - 1
        char_start = origins[spans[first][0] - 1]
        char_end = origins[spans[last][1] - 2] + 1
        while char_end < len(text) and is_accent(text[char_end]):
            char_end += 1
        hits.append(Hit(spoken.competitor, spoken.alias, char_start, char_end))
    return hits


class _Origins:
    """From places in the normal form (its first space left out) to places in the text.

    All characters of a text keep their place but a few, so only those are walked through:
    `_edges` are the places in the normal form from which on another shift holds.
    """

    def __init__(self, text: str) -> None:
        self._edges, self._places, self._strides = [0], [0], [1]
        shift = 0
        for irregular in _IRREGULAR.finditer(text):
            place = irregular.start()
            length = len(ALPHABET[ord(text[place])])
            if length > 1:
                self._add(place + shift, place, stride=0)
            shift += length - 1
            self._add(place + 1 + shift, place + 1, stride=1)

    def _add(self, edge: int, place: int, stride: int) -> None:
        self._edges.append(edge)
        self._places.append(place)
        self._strides.append(stride)

    def __getitem__(self, place: int) -> int:
        at = bisect_right(self._edges, place) - 1
        return self._places[at] + (place - self._edges[at]) * self._strides[at]
