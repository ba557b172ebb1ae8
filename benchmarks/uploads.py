"""Measure the memory of the web app during many large concurrent uploads.

The app is a separate process whose memory is sampled; recordings go to a folder, and to S3 (an
in-memory server, in another process). Run with `python -m benchmarks.uploads`. It prints results
and asserts nothing.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import boto3
import httpx

from benchmarks.web_app import KEY, answers, app
from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from callpipeline.storage.postgres.migrations import migrate
from tests.processes import free_port, until

BLOCK = os.urandom(1_000_000)
S3 = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "us-east-1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--at-once", type=int, default=20)
    parser.add_argument("--mb", type=int, default=100)
    options = parser.parse_args()
    print(f"{'to':<8} {'before MB':>10} {'peak MB':>8} {'after MB':>9} {'seconds':>8} {'MB/s':>6}")
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedPostgres(Path(folder) / "pg", durable=False).running() as url,
        s3_server() as bucket,
    ):
        migrate(url)
        for name, environment in (("folder", {}), ("s3", bucket)):
            home = {"CALLPIPELINE_HOME": f"{folder}/{name}", "DATABASE_URL": url}
            measure(name, environment | home, options)


def measure(name: str, environment: dict[str, str], options: argparse.Namespace) -> None:
    """Print a line with the results of uploads to an app with these settings."""
    with app(environment) as (pid, address):
        send(address, -1, 1)
        before = resident_mb(pid)
        with watched(pid) as used, ThreadPoolExecutor(options.at_once) as pool:
            started = time.monotonic()
            list(pool.map(lambda n: send(address, n, options.mb), range(options.at_once)))
            took_s = time.monotonic() - started
        rate = options.at_once * options.mb / took_s
        after = resident_mb(pid)
        print(
            f"{name:<8} {before:>10.0f} {max(used):>8.0f} {after:>9.0f} {took_s:>8.1f} {rate:>6.0f}"
        )


def send(address: str, number: int, mb: int) -> None:
    """Upload a recording of this size with unique content."""
    head = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="%d.wav"\r\n\r\n'
        b"RIFF\xff\xff\xff\xffWAVE%d" % (number, time.monotonic_ns())
    )
    tail = b"\r\n--x--\r\n"

    def body() -> Iterator[bytes]:
        yield head
        for _ in range(mb):
            yield BLOCK
        yield tail

    headers = {
        "X-API-KEY": KEY,
        "Content-Type": "multipart/form-data; boundary=x",
        "Content-Length": str(len(head) + mb * len(BLOCK) + len(tail)),
    }
    reply = httpx.post(f"{address}/upload", content=body(), headers=headers, timeout=600)
    reply.raise_for_status()


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """Start an S3 server in a separate process; yields the settings for a bucket on it."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    endpoint = f"http://127.0.0.1:{port}"
    try:
        until(lambda: answers(endpoint), "the S3 server", 60, every_s=0.2)
        boto3.client("s3", endpoint_url=endpoint, **S3).create_bucket(Bucket="calls")
        yield {
            "CALLPIPELINE_RECORDINGS": "s3://calls/recordings",
            "CALLPIPELINE_STORAGE": "s3://calls/storage",
            "CALLPIPELINE_S3_ENDPOINT": endpoint,
            "CALLPIPELINE_S3_ACCESS_KEY_ID": "x",
            "CALLPIPELINE_S3_SECRET_ACCESS_KEY": "y",
        }
    finally:
        process.terminate()
        process.wait()


@contextmanager
def watched(pid: int) -> Iterator[list[float]]:
    """Yield a list that collects the process's memory in MB every 50 ms."""
    samples_mb, is_over = [resident_mb(pid)], threading.Event()

    def sample() -> None:
        while not is_over.wait(0.05):
            samples_mb.append(resident_mb(pid))

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield samples_mb
    finally:
        is_over.set()
        sampler.join()


def resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [found] = [line for line in lines if line.startswith("VmRSS:")]
    return int(found.split()[1]) / 1024


if __name__ == "__main__":
    main()
