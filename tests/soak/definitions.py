"""The product's definitions with scripted engines and stores that inject planned faults."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import dagster as dg
from dagster_shared.record import replace

from callpipeline.config import settings
from callpipeline.wiring import Storage
from tests.soak.faults import Faults
from tests.soak.faulty_storage import with_faults
from tests.soak.scripted_definitions import scripted_definitions


def with_planned_faults(built: dg.Definitions) -> dg.Definitions:
    """Return the definitions with their storage wrapped to inject faults."""
    resources = dict(built.resources or {})
    original = resources["storage"]
    assert isinstance(original, dg.ResourceDefinition)
    open_storage = contextmanager(cast("Callable[..., Iterator[Storage]]", original.resource_fn))
    options = settings()
    folder = options.home / "soak"

    def storage(context: dg.InitResourceContext) -> Iterator[Storage]:
        with open_storage(context) as opened:
            if context.run:
                (folder / "runs").mkdir(parents=True, exist_ok=True)
                (folder / "runs" / context.run.run_id).write_text(str(os.getpid()))
            yield with_faults(opened, Faults(folder), options.retry_waits_s)

    resources["storage"] = dg.ResourceDefinition(storage)
    return replace(built, resources=resources)


defs = with_planned_faults(scripted_definitions())
