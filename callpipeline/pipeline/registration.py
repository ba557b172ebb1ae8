"""How recordings are entered into the ledger: by sensors, the command line and the web app."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from callpipeline.domain.call import Lane, Recording, Registered, Registration
from callpipeline.domain.source import Source

LIVE_BURST = 50
"""More new recordings than this at once are a backlog that somebody copied."""

LIVE_AGE = timedelta(hours=1)


class Registry(Protocol):
    """The part of the ledger that discovery needs."""

    def unknown(self, recordings: list[Recording]) -> list[Recording]:
        """Those recordings, all of one bucket, that the ledger does not have."""
        ...

    def register(self, registrations: Iterable[Registration]) -> list[Registered]: ...


def register(
    registry: Registry,
    source: Source,
    recordings: Sequence[Recording],
    *,
    lane: Lane | None = None,
    priority: int = 0,
    sha256: str | None = None,
) -> list[Registered]:
    """Enter recordings that were found together, with what their names tell.

    Without a `lane`, the source's counts, else their age and number. `sha256` is that of the bytes
    where a single recording is entered whose bytes were read already.
    """
    now = datetime.now(UTC)
    burst = len(recordings) > LIVE_BURST

    def registration(recording: Recording) -> Registration:
        facts = source.facts_of(recording.key, now=now)
        old = burst or now - recording.last_modified > LIVE_AGE
        return Registration(
            recording,
            agent_channel=facts.agent_channel,
            started_at=facts.started_at,
            metadata=facts.metadata,
            lane=lane or source.lane or (Lane.BULK if old else Lane.LIVE),
            priority=priority,
            duplicates=source.duplicates,
            sha256=sha256,
        )

    return registry.register([registration(recording) for recording in recordings])
