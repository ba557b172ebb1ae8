"""What the app holds while it runs; routes find it at `request.app.state.opened`."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from callpipeline.config import Settings
from callpipeline.pipeline.dispatch import Dispatcher
from callpipeline.web.health import Doctor
from callpipeline.web.metrics import Metrics
from callpipeline.wiring import Storage


@dataclass(frozen=True, slots=True)
class Opened:
    """The settings, all that is kept, who delivers notifications, and what monitors ask."""

    options: Settings
    storage: Storage
    dispatcher: Dispatcher
    doctor: Doctor
    metrics: Metrics


def opened_for(request: Request) -> Opened:
    return request.app.state.opened


Here = Annotated[Opened, Depends(opened_for)]
