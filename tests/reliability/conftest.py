"""Fixtures of the reliability tests."""

from collections.abc import Iterator

import pytest

from tests.soak.installation import Installation, installed


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Run Postgres, code server and daemon with scripted engines, for all tests of a file."""
    with installed(tmp_path_factory.mktemp("soak") / "data") as running:
        yield running
