"""What the app holds while it runs; routes find it at `request.app.state.opened`."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from callpipeline.config import Settings
from callpipeline.pipeline.dispatch import Dispatcher
from callpipeline.wiring import Storage


@dataclass(frozen=True, slots=True)
class Opened:
    """The settings, all that is kept, and who delivers notifications."""

    options: Settings
    storage: Storage
    dispatcher: Dispatcher


def opened_for(request: Request) -> Opened:
    return request.app.state.opened


Here = Annotated[Opened, Depends(opened_for)]
