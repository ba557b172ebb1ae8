"""One app and one database for all tests of a file, emptied before each of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.wiring import Storage, open_storage
from tests.integration.databases import emptied, new_database
from tests.web.app_server import serving


@dataclass(frozen=True, slots=True)
class Served:
    """Where the app is, and what it reads."""

    address: str
    database_url: str
    storage: Storage

    @contextmanager
    def client(self, **headers: str) -> Iterator[httpx.Client]:
        """A client of an app without calls."""
        emptied(self.database_url)
        with httpx.Client(base_url=self.address, headers=headers, timeout=30) as client:
            yield client


@contextmanager
def served(home: Path, postgres: str, template: str) -> Iterator[Served]:
    """The app with a data folder and a database of its own."""
    with new_database(postgres, template) as url:
        known = {"home": home, "database_url": SecretStr(url)}
        settings = Settings(**known, _env_file=None)  # pyright: ignore[reportArgumentType, reportCallIssue]
        with serving(settings) as address, open_storage(settings, url) as storage:
            yield Served(address, url, storage)
