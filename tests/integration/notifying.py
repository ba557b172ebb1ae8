"""Calls that fail and the notifications about them, with a clock that tests advance."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from callpipeline.domain.calls.call import Stage
from callpipeline.domain.notifications import (
    EventKind,
    NotificationChannel,
    NotificationEvent,
    NotificationPolicy,
    Routing,
    Severity,
)
from callpipeline.errors import CallpipelineError, EngineUnavailable, UnsupportedAudio
from callpipeline.pipeline.notifications.composing import Links
from callpipeline.pipeline.notifications.dispatch import DeliveryAttempt, Dispatcher
from callpipeline.storage.calls.claims import Claims
from callpipeline.wiring import Storage
from tests.fakes.notifiers import InMemoryNotifier
from tests.integration.calls import enter, store

DOWN, BROKEN = EngineUnavailable("the recogniser is unavailable"), UnsupportedAudio("a picture")
CHANNELS = tuple(NotificationChannel)


@dataclass
class NotificationDesk:
    """Storage with notifiers; `now` starts at the real time, which the database records too.

    `today` stays the day of the beginning, for tests that run over midnight.
    """

    storage: Storage
    notifiers: list[InMemoryNotifier] = field(
        default_factory=lambda: [InMemoryNotifier(channel) for channel in CHANNELS]
    )
    passed: timedelta = timedelta()
    today: date = field(default_factory=lambda: datetime.now(UTC).date())
    policy: NotificationPolicy = field(
        default_factory=lambda: NotificationPolicy(Routing(frozenset(CHANNELS)))
    )

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) + self.passed

    @property
    def webhook(self) -> InMemoryNotifier:
        return next(n for n in self.notifiers if n.channel is NotificationChannel.WEBHOOK)

    @property
    def dispatcher(self) -> Dispatcher:
        zone, links = ZoneInfo("UTC"), Links("http://app", "http://dagster")
        outbox, policy = self.storage.outbox, self.policy
        return Dispatcher(
            outbox, self.notifiers, policy, links, zone, lambda: self.now, quotes=outbox.quotes
        )

    def deliver(self, *, after_s: float = 0.0, times: int = 1) -> list[DeliveryAttempt]:
        """Let time pass and deliver; return the attempts of the last round."""
        attempts: list[DeliveryAttempt] = []
        for _ in range(times):
            self.passed += timedelta(seconds=after_s)
            attempts = self.dispatcher.dispatch()
        return attempts

    def route(self, **rules: Sequence[NotificationChannel]) -> None:
        chosen = {EventKind(kind): tuple(channels) for kind, channels in rules.items()}
        self.policy = replace(self.policy, routing=Routing(frozenset(CHANNELS), chosen))

    def fail(
        self,
        *keys: str,
        error: CallpipelineError = BROKEN,
        stage: Stage = Stage.CHANNEL_AUDIO,
    ) -> list[str]:
        """Register calls that end FAILED in a run, each in its own transaction."""
        call_ids = enter(self.storage, *keys)
        claims = Claims(self.storage.database, retry_waits_s=())
        claims.claim(call_ids, "run-1")
        for call_id in call_ids:
            claims.fail(call_id, "run-1", stage, error)
        return call_ids

    def complete(self, *keys: str, notify: bool = False) -> list[str]:
        """Register calls that complete every stage."""
        call_ids = enter(self.storage, *keys)
        claims = Claims(self.storage.database, notify_completed=notify)
        claims.claim(call_ids, "run-2")
        for call_id in call_ids:
            store(self.storage, call_id, *Stage, run_id="run-2")
            claims.complete(call_id, "run-2")
        return call_ids

    def custom(self, title: str = "A note", severity: Severity = Severity.INFO) -> str:
        event_id = self.storage.outbox.add(NotificationEvent(EventKind.CUSTOM, severity, title))
        assert event_id
        return event_id
