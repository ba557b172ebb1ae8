"""The web app in a process of its own, as `up` starts it, for benchmarks that look from outside."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx

from tests.processes import until
from tests.soak.installation import free_port

KEY = "a key of sixteen or more"


@contextmanager
def app(place: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """The process and the address of an app with these settings."""
    port = free_port()
    environment = os.environ | place
    environment |= {"CALLPIPELINE_API_KEY": KEY, "CALLPIPELINE_WEB_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-m", "callpipeline.web"],
        env=environment,
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
