"""Fixtures: one embedded Postgres per session, one cloned database per test; Whisper models."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import psycopg
import pytest

from callpipeline import config
from callpipeline.config import Settings
from callpipeline.storage.postgres.database import Database
from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from callpipeline.storage.postgres.migrations import migrate
from callpipeline.wiring import Storage, open_storage
from tests import models
from tests.fakes.services import FaultServer

# An example may take longer than the default of 0.2 s, and its generation than a second, on a
# machine that is busy or stalls.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")

SERVICES = {"postgres", "s3_server"}
"""Fixtures that start a server; parameters that use one have the same name."""

MODEL_FIXTURES = {"base_model": "base", "tiny_en_model": "tiny.en"}
"""Fixtures that return the folder of a real Whisper model."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that start Postgres or an S3 server, which `make test-fast` skips.

    Tests that use a real model are marked too, and those marked `model` are skipped without base.
    """
    has_base = models.find_model("base") is not None
    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        if used & MODEL_FIXTURES.keys():
            item.add_marker(pytest.mark.model)
        elif item.get_closest_marker("model") and not has_base:
            item.add_marker(pytest.mark.skip(reason=models.missing("base")))
        callspec = getattr(item, "callspec", None)
        used |= {str(value) for value in callspec.params.values()} if callspec else set()
        if used & SERVICES or any(name.startswith("s3 ") or name == "s3" for name in used):
            item.add_marker(pytest.mark.services)


@pytest.fixture(autouse=True)
def fresh_settings() -> Iterator[None]:
    """Read settings anew in each test, from the environment that it sets."""
    config.settings.cache_clear()
    yield
    config.settings.cache_clear()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Postgres for this session; its database `callpipeline` is empty."""
    folder = tmp_path_factory.mktemp("postgres")
    with EmbeddedPostgres(folder, durable=False).running() as url:
        yield url


@pytest.fixture(scope="session")
def template(postgres: str) -> str:
    """The name of the migrated database that is cloned for each test."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE template_migrated")
    migrate(_at(postgres, "template_migrated"))
    return "template_migrated"


@pytest.fixture
def database_url(postgres: str, template: str) -> Iterator[str]:
    """The URL of a new migrated database."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(
            f'CREATE DATABASE "{name}" TEMPLATE {template} STRATEGY FILE_COPY'.encode()
        )
        yield _at(postgres, name)
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@pytest.fixture(scope="session")
def base_model() -> Path:
    """The folder of the Whisper model base; without it, the test is skipped."""
    return models.find_model("base") or pytest.skip(models.missing("base"))


@pytest.fixture(scope="session")
def tiny_en_model() -> Path:
    """The folder of the Whisper model tiny.en; without it, the test is skipped."""
    return models.find_model("tiny.en") or pytest.skip(models.missing("tiny.en"))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database(database_url) as database:
        yield database


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3-compatible server on this machine."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def services() -> Iterator[FaultServer]:
    """Services that engines call, on real sockets, with planned faults."""
    with FaultServer() as services:
        yield services


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with a new data folder, independent of the environment."""
    return Settings(home=tmp_path / "data", _env_file=None)  # pyright: ignore[reportCallIssue]


@pytest.fixture
def storage(settings: Settings, database_url: str) -> Iterator[Storage]:
    with open_storage(settings, database_url) as storage:
        yield storage


def _at(url: str, database: str) -> str:
    return url.rsplit("/", 1)[0] + "/" + database
