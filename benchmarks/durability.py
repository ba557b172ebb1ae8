"""Measure what it costs that stored files are synced to the disk.

Everything is measured with and without, alternately in one run: storing a file, storing the four
objects of a call at once and one by one, and uploads by eight clients to the app in a process of
its own. Run with `python -m benchmarks.durability`. It prints results and asserts nothing.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx

from benchmarks.web_app import KEY, app
from callpipeline.storage.objects import files
from callpipeline.storage.objects.folder import FolderStore
from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from callpipeline.storage.postgres.migrations import migrate

SIZE_BYTES = 250_000
CLIENTS = 8
UPLOADS = 400
ROUNDS = 3
UNSYNCED = (
    "from callpipeline.storage.objects import files; files.sync = lambda descriptor: None; "
    "from callpipeline.web.__main__ import main; main()"
)


def main() -> None:
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder:
        measure_store(FolderStore("store", Path(folder) / "store"))
        measure_uploads(Path(folder))


def measure_store(store: FolderStore) -> None:
    """Print the median time of a put, with and without a sync."""
    numbers = iter(range(10**6))
    content = os.urandom(SIZE_BYTES)

    def one() -> None:
        store.put(f"calls/{next(numbers)}/left.flac", content)

    def call(together: bool) -> None:
        number = next(numbers)
        objects = {f"calls/{number}/{name}": content for name in ("left", "right", "p1", "p2")}
        if together:
            store.put_all(objects)
        else:
            for key, each in objects.items():
                store.put(key, each)

    tried: dict[str, Callable[[], None]] = {
        "one file of 250 KB": one,
        "four of a call, one by one": lambda: call(False),
        "four of a call, together": lambda: call(True),
    }
    print(f"{'median of 200, ms':<30} {'synced':>8} {'not':>8}")
    for name, work in tried.items():
        synced, not_synced = times(work), times(work, sync=False)
        print(f"{name:<30} {synced:>8.2f} {not_synced:>8.2f}")


def times(work: Callable[[], None], *, sync: bool = True) -> float:
    """Return the median of 200 times in milliseconds."""
    took: list[float] = []
    with syncing(sync):
        for _ in range(200):
            begin = time.perf_counter()
            work()
            took.append(1000 * (time.perf_counter() - begin))
    return statistics.median(took)


@contextmanager
def syncing(wanted: bool) -> Iterator[None]:
    original = files.sync
    files.sync = original if wanted else lambda descriptor: None
    try:
        yield
    finally:
        files.sync = original


def measure_uploads(folder: Path) -> None:
    """Print uploads per second of the app, with and without."""
    print(f"\n{'uploads of 250 KB, 8 clients':<30} {'per s':>8} {'p95 ms':>8}")
    for number in range(ROUNDS):
        for name, code in (("synced", None), ("not synced", UNSYNCED)):
            home = folder / f"home-{number}-{code is None}"
            with EmbeddedPostgres(home / "postgres").running() as url:
                migrate(url)
                with app({"CALLPIPELINE_HOME": str(home)}, code) as (_, address):
                    rate, slow_ms = upload_all(address)
            print(f"{name:<30} {rate:>8.0f} {slow_ms:>8.0f}")


def upload_all(address: str) -> tuple[float, float]:
    """Return uploads per second, and the time in ms that 95 % stay below."""
    took: list[float] = []

    def work(number: int) -> None:
        with httpx.Client(base_url=address, headers={"X-API-KEY": KEY}, timeout=60) as client:
            for each in range(UPLOADS // CLIENTS):
                body = b"RIFF\xff\xff\xff\xffWAVE%d-%d" % (number, each) + os.urandom(SIZE_BYTES)
                begin = time.perf_counter()
                client.put(f"/upload/{number}-{each}.wav", content=body).raise_for_status()
                took.append(1000 * (time.perf_counter() - begin))

    begin = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(work, range(CLIENTS)))
    return UPLOADS / (time.perf_counter() - begin), statistics.quantiles(took, n=20)[-1]


if __name__ == "__main__":
    main()
