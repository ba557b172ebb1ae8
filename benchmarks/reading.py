"""How long what the pages read takes, over 100,000 calls and many random filters.

Run with `python -m benchmarks.reading`, or `--database URL` for a crowd that is there already. p50
and p95 in ms, after one round over the same filters that is told as `first`. It asserts nothing.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import TypeVar

from benchmarks.crowd import fill, size_of
from benchmarks.crowd_words import COMMON, PHRASES, vocabulary
from callpipeline.domain.audio import Speaker
from callpipeline.domain.call import CallState
from callpipeline.domain.filters import Filters, Stance
from callpipeline.storage.database import Database
from callpipeline.storage.embedded import EmbeddedPostgres
from callpipeline.storage.export import What
from callpipeline.storage.migrations import migrate
from callpipeline.storage.reading.numbers import Choices
from callpipeline.storage.reading.reader import Reading

Kind = TypeVar("Kind")
Question = Callable[[], object]
DICE = random.Random(11)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=60, help="random filters for each question")
    parser.add_argument("--database", help="the URL of a database that has a crowd")
    options = parser.parse_args()
    with _database(options) as url, Database(url) as database:
        reading = Reading(database)
        print(f"{'':34}{'first p50':>10}{'p95':>7}{'warm p50':>10}{'p95':>7}   ms")
        for name, ask in _questions(reading).items():
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
        fill(url, size_of(options.calls))
        yield url


def _questions(reading: Reading) -> dict[str, Callable[[], Question]]:
    """Each makes a question of its own, with random filters, places, calls or words."""
    choices = reading.choices()
    pages = places(reading)
    words = [*COMMON[60:], *PHRASES, *(f'"{p}"' for p in PHRASES), *vocabulary()[300:20_000:97]]

    def of(pick: Callable[[], Kind], ask: Callable[[Kind], object]) -> Callable[[], Question]:
        return lambda: partial(ask, pick())

    def over(ask: Callable[[Filters], object]) -> Callable[[], Question]:
        return of(lambda: random_filters(choices), ask)

    def about(ask: Callable[[str, Filters], object]) -> Callable[[], Question]:
        return of(lambda: (_any(words), random_filters(choices)), lambda both: ask(*both))

    return {
        "job list, no filter, by cursor": of(lambda: _any(pages), lambda a: _listed(reading, a)),
        "job list, by skip, of 100": of(
            lambda: DICE.randrange(99_000), lambda n: reading.calls(limit=100, skip=n)
        ),
        "job list, filtered, with total": over(lambda f: (reading.calls(f), reading.count(f))),
        "job list, name of file": of(lambda: _named(choices.agents), reading.calls),
        "total of all": lambda: reading.count,
        "places and estimates of a page": of(
            lambda: _any(pages[:3]), lambda a: reading.outlooks(reading.calls(after=a).calls)
        ),
        "call page": of(lambda: _some_call(reading, pages), reading.call),
        "analytics page, all its numbers": over(reading.analytics),
        "what can be filtered by": lambda: reading.choices,
        "/analytics/overview": over(reading.overview),
        "/analytics/competitor": of(lambda: _any(choices.competitors), reading.competitor),
        "/analytics/sentiment-trends": over(reading.sentiment_trends),
        "search, filtered": about(reading.search),
        "search, no filter": about(lambda w, _: reading.search(w)),
        "search, second page": about(lambda w, f: _second(reading, w, f)),
        "how many are found": about(reading.count_hits),
        "export of mentions, begun": over(lambda f: _begun(reading, f)),
    }


def _any(of: Sequence[Kind]) -> Kind:
    return DICE.choice(of)


def random_filters(choices: Choices) -> Filters:
    """Half of them of some weeks; each of the others in every third or fourth."""
    found = Filters()
    if choices.last_day and DICE.random() < 0.5:
        first = choices.last_day - timedelta(days=DICE.randrange(30, 390))
        found = found.between(first, first + timedelta(days=DICE.choice([7, 30, 90])))
    if DICE.random() < 0.3:
        found = replace(found, agent=DICE.choice(choices.agents))
    if DICE.random() < 0.3:
        found = replace(found, competitors=tuple(DICE.sample(choices.competitors, 2)))
    if DICE.random() < 0.25:
        found = replace(found, sentiment=DICE.choice(list(Stance)))
    if DICE.random() < 0.2:
        found = replace(found, speaker=DICE.choice([Speaker.AGENT, Speaker.CUSTOMER]))
    return found


def _named(agents: tuple[str, ...]) -> Filters:
    return Filters(name=f"{DICE.choice(agents).split()[0]} {DICE.randrange(100)}")


def places(reading: Reading) -> list[str | None]:
    """Cursors of the first pages, and of some far behind."""
    found: list[str | None] = [None]
    for skip in (0, 50, 100, 1_000, 20_000, 50_000, 90_000):
        found.append(reading.calls(skip=skip).after)
    return found


def _some_call(reading: Reading, pages: list[str | None]) -> str:
    done = Filters(states=(CallState.COMPLETED,))
    return DICE.choice(reading.calls(done, after=DICE.choice(pages)).calls).call_id


def _listed(reading: Reading, after: str | None) -> object:
    return reading.calls(after=after), reading.count()


def _second(reading: Reading, words: str, filters: Filters) -> object:
    first = reading.search(words, filters)
    return reading.search(words, filters, after=first.after) if first.after else first


def _begun(reading: Reading, filters: Filters) -> object:
    with reading.table(What.MENTIONS, filters) as table:
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
