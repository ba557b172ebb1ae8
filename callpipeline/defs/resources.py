"""What assets, sensors and IO managers are given; opened when used, by `wiring`.

No field here holds a secret or a setting: Dagster stores resource fields in its database.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import dagster as dg
from dagster._core.storage.tags import BACKFILL_ID_TAG

from callpipeline.defs.selection import LANE_TAG
from callpipeline.defs.told import told
from callpipeline.domain.call import Lane
from callpipeline.pipeline.stages import Stages
from callpipeline.wiring import Storage

OpenStorage = Callable[[str | None], AbstractContextManager[Storage]]
"""Of a run's id, None outside of runs."""
OpenStages = Callable[[Storage, Lane], AbstractContextManager[Stages]]


@dataclass(frozen=True, slots=True)
class Opening:
    """How to open what a run needs; tests pass their own."""

    storage: OpenStorage
    stages: OpenStages


def resources(opening: Opening) -> dict[str, dg.ResourceDefinition]:
    """The resources by the names under which assets and sensors ask for them."""

    def storage(context: dg.InitResourceContext) -> Iterator[Storage]:
        with told(), opening.storage(context.run.run_id if context.run else None) as opened:
            yield opened

    def stages(context: dg.InitResourceContext) -> Iterator[Stages]:
        tags = context.run.tags if context.run else {}
        # A backfill can wait, as a backlog can.
        default = Lane.BULK if BACKFILL_ID_TAG in tags else Lane.LIVE
        lane = Lane(tags.get(LANE_TAG, default))
        with told(), opening.stages(context.resources.storage, lane) as opened:
            yield opened

    return {
        "storage": dg.ResourceDefinition(storage, description="Postgres and both object stores."),
        "stages": dg.ResourceDefinition(
            stages,
            required_resource_keys={"storage"},
            description="The engines named in the settings, and the competitor list.",
        ),
    }
