"""A database for tests that leave nothing behind but rows."""

from collections.abc import Iterator

import pytest

from tests.integration.databases import clear_database, new_database


@pytest.fixture(scope="session")
def shared_url(postgres: str, template: str) -> Iterator[str]:
    with new_database(postgres, template) as url:
        yield url


@pytest.fixture
def emptied_url(shared_url: str) -> str:
    """The URL of a migrated database without a row. Modules that use it name it `database_url`."""
    return clear_database(shared_url)
