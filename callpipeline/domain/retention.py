"""How long what is kept of calls."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Kept(StrEnum):
    """What has a period of its own, counted from when a call first ended.

    That of `dagster` counts from its last end: a call that is looked at again is in its pages.
    `results` are all that is kept of a call: when their time is over, it is erased, and the
    tombstone keeps a recording that is left from coming in again.
    """

    DAGSTER = "dagster"
    RECORDINGS = "recordings"
    AUDIO = "audio"
    TRANSCRIPTS = "transcripts"
    RESULTS = "results"
    NOTIFICATIONS = "notifications"


@dataclass(frozen=True, slots=True)
class Periods:
    """Days for which each is kept; None for ever."""

    days: dict[Kept, int | None]

    def older_than(self, kept: Kept, now: datetime) -> datetime | None:
        """What ended before then is to go; None where nothing is."""
        days = self.days.get(kept)
        return None if days is None else now - timedelta(days=days)

    def due(self, now: datetime, *kinds: Kept) -> Iterator[tuple[Kept, datetime]]:
        """Those of the kinds that have a period, with the time before which they are to go."""
        for kept in kinds:
            if older_than := self.older_than(kept, now):
                yield kept, older_than
