"""What the app holds while it runs; routes find it at `request.app.state.opened`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from callpipeline.config import Settings
from callpipeline.pipeline.announcing import Announced, Announcement
from callpipeline.pipeline.dispatch import Dispatcher
from callpipeline.pipeline.links import Links
from callpipeline.pipeline.shared import SharedObjects
from callpipeline.storage.reading.following import Following
from callpipeline.storage.reading.numbers import Choices
from callpipeline.storage.reading.reader import Reading
from callpipeline.storage.repeats import Repeats
from callpipeline.web.access.signing import Signer
from callpipeline.web.competitor_list import CompetitorList
from callpipeline.web.exporting import Exports
from callpipeline.web.forms.uploads import Uploads
from callpipeline.web.health import Doctor
from callpipeline.web.live.watch import Watch
from callpipeline.web.metrics import Metrics
from callpipeline.web.remembered import Remembered
from callpipeline.wiring import Storage


@dataclass(frozen=True, slots=True)
class Opened:
    """The settings, all that is kept, who delivers notifications, and what monitors ask.

    `reading` is what people see of what is kept, `repeats` are requests that may be sent again,
    `shared` what others keep in our store, `exports` files on their way to people.
    `following` has the calls as people see them under way, of which `watch` tells open pages;
    `links` lead to Dagster's UI. `choices` is what lists can be filtered by.
    """

    options: Settings
    storage: Storage
    reading: Reading
    dispatcher: Dispatcher
    doctor: Doctor
    metrics: Metrics
    uploads: Uploads
    repeats: Repeats
    shared: SharedObjects
    competitors: CompetitorList
    signer: Signer
    exports: Exports
    choices: Remembered[Choices]
    following: Following
    links: Links
    watch: Watch
    announce: Callable[[Announcement], Announced]


def opened_for(request: Request) -> Opened:
    return request.app.state.opened


Here = Annotated[Opened, Depends(opened_for)]
