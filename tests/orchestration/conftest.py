"""The `lab` of orchestration tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from pydantic import SecretStr

from callpipeline.config import Settings
from callpipeline.wiring import Storage
from tests.orchestration.lab import Lab, Listening


@pytest.fixture
def lab(settings: Settings, database_url: str, storage: Storage, tmp_path: Path) -> Iterator[Lab]:
    """A fresh installation with the sample catalog and no calls."""
    chosen = settings.model_copy(update={"database_url": SecretStr(database_url), "settle_s": 0.0})
    folder = tmp_path / "incoming"
    folder.mkdir()
    os.environ.pop("DAGSTER_HOME", None)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Lab(chosen, storage, Listening(), instance, folder)
