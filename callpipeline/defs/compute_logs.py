"""Where what a run prints is kept: beside the results when these are on S3, else on this machine.

What a run prints is no place for personal data, which an unexpected error may quote: of the errors
that Dagster masks, only class and place are printed.
"""

import logging
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dagster import StringSource
from dagster._config import UserConfigSchema
from dagster._core.storage.compute_log_manager import ComputeLogManager
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._serdes import ConfigurableClassData

from callpipeline.config import Settings, settings
from callpipeline.errors import CallpipelineError

if TYPE_CHECKING:
    from logging import _SysExcInfoType  # the type of sys.exc_info()

MASKED_ERRORS = "dagster.redacted_errors"
"""Where Dagster logs what it masks elsewhere; without a handler that is stderr, in full."""
UPLOAD_EVERY_S = 30
"""So that the page of a run shows what it prints, and a run that was killed leaves it behind."""


class ComputeLogs(LocalComputeLogManager):
    """What `compute_logs:` in dagster.yaml names; never made itself, it chooses one by settings."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {"base_dir": StringSource}

    @classmethod
    def from_config_value(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> ComputeLogManager:
        print_masked_errors_without_words()
        folder = Path(config_value["base_dir"])
        if settings().storage_url.startswith("s3://"):
            return _in_bucket(settings(), folder / "compute_logs", inst_data)
        return LocalComputeLogManager(str(folder), inst_data=inst_data)


def _in_bucket(
    options: Settings, folder: Path, inst_data: ConfigurableClassData | None
) -> ComputeLogManager:
    """Logs below `<storage>/dagster/`. Its access key is in boto3's own variables."""
    from dagster_aws.s3.compute_log_manager import S3ComputeLogManager  # a second, with boto3

    place = urlsplit(options.storage_url)
    return S3ComputeLogManager(
        bucket=place.netloc,
        prefix=f"{place.path.strip('/')}/dagster",
        local_dir=str(folder),
        endpoint_url=options.s3_endpoint,
        region=options.s3_region,
        skip_empty_files=True,
        upload_interval=UPLOAD_EVERY_S,
        inst_data=inst_data,
    )


def print_masked_errors_without_words() -> None:
    """Have Dagster's log of masked errors print them by `_WithoutWords`, in this process."""
    handler = logging.StreamHandler()
    handler.setFormatter(_WithoutWords())
    logger = logging.getLogger(MASKED_ERRORS)
    logger.handlers, logger.propagate = [handler], False


class _WithoutWords(logging.Formatter):
    """Errors with their classes and places in the code; words only of those that are ours."""

    def formatException(self, ei: "_SysExcInfoType") -> str:
        error, lines = ei[1], list[str]()
        while error is not None:
            lines += [f"{error.__class__.__qualname__}: {_words(error)}", *_places(error)]
            error = error.__cause__ or error.__context__
        return "\n".join(lines)


def _words(error: BaseException) -> str:
    return str(error) if isinstance(error, CallpipelineError) else "(its words are not printed)"


def _places(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)
    return [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
