"""Bringing what waits in the outbox to people: one look, by a sensor or a command."""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from callpipeline.domain.notification import EventKind, NotificationChannel, Policy
from callpipeline.errors import DeliveryRefused, ReceiverGone
from callpipeline.notify.ports import Notifier, Receipt
from callpipeline.pipeline.composing import compose
from callpipeline.pipeline.links import Links
from callpipeline.storage.messages import Content, Lease, Outcome
from callpipeline.storage.outbox import Outbox

WAITS_S = (
    *(10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0),
    *(3600.0, 7200.0, 10_800.0, 14_400.0, 18_000.0, 21_600.0),
)
"""Before each new try of a message that was refused: 22 hours in all, then it is given up."""
BUDGET_S = 20.0
"""No try begins later in a look: a sensor has 60 s, and a try takes 30 at most."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A try to deliver a message, and what came of it."""

    channel: NotificationChannel
    kind: EventKind
    part: str
    events: int
    outcome: Outcome

    @property
    def notification_id(self) -> str:
        return self.outcome.lease.notification_id


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Delivers by `notifiers`, those that want nothing left out; `clock` may run ahead in trials.

    Never twice to one channel, save where the process dies between a delivery and its record: then
    the same message comes again under the same id.
    """

    outbox: Outbox
    notifiers: Sequence[Notifier]
    policy: Policy
    links: Links
    zone: ZoneInfo
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    budget_s: float = BUDGET_S

    def dispatch(self) -> list[Tried]:
        """Put what waits into messages, and try each that is due. Channels do not wait for each
        other."""
        working = self._working()
        self.outbox.gather(self.policy, self.clock(), [each.channel for each in working])
        if not working:
            return []
        with ThreadPoolExecutor(len(working), "notify") as threads:
            return [tried for each in threads.map(self._deliver, working) for tried in each]

    def _working(self) -> list[Notifier]:
        off = self.outbox.off()
        return [
            notifier
            for notifier in self.notifiers
            if notifier.channel not in off or off[notifier.channel]["address"] != notifier.address
        ]

    def _deliver(self, notifier: Notifier) -> list[Tried]:
        """What is due to one channel, until one is refused: the others would be too."""
        done: list[Tried] = []
        deadline = time.monotonic() + self.budget_s
        while time.monotonic() < deadline:
            lease = self.outbox.lease(notifier.channel, self.clock())
            if lease is None:
                break
            done.append(self._try(notifier, lease))
            if not done[-1].outcome.accepted:
                break
        return done

    def _try(self, notifier: Notifier, lease: Lease) -> Tried:
        content = self.outbox.content(lease.notification_id)
        began = time.monotonic()
        answer = self._answer(notifier, content)
        took_s, now = time.monotonic() - began, self.clock()
        if isinstance(answer, Receipt):
            outcome = Outcome(
                lease, now, took_s, True, answer.code, answer.answer, receipt=answer.name
            )
        else:
            outcome = self._refused(answer, lease, now, took_s)
        self.outbox.record(outcome)
        if outcome.accepted:
            self.outbox.hurry(notifier.channel, now)
        elif isinstance(answer, ReceiverGone):
            self.outbox.turn_off(notifier.channel, notifier.address, str(answer), now)
        return Tried(content.channel, content.kind, content.part, content.count, outcome)

    def _answer(
        self, notifier: Notifier, content: Content
    ) -> Receipt | DeliveryRefused | ReceiverGone:
        """A fault of our own is a refusal too: it is recorded, and others have their turn."""
        if not content.events:
            return Receipt("nothing", "What it told of was erased: nothing was sent.")
        try:
            return notifier.send(compose(content, self.links, self.zone))
        except (DeliveryRefused, ReceiverGone) as answer:
            return answer
        except Exception as error:
            return DeliveryRefused("fault", f"callpipeline met an error ({type(error).__name__}).")

    @staticmethod
    def _refused(
        answer: DeliveryRefused | ReceiverGone, lease: Lease, now: datetime, took_s: float
    ) -> Outcome:
        """Tried again after growing waits, longer where the receiver asks for it, or given up."""
        outcome = Outcome(lease, now, took_s, False, answer.code, str(answer))
        if isinstance(answer, ReceiverGone) or lease.tries > len(WAITS_S):
            return outcome
        asked_s = min(answer.retry_after_s or 0.0, WAITS_S[-1])
        return replace(
            outcome,
            again_at=now + timedelta(seconds=max(WAITS_S[lease.tries - 1], asked_s)),
            asked_until=now + timedelta(seconds=asked_s) if asked_s else None,
        )


def in_words(tried: Iterable[Tried]) -> str:
    """What a look did, for the sensor's page."""
    each = [
        f"{one.channel}: {'delivered' if one.outcome.accepted else 'refused'} ({one.outcome.code})"
        for one in tried
    ]
    return "; ".join(each) + "." if each else "Nothing was due."
