"""Measure 200 readers and a few uploaders at once: errors, p95, and CPU per request.

Each reader opens pages one after the other, with a second between them, while four clients upload
recordings. The app is a process of its own, on an embedded Postgres that syncs. Run with
`python -m benchmarks.readers`. It prints results and asserts nothing.
"""

import argparse
import asyncio
import os
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path

import httpx

from benchmarks.web_app import KEY, app
from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from callpipeline.storage.postgres.migrations import migrate

PAGES = ("/", "/calls", "/jobs", "/competitors", "/analytics", "/search?query=cancel", "/health")
UPLOADERS = 4
SIZE_BYTES = 250_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=30)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedPostgres(Path(folder) / "postgres").running() as url,
    ):
        migrate(url)
        limits = {"CALLPIPELINE_WEB_REQUESTS_PER_MIN": "0", "CALLPIPELINE_WEB_UPLOADS_PER_MIN": "0"}
        with app({"CALLPIPELINE_HOME": folder, **limits}) as (pid, address):
            asyncio.run(measure(pid, address, options.readers, options.seconds))


async def measure(pid: int, address: str, readers: int, seconds: int) -> None:
    """Print what readers and uploaders saw."""
    seen: dict[str, list[tuple[float, int]]] = {"read": [], "upload": []}
    until = time.monotonic() + seconds
    cpu_s = cpu(pid)
    limits = httpx.Limits(max_connections=readers + UPLOADERS)
    async with httpx.AsyncClient(
        base_url=address, headers={"X-API-KEY": KEY}, timeout=30, limits=limits
    ) as client:
        reading = [read(client, until, seen["read"]) for _ in range(readers)]
        uploading = [upload(client, until, seen["upload"]) for _ in range(UPLOADERS)]
        await asyncio.gather(*reading, *uploading)
    cpu_s = cpu(pid) - cpu_s
    total = sum(map(len, seen.values()))
    print(f"{'':<8} {'requests':>9} {'errors':>7} {'median ms':>10} {'p95 ms':>7}")
    for name, each in seen.items():
        took = [1000 * took_s for took_s, _ in each]
        errors = sum(status >= 400 for _, status in each)
        p95 = statistics.quantiles(took, n=20)[-1]
        print(f"{name:<8} {len(each):>9} {errors:>7} {statistics.median(took):>10.0f} {p95:>7.0f}")
    print(f"CPU of the app: {1000 * cpu_s / total:.1f} ms per request")
    statuses = Counter(status for each in seen.values() for _, status in each if status >= 400)
    if statuses:
        print("Errors by status:", dict(statuses))


async def read(client: httpx.AsyncClient, until: float, seen: list[tuple[float, int]]) -> None:
    await asyncio.sleep(random.random())
    while time.monotonic() < until:
        seen.append(await timed(client.get(random.choice(PAGES))))
        await asyncio.sleep(1)


async def upload(client: httpx.AsyncClient, until: float, seen: list[tuple[float, int]]) -> None:
    while time.monotonic() < until:
        content = b"RIFF\xff\xff\xff\xffWAVE" + os.urandom(SIZE_BYTES)
        name = f"/upload/{time.monotonic_ns()}.wav"
        seen.append(await timed(client.put(name, content=content)))
        await asyncio.sleep(0.5)


async def timed(request: Awaitable[httpx.Response]) -> tuple[float, int]:
    """Return how long a request took in seconds, and its status; 599 for a broken connection."""
    begin = time.perf_counter()
    try:
        status = (await request).status_code
    except httpx.HTTPError:
        status = 599
    return time.perf_counter() - begin, status


def cpu(pid: int) -> float:
    """Return the CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
