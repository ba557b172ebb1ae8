"""The app over a crowd of made-up calls, for pages of numbers and words."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr

from benchmarks.crowd import fill
from benchmarks.crowd_calls import Size
from callpipeline.config import Settings
from tests.integration.databases import new_database
from tests.web.app_server import serving

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
SIZE = Size(150, 2_000, 450, agents=4, competitors=9, days=90)


@contextmanager
def crowd(postgres: str, template: str, size: Size = SIZE) -> Iterator[str]:
    """The URL of a database with these calls."""
    with new_database(postgres, template) as url:
        fill(url, size, now=NOW)
        yield url


@contextmanager
def served(url: str, home: Path) -> Iterator[str]:
    """The address of an app over this database."""
    with serving(
        Settings(home=home, database_url=SecretStr(url), _env_file=None)  # pyright: ignore[reportCallIssue]
    ) as address:
        yield address
