"""Run the services alone, for benchmarks: print their URLs and serve until stopped."""

import argparse
import signal
import threading
from pathlib import Path

from tests.fakes.services.connection import PORTS
from tests.fakes.services.script import channels_from
from tests.fakes.services.server import FaultServer

DELAYED_SERVICES = ("auth", "split", "channel", "transcription", "sentiment", "speech", "chat")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.services", description=__doc__)
    for service in DELAYED_SERVICES:
        parser.add_argument(
            f"--{service}-seconds", type=float, default=0.0, help="delay of each response"
        )
    parser.add_argument("--channels", type=Path, help="folder with <recording>/left.* and right.*")
    options = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with FaultServer() as services:
        for service in DELAYED_SERVICES:
            services.delay(service, getattr(options, f"{service}_seconds"))
        if options.channels:
            services.script.channels = channels_from(options.channels)
        for port in PORTS:
            print(port, services.url(port), flush=True)
        print("stats", f"{services.url('auth')}/stats", flush=True)
        stopped.wait()


if __name__ == "__main__":
    main()
