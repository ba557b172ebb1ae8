"""Measure calls per minute and CPU time per call, from a new file to a stored result.

Dagster, stores and Postgres are real; the engines return immediately. Run with
`python benchmarks/throughput.py --calls 1000`. It prints results and asserts nothing: times depend
on the machine and its load, CPU time less so.
"""

import argparse
import json
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from callpipeline.config import CHECKOUT
from tests.soak.installation import PLAIN, Installation, installed
from tests.soak.resource_usage import PeakMemory, children, cpu_of_children_s, cpu_time
from tests.soak.script import Script
from tests.soak.tally import tally

ROLES = ("run workers", "code server", "daemon", "Postgres")
POLL_S = 0.5
TIMEOUT_S = 3600.0


@dataclass
class Measured:
    """Results for `calls` calls; times are from the arrival of the files."""

    calls: int
    first_s: float = 0.0
    last_s: float = 0.0
    cpu_s: dict[str, float] = field(default_factory=dict)
    rows: int = 0
    runs: int = 0
    peaks: PeakMemory = field(default_factory=PeakMemory)

    @property
    def calls_per_minute(self) -> float:
        return self.calls / self.last_s * 60

    def report(self, title: str) -> None:
        print(f"\n{title}: {self.calls} calls in {self.runs} runs")
        print(
            f"  first result after {self.first_s:.0f} s, last after {self.last_s:.0f} s: "
            f"{self.calls_per_minute:.0f} calls per minute"
        )
        if self.last_s - self.first_s > 1:
            flowing = self.calls / (self.last_s - self.first_s) * 60
            print(f"  {flowing:.0f} per minute in steady state")
        for role in ROLES:
            print(f"  {role:12} {self.cpu_s[role] / self.calls * 1000:8.1f} CPU ms per call")
        whole = sum(self.cpu_s.values()) / self.calls * 1000
        print(f"  {'total':12} {whole:8.1f} CPU ms per call")
        print(f"  {self.rows / self.calls:.1f} rows per call in Dagster's event log")
        most = ", ".join(f"{role} {mb:.0f} MB" for role, mb in sorted(self.peaks.mb.items()))
        print(f"  peak memory: {most}")


def main() -> None:
    options = _options()
    many = {
        "CALLPIPELINE_BATCH_SIZE": str(options.batch_size),
        "CALLPIPELINE_CONCURRENCY": str(options.concurrency),
    }
    batched = _measure(options.calls, many, options)
    batched.report(f"{options.batch_size} calls per run at most")
    if options.alone:
        alone = _measure(options.alone, {"CALLPIPELINE_BATCH_SIZE": "1"}, options)
        alone.report("one call per run")
        ratio = batched.calls_per_minute / alone.calls_per_minute
        print(f"\nbatches process {ratio:.0f} times the calls per minute")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--batch-size", type=int, default=200)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--event-batch", type=int, help="DAGSTER_EVENT_BATCH_SIZE")
    parser.add_argument("--storage", choices=["pooled", "stock"], default="pooled")
    parser.add_argument("--alone", type=int, default=30, help="calls with a run each; 0: none")
    return parser.parse_args()


def _measure(calls: int, environment: dict[str, str], options: argparse.Namespace) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "data"
        chosen = environment | _of_dagster(Path(folder), options)
        if options.event_batch is not None:
            chosen["DAGSTER_EVENT_BATCH_SIZE"] = str(options.event_batch)
        with installed(home, chosen, code=PLAIN, durable=True) as installation:
            staged = _staged(Path(folder), calls)
            time.sleep(15)  # excludes the daemon's own start
            return _processed(installation, staged, calls)


def _of_dagster(folder: Path, options: argparse.Namespace) -> dict[str, str]:
    """Create a DAGSTER_HOME with the project's dagster.yaml and the chosen storage."""
    text = (CHECKOUT / "dagster.yaml").read_text()
    (folder / "instance").mkdir()
    chosen = text.replace("kind: pooled", f"kind: {options.storage}")
    (folder / "instance" / "dagster.yaml").write_text(chosen)
    return {"DAGSTER_HOME": str(folder / "instance")}


def _staged(folder: Path, calls: int) -> Path:
    """Write recordings to a folder that can be moved at once."""
    staged = folder / "staged"
    staged.mkdir()
    for number in range(calls):
        script = Script(number, mentions=number % 4)
        (staged / script.name).write_text(script.text)
    return staged


def _processed(installation: Installation, staged: Path, calls: int) -> Measured:
    measured = Measured(calls)
    before = _cpu_s(installation)
    began = time.monotonic()
    staged.rename(installation.recordings / "dropped")
    done = 0
    while done < calls and time.monotonic() - began < TIMEOUT_S:
        time.sleep(POLL_S)
        counted = installation.storage.ledger.count()
        done = sum(count for state, count in counted.items() if state.is_final)
        if done and not measured.first_s:
            measured.first_s = time.monotonic() - began
        _record_memory(installation, measured.peaks)
    measured.last_s = time.monotonic() - began
    _wait_for_runs(installation)
    after = _cpu_s(installation)
    measured.cpu_s = {role: after[role] - before[role] for role in ROLES}
    with psycopg.connect(installation.url) as connection:
        measured.rows = _number(connection, "SELECT count(*) FROM public.event_logs")
        measured.runs = _number(connection, "SELECT count(*) FROM public.runs")
    found = tally(installation.url, installation.store)
    if not found.is_clean:
        print(found)
    return measured


def _wait_for_runs(installation: Installation) -> None:
    """Wait until the last worker has ended; its CPU time counts only after that."""
    server = installation.running["code-server"].pid
    deadline = time.monotonic() + 60
    while _workers(server) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    time.sleep(2)


def _workers(code_server: int) -> list[int]:
    """Return children of the code server that execute runs, without its resource tracker."""
    found: list[int] = []
    for pid in children(code_server):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"resource_tracker" not in line:
            found.append(pid)
    return found


def _cpu_s(installation: Installation) -> dict[str, float]:
    server, daemon = (installation.running[name].pid for name in ("code-server", "daemon"))
    postgres = _postmaster(installation)
    spent = (cpu_of_children_s(server), cpu_time(server).own_s, cpu_time(daemon).own_s)
    return dict(
        zip(ROLES, (*spent, cpu_time(postgres).own_s + cpu_of_children_s(postgres)), strict=True)
    )


def _record_memory(installation: Installation, peaks: PeakMemory) -> None:
    server = installation.running["code-server"].pid
    peaks.update("run worker", _workers(server))
    peaks.update("code server", [server])
    peaks.update("daemon", [installation.running["daemon"].pid])


def _postmaster(installation: Installation) -> int:
    return json.loads((installation.home / "postgres" / "server.json").read_text())["pid"]


def _number(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    return row[0] if row else 0


if __name__ == "__main__":
    main()
