"""A place where calls fail and people are told, with a clock that trials put forward."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from callpipeline.domain.call import Stage
from callpipeline.domain.notification import (
    EventKind,
    NotificationChannel,
    Occurrence,
    Policy,
    Routing,
    Severity,
)
from callpipeline.errors import CallpipelineError, EngineUnavailable, UnsupportedAudio
from callpipeline.pipeline.dispatch import Dispatcher, Tried
from callpipeline.pipeline.links import Links
from callpipeline.storage.claims import Claims
from callpipeline.wiring import Storage
from tests.fakes.notifiers import InMemoryNotifier
from tests.integration.calls import enter, store

DOWN, BROKEN = EngineUnavailable("the recogniser is away"), UnsupportedAudio("a picture")
CHANNELS = tuple(NotificationChannel)


@dataclass
class Desk:
    """`now` begins with the real time, since the database notes when calls fail."""

    storage: Storage
    notifiers: list[InMemoryNotifier] = field(
        default_factory=lambda: [InMemoryNotifier(channel) for channel in CHANNELS]
    )
    passed: timedelta = timedelta()
    policy: Policy = field(default_factory=lambda: Policy(Routing(frozenset(CHANNELS))))

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
        return Dispatcher(outbox, self.notifiers, policy, links, zone, lambda: self.now)

    def look(self, *, after_s: float = 0.0, times: int = 1) -> list[Tried]:
        """Let time pass, and look; what came of the last look."""
        tried: list[Tried] = []
        for _ in range(times):
            self.passed += timedelta(seconds=after_s)
            tried = self.dispatcher.dispatch()
        return tried

    def rules(self, **rules: Sequence[NotificationChannel]) -> None:
        chosen = {EventKind(kind): tuple(channels) for kind, channels in rules.items()}
        self.policy = replace(self.policy, routing=Routing(frozenset(CHANNELS), chosen))

    def fail(
        self,
        *keys: str,
        error: CallpipelineError = BROKEN,
        stage: Stage = Stage.CHANNEL_AUDIO,
    ) -> list[str]:
        """Calls that end FAILED in a run, each in a transaction of its own."""
        call_ids = enter(self.storage, *keys)
        claims = Claims(self.storage.database, retry_waits_s=())
        claims.claim(call_ids, "run-1")
        for call_id in call_ids:
            claims.fail(call_id, "run-1", stage, error)
        return call_ids

    def complete(self, *keys: str, tell: bool = False) -> list[str]:
        """Calls that go through every stage."""
        call_ids = enter(self.storage, *keys)
        claims = Claims(self.storage.database, tells_completed=tell)
        claims.claim(call_ids, "run-2")
        for call_id in call_ids:
            store(self.storage, call_id, *Stage, run_id="run-2")
            claims.complete(call_id, "run-2")
        return call_ids

    def custom(self, title: str = "A word", severity: Severity = Severity.INFO) -> str:
        event_id = self.storage.outbox.add(Occurrence(EventKind.CUSTOM, severity, title))
        assert event_id
        return event_id
