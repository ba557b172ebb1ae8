"""What assets, sensors and IO managers are given; opened when used, by `wiring`.

No field here holds a secret or a setting: Dagster stores resource fields in its database.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import dagster as dg
from dagster._core.storage.tags import BACKFILL_ID_TAG

from callpipeline.defs.selection import LANE_TAG
from callpipeline.defs.slack import SlackBot
from callpipeline.defs.told import told
from callpipeline.domain.call import Lane
from callpipeline.pipeline.dispatch import Dispatcher
from callpipeline.pipeline.stages import Stages
from callpipeline.pipeline.watch import Watch
from callpipeline.wiring import Storage

OpenStorage = Callable[[str | None], AbstractContextManager[Storage]]
"""Of a run's id, None outside of runs."""
OpenStages = Callable[[Storage, Lane], AbstractContextManager[Stages]]
OpenDispatcher = Callable[[Storage, object], Dispatcher]
"""The second is a client of Slack's Web API, None where no bot's token is set."""


@dataclass(frozen=True, slots=True)
class Opening:
    """How to open what a run needs; tests pass their own."""

    storage: OpenStorage
    stages: OpenStages
    dispatcher: OpenDispatcher
    watch: Callable[[Storage], Watch]


def resources(opening: Opening, slack: Mapping[str, SlackBot]) -> dict[str, object]:
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

    def dispatcher(context: dg.InitResourceContext) -> Dispatcher:
        bot = getattr(context.resources, "slack", None)
        with told():
            client = bot.get_client() if bot else None
            return opening.dispatcher(context.resources.storage, client)

    def watch(context: dg.InitResourceContext) -> Watch:
        return opening.watch(context.resources.storage)

    return {
        **slack,
        "storage": dg.ResourceDefinition(storage, description="Postgres and both object stores."),
        "stages": dg.ResourceDefinition(
            stages,
            required_resource_keys={"storage"},
            description="The engines named in the settings, and the competitor list.",
        ),
        "dispatcher": dg.ResourceDefinition(
            dispatcher,
            required_resource_keys={"storage", *slack},
            description="The channels on which people are told: Slack, email, webhook.",
        ),
        "watch": dg.ResourceDefinition(
            watch,
            required_resource_keys={"storage"},
            description="What looks for trouble that no call tells of.",
        ),
    }
