"""The product's definitions with scripted engines and its stores as they are."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import dagster as dg

from callpipeline import wiring
from callpipeline.config import settings
from callpipeline.definitions import build
from callpipeline.domain.call import Lane
from callpipeline.pipeline.stages import Stages
from tests.soak.engines import with_scripted


def scripted_definitions() -> dg.Definitions:
    """As the product builds them, but for the engines."""
    options = settings()
    asked = options.home / "soak" / "asked"

    @contextmanager
    def open_stages(storage: wiring.Storage, lane: Lane) -> Iterator[Stages]:
        with wiring.open_stages(options, storage, lane) as stages:
            engines = with_scripted(stages.engines, asked if asked.exists() else None)
            yield replace(stages, engines=engines)

    return build(options, open_stages=open_stages)


defs = scripted_definitions()
