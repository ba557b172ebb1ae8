"""Metadata files that arrive after their call was processed.

Recorders write them minutes or hours later. Calls that ended without one are looked at again: after
30 seconds, then after half of the time since they ended, at most 12 hours apart, for a week.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from callpipeline.domain.audio import Flag, QualityFlag
from callpipeline.domain.calls.call import Call
from callpipeline.domain.calls.sources import CallAttributes
from callpipeline.errors import CallpipelineError, MetadataInvalid
from callpipeline.pipeline.ingest.beside import SideFiles, SideMetadata

MAX_CALLS = 200
BUDGET_S = 15.0
"""A sensor tick has 60 s; the call in which time runs out is finished."""


class LateDescriptions(Protocol):
    """Calls that ended without the metadata of a side file."""

    def due(self, limit: int) -> Sequence[Call]: ...

    def postpone(self, call_id: str, unreadable: QualityFlag | None = None) -> None: ...

    def describe_late(self, call_id: str, attributes: CallAttributes) -> bool: ...


@dataclass(frozen=True, slots=True)
class LateMetadataResult:
    """Calls that were looked at, and those that a side file described."""

    examined: int
    described: int


def read_late_metadata(
    metadata: SideMetadata,
    calls: LateDescriptions,
    *,
    budget_s: float = BUDGET_S,
    clock: Callable[[], float] = time.monotonic,
) -> LateMetadataResult:
    """Read the side files of calls that are due for another look, for a limited time."""
    until, examined, described = clock() + budget_s, 0, 0
    read: SideFiles = {}
    for call in calls.due(MAX_CALLS):
        if clock() >= until:
            break
        examined += 1
        described += _describe(metadata, calls, call, read)
    return LateMetadataResult(examined, described)


def _describe(metadata: SideMetadata, calls: LateDescriptions, call: Call, read: SideFiles) -> bool:
    unreadable = None
    try:
        found = metadata.find(call, read)
    except MetadataInvalid as error:
        found, unreadable = None, QualityFlag(Flag.UNREADABLE_METADATA, str(error))
    except CallpipelineError:
        found = None  # its store is away, or its folder is gone
    if found is not None and calls.describe_late(call.call_id, found):
        return True
    calls.postpone(call.call_id, unreadable)
    return False
