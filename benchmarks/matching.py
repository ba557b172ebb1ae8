"""Measure the matcher: MB/s for several catalog sizes, compared with one regex per name.

Run with `python benchmarks/matching.py`. It prints results and asserts nothing, since times vary.
"""

import random
import re
from collections.abc import Callable
from time import perf_counter

from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.matcher import Matcher

_SEGMENTS = 20_000
_SPEECH = "the price of my phone is far too high and the signal comes and goes all day"


def main() -> None:
    print(f"{'names':>7} {'MB/s':>8} {'regexes MB/s':>13} {'ratio':>7}")
    for size in (10, 50, 1_000, 10_000):
        catalog = Catalog(tuple(Competitor(f"Brand{_letters(n)}") for n in range(size)))
        segments = _segments([c.name for c in catalog.competitors])
        ours = _megabytes_per_s(Matcher(catalog).find, segments)
        theirs = _megabytes_per_s(_one_regex_per_name(catalog), segments[: 200_000 // size or 1])
        print(f"{size:>7} {ours:>8.1f} {theirs:>13.3f} {ours / theirs:>7.0f}")


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


def _one_regex_per_name(catalog: Catalog) -> Callable[[str], object]:
    regexes = [re.compile(rf"\b{re.escape(c.name)}\b", re.IGNORECASE) for c in catalog.competitors]
    return lambda text: [regex.search(text) for regex in regexes]


def _megabytes_per_s(find: Callable[[str], object], segments: list[str]) -> float:
    started = perf_counter()
    for segment in segments:
        find(segment)
    return sum(map(len, segments)) / 1e6 / (perf_counter() - started)


if __name__ == "__main__":
    main()
