"""One running installation, shared by the tests that use it as a user does."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import expect

from tests.e2e.installation import Up, command, recording, start_up
from tests.fakes.receivers import Receivers
from tests.processes import until

# Dagster's pages take longer than the usual 5 s while other tests run.
expect.set_options(timeout=60_000)


@pytest.fixture(scope="session")
def receivers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receivers]:
    """Run receivers of the installation's notifications."""
    with ExitStack() as stack:
        yield Receivers(stack, tmp_path_factory.mktemp("receivers"))


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory, receivers: Receivers) -> Iterator[Up]:
    """Run `callpipeline up` and wait for a batch of three calls, one of which fails."""
    home, incoming = tmp_path_factory.mktemp("up") / "data", tmp_path_factory.mktemp("incoming")
    recording(incoming, "good", "i am switching to vodafone because it is cheaper")
    recording(incoming, "better", "never again with virgin media they were terrible")
    (incoming / "bad.mp3").write_bytes(b"<!DOCTYPE html><title>404</title>")
    ingested = command(home, "ingest", str(incoming))
    assert ingested.returncode == 0, ingested.stderr
    up = start_up(home, extra=receivers.environment)
    try:
        for name, state in (("good.wav", "COMPLETED"), ("better.wav", "COMPLETED")):
            until(
                lambda n=name, s=state: up.state_of(n) == s,
                f"{name}: {up.status()}",
                90,
                every_s=0.5,
            )
        until(
            lambda: up.state_of("bad.mp3") == "FAILED", f"a failure: {up.status()}", 60, every_s=0.5
        )
        yield up
    finally:
        up.stop()
