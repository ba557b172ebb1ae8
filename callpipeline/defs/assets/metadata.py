"""Catalog metadata of assets: owners, tags, code versions, tables, locations and freshness."""

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib import resources
from inspect import getsourcefile, getsourcelines
from pathlib import Path

import dagster as dg

from callpipeline.config import Settings
from callpipeline.domain.calls.call import Stage

SCHEMA = "callpipeline"
"""The Postgres schema of our tables."""
MARTS_GRACE = timedelta(hours=1)
"""Time from the end of a call until the marts of its day are refreshed, with a wide margin."""
PERSONAL_DATA_TAG = "callpipeline/personal-data"


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """Catalog metadata of an asset.

    Increment `code_version` when the results for the same input change.
    """

    table: str
    code_version: str | None = None
    personal_data: bool = True
    is_mart: bool = False
    uri: Callable[[Settings], str] | None = None


def _recordings(options: Settings) -> str:
    return options.recordings_url


def _objects(options: Settings) -> str:
    return f"{options.storage_url.rstrip('/')}/calls"


CATALOG: Mapping[str, CatalogEntry] = {
    "recordings": CatalogEntry("calls", uri=_recordings),
    Stage.CHANNEL_AUDIO: CatalogEntry("channels", "1", uri=_objects),
    Stage.CALL_METRICS: CatalogEntry("call_metrics", "1", personal_data=False),
    Stage.TRANSCRIPTS: CatalogEntry("transcripts", "1", uri=_objects),
    "competitor_catalog": CatalogEntry("catalog_changes", personal_data=False),
    Stage.COMPETITOR_MENTIONS: CatalogEntry("mentions", "1"),
    Stage.COMPETITOR_SENTIMENT: CatalogEntry("sentiment", "1"),
    "daily_calls": CatalogEntry("daily_calls", "1", personal_data=False, is_mart=True),
    "daily_competitors": CatalogEntry("daily_competitors", "2", personal_data=False, is_mart=True),
    "daily_agents": CatalogEntry("daily_agents", "2", is_mart=True),
    "notifications": CatalogEntry("deliveries", personal_data=False),
}


def with_metadata(
    assets: Iterable[dg.AssetsDefinition | dg.AssetSpec], options: Settings
) -> Sequence[dg.AssetsDefinition | dg.AssetSpec]:
    """Return the assets with catalog metadata, and references to the code that computes them."""
    described = dg.map_asset_specs(lambda spec: _described(spec, options), assets)
    return [
        asset if isinstance(asset, dg.AssetSpec) else _with_code_reference(asset)
        for asset in described
    ]


def code_reference(function: Callable[..., object]) -> Mapping[str, dg.CodeReferencesMetadataValue]:
    """Return metadata that links an asset to the function behind it."""
    path, line = getsourcefile(function), getsourcelines(function)[1]
    with _beta_features():
        reference = dg.LocalFileCodeReference(file_path=path or "", line_number=line)
        value = dg.CodeReferencesMetadataValue(code_references=[reference])
    return {"dagster/code_references": value}


def _with_code_reference(asset: dg.AssetsDefinition) -> dg.AssetsDefinition:
    with _beta_features():
        [referenced] = dg.with_source_code_references([asset])
    assert isinstance(referenced, dg.AssetsDefinition)
    return referenced


@contextmanager
def _beta_features() -> Iterator[None]:
    """Silence the warning for code references, which are in beta: the version is pinned."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        yield


def _described(spec: dg.AssetSpec, options: Settings) -> dg.AssetSpec:
    entry = CATALOG[spec.key.path[-1]]
    described = spec.merge_attributes(
        owners=options.owners,
        tags={PERSONAL_DATA_TAG: "yes" if entry.personal_data else "no"},
        metadata={
            "dagster/table_name": f"{SCHEMA}.{entry.table}",
            "dagster/column_schema": table_schema(entry.table),
            **_uri(entry, options),
        },
    )
    return described.replace_attributes(
        code_version=entry.code_version, freshness_policy=_freshness(entry, options)
    )


def _uri(entry: CatalogEntry, options: Settings) -> Mapping[str, dg.MetadataValue]:
    """Return where the objects are: an S3 URL, or the URI of a folder."""
    if entry.uri is None:
        return {}
    location = entry.uri(options)
    uri = location if "://" in location else Path(location).absolute().as_uri()
    return {"dagster/uri": dg.MetadataValue.url(uri)}


def _freshness(entry: CatalogEntry, options: Settings) -> dg.FreshnessPolicy | None:
    """Return a policy for computed assets if calls are expected at regular intervals."""
    if entry.code_version is None or not options.ingestion_quiet_h:
        return None
    fail_window = timedelta(hours=options.ingestion_quiet_h)
    return dg.FreshnessPolicy.time_window(fail_window + (MARTS_GRACE * entry.is_mart))


_TABLE = re.compile(r"^CREATE TABLE (\w+) \(\n(.*?)^\);", re.MULTILINE | re.DOTALL)
_COLUMN = re.compile(r"^    ([a-z]\w*) +([a-z]+(?: precision)?)\b(.*)$", re.MULTILINE)
_COMMENT = re.compile(r"^COMMENT ON COLUMN (\w+)\.(\w+) IS\s+'((?:[^']|'')*)';", re.MULTILINE)


@cache
def table_schema(table: str) -> dg.TableSchema:
    """Return the columns of a table with types and comments. Raises KeyError for no such table."""
    sql = resources.files("callpipeline.storage.postgres").joinpath("schema.sql").read_text()
    body = dict(_TABLE.findall(sql))[table]
    comments = {(of, column): text.replace("''", "'") for of, column, text in _COMMENT.findall(sql)}
    return dg.TableSchema(
        [
            dg.TableColumn(
                name,
                type_,
                description=comments.get((table, name)),
                constraints=dg.TableColumnConstraints(nullable=nullable),
            )
            for name, type_, nullable in _columns(body)
        ]
    )


def _columns(body: str) -> Iterator[tuple[str, str, bool]]:
    """Yield name, type and nullability of each column."""
    primary_key = re.search(r"^    PRIMARY KEY \(([^)]*)\)", body, re.MULTILINE)
    keys = primary_key[1].split(", ") if primary_key else []
    for name, type_, rest in _COLUMN.findall(body):
        yield name, type_, not (name in keys or "NOT NULL" in rest or "PRIMARY KEY" in rest)
