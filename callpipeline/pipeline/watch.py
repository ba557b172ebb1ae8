"""What goes wrong without a call that says so: engines that are down, no new recordings, the day.

Sensors and runs are Dagster's, and watched in `defs/`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from callpipeline.domain.call import Stage
from callpipeline.domain.notification import EventKind, Occurrence, Policy, Severity
from callpipeline.errors import EngineAway
from callpipeline.storage.database import Database
from callpipeline.storage.outbox import Outbox

LEAST_CALLS = 3
"""One call may be what an engine stumbles over; three in a row, with none between that went well,
are the engine."""
WITHIN_S = 900.0
AWAY_S = 60.0
"""A service that is started anew is away for a moment."""
DAY = timedelta(days=1)
MOST_DAYS = 7
ENGINE_OF = {
    Stage.CHANNEL_AUDIO: "splitter",
    Stage.TRANSCRIPTS: "recogniser",
    Stage.COMPETITOR_SENTIMENT: "sentiment judge",
}
WAITING = (
    "The calls wait for it, lose no try, and go on by themselves when it is back; those that have "
    "waited for CALLPIPELINE_OUTAGE_PATIENCE_H end FAILED. `callpipeline doctor` tells more."
)
TRIED = (
    "The calls wait and are tried again by themselves; those whose tries are used up end FAILED: "
    "`callpipeline retry --failed --class "
)


@dataclass(frozen=True, slots=True)
class Watch:
    """Looks at the ledger, and enters what is wrong, and over, into the outbox."""

    database: Database
    outbox: Outbox
    quiet_h: float | None

    def look(self, policy: Policy, now: datetime) -> list[str]:
        """Everything once; returns what is wrong now, in words."""
        wrong = [*self.engines(), *self.ingestion(now)]
        for occurrence in wrong:
            self.outbox.report(occurrence, now)
        if not any(one.kind is EventKind.INGESTION_QUIET for one in wrong):
            self.outbox.clear(self.outbox.open_groups(EventKind.INGESTION_QUIET), now)
        if policy.digest_at:
            self.digest(policy, now)
        return [occurrence.title for occurrence in wrong]

    def engines(self) -> Iterator[Occurrence]:
        """Engines that do not work. That one is back is seen by what it has made since."""
        wanted = {"within_s": WITHIN_S, "least": LEAST_CALLS, "away_s": AWAY_S}
        for row in self.database.rows("watch/engines", wanted):
            yield _engine_down(row)

    def ingestion(self, now: datetime) -> Iterator[Occurrence]:
        """That no recording came in for long, where any ever did."""
        [row] = self.database.rows("watch/newest_call")
        newest: datetime | None = row["created_at"]
        if self.quiet_h is None or newest is None or now - newest <= timedelta(hours=self.quiet_h):
            return
        yield Occurrence(
            EventKind.INGESTION_QUIET,
            Severity.WARNING,
            f"No recording has come in for {self.quiet_h:g} hours",
            f"The last one was entered at {newest.astimezone(UTC):%Y-%m-%d %H:%M} UTC.",
            group_key=EventKind.INGESTION_QUIET,
            recovers=True,
            metadata={
                "over": "Recordings come in again",
                "advice": "Look at the recorder, and at the sensors new_recordings in Dagster's "
                "UI; `callpipeline doctor` tells whether the sources can be read.",
            },
        )

    def digest(self, policy: Policy, now: datetime) -> None:
        """What happened since the last digest, once a day; since a day where there was none."""
        here = now.astimezone(policy.zone)
        [last] = self.database.rows("watch/last_digest")
        is_told = last["at"] and last["at"].astimezone(policy.zone).date() == here.date()
        if is_told or policy.digest_at is None or here.time() < policy.digest_at:
            return
        since = max(last["at"] or now - DAY, now - MOST_DAYS * DAY)
        [counts] = self.database.rows("watch/day", {"since": since})
        self.outbox.add(
            Occurrence(
                EventKind.DAILY_DIGEST,
                Severity.INFO,
                f"Until {here:%Y-%m-%d %H:%M}: {counts['completed']:,} calls completed, "
                f"{counts['failed']:,} failed",
                _in_words(counts),
                group_key=f"{EventKind.DAILY_DIGEST}:{here:%Y-%m-%d}",
                subject=f"{EventKind.DAILY_DIGEST}:{here:%Y-%m-%d}",
                metadata={"counts": dict(counts)},
            ),
            now,
        )


def _engine_down(row: Mapping[str, Any]) -> Occurrence:
    stage, calls, error_class = row["stage"], row["calls"], row["error_class"]
    name = ENGINE_OF.get(stage, f"engine of {stage}")
    is_away = error_class == EngineAway.__name__
    away, broken = (
        f"is away: {calls:,} calls wait",
        f"does not work: {calls:,} calls in a row met it",
    )
    return Occurrence(
        EventKind.ENGINE_DOWN,
        Severity.CRITICAL,
        f"The {name} {away if is_away else broken}",
        # That of the calls which fail by it: one trouble, one thread.
        group_key=f"{EventKind.CALL_FAILED}:{stage}:{error_class}",
        recovers=True,
        stage=stage,
        error_class=error_class,
        error_message=row["error_message"],
        metadata={
            "over": f"The {name} works again",
            "advice": WAITING if is_away else f"{TRIED}{error_class}`.",
        },
    )


def _in_words(counts: Mapping[str, Any]) -> str:
    lines = [
        f"{counts['arrived']:,} recordings came in, {counts['completed']:,} calls were completed "
        f"with {counts['mentions']:,} mentions of competitors; {counts['waiting']:,} wait or are "
        "under way now."
    ]
    lines += [f"{n:,} failed with {name}." for name, n in sorted(counts["failures"].items())]
    return "\n".join(lines)
