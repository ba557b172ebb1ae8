"""Measure discovery of new recordings: 100,000 objects in a folder and in an S3 bucket.

Run with `python benchmarks/discovery.py [objects]`. It prints results and asserts nothing, since
times vary. The ledger is an embedded Postgres. The S3 server, in another process, is a small one in
this file that answers ListObjectsV2 from a sorted list, because moto sorts all keys for each page.
"""

import bisect
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from callpipeline.domain.calls.sources import Source
from callpipeline.pipeline.ingest.cursor import DiscoveryCursor
from callpipeline.pipeline.ingest.discovery import ScanBudget, discover
from callpipeline.storage.calls.ledger import Ledger
from callpipeline.storage.objects.ports import ObjectStore
from callpipeline.storage.objects.urls import S3Access, open_store
from callpipeline.storage.postgres.database import Database
from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from callpipeline.storage.postgres.migrations import migrate
from callpipeline.storage.sources.patterns import compile_pattern

TODAY = datetime.now(UTC)
PATTERN = compile_pattern(r"AGENT_(?P<agent>[^_]+)_DT_(?P<started_at>[0-9T-]+)", "filename")
TICK_S = 5.0


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    keys = [key_of(number, count) for number in range(count)]
    with tempfile.TemporaryDirectory() as folder, ledger_in(Path(folder) / "pg") as ledger:
        print(f"{'store':<22} {'tick':<26} {'seconds':>8} {'listed':>8} {'new':>8} {'peak MB':>8}")
        recordings = Path(folder) / "recordings"
        write_files(recordings, keys)
        measure("folder", open_store(str(recordings), S3Access()), ledger)
        with s3_server(keys) as endpoint:
            access = S3Access(endpoint, access_key_id="x", secret_access_key="y")
            measure("s3", open_store("s3://calls", access), ledger)


def key_of(number: int, count: int) -> str:
    """Return a key as a recorder names it, in the folder of one of the last hundred days."""
    day = TODAY - timedelta(days=100 * (count - 1 - number) // count)
    written = f"{day:%Y-%m-%d}T{number // 3600 % 24:02}-{number // 60 % 60:02}-{number % 60:02}"
    return f"{day:%Y/%m/%d}/{number:06}_AGENT_Agent{number % 50}_DT_{written}_Mono.wav"


@dataclass
class Ticks:
    """Sensor ticks, five seconds apart, each printed as a line."""

    name: str
    source: Source
    store: ObjectStore
    ledger: Ledger
    progress: DiscoveryCursor
    now: datetime

    def tick(self, what: str) -> bool:
        started = time.perf_counter()
        tick = ScanBudget(self.now, settle_s=3.0)
        found = discover(self.source, self.store, self.ledger, self.progress, tick)
        took_s = time.perf_counter() - started
        self.progress = DiscoveryCursor.from_json(found.cursor.to_json(self.source), self.source)
        self.now += timedelta(seconds=max(TICK_S, took_s))
        new = sum(each.is_new for each in found.result.registered)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        cells = f"{took_s:>8.2f} {found.result.listed:>8,} {new:>8,} {peak:>8.0f}"
        print(f"{self.name:<22} {what:<26} {cells}")
        return found.finished_sweep


def measure(name: str, store: ObjectStore, ledger: Ledger) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=10)
    flat = Ticks(name, Source("calls", "x", PATTERN), store, ledger, DiscoveryCursor(), soon)
    while not flat.tick("first sweep"):
        pass
    for _ in range(3):
        flat.tick("idle")
    flat.now += timedelta(minutes=10)
    flat.tick("idle, sweep due")
    days = Source("calls", "x", PATTERN, day_folders="%Y/%m/%d")
    dated = Ticks(f"{name}, day folders", days, store, ledger, DiscoveryCursor(), flat.now)
    dated.tick("idle, hourly sweep")
    for _ in range(3):
        dated.tick("idle")


@contextmanager
def ledger_in(folder: Path) -> Iterator[Ledger]:
    with EmbeddedPostgres(folder).running() as url:
        migrate(url)
        with Database(url) as database:
            yield Ledger(database)


def write_files(folder: Path, keys: list[str]) -> None:
    for key in keys:
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


@contextmanager
def s3_server(keys: list[str]) -> Iterator[str]:
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(sorted(keys), theirs), daemon=True)
    server.start()
    yield f"http://127.0.0.1:{ours.recv()}"
    server.terminate()


def serve(keys: list[str], port: Connection) -> None:
    class Listing(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = listing(keys, parse_qs(urlsplit(self.path).query)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listing)
    port.send(server.server_port)
    server.serve_forever()


def listing(keys: list[str], query: dict[str, list[str]]) -> str:
    """Return a page of ListObjectsV2 in the format of S3."""
    prefix = query.get("prefix", [""])[0]
    after = (query.get("continuation-token") or query.get("start-after") or [""])[0]
    first = max(bisect.bisect_left(keys, prefix), bisect.bisect_right(keys, after))
    page = [key for key in keys[first : first + 1000] if key.startswith(prefix)]
    more = len(page) == 1000
    token = f"<NextContinuationToken>{page[-1]}</NextContinuationToken>" if more else ""
    modified = "2026-01-02T03:04:05.000Z"
    contents = "".join(
        f"<Contents><Key>{quote(key)}</Key><LastModified>{modified}</LastModified>"
        f"<ETag>&quot;{hash(key):032x}&quot;</ETag><Size>123456</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for key in page
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>calls</Name>'
        f"<Prefix>{quote(prefix)}</Prefix><KeyCount>{len(page)}</KeyCount><MaxKeys>1000</MaxKeys>"
        f"<EncodingType>url</EncodingType><IsTruncated>{str(more).lower()}</IsTruncated>"
        f"{token}{contents}</ListBucketResult>"
    )


if __name__ == "__main__":
    main()
