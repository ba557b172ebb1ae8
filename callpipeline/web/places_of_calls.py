"""Calls in addresses: their ids, and the call behind one."""

from typing import Annotated

from fastapi import Depends, Path

from callpipeline.domain.call_ids import is_call_id
from callpipeline.errors import UnknownCall
from callpipeline.storage.reading.calls import CallRow
from callpipeline.storage.reading.one_call import CallSeen
from callpipeline.web.opened import Opened

NONE = "There is no such call. It may have been deleted when its time was over."


def _id_of(call_id: Annotated[str, Path(description="A call's id.")]) -> str:
    """Raises UnknownCall for what no call can have for an id."""
    if not is_call_id(call_id):
        raise UnknownCall(NONE)
    return call_id


CallId = Annotated[str, Depends(_id_of)]


def existing(here: Opened, call_id: str) -> CallRow:
    """The call as lists show it. Raises UnknownCall."""
    found = here.reading.rows([call_id])
    if not found:
        raise UnknownCall(NONE)
    return found[0]


def seen(here: Opened, call_id: str) -> CallSeen:
    """All that is known of it. Raises UnknownCall."""
    found = here.reading.call(call_id)
    if found is None:
        raise UnknownCall(NONE)
    return found
