"""Measure what ambiguous names cost: CPU time a call and memory, with and without the encoder.

Run with `python -m benchmarks.ambiguous FOLDER`, a folder of transcripts (`<call>.human.json` with
`segments` that have `text`). The names are the ordinary words of a telecom list.
Each variant runs in a process of its own. It prints results and asserts nothing, since times vary.
"""

import json
import resource
import sys
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from time import process_time
from typing import NamedTuple

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.find_mentions import find_mentions
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.domain.transcripts import SUPPLIED_ENGINE, Segment, Transcript
from callpipeline.wiring import company_slots

NAMES = ("Three", "Sky", "ID", "Smarty", "Alternative", "Daisy", "Gamma", "Intercity", "Olive")
NAMES += ("Virgin", "Orange", "One", "Now", "Boost", "General", "Standard", "Direct", "Capital")


class Cost(NamedTuple):
    """CPU seconds and peak memory in MB of a process, and what it found."""

    load_s: float
    find_s: float
    memory_mb: float
    mentions: int


def read(folder: Path) -> list[Transcript]:
    calls: list[Transcript] = []
    for path in sorted(folder.glob("*.human.json")):
        segments = tuple(
            Segment(at, float(at), at + 1.0, Channel.MIXED, Speaker.UNKNOWN, each["text"])
            for at, each in enumerate(json.loads(path.read_text("utf-8"))["segments"])
        )
        calls.append(Transcript(Channel.MIXED, Speaker.UNKNOWN, SUPPLIED_ENGINE, segments))
    return calls


def measure(kind: str, calls: Sequence[Transcript]) -> Cost:
    """Find names in all calls: `plain` ones, ambiguous ones `without` the encoder, or `with` it."""
    began = process_time()
    slots = company_slots() if kind == "with" else None
    if slots:
        slots.load()
    names = (Competitor(name, ambiguous=kind != "plain") for name in NAMES)
    matcher = Matcher(Catalog(tuple(names)), slots)
    loaded = process_time()
    found = sum(len(find_mentions([call], matcher)) for call in calls)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Cost(loaded - began, process_time() - loaded, peak_mb, found)


def main() -> None:
    calls = read(Path(sys.argv[1]))
    print(f"{'names':>28} {'CPU ms a call':>14} {'peak MB':>8} {'to load, s':>11} {'mentions':>9}")
    titles = {"plain": "not ambiguous", "without": "ambiguous, no encoder"}
    titles |= {"with": "ambiguous, with the encoder"}
    for kind, title in titles.items():
        pool = get_context("spawn").Pool(1)
        cost = pool.apply(measure, (kind, calls))
        pool.terminate()
        per_call = 1000 * cost.find_s / len(calls)
        print(
            f"{title:>28} {per_call:>14.0f} {cost.memory_mb:>8.0f} {cost.load_s:>11.1f} "
            f"{cost.mentions:>9,}"
        )
    words = sum(len(segment.text.split()) for call in calls for segment in call.segments)
    print(f"{len(calls)} calls with {words:,} words and {len(NAMES)} names")


if __name__ == "__main__":
    main()
