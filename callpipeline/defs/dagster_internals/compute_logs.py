"""Compute log manager: stores the output of runs in S3 beside the results, or on this machine.

Output must not contain personal data, which an unexpected error may quote: of the errors that
Dagster redacts, only class and traceback locations are logged.
"""

import logging
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dagster import (
    DagsterInstance,
    Field,
    LoggerDefinition,
    StringSource,
    default_system_loggers,
    json_console_logger,
)
from dagster._config import UserConfigSchema
from dagster._core.execution import context_creation_job
from dagster._core.storage.compute_log_manager import ComputeLogManager
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._serdes import ConfigurableClassData

from callpipeline.config import Settings, settings
from callpipeline.defs.dagster_internals.storage import files_folder
from callpipeline.errors import CallpipelineError

if TYPE_CHECKING:
    from logging import _SysExcInfoType  # the type of sys.exc_info()

REDACTED_ERRORS_LOGGER = "dagster.redacted_errors"
"""Dagster logs redacted errors here; without a handler they go to stderr, in full."""
UPLOAD_INTERVAL_S = 30
"""Makes output visible while a run goes on, and keeps that of a run that is killed."""


class ComputeLogs(LocalComputeLogManager):
    """Class for `compute_logs:` in dagster.yaml; returns a manager that fits the settings."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {"base_dir": Field(StringSource, is_required=False)}

    @classmethod
    def from_config_value(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> ComputeLogManager:
        strip_redacted_error_messages()
        folder = Path(config_value.get("base_dir") or files_folder())
        if settings().storage_url.startswith("s3://"):
            return _s3_manager(settings(), folder / "compute_logs", inst_data)
        return LocalComputeLogManager(str(folder), inst_data=inst_data)


def _s3_manager(
    options: Settings, folder: Path, inst_data: ConfigurableClassData | None
) -> ComputeLogManager:
    """Return a manager for `<storage>/dagster/`; boto3 reads the key from the environment."""
    from dagster_aws.s3.compute_log_manager import S3ComputeLogManager  # slow: imports boto3

    url = urlsplit(options.storage_url)
    return S3ComputeLogManager(
        bucket=url.netloc,
        prefix=f"{url.path.strip('/')}/dagster",
        local_dir=str(folder),
        endpoint_url=options.s3_endpoint,
        region=options.s3_region,
        skip_empty_files=True,
        upload_interval=UPLOAD_INTERVAL_S,
        inst_data=inst_data,
    )


def strip_redacted_error_messages() -> None:
    """Log redacted errors of this process without their messages."""
    handler = logging.StreamHandler()
    handler.setFormatter(_MessagelessFormatter())
    logger = logging.getLogger(REDACTED_ERRORS_LOGGER)
    logger.handlers, logger.propagate = [handler], False


def log_runs_as_json() -> None:
    """Log the events of runs of this process as JSON, a line each, as services log."""
    context_creation_job.default_system_loggers = _json_loggers  # pyright: ignore[reportPrivateImportUsage]


def _json_loggers(
    instance: DagsterInstance | None,
) -> Sequence[tuple[LoggerDefinition, Mapping[str, object]]]:
    """Return Dagster's default loggers, with JSON in place of text."""
    chosen = [config for _, config in default_system_loggers(instance)]
    return [(json_console_logger, config) for config in chosen]


class _MessagelessFormatter(logging.Formatter):
    """Formats errors by class and location; keeps the messages of CallpipelineErrors."""

    def formatException(self, ei: "_SysExcInfoType") -> str:
        error, lines = ei[1], list[str]()
        while error is not None:
            lines += [f"{error.__class__.__qualname__}: {_message(error)}", *_locations(error)]
            error = error.__cause__ or error.__context__
        return "\n".join(lines)


def _message(error: BaseException) -> str:
    return str(error) if isinstance(error, CallpipelineError) else "(message redacted)"


def _locations(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)
    return [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
