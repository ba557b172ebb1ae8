"""Measure the matcher: MB/s for several catalog sizes, and how long it takes to build.

It is compared with one regex per name, and with pyahocorasick alone on the text in lower case,
which knows no spellings and no ends of words. Run with `python benchmarks/matching.py`. It prints
results and asserts nothing, since times vary; times are those of the processor.
"""

import random
import re
from collections.abc import Callable
from time import process_time

import ahocorasick  # a C extension without stubs

from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.matcher import Matcher

_SEGMENTS = 20_000
MOST_REGEXES = 10_000
RUNS = 5
_SPEECH = "the price of my phone is far too high and the signal comes and goes all day"


def main() -> None:
    print(
        f"{'names':>7} {'MB/s':>8} {'of pyahocorasick':>17} {'of regexes':>11} {'built in s':>11}"
    )
    for size in (10, 50, 1_000, 10_000, 100_000):
        competitors = tuple(Competitor(f"Brand{_letters(n)}") for n in range(size))
        segments = _segments([each.name for each in competitors])
        began = process_time()
        catalog = Catalog(competitors)
        matcher = Matcher(catalog)
        built_s = process_time() - began
        ours = _megabytes_per_s(matcher.find, segments)
        bare = _megabytes_per_s(_automaton_alone(catalog), segments)
        regexes = "-"
        if size <= MOST_REGEXES:
            few = segments[: 200_000 // size or 1]
            regexes = f"{ours / _megabytes_per_s(_one_regex_per_name(catalog), few):.0f}"
        print(f"{size:>7} {ours:>8.1f} {ours / bare:>17.2f} {regexes:>11} {built_s:>11.1f}")


def _letters(number: int) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


def _segments(names: list[str]) -> list[str]:
    """Return segments of sixteen words, one in ten with a name."""
    rng = random.Random(1)
    segments: list[str] = []
    for number in range(_SEGMENTS):
        words: list[str] = rng.choices(_SPEECH.split(), k=16)
        if number % 10 == 0:
            words[8] = rng.choice(names)
        segments.append(" ".join(words))
    return segments


def _automaton_alone(catalog: Catalog) -> Callable[[str], object]:
    automaton = ahocorasick.Automaton()  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
    for competitor in catalog.competitors:
        automaton.add_word(competitor.name.lower(), competitor)  # pyright: ignore[reportUnknownMemberType]
    automaton.make_automaton()  # pyright: ignore[reportUnknownMemberType]
    return lambda text: list(automaton.iter(text.lower()))  # pyright: ignore[reportUnknownMemberType,reportUnknownArgumentType,reportUnknownVariableType]


def _one_regex_per_name(catalog: Catalog) -> Callable[[str], object]:
    regexes = [re.compile(rf"\b{re.escape(c.name)}\b", re.IGNORECASE) for c in catalog.competitors]
    return lambda text: [regex.search(text) for regex in regexes]


def _megabytes_per_s(find: Callable[[str], object], segments: list[str]) -> float:
    """Return the speed in the best of some runs, which other work disturbs least."""
    best_s = float("inf")
    for _ in range(RUNS):
        started = process_time()
        for segment in segments:
            find(segment)
        best_s = min(best_s, process_time() - started)
    return sum(map(len, segments)) / 1e6 / best_s


if __name__ == "__main__":
    main()
