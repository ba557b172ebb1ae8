"""The app with synthetic calls, for analytics and search."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr

from benchmarks.synthetic_calls import fill
from benchmarks.synthetic_data import DatasetSize
from callpipeline.config import Settings
from tests.integration.databases import new_database
from tests.web.app_server import serving

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
SIZE = DatasetSize(150, 2_000, 450, agents=4, competitors=9, days=90)


@contextmanager
def synthetic_database(postgres: str, template: str, size: DatasetSize = SIZE) -> Iterator[str]:
    """Yield the URL of a database with these calls."""
    with new_database(postgres, template) as url:
        fill(url, size, now=NOW)
        yield url


@contextmanager
def serve(url: str, home: Path) -> Iterator[str]:
    """Yield the address of an app that uses this database."""
    with serving(
        Settings(home=home, database_url=SecretStr(url), _env_file=None)  # pyright: ignore[reportCallIssue]
    ) as address:
        yield address
