"""Names of a list in past calls: how they are said, and what the list could say about them.

A preview counts, for each name, how often it is said, how it is written there, and which words
stand around it where it counts. From these come proposals: `ambiguous: true`, `sells:`, evidence.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import log

from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.disambiguation.vocabulary import FUNCTION_AFTER, NUMBERS
from callpipeline.domain.competitors.mentions import Mention, MentionStatus
from callpipeline.domain.competitors.spellings import is_phrase, normalise
from callpipeline.domain.competitors.words import COMMON_PER_MILLION, word_statistics

MIN_SAID = 3
"""Places from which something is said about how a name is used."""
NEAR_WORDS = 6
MAX_EVIDENCE = 3
MIN_NEAR = 2
"""Places that a word must be near a name, to be evidence for it."""
MIN_LETTERS = 4
TIMES_GENERAL = 10.0
"""Least ratio of a word's frequency near a name to its frequency in general text."""
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_NO_EVIDENCE = FUNCTION_AFTER | NUMBERS


@dataclass(frozen=True, slots=True)
class SpokenName:
    """The use of a name in the examined calls: how often it is said, and how it is written.

    `lower_case` counts how often it is all lower case although it has a capital in the list:
    recognisers write names with capitals, so such a word is probably an ordinary one. `waiting`
    counts the places that a person must decide. `advice` proposes what the list could say.
    """

    competitor: str
    alias: str
    said: int
    lower_case: int
    counted: int
    waiting: int = 0
    advice: tuple[str, ...] = ()

    @property
    def looks_ordinary(self) -> bool:
        return self.said >= MIN_SAID and self.lower_case > self.said / 2


@dataclass(slots=True)
class _Use:
    """Counts of a name: places by how they are written and decided, and the words around them."""

    said: int = 0
    lower: int = 0
    counted: int = 0
    waiting: int = 0
    near: Counter[str] = field(default_factory=Counter[str])
    near_others: Counter[str] = field(default_factory=Counter[str])


class NameTally:
    """Counts how the names of a catalog are said."""

    def __init__(self, catalog: Catalog) -> None:
        self._listed = {each.name: each for each in catalog.competitors}
        self._place = {name: number for number, name in enumerate(self._listed)}
        self._uses: dict[tuple[str, str], _Use] = {}

    def add(self, mention: Mention, segment: str, *, counts: bool) -> None:
        """Add a place where a name is said, in the text of its segment."""
        use = self._uses.setdefault((mention.competitor, mention.alias), _Use())
        use.said += 1
        use.counted += counts
        use.waiting += mention.status is MentionStatus.NEEDS_REVIEW
        use.lower += mention.text.islower() and not mention.alias.islower()
        before = _WORD.findall(segment[: mention.char_start].casefold())[-NEAR_WORDS:]
        after = _WORD.findall(segment[mention.char_end :].casefold())[:NEAR_WORDS]
        near = use.near if counts else use.near_others
        near.update({word for word in (*before, *after) if len(word) >= MIN_LETTERS})

    def spoken(self) -> Iterator[SpokenName]:
        """Yield the names in the order of the catalog, most said first."""
        ordered = sorted(
            self._uses.items(),
            key=lambda item: (self._place.get(item[0][0], 0), -item[1].said, item[0]),
        )
        for (name, alias), use in ordered:
            numbers = (use.said, use.lower, use.counted, use.waiting)
            listed = self._listed.get(name)
            advice = tuple(_advice(listed, alias, use)) if listed else ()
            yield SpokenName(name, alias, *numbers, advice)


def _advice(listed: Competitor, alias: str, use: _Use) -> Iterator[str]:
    if listed.own or use.said < MIN_SAID:
        return
    word = normalise(alias)
    per_million = word_statistics(word).lower
    if not listed.ambiguous and not is_phrase(alias):
        written = f"written in lower case in {use.lower:,} of {use.said:,} places"
        if use.lower > use.said / 2:
            yield f"it is {written}: with `ambiguous: true` it counts only where evidence is"
        elif per_million >= COMMON_PER_MILLION:
            yield (
                f"general text says {word!r} {per_million:.0f} times in a million words: with "
                "`ambiguous: true` it counts only where evidence is"
            )
    if listed.ambiguous and use.waiting >= MIN_SAID and use.waiting > use.said / 3:
        words = _typical(use, {word, *normalise(listed.name).split()})
        open_ones = f"{use.waiting:,} of {use.said:,} places wait for review"
        if not listed.sells:
            yield f"{open_ones}: say in `sells:` what it sells, in a few words"
        if words and not set(words) <= set(listed.evidence):
            yield f"{open_ones}: evidence could be {', '.join(words)}"


def _typical(use: _Use, own: set[str]) -> Sequence[str]:
    """Return the words that are said near the name where it counts, and seldom otherwise."""
    total = max(use.counted, 1) * 2 * NEAR_WORDS
    scored = [
        (count * log(count / total * 1e6 / (word_statistics(word).total + 1)), word)
        for word, count in use.near.items()
        if count >= MIN_NEAR
        and word not in own | _NO_EVIDENCE
        and use.near_others[word] < count
        and count / total * 1e6 >= TIMES_GENERAL * (word_statistics(word).total + 1)
    ]
    return [word for _, word in sorted(scored, reverse=True)[:MAX_EVIDENCE]]
