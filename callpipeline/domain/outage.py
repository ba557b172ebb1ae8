"""A service that answers nobody."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outage:
    """A service is away: why, tried how often since, and in how many seconds it is tried again."""

    reason: str
    tries: int
    again_s: float
