"""Measure pages over HTTP with 100,000 synthetic calls: lists, one call, numbers, search.

Run with `python -m benchmarks.pages`; `--keep FOLDER` keeps the database for the next time. The app
is a separate process with one client, which requests each URL once (`first`) and then all of them
again (`again`). Prints p50, p95 and max in ms; the CPU time per response, of app and Postgres
together, in ms, which depends least on the load of the machine; and KB. It asserts nothing.
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
from datetime import date, timedelta
from pathlib import Path
from statistics import quantiles
from urllib.parse import urlencode

import httpx

from benchmarks.reading import RNG, Readers, page_cursors, random_filters
from benchmarks.stored_words import store_words
from benchmarks.synthetic_calls import dataset_size, fill
from benchmarks.synthetic_data import PHRASES, vocabulary, zipf
from benchmarks.web_app import KEY, app
from callpipeline.config import Settings
from callpipeline.domain.calls.filters import CallFilters
from callpipeline.storage.postgres.database import Database
from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from callpipeline.storage.postgres.migrations import migrate
from callpipeline.web.filters import url_with_filters
from callpipeline.wiring import open_results_store

Paths = Sequence[str]
TARGETS = {"/calls": 100, "/jobs": 100, "/calls/": 200} | dict.fromkeys(
    ("/", "/moments", "/competitor", "/analytics", "/search", "/agents", "/agent"), 300
)
STOP_WORDS = 40
"""Number of the most common words, which are rarely searched for: `the`, `to`."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=100, help="URLs of each kind")
    parser.add_argument(
        "--keep", type=Path, help="folder that keeps the database for the next time"
    )
    parser.add_argument("--only", default="", help="start of the kinds to measure: /analytics")
    options = parser.parse_args()
    with _folder(options.keep) as folder, _filled(folder, options.calls) as environment:
        kinds = _addresses(environment, options.times)
        print(machine())
        print(f"{'':32}{'first p50':>10}{'p95':>6}{'max':>6}{'again p50':>11}{'p95':>6}{'max':>6}"
              f"{'target':>8}{'CPU':>6}{'KB':>6}")  # fmt: skip
        server = json.loads((folder / "postgres" / "server.json").read_text())["pid"]
        with app(environment) as (process, url), httpx.Client(
            base_url=url, headers={"X-API-KEY": KEY, "Accept": "text/html"}, timeout=60
        ) as client:  # fmt: skip
            for name, paths in kinds.items():
                if name.startswith(options.only):
                    _measure(client, name, paths, (server, process))
        print(machine())


def machine() -> str:
    """Describe the CPUs and the load of this machine."""
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
    """Return the milliseconds until the response is complete, and its KB as transferred."""
    began = time.perf_counter()
    reply = client.get(path)
    took = time.perf_counter() - began
    reply.raise_for_status()
    return took * 1000, reply.num_bytes_downloaded / 1024


def _processor_ms(processes: Sequence[int]) -> float:
    """Return the CPU time of these processes so far, including children that have ended."""
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
    """Yield the settings of an installation with synthetic calls, created if it has none."""
    with EmbeddedPostgres(folder / "postgres").running() as url:
        migrate(url)
        with Database(url) as database:
            is_empty = not Readers.of(database).calls.list(limit=1).calls
        if is_empty:
            fill(url, dataset_size(calls))
        yield {"CALLPIPELINE_HOME": str(folder / "home"), "DATABASE_URL": url}


def _addresses(environment: Mapping[str, str], times: int) -> dict[str, Paths]:
    """Return URLs by kind; one in five of analytics and of searches has no filter."""
    with Database(environment["DATABASE_URL"]) as database:
        readers = Readers.of(database)
        choices, cursors = readers.analytics.filter_choices(), page_cursors(readers)
        store = open_results_store(Settings(home=Path(environment["CALLPIPELINE_HOME"])))
        calls = store_words(database, store, times, RNG)
    words, names, agents = list(_words(times)), choices.competitors, choices.agents
    last = choices.last_day or date.today()  # noqa: DTZ011

    def filters() -> CallFilters:
        return CallFilters() if RNG.random() < 0.2 else random_filters(choices)

    def some(one: Callable[[int], str]) -> Paths:
        return [one(n) for n in range(times)]

    def period(n: int) -> str:
        return f"from={last - timedelta(days=(7, 28, 90)[n % 3] - 1)}&to={last}"

    def listed(path: str, after: str | None) -> str:
        return url_with_filters(path, CallFilters(), after=after)

    return {
        "/calls": some(lambda _: "/calls"),
        "/calls by cursor": some(lambda _: listed("/calls", RNG.choice(cursors))),
        "/calls filtered": some(lambda _: url_with_filters("/calls", random_filters(choices))),
        "/jobs": some(lambda _: listed("/jobs", RNG.choice(cursors))),
        "/jobs by skip": some(lambda n: f"/jobs?skip={RNG.randrange(len(calls), 90_000)}"),
        "/calls/ one call": [f"/calls/{call}" for call in calls],
        "/calls/ word times": [f"/calls/{call}/words" for call in calls],
        "/ overview": some(lambda n: f"/?days={(7, 28, 90)[n % 3]}"),
        "/moments": some(lambda _: url_with_filters("/moments", filters().mentioning_any())),
        "/moments no filter": some(lambda _: "/moments"),
        "/competitor": some(lambda _: f"/competitor?{urlencode({'name': RNG.choice(names)})}"),
        "/analytics": some(lambda _: url_with_filters("/analytics", filters())),
        "/analytics no filter": some(lambda _: "/analytics"),
        "/agents": some(lambda n: f"/agents?{period(n)}"),
        "/agent": some(lambda n: f"/agent?{period(n)}&{urlencode({'name': RNG.choice(agents)})}"),
        "/search": some(lambda n: url_with_filters("/search", filters(), words=words[n])),
        "/search no filter": [f"/search?{urlencode({'words': each})}" for each in words],
    }


def _words(times: int) -> Iterator[str]:
    """Generate one or two words by their frequency; every fourth time a typical phrase."""
    import numpy as np

    known = vocabulary()[STOP_WORDS:]
    ranks = iter(zipf(len(known), 2 * times, np.random.default_rng(5), steepness=1.0).tolist())
    for n in range(times):
        phrase = RNG.choice(PHRASES)
        if n % 4 == 0:
            yield phrase if n % 8 else f'"{phrase}"'
        else:
            yield " ".join(known[next(ranks)] for _ in range(1 + (n % 4 == 1)))


if __name__ == "__main__":
    main()
