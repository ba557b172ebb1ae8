"""Stored speech that aliases are mined from, and the aliases that people refused."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SpokenSegment:
    """A stored segment; times are seconds from the start of the call."""

    call_id: str
    start_s: float
    end_s: float
    text: str


class SpokenCalls(Protocol):
    """Reads stored speech call by call."""

    def count(self) -> int:
        """Return the number of completed calls with a transcript."""
        ...

    def newest(self, limit: int) -> Sequence[str]:
        """Return the newest completed calls with a transcript."""
        ...

    def segments(self, call_ids: Sequence[str]) -> Sequence[SpokenSegment]:
        """Return the segments of calls, in order."""
        ...

    def refused(self) -> Collection[tuple[str, str]]:
        """Return (competitor, letters) of the aliases that people refused."""
        ...
