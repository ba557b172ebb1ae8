"""An installation under load and under fire: `python -m tests.soak --minutes 60 --seed 1`.

Recordings keep coming in while processes are killed and stopped and stores fail. In the end every
recording that was acknowledged has one final state and one set of results, and whoever is to be
told of failures has heard of each, or the exit code is 1.
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
from tests.soak.feeding import Feeder
from tests.soak.installation import Installation, installed
from tests.soak.processes import resident_mb
from tests.soak.striking import Striker, told
from tests.soak.tally import tally, unseen
from tests.soak.telling import telling

DRAIN_S = 900.0
LOOK_S = 5.0
SAMPLE_S = 30.0
REFUSED = 0.2


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
    parser.add_argument("--home", help="a new folder that is kept; else a temporary one")
    return parser.parse_args()


def flaky_receiver(chance: random.Random) -> HttpReceiver:
    """A receiver of notifications that is out of order at every fifth of them."""
    answers = (Answer(500), Answer(503), Answer(429, headers={"Retry-After": "2"}))
    return HttpReceiver(
        lambda _: chance.choice(answers) if chance.random() < REFUSED else Answer(204, b"")
    )


class Soak:
    """Feeds and strikes in turn, and keeps what it saw of the memory of processes."""

    def __init__(
        self, installation: Installation, receiver: HttpReceiver, seed: int, rate: float
    ) -> None:
        incoming = installation.home / "incoming"
        incoming.mkdir()
        self.installation = installation
        self.receiver = receiver
        self.feeder = Feeder(installation, random.Random(seed), incoming)
        self.striker = Striker(installation, random.Random(seed + 1))
        self.memory: dict[str, list[float]] = {}
        self._rate = rate
        self._looked = self._sampled = 0.0

    def run(self, seconds: float) -> None:
        """Under load and fire for so long, then in peace until nothing waits."""
        began = time.monotonic()
        while (past := time.monotonic() - began) < seconds:
            while sum(self.feeder.brought.values()) < past * self._rate / 60:
                self.feeder.bring()
            self.striker.act()
            self._look()
            time.sleep(0.2)
        self.striker.stop()
        self._drain()

    def report(self) -> int:
        """Print what happened; 1 where anything was lost or is there twice."""
        feeder, url = self.feeder, self.installation.url
        print("brought: ", json.dumps(feeder.brought))
        print(*told(self.striker.strikes), sep="\n")
        planned = [struck.point for struck in self.installation.faults.struck()]
        print(f"crash points and lost answers: {len(planned)}")
        for name, mb in sorted(self.memory.items()):
            print(f"{name:12} {mb[0]:5.0f} MB at first, {mb[-1]:5.0f} at last, {max(mb):5.0f} most")
        _print_rows(url)
        print(f"stored stages that Dagster does not show: {unseen(url)}")
        found = tally(url, self.installation.store, feeder.acknowledged)
        print(found)
        for line in (*found.lost, *found.dup, *found.partial):
            print("  ", line)
        heard = telling(url, self.receiver)
        print(heard)
        for line in (*heard.untold, *heard.twice):
            print("  ", line)
        return 0 if found.is_clean and heard.is_clean else 1

    def _drain(self) -> None:
        deadline = time.monotonic() + DRAIN_S
        while time.monotonic() < deadline:
            self._look()
            found = tally(self.installation.url, None, self.feeder.acknowledged)
            if not found.lost and not telling(self.installation.url, self.receiver).untold:
                return
            time.sleep(LOOK_S)

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        try:
            self.striker.watch()
        except DatabaseUnavailable as error:
            print(f"for now: {error}")
        if now - self._sampled >= SAMPLE_S:
            self._sampled = now
            for name, process in self.installation.running.items():
                self.memory.setdefault(name, []).append(resident_mb(process.pid))


def _print_rows(url: str) -> None:
    """Rows of Dagster, and why calls failed."""
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
