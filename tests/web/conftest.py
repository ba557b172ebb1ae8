"""One database for each module, emptied before each test, and one set of trusted certificates."""

import functools
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from callpipeline.config import Settings
from callpipeline.web.services import catalog
from tests.integration.databases import clear_database, new_database
from tests.web.served import Served, served

ssl_context = functools.cache(httpx.create_ssl_context)


@pytest.fixture(scope="module", autouse=True)
def _certificates_loaded_once() -> Iterator[None]:
    """Share the SSL context of all clients, which httpx needs 50 ms to create, also for http."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("httpx._transports.default.create_ssl_context", ssl_context)
        yield


@pytest.fixture(scope="module", autouse=True)
def _patient_app() -> Iterator[None]:
    """Let apps wait for a database or a disk that is slow, and previews take their time."""
    with pytest.MonkeyPatch.context() as patch:
        limits = replace(catalog.PREVIEW_LIMITS, seconds=120.0)
        patch.setattr(catalog, "PREVIEW_LIMITS", limits)
        patch.setattr("callpipeline.web.services.availability.ANSWER_WITHIN_S", 60.0)
        patch.setattr("callpipeline.web.services.monitoring.TIMEOUT_S", 60.0)
        patch.setattr("callpipeline.web.state.CONNECTION_WITHIN_S", 60.0)
        yield


@pytest.fixture(scope="module")
def module_url(postgres: str, template: str) -> Iterator[str]:
    """The URL of the module's database."""
    with new_database(postgres, template) as url:
        yield url


@pytest.fixture
def database_url(module_url: str) -> str:
    """The URL of the module's database, without a row."""
    return clear_database(module_url)


@pytest.fixture(scope="module")
def module_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings with the module's data folder, independent of the environment."""
    return Settings(home=tmp_path_factory.mktemp("home"), _env_file=None)  # pyright: ignore[reportCallIssue]


@pytest.fixture(scope="module")
def app(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The module's app, with default settings."""
    with served(tmp_path_factory.mktemp("app"), module_url) as app:
        yield app


@pytest.fixture
def empty_app(app: Served, database_url: str) -> Served:
    """The module's app, without calls, recordings and results."""
    app.delete_objects()
    return app


@pytest.fixture
def client(empty_app: Served) -> Iterator[httpx.Client]:
    with empty_app.client() as client:
        yield client
