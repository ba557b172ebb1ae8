"""Monitoring of the pipeline: engine outages, missing recordings, alerts, and the digest.

Sensors and runs belong to Dagster and are monitored in `defs/`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from callpipeline.domain.calls.call import Stage
from callpipeline.domain.notifications import (
    EventKind,
    NotificationChannel,
    NotificationEvent,
    NotificationPolicy,
    Severity,
)
from callpipeline.errors import ServiceUnavailable
from callpipeline.pipeline.notifications.alerts import AlertMonitor
from callpipeline.pipeline.notifications.reports import ReportMonitor
from callpipeline.storage.ports.calls import NamedQueries
from callpipeline.storage.ports.notifications import OutboxStore

MIN_CALLS = 3
"""One failure may be due to the call; three in a row without a success are due to the engine."""
WITHIN_S = 900.0
UNAVAILABLE_S = 60.0
"""A service that restarts is unavailable for a moment."""
DAY = timedelta(days=1)
MAX_DIGEST_DAYS = 7
ENGINE_OF = {
    Stage.CHANNEL_AUDIO: "splitter",
    Stage.TRANSCRIPTS: "recogniser",
    Stage.COMPETITOR_SENTIMENT: "sentiment judge",
}
WAITING_ADVICE = (
    "The calls wait without using up retries and continue when it is back; those that have waited "
    "for CALLPIPELINE_OUTAGE_PATIENCE_H end FAILED. See `callpipeline doctor`."
)
RETRY_ADVICE = (
    "The calls are retried automatically; those without retries left end FAILED: "
    "`callpipeline retry --failed --class "
)


@dataclass(frozen=True, slots=True)
class PipelineMonitor:
    """Checks the ledger, and reports problems and recoveries to the outbox."""

    database: NamedQueries
    outbox: OutboxStore
    quiet_h: float | None
    alerts: AlertMonitor | None = None
    reports: ReportMonitor | None = None

    def check(self, policy: NotificationPolicy, now: datetime) -> list[str]:
        """Check everything once; return the titles of the current problems."""
        problems = [*self.failing_engines(), *self.missing_recordings(now, policy.zone)]
        for problem in problems:
            self.outbox.report(problem, now)
        if not any(problem.kind is EventKind.INGESTION_QUIET for problem in problems):
            self.outbox.clear(self.outbox.open_groups(EventKind.INGESTION_QUIET), now)
        if policy.digest_at:
            self.send_digest(policy, now)
        found = self.alerts.check(now) if self.alerts else []
        # Without email no channel takes a report: it waits, and is not recorded as sent.
        if self.reports and NotificationChannel.EMAIL in policy.routing.configured:
            self.reports.check(now)
        return [problem.title for problem in problems] + found

    def failing_engines(self) -> Iterator[NotificationEvent]:
        """Yield engines that fail or are unavailable; a later success ends the incident."""
        limits = {"within_s": WITHIN_S, "least": MIN_CALLS, "away_s": UNAVAILABLE_S}
        for row in self.database.rows("watch/failing_engines", limits):
            yield _engine_down(row)

    def missing_recordings(self, now: datetime, zone: ZoneInfo) -> Iterator[NotificationEvent]:
        """Yield a warning if no recording arrived for `quiet_h`, unless none ever did."""
        [row] = self.database.rows("watch/newest_call")
        newest: datetime | None = row["created_at"]
        if self.quiet_h is None or newest is None or now - newest <= timedelta(hours=self.quiet_h):
            return
        yield NotificationEvent(
            EventKind.INGESTION_QUIET,
            Severity.WARNING,
            f"No recordings for {self.quiet_h:g} hours",
            f"The last one arrived at {newest.astimezone(zone):%Y-%m-%d %H:%M} {zone}.",
            group_key=EventKind.INGESTION_QUIET,
            recovers=True,
            metadata={
                "over": "Recordings are arriving again",
                "advice": "Check the recorder and the sensors new_recordings in Dagster; "
                "`callpipeline doctor` shows whether the sources can be read.",
            },
        )

    def send_digest(self, policy: NotificationPolicy, now: datetime) -> None:
        """Add the daily digest: what happened since the last one, or in the last day."""
        local_now = now.astimezone(policy.zone)
        [last] = self.database.rows("watch/last_digest")
        is_sent = last["at"] and last["at"].astimezone(policy.zone).date() == local_now.date()
        if is_sent or policy.digest_at is None or local_now.time() < policy.digest_at:
            return
        since = max(last["at"] or now - DAY, now - MAX_DIGEST_DAYS * DAY)
        [counts] = self.database.rows("watch/daily_digest", {"since": since})
        self.outbox.add(
            NotificationEvent(
                EventKind.DAILY_DIGEST,
                Severity.INFO,
                f"Daily digest {local_now:%Y-%m-%d}: {counts['completed']:,} calls completed, "
                f"{counts['failed']:,} failed",
                _describe_counts(counts),
                group_key=f"{EventKind.DAILY_DIGEST}:{local_now:%Y-%m-%d}",
                subject=f"{EventKind.DAILY_DIGEST}:{local_now:%Y-%m-%d}",
                metadata={"counts": dict(counts)},
            ),
            now,
        )


def _engine_down(row: Mapping[str, Any]) -> NotificationEvent:
    stage, calls, error_class = row["stage"], row["calls"], row["error_class"]
    name = ENGINE_OF.get(stage, f"engine of {stage}")
    is_unavailable = error_class == ServiceUnavailable.__name__
    if is_unavailable:
        problem = f"is unavailable: {calls:,} {'call' if calls == 1 else 'calls'} waiting"
    else:
        problem = f"is failing: {calls:,} calls in a row"
    return NotificationEvent(
        EventKind.ENGINE_DOWN,
        Severity.CRITICAL,
        f"The {name} {problem}",
        # The group of the calls that it fails: one incident, one thread.
        group_key=f"{EventKind.CALL_FAILED}:{stage}:{error_class}",
        recovers=True,
        stage=stage,
        error_class=error_class,
        error_message=row["error_message"],
        metadata={
            "over": f"The {name} works again",
            "advice": WAITING_ADVICE if is_unavailable else f"{RETRY_ADVICE}{error_class}`.",
        },
    )


def _describe_counts(counts: Mapping[str, Any]) -> str:
    lines = [
        f"{counts['arrived']:,} recordings arrived, {counts['completed']:,} calls completed with "
        f"{counts['mentions']:,} competitor mentions; {counts['waiting']:,} waiting or in progress."
    ]
    lines += [f"{n:,} failed with {name}." for name, n in sorted(counts["failures"].items())]
    return "\n".join(lines)
