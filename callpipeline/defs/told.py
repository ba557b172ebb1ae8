"""Errors of ours, told in Dagster in their own words.

Dagster masks what is raised by other code than its own, since it may quote a call; the sentences of
`callpipeline.errors` never do.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from callpipeline.errors import CallpipelineError


class Told(dg.DagsterError):
    """An error of callpipeline, in its own words."""


@contextmanager
def told() -> Iterator[None]:
    """Let the sentence of a CallpipelineError through to Dagster's pages."""
    try:
        yield
    except CallpipelineError as error:
        raise Told(str(error)) from None
