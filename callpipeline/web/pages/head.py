"""The head of a call's page: how it stands, what to do about it, where its run is."""

from dataclasses import dataclass

from callpipeline.storage.reading.calls import CallRow
from callpipeline.web.live.pieces import Piece
from callpipeline.web.opened import Opened
from callpipeline.web.pages.standing import Standing, standing, state_of


@dataclass(frozen=True, slots=True)
class Head:
    """What `call/state.html` is given; `stream` is None for a call that has ended."""

    it: Standing
    piece: Piece
    stream: str | None

    @property
    def title(self) -> str:
        return self.it.title


def head_of(here: Opened, call: CallRow) -> Head:
    """The head of this call's page."""
    [followed] = here.following.followed([call])
    it = standing(followed, here.links)
    piece = state_of(it)
    stream = f"/events/calls/{call.call_id}?mark={piece.mark}" if it.is_open else None
    return Head(it, piece, stream)
