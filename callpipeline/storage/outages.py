"""Services that are away, known to all runs."""

from dataclasses import dataclass
from datetime import datetime

from callpipeline.domain.outage import Outage
from callpipeline.storage.database import Database

FORGET_S = 900.0
"""A service that nobody waits for, and nobody has tried for so long, is told of no more."""


@dataclass(frozen=True, slots=True)
class KnownOutage:
    """For people: which service is away since when, and how many calls wait for it."""

    service: str
    reason: str
    since: datetime
    again_at: datetime
    calls: int


class Outages:
    """Table `outages`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[KnownOutage]:
        """The services that are away."""
        rows = self._database.rows("outages/all", {"forget_s": FORGET_S})
        return [KnownOutage(**row) for row in rows]

    def find(self, service: str) -> Outage | None:
        """What is known of it; None where it is not away."""
        rows = self._database.rows("outages/find", {"service": service})
        return Outage(**rows[0]) if rows else None

    def begin(self, service: str, reason: str, tries: int, again_s: float) -> None:
        """Note that it is away, or still away."""
        away = {"service": service, "reason": reason, "tries": tries, "again_s": again_s}
        self._database.rows("outages/begin", away)

    def take_try(self, service: str, again_s: float) -> bool:
        """Whether the caller is the one that tries now; for others it is due in `again_s`."""
        wanted = {"service": service, "again_s": again_s}
        return bool(self._database.rows("outages/take_try", wanted))

    def end(self, service: str) -> None:
        """It is back: the calls that wait for a service are due now."""
        self._database.rows("outages/end", {"service": service})
