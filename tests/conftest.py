"""Fixtures that need a database: one embedded Postgres a session, one cloned database a test."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from callpipeline.config import Settings
from callpipeline.storage.database import Database
from callpipeline.storage.embedded import EmbeddedPostgres
from callpipeline.storage.migrations import migrate
from callpipeline.wiring import Storage, open_storage
from tests.fakes.services import FaultServer


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Postgres for this session; its database `callpipeline` is empty."""
    folder = tmp_path_factory.mktemp("postgres")
    with EmbeddedPostgres(folder, durable=False).running() as url:
        yield url


@pytest.fixture(scope="session")
def template(postgres: str) -> str:
    """The name of a migrated database that tests are cloned from."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE template_migrated")
    migrate(_at(postgres, "template_migrated"))
    return "template_migrated"


@pytest.fixture
def database_url(postgres: str, template: str) -> Iterator[str]:
    """The URL of a migrated database of this test's own."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE {template}'.encode())
        yield _at(postgres, name)
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


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
    """The services that engines call, on real sockets; they fail as a test plans it."""
    with FaultServer() as services:
        yield services


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a data folder of this test's own, whatever the environment says."""
    return Settings(home=tmp_path / "data", _env_file=None)  # pyright: ignore[reportCallIssue]


@pytest.fixture
def storage(settings: Settings, database_url: str) -> Iterator[Storage]:
    with open_storage(settings, database_url) as storage:
        yield storage


def _at(url: str, database: str) -> str:
    return url.rsplit("/", 1)[0] + "/" + database
