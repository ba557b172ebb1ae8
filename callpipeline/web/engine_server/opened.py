"""What a server holds while it runs; routes find it at `request.app.state.opened`."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from callpipeline.config import Settings
from callpipeline.pipeline.stages import Engines
from callpipeline.web.access.signing import Signer
from callpipeline.web.access.users import Users
from callpipeline.web.engine_server.health import Health
from callpipeline.web.engine_server.patterns import Patterns
from callpipeline.web.engine_server.shelf import Shelf
from callpipeline.web.places import Places


@dataclass(frozen=True, slots=True)
class Opened:
    """Engines and all that is kept; one set of places for each service."""

    options: Settings
    engines: Engines
    health: Health
    shelf: Shelf
    signer: Signer
    users: Users
    patterns: Patterns
    splits: Places
    transcriptions: Places
    analyses: Places
    logins: Places


def opened_for(request: Request) -> Opened:
    return request.app.state.opened


Here = Annotated[Opened, Depends(opened_for)]
