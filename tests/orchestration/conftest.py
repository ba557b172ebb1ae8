"""The `lab` of orchestration tests."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.wiring import open_storage
from tests.integration.databases import clear_database, new_database
from tests.orchestration.lab import CountingEngines, Lab, SharedParts


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
def lab_options() -> dict[str, Any]:
    """Settings of the module's labs."""
    return {}


@pytest.fixture(scope="module")
def shared(
    module_url: str, lab_options: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SharedParts]:
    os.environ.pop("DAGSTER_HOME", None)
    settings = Settings(
        home=tmp_path_factory.mktemp("lab") / "data",
        database_url=SecretStr(module_url),
        settle_s=0.0,
        **lab_options,
        _env_file=None,  # pyright: ignore[reportCallIssue]
    )
    with dg.DagsterInstance.ephemeral() as instance:
        yield SharedParts(settings, instance)


@pytest.fixture
def lab(shared: SharedParts, database_url: str, tmp_path: Path) -> Iterator[Lab]:
    """An installation with the sample catalog and no calls."""
    shutil.rmtree(shared.settings.home, ignore_errors=True)
    shared.instance.wipe()
    folder = tmp_path / "incoming"
    folder.mkdir()
    with open_storage(shared.settings, database_url) as storage:
        engines = CountingEngines()
        yield Lab(shared.settings, storage, engines, shared.instance, folder, shared=shared)
