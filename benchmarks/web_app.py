"""The web app as a separate process, as started by `up`, for benchmarks over HTTP."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx

from tests.processes import free_port, until

KEY = "a key of sixteen or more"


@contextmanager
def app(environment: Mapping[str, str], code: str | None = None) -> Iterator[tuple[int, str]]:
    """Start an app with these settings, or this Python code; yields its process id and URL."""
    port = free_port()
    chosen = os.environ | environment
    chosen |= {"CALLPIPELINE_API_KEY": KEY, "CALLPIPELINE_WEB_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, *(("-c", code) if code else ("-m", "callpipeline.web"))],
        env=chosen,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        until(lambda: answers(f"{address}/health"), "the app", 60, every_s=0.2)
        yield process.pid, address
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code < 500
    except httpx.TransportError:
        return False
