"""Soak test of an installation: `python -m tests.soak --minutes 60 --seed 1`.

Recordings keep arriving while processes are killed and stopped and stores fail. At the end, every
acknowledged recording must have one final state and one set of results, and each failure must
have been reported once; otherwise the exit code is 1.
"""

import argparse
import json
import random
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psycopg

from callpipeline.errors import DatabaseUnavailable
from tests.fakes.receivers import Answer, HttpReceiver
from tests.soak.chaos import ChaosMonkey, summary_lines
from tests.soak.installation import Installation, installed
from tests.soak.load_generator import LoadGenerator
from tests.soak.notifications import tally_notifications
from tests.soak.resource_usage import resident_mb
from tests.soak.tally import count_missing_in_dagster, tally

DRAIN_S = 900.0
WATCH_S = 5.0
MEMORY_S = 30.0
REJECTED = 0.2


def main() -> int:
    options = _options()
    with ExitStack() as stack:
        home = Path(options.home or stack.enter_context(tempfile.TemporaryDirectory())) / "data"
        receiver = flaky_receiver(random.Random(options.seed + 2))
        stack.enter_context(receiver.running())
        environment = {
            "CALLPIPELINE_BATCH_SIZE": str(options.batch_size),
            "CALLPIPELINE_NOTIFY_WEBHOOK_URL": f"{receiver.url}/hook",
            "CALLPIPELINE_NOTIFY_WINDOW_S": "60",
        }
        installation = stack.enter_context(installed(home, environment, durable=True))
        soak = Soak(installation, receiver, options.seed, options.rate)
        soak.run(options.minutes * 60)
        return soak.report()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=60, help="recordings a minute")
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--home", help="a new folder that is kept; default: a temporary one")
    return parser.parse_args()


def flaky_receiver(chance: random.Random) -> HttpReceiver:
    """Return a receiver of notifications that rejects every fifth on average."""
    answers = (Answer(500), Answer(503), Answer(429, headers={"Retry-After": "2"}))
    return HttpReceiver(
        lambda _: chance.choice(answers) if chance.random() < REJECTED else Answer(204, b"")
    )


class Soak:
    """Adds recordings, causes disruptions, and samples the memory of processes."""

    def __init__(
        self, installation: Installation, receiver: HttpReceiver, seed: int, rate: float
    ) -> None:
        incoming = installation.home / "incoming"
        incoming.mkdir()
        self.installation = installation
        self.receiver = receiver
        self.load = LoadGenerator(installation, random.Random(seed), incoming)
        self.chaos = ChaosMonkey(installation, random.Random(seed + 1))
        self.memory: dict[str, list[float]] = {}
        self._rate = rate
        self._watched = self._sampled = 0.0

    def run(self, seconds: float) -> None:
        """Run with load and disruptions for a time, then without until no call is open."""
        began = time.monotonic()
        while (elapsed_s := time.monotonic() - began) < seconds:
            while sum(self.load.added.values()) < elapsed_s * self._rate / 60:
                self.load.add_recording()
            self.chaos.act()
            self._watch()
            time.sleep(0.2)
        self.chaos.stop()
        self._drain()

    def report(self) -> int:
        """Print the results; return 1 if anything was lost or duplicated."""
        load, url = self.load, self.installation.url
        print("added: ", json.dumps(load.added))
        print(*summary_lines(self.chaos.disruptions), sep="\n")
        planned = [struck.point for struck in self.installation.faults.struck()]
        print(f"crash points and lost responses: {len(planned)}")
        for name, mb in sorted(self.memory.items()):
            first, last, most = mb[0], mb[-1], max(mb)
            print(f"{name:12} {first:5.0f} MB at first, {last:5.0f} at last, {most:5.0f} at most")
        _print_rows(url)
        print(f"stored stages that Dagster doesn't show: {count_missing_in_dagster(url)}")
        found = tally(url, self.installation.store, load.acknowledged)
        print(found)
        for line in (*found.lost, *found.dup, *found.partial):
            print("  ", line)
        notified = tally_notifications(url, self.receiver)
        print(notified)
        for line in (*notified.missed, *notified.twice):
            print("  ", line)
        return 0 if found.is_clean and notified.is_clean else 1

    def _drain(self) -> None:
        deadline = time.monotonic() + DRAIN_S
        while time.monotonic() < deadline:
            self._watch()
            found = tally(self.installation.url, None, self.load.acknowledged)
            if (
                not found.lost
                and not tally_notifications(self.installation.url, self.receiver).missed
            ):
                return
            time.sleep(WATCH_S)

    def _watch(self) -> None:
        now = time.monotonic()
        if now - self._watched < WATCH_S:
            return
        self._watched = now
        try:
            self.chaos.watch()
        except DatabaseUnavailable as error:
            print(f"temporary: {error}")
        if now - self._sampled >= MEMORY_S:
            self._sampled = now
            for name, process in self.installation.running.items():
                self.memory.setdefault(name, []).append(resident_mb(process.pid))


def _print_rows(url: str) -> None:
    """Print the numbers of rows in Dagster's tables and the failures by error class."""
    with psycopg.connect(url) as connection:
        for query, text in (
            ("SELECT count(*) FROM public.event_logs", "rows in Dagster's event log"),
            ("SELECT count(*) FROM public.runs", "runs"),
            ("SELECT count(*) FROM callpipeline.calls", "calls"),
        ):
            row = connection.execute(query.encode()).fetchone()
            print(f"{text}: {row[0] if row else 0}")
        failed = connection.execute(
            "SELECT error_class, count(*) FROM callpipeline.calls WHERE state = 'FAILED' GROUP BY 1"
        ).fetchall()
        print("failed:", dict(failed))
