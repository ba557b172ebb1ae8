"""One app for all tests of a module; its data is deleted before each test."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.web.state import AppState
from callpipeline.wiring import Storage, open_storage
from tests.web.app_server import serving


@dataclass(frozen=True, slots=True)
class Served:
    """URL of the app, its settings and its storage."""

    address: str
    settings: Settings
    storage: Storage

    def delete_objects(self) -> None:
        """Delete all recordings and results."""
        for store in (self.storage.inbox, self.storage.store):
            for found in list(store.list()):
                store.delete(found.key)
                store.remove_empty_folders(found.key)

    @contextmanager
    def client(self, **headers: str) -> Iterator[httpx.Client]:
        with httpx.Client(base_url=self.address, headers=headers, timeout=300) as client:
            yield client


@contextmanager
def served(home: Path, url: str, **options: Any) -> Iterator[Served]:
    """Serve an app with its own data folder, the database at `url` and these settings."""
    known = {"home": home, "database_url": SecretStr(url)} | options
    settings = Settings(**known, _env_file=None)  # pyright: ignore[reportCallIssue]
    with serving(settings, _uncached) as address, open_storage(settings, url) as storage:
        yield Served(address, settings, storage)


def _uncached(state: AppState) -> AppState:
    """Read the choices of filters each time, since a test's calls are deleted after it."""
    return replace(state, filter_choices=state.storage.analytics.filter_choices)
