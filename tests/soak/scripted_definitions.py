"""The product's definitions with scripted engines and unchanged stores."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import dagster as dg

from callpipeline import wiring
from callpipeline.config import settings
from callpipeline.definitions import build
from callpipeline.domain.calls.call import Lane
from callpipeline.pipeline.processing.stages import Stages
from tests.soak.engines import with_scripted_engines


def scripted_definitions() -> dg.Definitions:
    """Build the definitions as the product does, except for the engines."""
    options = settings()

    @contextmanager
    def open_stages(storage: wiring.Storage, lane: Lane) -> Iterator[Stages]:
        with wiring.open_stages(options, storage, lane) as stages:
            engines = with_scripted_engines(stages.engines, options.home / "soak")
            yield replace(stages, engines=engines)

    return build(options, open_stages=open_stages)


defs = scripted_definitions()
