"""One installation in real processes for all trials of a file."""

from collections.abc import Iterator

import pytest

from tests.soak.installation import Installation, installed


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Postgres, code server and daemon with scripted engines, on a data folder of their own."""
    with installed(tmp_path_factory.mktemp("soak") / "data") as running:
        yield running
