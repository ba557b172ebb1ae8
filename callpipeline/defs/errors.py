"""Errors that Dagster shows with their message.

Dagster redacts the messages of errors raised by user code, since they may quote a call. Messages of
`callpipeline.errors` never do, so they are re-raised as an error of Dagster's own.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from callpipeline.errors import CallpipelineError


class UserFacingError(dg.DagsterError):
    """A CallpipelineError whose message Dagster may show."""


@contextmanager
def expose_errors() -> Iterator[None]:
    """Re-raise a CallpipelineError as UserFacingError, so that Dagster shows its message."""
    try:
        yield
    except CallpipelineError as error:
        raise UserFacingError(str(error)) from None
