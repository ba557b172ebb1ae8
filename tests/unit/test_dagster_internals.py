"""Code below Dagster's public surface stays in one package, and fails loudly on another version."""

import ast
import importlib
import inspect
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._annotations import is_public
from sqlalchemy import Table

from callpipeline.config import CHECKOUT

PACKAGE = CHECKOUT / "callpipeline"
INTERNALS = PACKAGE / "defs" / "dagster_internals"
PUBLIC_MODULES = {"dagster", "dagster_slack"}
UPGRADE = (
    "Dagster is pinned, since callpipeline/defs/dagster_internals uses private names and tables. "
    "To upgrade: compare the names, signatures and columns in this file with the new version, run "
    "tests/integration/test_dagster_*.py, test_purge.py, test_records.py and test_compute_logs.py, "
    "run benchmarks/dagster_storage.py, then change the pins in pyproject.toml."
)

NAMES: Mapping[str, set[str]] = {
    "dagster._config": {"UserConfigSchema"},
    "dagster._core.definitions.run_request": {"InstigatorType"},
    "dagster._core.errors": {"DagsterInvalidConfigError"},
    "dagster._core.events": {"JobFailureData"},
    "dagster._core.execution": {"context_creation_job"},
    "dagster._core.execution.backfill": {"BULK_ACTION_TERMINAL_STATUSES"},
    "dagster._core.execution.plan.objects": {"StepFailureData"},
    "dagster._core.instance.utils": {"RUNLESS_RUN_ID"},
    "dagster._core.launcher.base": {"CheckRunHealthResult", "RunLauncher", "WorkerStatus"},
    "dagster._core.launcher.default_run_launcher": {"DefaultRunLauncher"},
    "dagster._core.run_coordinator.base": {"SubmitRunContext"},
    "dagster._core.run_coordinator.queued_run_coordinator": {"QueuedRunCoordinator"},
    "dagster._core.scheduler.instigation": {
        "InstigatorState",
        "InstigatorTick",
        "SensorInstigatorData",
        "TickStatus",
    },
    "dagster._core.storage.compute_log_manager": {"ComputeLogManager"},
    "dagster._core.storage.dagster_run": {"FINISHED_STATUSES", "NOT_FINISHED_STATUSES"},
    "dagster._core.storage.event_log": {"SqlEventLogStorage", "SqlEventLogStorageTable"},
    "dagster._core.storage.event_log.migration": {"ASSET_KEY_INDEX_COLS"},
    "dagster._core.storage.event_log.schema": {
        "AssetCheckExecutionsTable",
        "AssetEventTagsTable",
        "AssetKeyTable",
        "DynamicPartitionsTable",
        "SqlEventLogStorageTable",
    },
    "dagster._core.storage.local_compute_log_manager": {"LocalComputeLogManager"},
    "dagster._core.storage.runs": {"SqlRunStorage"},
    "dagster._core.storage.runs.schema": {
        "BackfillTagsTable",
        "BulkActionsTable",
        "RunTagsTable",
        "RunsTable",
    },
    "dagster._core.storage.schedules": {"SqlScheduleStorage"},
    "dagster._core.storage.schedules.schema": {"JobTickTable"},
    "dagster._core.storage.tags": {
        "ASSET_PARTITION_RANGE_END_TAG",
        "ASSET_PARTITION_RANGE_START_TAG",
        "BACKFILL_ID_TAG",
        "PARTITION_NAME_TAG",
        "PRIORITY_TAG",
    },
    "dagster._daemon": {"sensor"},
    "dagster._daemon.daemon": {"SensorDaemon"},
    "dagster._daemon.run_coordinator.queued_run_coordinator_daemon": {
        "QueuedRunCoordinatorDaemon",
    },
    "dagster._grpc.server": {"DagsterApiServer"},
    "dagster._serdes": {"ConfigurableClassData"},
    "dagster_aws.s3.compute_log_manager": {"S3ComputeLogManager"},
    "dagster_celery.launcher": {"CeleryRunLauncher"},
    "dagster_celery.tags": {"DAGSTER_CELERY_TASK_ID_TAG"},
    "dagster_celery.tasks": {"create_execute_job_task", "create_resume_job_task"},
    "dagster_k8s.launcher": {"K8sRunLauncher"},
    "dagster_postgres": {"DagsterPostgresStorage"},
    "dagster_postgres.event_log": {"PostgresEventLogStorage"},
    "dagster_postgres.run_storage": {"PostgresRunStorage"},
    "dagster_postgres.schedule_storage": {"PostgresScheduleStorage"},
    "dagster_postgres.utils": {"create_pg_engine", "set_pg_statement_timeout"},
    "dagster_shared.error": {"SerializableErrorInfo"},
    "dagster_shared.serdes": {"deserialize_value", "serialize_value"},
    "dagster_webserver.webserver": {"DagsterWebserver"},
}
"""Everything that the package imports from Dagster below its public surface."""

EVENTS = "dagster_postgres.event_log:PostgresEventLogStorage."
INSTANCE = "dagster:DagsterInstance."
SIGNATURES: Mapping[str, Sequence[str]] = {
    EVENTS + "__init__": ("postgres_url", "should_autocreate_tables"),
    EVENTS + "store_event": ("event",),
    EVENTS + "store_event_batch": ("events",),
    EVENTS + "store_asset_check_event": ("event", "event_id"),
    EVENTS + "index_connection": (),
    EVENTS + "index_transaction": (),
    EVENTS + "dispose": (),
    EVENTS + "optimize_for_webserver": ("statement_timeout", "pool_recycle", "max_overflow"),
    EVENTS + "_event_to_row": ("event",),
    EVENTS + "_store_asset_event": ("conn", "event", "event_id"),
    EVENTS + "_store_asset_event_tags": ("conn", "events", "event_ids"),
    "dagster_postgres.run_storage:PostgresRunStorage.__init__": (
        "postgres_url",
        "should_autocreate_tables",
    ),
    "dagster_postgres.run_storage:PostgresRunStorage.connect": (),
    "dagster_postgres.schedule_storage:PostgresScheduleStorage.__init__": (
        "postgres_url",
        "should_autocreate_tables",
    ),
    "dagster_postgres.schedule_storage:PostgresScheduleStorage.connect": (),
    "dagster_postgres.schedule_storage:PostgresScheduleStorage.purge_ticks": (
        *("origin_id", "selector_id", "before", "tick_statuses"),
    ),
    "dagster_postgres:DagsterPostgresStorage.__init__": (
        "postgres_url",
        "should_autocreate_tables",
        "inst_data",
    ),
    "dagster_postgres:DagsterPostgresStorage.from_config_value": ("inst_data", "config_value"),
    "dagster_postgres.utils:create_pg_engine": ("postgres_url",),
    "dagster_postgres.utils:set_pg_statement_timeout": ("conn", "millis"),
    "dagster._core.storage.local_compute_log_manager:LocalComputeLogManager.__init__": (
        "base_dir",
        "inst_data",
    ),
    "dagster_aws.s3.compute_log_manager:S3ComputeLogManager.__init__": (
        *("bucket", "local_dir", "inst_data", "prefix", "endpoint_url"),
        *("skip_empty_files", "upload_interval", "region"),
    ),
    "dagster._core.storage.compute_log_manager:ComputeLogManager.delete_logs": (
        "log_key",
        "prefix",
    ),
    "dagster._daemon.daemon:SensorDaemon.core_loop": (
        "workspace_process_context",
        "shutdown_event",
    ),
    "dagster._daemon.run_coordinator.queued_run_coordinator_daemon:"
    "QueuedRunCoordinatorDaemon.core_loop": ("workspace_process_context", "shutdown_event"),
    "dagster._grpc.server:DagsterApiServer.__init__": (
        *("server_termination_event", "logger", "instance_ref"),
    ),
    "dagster_k8s.launcher:K8sRunLauncher.check_run_worker_health": ("run",),
    INSTANCE + "all_instigator_state": ("instigator_type",),
    INSTANCE + "all_logs": ("run_id", "of_type"),
    INSTANCE + "add_run_tags": ("run_id", "new_tags"),
    INSTANCE + "get_daemon_heartbeats": (),
    INSTANCE + "get_required_daemon_types": (),
    INSTANCE + "get_run_ids": ("filters", "cursor", "limit"),
    INSTANCE + "get_runs_count": ("filters",),
    INSTANCE + "get_ticks": ("origin_id", "selector_id", "limit", "statuses"),
    INSTANCE + "report_run_canceling": ("run", "message"),
    INSTANCE + "report_run_failed": ("dagster_run", "message"),
}
"""Parameters that are passed, of methods that are called or overridden."""

COLUMNS: Mapping[str, set[str]] = {
    "dagster._core.storage.event_log.schema:SqlEventLogStorageTable": {
        *("id", "run_id", "event", "dagster_event_type", "timestamp", "step_key"),
        *("asset_key", "partition"),
    },
    "dagster._core.storage.event_log.schema:AssetEventTagsTable": {"event_id"},
    "dagster._core.storage.event_log.schema:AssetKeyTable": {
        *("asset_key", "last_materialization", "cached_status_data"),
    },
    "dagster._core.storage.event_log.schema:AssetCheckExecutionsTable": {
        *("id", "run_id", "evaluation_event"),
    },
    "dagster._core.storage.event_log.schema:DynamicPartitionsTable": {
        *("id", "partitions_def_name", "partition"),
    },
    "dagster._core.storage.runs.schema:RunsTable": {"run_id", "status", "run_body"},
    "dagster._core.storage.runs.schema:RunTagsTable": {"run_id", "key", "value"},
    "dagster._core.storage.runs.schema:BulkActionsTable": {
        *("id", "key", "status", "timestamp", "body"),
    },
    "dagster._core.storage.runs.schema:BackfillTagsTable": {"backfill_id"},
    "dagster._core.storage.schedules.schema:JobTickTable": {
        *("id", "status", "timestamp", "tick_body"),
    },
}
"""Columns that are read or written."""

ENVIRONMENT = {
    "DAGSTER_EVENT_BATCH_SIZE": "dagster._core.instance",
    "DAGSTER_IS_DEV_CLI": "dagster._cli.dev",
    "DAGSTER_REDACT_USER_CODE_ERRORS": "dagster._utils.error",
}
"""Variables that Dagster does not document, and a module or package that reads or sets each."""


def modules(*, internal: bool) -> list[Path]:
    return [path for path in PACKAGE.rglob("*.py") if path.is_relative_to(INTERNALS) is internal]


def dagster_imports(path: Path) -> Iterator[tuple[str, str]]:
    """Yield module and name of each import of Dagster; no name for `import module`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dagster"):
            yield from ((str(node.module), alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            names = (alias.name for alias in node.names)
            yield from ((name, "") for name in names if name.startswith("dagster"))


def test_only_the_internals_import_private_modules():
    private = {
        f"{path.relative_to(CHECKOUT)}: {module} {name}"
        for path in modules(internal=False)
        for module, name in dagster_imports(path)
        if module not in PUBLIC_MODULES or name.startswith("_")
    }
    assert not private, "import these in defs/dagster_internals only"


def test_only_the_internals_use_private_attributes():
    private = {
        f"{path.relative_to(CHECKOUT)}:{node.lineno}: {ast.unparse(node)}"
        for path in modules(internal=False)
        if any(dagster_imports(path))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr)
        if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
    }
    assert not private


def test_only_the_internals_use_methods_of_the_instance_that_are_not_public():
    called = {
        (str(path.relative_to(CHECKOUT)), node.attr)
        for path in modules(internal=False)
        if any(dagster_imports(path))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node.value) in ("instance", "context.instance")
    }
    assert called
    assert not {one for one in called if not is_public(getattr(dg.DagsterInstance, one[1]))}


@pytest.mark.parametrize(
    "package",
    ["dagster", "dagster-aws", "dagster-postgres", "dagster-slack", "dagster-webserver"],
)
def test_the_installed_version_is_the_pinned_one(package: str):
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    [pin] = [need for need in project["dependencies"] if re.match(rf"{package}\b(?!-)", need)]
    assert pin == f"{package}=={version(package)}", UPGRADE


def test_the_list_of_private_names_is_complete():
    imported: dict[str, set[str]] = {}
    for path in modules(internal=True):
        for module, name in dagster_imports(path):
            if module not in PUBLIC_MODULES:
                imported.setdefault(module, set()).add(name)
    assert imported == NAMES, "name in NAMES what the package imports"


@pytest.mark.parametrize("module", NAMES)
def test_private_names_exist(module: str):
    missing = {name for name in NAMES[module] if not hasattr(importlib.import_module(module), name)}
    assert not missing, UPGRADE


@pytest.mark.parametrize("path", SIGNATURES)
def test_signatures_are_as_expected(path: str):
    module, _, names = path.partition(":")
    found: Any = importlib.import_module(module)
    for name in names.split("."):
        assert hasattr(found, name), UPGRADE
        found = getattr(found, name)
    missing = [name for name in SIGNATURES[path] if name not in inspect.signature(found).parameters]
    assert not missing, UPGRADE


@pytest.mark.parametrize("path", COLUMNS)
def test_columns_exist(path: str):
    module, _, name = path.partition(":")
    table = getattr(importlib.import_module(module), name)
    assert isinstance(table, Table)
    assert not COLUMNS[path] - set(table.columns.keys()), UPGRADE


@pytest.mark.parametrize("variable", ENVIRONMENT)
def test_dagster_knows_the_variables(variable: str):
    source = Path(inspect.getfile(importlib.import_module(ENVIRONMENT[variable])))
    files = source.parent.rglob("*.py") if source.name == "__init__.py" else [source]
    assert any(variable in file.read_text() for file in files), UPGRADE
