"""Measure suggestions of misheard names on calls that were also transcribed by people.

Run with `python -m benchmarks.misheard`. The folder has `<call>.human.json` and `<call>.asr.json`
(`segments` with `text`, `start` and `end`; `organizations` in the human ones). Names are
organisations that people tagged and that are no ordinary words. A name is found where the
recogniser's text, aligned with the human one, has it or an alias. A suggestion is right if at least
half of its places are places of the name. It prints results and asserts nothing.
"""

import argparse
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from rapidfuzz.distance import Levenshtein
from rapidfuzz.fuzz import ratio

from callpipeline.domain.competitors.catalog import Catalog, Competitor, NameMatch
from callpipeline.domain.competitors.disambiguation.vocabulary import GIVEN_NAMES
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.domain.competitors.misheard import Tier, alias_letters
from callpipeline.domain.competitors.spellings import pad_symbols
from callpipeline.domain.competitors.words import is_common_word
from callpipeline.engines.phonetics.pronouncers import Pronouncer, choose_pronouncer
from callpipeline.engines.phonetics.resemblance import NameSounds
from callpipeline.errors import CatalogInvalid
from callpipeline.pipeline.rematch.suggestions import AliasMiner, AliasSuggestion
from callpipeline.storage.ports.suggestions import SpokenSegment

FOLDER = Path("../shared/transcripts/earnings21")
SLACK_WORDS = 4
"""Words around the aligned ones that count as the same place."""
MIN_SAME = 92.0
"""Likeness of letters from which the human transcript has a name in another spelling."""
MIN_TAGGED = 0.25
"""Share of a name's places that must be tagged: the tags are noisy."""
_SUFFIX = re.compile(
    r"['’]s?$|,? (Inc|Incorporated|Corporation|Corp|LLC|Company|Ltd|Limited|Group|Holdings"
    r"|Energy Partners|Energy)\.?$"
)

Segment = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TwiceHeard:
    """A call as a person and as a recogniser wrote it."""

    call_id: str
    human: Sequence[Segment]
    heard: Sequence[Segment]
    tagged: Sequence[str]


def read_calls(folder: Path) -> list[TwiceHeard]:
    calls: list[TwiceHeard] = []
    for path in sorted(folder.glob("*.human.json")):
        call_id = path.name.partition(".")[0]
        human = json.loads(path.read_text())
        heard = json.loads((folder / f"{call_id}.asr.json").read_text())
        tagged = [each["text"] for each in human["organizations"]]
        calls.append(TwiceHeard(call_id, human["segments"], heard["segments"], tagged))
    return calls


def names_in(calls: Sequence[TwiceHeard]) -> list[Competitor]:
    """Return the tagged names, without ordinary words, given names and acronyms."""
    tags = Counter(
        _SUFFIX.sub("", re.sub(r"^[Tt]he ", "", tag)) for call in calls for tag in call.tagged
    )
    chosen: dict[str, str] = {}
    for tag in sorted(tags, key=lambda each: (len(each), each)):
        letters = alias_letters(tag)
        if _is_name(tag) and not any(letters.startswith(each) for each in chosen):
            chosen[letters] = tag
    competitors: list[Competitor] = []
    for tag in chosen.values():
        try:
            Catalog((*competitors, Competitor(tag)))
        except CatalogInvalid:
            continue
        competitors.append(Competitor(tag))
    matcher = Matcher(Catalog(tuple(competitors)))
    said = Counter(
        match.competitor.name
        for call in calls
        for each in call.human
        for match in matcher.find(each["text"])
    )
    return [c for c in competitors if said[c.name] and tags[c.name] >= MIN_TAGGED * said[c.name]]


def _is_name(tag: str) -> bool:
    words = tag.split()
    letters = [re.sub(r"[^A-Za-z]", "", word).lower() for word in words]
    return (
        len("".join(letters)) >= 5
        and len(words) <= 3
        and not tag.isupper()
        and all(word[0].isupper() or word in ("and", "of") for word in words)
        and bool(letters[-1])
        and words[-1] not in ("and", "IV", "TV")
        and not all(is_common_word(word) for word in letters)
        and GIVEN_NAMES.isdisjoint(letters)
    )


Place = tuple[str, str, int]
"""A call, a name, and the number of the name's place in the human transcript."""


class AlignedCall:
    """A call whose recognised words are aligned with the human ones."""

    def __init__(self, call: TwiceHeard, names: Matcher) -> None:
        self.call = call
        self._human, self._named = self._read_human(names)
        self._offsets: list[int] = []
        heard: list[str] = []
        for each in call.heard:
            self._offsets.append(len(heard))
            heard += pad_symbols(each["text"]).split()
        self._map = list(_aligned(heard, self._human))
        self.segments = range(len(call.heard))
        self._part = range(len(self._human))

    def _read_human(self, names: Matcher) -> tuple[list[str], dict[int, Place]]:
        words: list[str] = []
        named: dict[int, Place] = {}
        for each in self.call.human:
            for match in names.find(each["text"]):
                first, end = _word_range(each["text"], match.char_start, match.char_end)
                place = (self.call.call_id, match.competitor.name, len(words) + first)
                named |= {len(words) + at: place for at in range(first, end)}
            words += pad_symbols(each["text"]).split()
        return words, named

    @property
    def places(self) -> set[Place]:
        return {place for at, place in self._named.items() if at in self._part}

    @property
    def heard(self) -> list[Segment]:
        return [self.call.heard[at] for at in self.segments]

    def halves(self) -> "tuple[AlignedCall, AlignedCall]":
        """Return the call with its first and its second half of segments only."""
        middle = len(self.segments) // 2
        cut = self._map[self._offsets[middle]][0]
        first, second = copy(self), copy(self)
        first.segments, second.segments = self.segments[:middle], self.segments[middle:]
        first._part, second._part = self._part[:cut], self._part[cut:]
        return first, second

    def place_of(self, segment: int, match: NameMatch) -> Place | None:
        """Return the place of a name where a person heard it too; with -1 in another spelling."""
        first, end = _word_range(self.call.heard[segment]["text"], match.char_start, match.char_end)
        spans = self._map[self._offsets[segment] + first : self._offsets[segment] + end]
        low = min((span[0] for span in spans), default=0) - SLACK_WORDS
        high = max((span[1] for span in spans), default=0) + SLACK_WORDS
        near = range(max(low, 0), min(high, len(self._human)))
        name = match.competitor.name
        found = [self._named[at] for at in near if at in self._named and self._named[at][1] == name]
        if found:
            return found[0]
        letters, words = alias_letters(name), self._human[near.start : near.stop]
        runs = ("".join(words[a:b]) for a in range(len(words)) for b in range(a + 1, a + 5))
        is_same = any(ratio(run, letters) >= MIN_SAME for run in runs)
        return (self.call.call_id, name, -1) if is_same else None


class HeardCalls:
    """Recognised calls as `SpokenCalls`."""

    def __init__(self, calls: "Sequence[AlignedCall]") -> None:
        self._calls = {each.call.call_id: each for each in calls}

    def count(self) -> int:
        return len(self._calls)

    def newest(self, limit: int) -> list[str]:
        return list(self._calls)[:limit]

    def refused(self) -> frozenset[tuple[str, str]]:
        return frozenset()

    def segments(self, call_ids: Sequence[str]) -> list[SpokenSegment]:
        return [
            SpokenSegment(call_id, each["start"], each["end"], each["text"])
            for call_id in call_ids
            for each in self._calls[call_id].heard
        ]


def _word_range(text: str, char_start: int, char_end: int) -> tuple[int, int]:
    first = len(pad_symbols(text[:char_start]).split())
    return first, first + max(len(pad_symbols(text[char_start:char_end]).split()), 1)


def _aligned(heard: Sequence[str], human: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the range of human words for each recognised one."""
    for op in Levenshtein.opcodes(heard, human):
        count, low, high = op.src_end - op.src_start, op.dest_start, op.dest_end
        for at in range(count):
            yield (low + at, low + at + 1) if high - low == count else (low, high)


@dataclass(slots=True)
class Found:
    """Mentions by a list of names and aliases, checked against the human transcripts."""

    said: int = 0
    found: int = 0
    right: int = 0
    wrong: int = 0

    def row(self) -> str:
        recall, precision = self.found / self.said, self.right / max(self.right + self.wrong, 1)
        return f"{recall:.2f} ({self.found}/{self.said}) | {precision:.2f}"

    def since(self, before: "Found") -> str:
        """Return the mentions that were added."""
        return f"{self.right - before.right} right, {self.wrong - before.wrong} wrong"


def measure(calls: Sequence[AlignedCall], catalog: Catalog) -> Found:
    matcher, total = Matcher(catalog), Found()
    names = {each.name for each in catalog.competitors}
    for aligned in calls:
        found: set[Place] = set()
        for at in aligned.segments:
            for match in matcher.find(aligned.call.heard[at]["text"]):
                place = aligned.place_of(at, match)
                total.right += place is not None
                total.wrong += place is None
                if place and place[2] >= 0:
                    found.add(place)
        total.found += len(found)
        total.said += sum(place[1] in names for place in aligned.places)
    return total


def is_right(suggestion: AliasSuggestion, calls: Sequence[AlignedCall]) -> bool:
    """Return what a person who knows the human transcripts would answer."""
    competitor = Competitor(suggestion.competitor, sounds_like=(suggestion.alias,))
    found = measure(calls, Catalog((competitor,)))
    before = measure(calls, Catalog((Competitor(suggestion.competitor),)))
    right, wrong = found.right - before.right, found.wrong - before.wrong
    return right > 0 and right >= wrong


def with_aliases(catalog: Catalog, aliases: Sequence[AliasSuggestion]) -> Catalog:
    """Add aliases that don't conflict."""
    for each in aliases:
        changed = tuple(
            replace(c, sounds_like=(*c.sounds_like, each.alias)) if c.name == each.competitor else c
            for c in catalog.competitors
        )
        try:
            catalog = Catalog(changed)
        except CatalogInvalid:
            continue
    return catalog


def report(
    title: str,
    names: Sequence[Competitor],
    mined: Sequence[AlignedCall],
    measured: Sequence[AlignedCall],
    pronouncer: Pronouncer,
) -> None:
    """Mine some calls, and print the recall and precision in some."""
    catalog, began = Catalog(tuple(names)), perf_counter()
    miner = AliasMiner(HeardCalls(mined), lambda forms: NameSounds(pronouncer, forms))
    suggestions = miner.mine(catalog, max_calls=len(mined)).suggestions
    took_s = perf_counter() - began
    automatic = [each for each in suggestions if each.tier is Tier.AUTOMATIC]
    asked = [each for each in suggestions if each.tier is Tier.TO_DECIDE]
    accepted = [each for each in asked if is_right(each, mined)]
    rights = sum(is_right(each, mined) for each in automatic)
    first = with_aliases(catalog, automatic)
    second = with_aliases(first, accepted)
    before, after, decided = (measure(measured, each) for each in (catalog, first, second))
    rows = [each.row() for each in (before, after, decided)]
    print(f"| {title} | {' | '.join(rows)} |", flush=True)
    print(f"  added: automatic {after.since(before)}; decided {decided.since(after)}")
    print(
        f"  {len(names)} names; automatic {len(automatic)}, of which right {rights}; "
        f"asked {len(asked)}, accepted {len(accepted)}; mined in {took_s:.0f} s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--no-espeak", action="store_true", help="use the rules of spelling")
    options = parser.parse_args()
    calls = read_calls(options.folder)
    names = names_in(calls)
    pronouncer = choose_pronouncer("en", path="" if options.no_espeak else None)
    matcher = Matcher(Catalog(tuple(names)))
    aligned = [AlignedCall(call, matcher) for call in calls]
    print(f"{len(calls)} calls, sounds by {pronouncer.name}")
    print("| names, mined calls → measured calls | before: recall | precision "
          "| automatic: recall | precision | decided: recall | precision |")  # fmt: skip
    halves: list[Callable[[str], bool]] = [
        lambda name: zlib.crc32(name.encode()) % 2 == 0,
        lambda name: zlib.crc32(name.encode()) % 2 == 1,
    ]
    for title, half in zip(("tuning half", "held-out half"), halves, strict=True):
        some = [each for each in names if half(each.name)]
        report(f"{title}, all → all", some, aligned, aligned, pronouncer)
    report("all, all → all", names, aligned, aligned, pronouncer)
    one, other = aligned[::2], aligned[1::2]
    report("all, half of the calls → the other", names, one, other, pronouncer)
    report("all, the other half → the first", names, other, one, pronouncer)
    halves_of_calls = [each.halves() for each in aligned]
    first, second = [each[0] for each in halves_of_calls], [each[1] for each in halves_of_calls]
    report("all, first half of each call → second", names, first, second, pronouncer)


if __name__ == "__main__":
    main()
