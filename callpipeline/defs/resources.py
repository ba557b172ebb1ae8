"""What assets, sensors and IO managers are given; opened when used, by `wiring`.

No field here holds a secret or a setting: Dagster stores resource fields in its database.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import dagster as dg

from callpipeline.pipeline.stages import Stages
from callpipeline.wiring import Storage

OpenStorage = Callable[[], AbstractContextManager[Storage]]
OpenStages = Callable[[Storage], AbstractContextManager[Stages]]


@dataclass(frozen=True, slots=True)
class Opening:
    """How to open what a run needs; tests pass their own."""

    storage: OpenStorage
    stages: OpenStages


def resources(opening: Opening) -> dict[str, dg.ResourceDefinition]:
    """The resources by the names under which assets and sensors ask for them."""

    def storage(_: dg.InitResourceContext) -> Iterator[Storage]:
        with opening.storage() as opened:
            yield opened

    def stages(context: dg.InitResourceContext) -> Iterator[Stages]:
        with opening.stages(context.resources.storage) as opened:
            yield opened

    return {
        "storage": dg.ResourceDefinition(storage, description="Postgres and both object stores."),
        "stages": dg.ResourceDefinition(
            stages,
            required_resource_keys={"storage"},
            description="The engines named in the settings, and the competitor list.",
        ),
    }
