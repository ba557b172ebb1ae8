"""Measure the queries of the pages over 100,000 calls with many random filters.

Run with `python -m benchmarks.reading`, or with `--database URL` on existing synthetic calls.
Prints p50 and p95 in ms: `first` for the first round, `warm` for the second round with the same
filters. It asserts nothing.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Self, TypeVar

from benchmarks.synthetic_calls import dataset_size, fill
from benchmarks.synthetic_data import COMMON, PHRASES, vocabulary
from callpipeline.domain.audio import Speaker
from callpipeline.domain.calls.call import CallState
from callpipeline.domain.calls.filters import CallFilters, MentionSentiment
from callpipeline.storage.ports.analytics import FilterChoices
from callpipeline.storage.postgres.database import Database
from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from callpipeline.storage.postgres.migrations import migrate
from callpipeline.storage.reading.analytics import Analytics
from callpipeline.storage.reading.api_analytics import ApiAnalytics
from callpipeline.storage.reading.calls import CallReader, CallTracker
from callpipeline.storage.reading.export import Dataset, open_export
from callpipeline.storage.reading.search import SegmentSearch

Kind = TypeVar("Kind")
Question = Callable[[], object]
RNG = random.Random(11)


@dataclass(frozen=True, slots=True)
class Readers:
    """All readers over one database."""

    database: Database
    calls: CallReader
    tracker: CallTracker
    analytics: Analytics
    api: ApiAnalytics
    search: SegmentSearch

    @classmethod
    def of(cls, database: Database) -> Self:
        return cls(
            database,
            CallReader(database),
            CallTracker(database),
            Analytics(database),
            ApiAnalytics(database),
            SegmentSearch(database),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=60, help="random filters per query")
    parser.add_argument("--database", help="URL of a database with synthetic calls")
    options = parser.parse_args()
    with _database(options) as url, Database(url) as database:
        readers = Readers.of(database)
        print(f"{'':34}{'first p50':>10}{'p95':>7}{'warm p50':>10}{'p95':>7}   ms")
        for name, ask in _questions(readers).items():
            asked = [ask() for _ in range(options.times)]
            first, warm = [_ms(each) for each in asked], [_ms(each) for each in asked]
            (a, b), (c, d) = _of_100(first), _of_100(warm)
            print(f"{name:34}{a:10.0f}{b:7.0f}{c:10.0f}{d:7.0f}", flush=True)


@contextmanager
def _database(options: argparse.Namespace) -> Iterator[str]:
    if options.database:
        yield options.database
        return
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        EmbeddedPostgres(Path(folder)).running() as url,
    ):
        migrate(url)
        fill(url, dataset_size(options.calls))
        yield url


def _questions(readers: Readers) -> dict[str, Callable[[], Question]]:
    """Return factories of queries with random filters, cursors, calls or words."""
    choices = readers.analytics.filter_choices()
    pages = page_cursors(readers)
    words = [*COMMON[60:], *PHRASES, *(f'"{p}"' for p in PHRASES), *vocabulary()[300:20_000:97]]

    def of(pick: Callable[[], Kind], ask: Callable[[Kind], object]) -> Callable[[], Question]:
        return lambda: partial(ask, pick())

    def over(ask: Callable[[CallFilters], object]) -> Callable[[], Question]:
        return of(lambda: random_filters(choices), ask)

    def about(ask: Callable[[str, CallFilters], object]) -> Callable[[], Question]:
        return of(lambda: (_any(words), random_filters(choices)), lambda both: ask(*both))

    return {
        "job list, no filter, by cursor": of(lambda: _any(pages), lambda a: _listed(readers, a)),
        "job list, by skip, 100 rows": of(
            lambda: RNG.randrange(99_000), lambda n: readers.calls.list(limit=100, skip=n)
        ),
        "job list, filtered, with total": over(
            lambda f: (readers.calls.list(f), readers.calls.count(f))
        ),
        "job list, file name": of(lambda: _named(choices.agents), readers.calls.list),
        "total": lambda: readers.calls.count,
        "positions and estimates of a page": of(
            lambda: _any(pages[:3]),
            lambda a: readers.tracker.estimates(readers.calls.list(after=a).calls),
        ),
        "call page": of(lambda: _some_call(readers, pages), readers.calls.find),
        "analytics page, all numbers": over(readers.analytics.analytics),
        "filter choices": lambda: readers.analytics.filter_choices,
        "/analytics/overview": over(readers.api.overview),
        "/analytics/competitor": of(lambda: _any(choices.competitors), readers.api.competitor),
        "/analytics/sentiment-trends": over(readers.api.sentiment_trends),
        "search, filtered": about(readers.search.list),
        "search, no filter": about(lambda w, _: readers.search.list(w)),
        "search, second page": about(lambda w, f: _second(readers, w, f)),
        "count of results": about(readers.search.count),
        "export of mentions, first row": over(lambda f: _begun(readers, f)),
    }


def _any(of: Sequence[Kind]) -> Kind:
    return RNG.choice(of)


def random_filters(choices: FilterChoices) -> CallFilters:
    """Return filters: half have a period of weeks; others are set in 20 to 30 % of cases."""
    found = CallFilters()
    if choices.last_day and RNG.random() < 0.5:
        first = choices.last_day - timedelta(days=RNG.randrange(30, 390))
        found = found.between(first, first + timedelta(days=RNG.choice([7, 30, 90])))
    if RNG.random() < 0.3:
        found = replace(found, agent=RNG.choice(choices.agents))
    if RNG.random() < 0.3:
        found = replace(found, competitors=tuple(RNG.sample(choices.competitors, 2)))
    if RNG.random() < 0.25:
        found = replace(found, sentiment=RNG.choice(list(MentionSentiment)))
    if RNG.random() < 0.2:
        found = replace(found, speaker=RNG.choice([Speaker.AGENT, Speaker.CUSTOMER]))
    return found


def _named(agents: tuple[str, ...]) -> CallFilters:
    return CallFilters(name=f"{RNG.choice(agents).split()[0]} {RNG.randrange(100)}")


def page_cursors(readers: Readers) -> list[str | None]:
    """Return cursors of the first pages, and of some far behind."""
    found: list[str | None] = [None]
    for skip in (0, 50, 100, 1_000, 20_000, 50_000, 90_000):
        found.append(readers.calls.list(skip=skip).after)
    return found


def _some_call(readers: Readers, pages: list[str | None]) -> str:
    done = CallFilters(states=(CallState.COMPLETED,))
    return RNG.choice(readers.calls.list(done, after=RNG.choice(pages)).calls).call_id


def _listed(readers: Readers, after: str | None) -> object:
    return readers.calls.list(after=after), readers.calls.count()


def _second(readers: Readers, words: str, filters: CallFilters) -> object:
    first = readers.search.list(words, filters)
    return readers.search.list(words, filters, after=first.after) if first.after else first


def _begun(readers: Readers, filters: CallFilters) -> object:
    with open_export(readers.database, Dataset.MENTIONS, filters=filters) as table:
        return next(table.rows, None)


def _ms(question: Question) -> float:
    began = time.perf_counter()
    question()
    return (time.perf_counter() - began) * 1000


def _of_100(times: list[float]) -> tuple[float, float]:
    of = quantiles(times, n=20)
    return of[9], of[18]


if __name__ == "__main__":
    main()
