"""How long pages take over HTTP, of a crowd of 100,000 calls: lists, one call, numbers, search.

Run with `python -m benchmarks.pages`; with `--keep FOLDER` what was filled stays for the next time.
The app is a process of its own, asked by one client at a time: each address once (`first`), and all
of them again (`again`). Prints p50, p95 and most in ms; what an answer takes of the
processor, app and Postgres together, in ms, which depends least on what else the machine does; and
KB. It asserts nothing.
"""

import argparse
import json
import os
import platform
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from urllib.parse import urlencode

import httpx

from benchmarks.crowd import fill, size_of
from benchmarks.crowd_calls import zipf
from benchmarks.crowd_words import PHRASES, vocabulary
from benchmarks.reading import DICE, places, random_filters
from benchmarks.serving import KEY, app
from benchmarks.spoken import store_words
from callpipeline.config import Settings
from callpipeline.domain.filters import Filters
from callpipeline.storage.database import Database
from callpipeline.storage.embedded import EmbeddedPostgres
from callpipeline.storage.migrations import migrate
from callpipeline.storage.reading.reader import Reading
from callpipeline.web.filters import address
from callpipeline.wiring import open_results_store

Paths = Sequence[str]
TARGETS = {"/calls": 100, "/jobs": 100, "/calls/": 200, "/analytics": 300, "/search": 300}
STOPPED = 40
"""As many of the commonest words are hardly ever looked for: `the`, `to`."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=100, help="addresses of each kind")
    parser.add_argument("--keep", type=Path, help="the folder of the database, for the next time")
    options = parser.parse_args()
    with _folder(options.keep) as folder, _filled(folder, options.calls) as place:
        kinds = _addresses(place, options.times)
        print(machine())
        print(f"{'':32}{'first p50':>10}{'p95':>6}{'most':>6}{'again p50':>11}{'p95':>6}{'most':>6}"
              f"{'target':>8}{'CPU':>6}{'KB':>6}")  # fmt: skip
        server = json.loads((folder / "postgres" / "server.json").read_text())["pid"]
        with app(place) as (process, url), httpx.Client(
            base_url=url, headers={"X-API-KEY": KEY, "Accept": "text/html"}, timeout=60
        ) as client:  # fmt: skip
            for name, paths in kinds.items():
                _measure(client, name, paths, (server, process))
        print(machine())


def machine() -> str:
    """The processor, how many of it, and how busy they are with everything on this machine."""
    about = Path("/proc/cpuinfo").read_text()
    [model, *_] = re.findall(r"model name\s*: (.*)", about) or [platform.processor()]
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return f"{os.cpu_count()} × {model}; load {load}"


def _measure(client: httpx.Client, name: str, paths: Paths, processes: Sequence[int]) -> None:
    for path in paths[:3]:
        client.get(path)
    before = _processor_ms(processes)
    rounds = [[_ask(client, path) for path in paths] for _ in range(2)]
    spent = (_processor_ms(processes) - before) / (2 * len(paths))
    cells = ""
    for width, times in zip((10, 11), rounds, strict=True):
        took = [ms for ms, _ in times]
        of = quantiles(took, n=20)
        cells += f"{of[9]:{width}.0f}{of[18]:6.0f}{max(took):6.0f}"
    target = TARGETS.get(name.split(maxsplit=1)[0], 0)
    size = quantiles([kb for _, kb in rounds[0]], n=2)[0]
    print(f"{name:32}{cells}{target or '':>8}{spent:6.0f}{size:6.0f}", flush=True)


def _ask(client: httpx.Client, path: str) -> tuple[float, float]:
    """Milliseconds until all of the answer is there, and its KB as they were sent."""
    began = time.perf_counter()
    reply = client.get(path)
    took = time.perf_counter() - began
    reply.raise_for_status()
    return took * 1000, reply.num_bytes_downloaded / 1024


def _processor_ms(processes: Sequence[int]) -> float:
    """What these took so far, with their children, also those that are gone."""
    spent = 0
    for process in processes:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        for each in (str(process), *children):
            times = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[11:15]
            spent += sum(map(int, times if each == str(process) else times[:2]))
    return spent * 1000 / os.sysconf("SC_CLK_TCK")


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept:
        yield kept
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def _filled(folder: Path, calls: int) -> Iterator[Mapping[str, str]]:
    """The settings of an installation that has a crowd, which is made where there is none yet."""
    with EmbeddedPostgres(folder / "postgres").running() as url:
        migrate(url)
        with Database(url) as database:
            is_empty = not Reading(database).calls(limit=1).calls
        if is_empty:
            fill(url, size_of(calls))
        yield {"CALLPIPELINE_HOME": str(folder / "home"), "DATABASE_URL": url}


def _addresses(place: Mapping[str, str], times: int) -> dict[str, Paths]:
    """By kind what people open; one in five of numbers and of searches has no filter."""
    with Database(place["DATABASE_URL"]) as database:
        reading = Reading(database)
        choices, cursors = reading.choices(), places(reading)
        store = open_results_store(Settings(home=Path(place["CALLPIPELINE_HOME"])))
        calls = store_words(database, store, times, DICE)
    words = list(_words(times))

    def filters() -> Filters:
        return Filters() if DICE.random() < 0.2 else random_filters(choices)

    def some(one: Callable[[int], str]) -> Paths:
        return [one(n) for n in range(times)]

    def listed(path: str, after: str | None) -> str:
        return address(path, Filters(), after=after)

    return {
        "/calls": some(lambda _: "/calls"),
        "/calls by cursor": some(lambda _: listed("/calls", DICE.choice(cursors))),
        "/calls filtered": some(lambda _: address("/calls", random_filters(choices))),
        "/jobs": some(lambda _: listed("/jobs", DICE.choice(cursors))),
        "/jobs by skip": some(lambda n: f"/jobs?skip={DICE.randrange(len(calls), 90_000)}"),
        "/calls/ one call": [f"/calls/{call}" for call in calls],
        "/calls/ times of its words": [f"/calls/{call}/words" for call in calls],
        "/analytics": some(lambda _: address("/analytics", filters())),
        "/analytics no filter": some(lambda _: "/analytics"),
        "/search": some(lambda n: address("/search", filters(), words=words[n])),
        "/search no filter": [f"/search?{urlencode({'words': each})}" for each in words],
    }


def _words(times: int) -> Iterator[str]:
    """One word or two, as often as they are said; every fourth time a phrase of the trade."""
    import numpy as np

    known = vocabulary()[STOPPED:]
    ranks = iter(zipf(len(known), 2 * times, np.random.default_rng(5), steepness=1.0).tolist())
    for n in range(times):
        phrase = DICE.choice(PHRASES)
        if n % 4 == 0:
            yield phrase if n % 8 else f'"{phrase}"'
        else:
            yield " ".join(known[next(ranks)] for _ in range(1 + (n % 4 == 1)))


if __name__ == "__main__":
    main()
