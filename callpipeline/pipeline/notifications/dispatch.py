"""Delivery of notifications from the outbox, by a sensor or a command."""

import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from callpipeline.domain.calls.filters import MomentId
from callpipeline.domain.notifications import (
    EventKind,
    NotificationChannel,
    NotificationEvent,
    NotificationPolicy,
    Severity,
)
from callpipeline.errors import DeliveryRefused, ReceiverGone
from callpipeline.notify.ports import DeliveryReceipt, NotificationMessage, Notifier
from callpipeline.pipeline.notifications.composing import Links, compose, quoted_moments
from callpipeline.storage.ports.notifications import (
    DeliveryLease,
    DeliveryOutcome,
    NotificationContent,
    NotificationLog,
    OutboxStore,
)

Row = Mapping[str, Any]

RETRY_WAITS_S = (
    *(10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0),
    *(3600.0, 7200.0, 10_800.0, 14_400.0, 18_000.0, 21_600.0),
)
"""Wait before each retry of a refused notification; it is given up after 22 hours in total."""
MAX_QUOTES = 5
BUDGET_S = 20.0
"""No delivery starts later in a tick: a sensor has 60 s, and a delivery takes at most 30 s."""
NOTIFY_NOW_BUDGET_S = 5.0
"""The sender waits for the answer, while other notifications that are due are delivered too."""


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """An attempt to deliver a notification, and its outcome."""

    channel: NotificationChannel
    kind: EventKind
    part: str
    events: int
    outcome: DeliveryOutcome

    @property
    def notification_id(self) -> str:
        return self.outcome.lease.notification_id


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Delivers notifications, except to receivers that turned them off.

    A notification is delivered once per channel. If the process dies between a delivery and its
    record, it is delivered again with the same id. Tests may let `clock` run ahead.
    """

    outbox: OutboxStore
    notifiers: Sequence[Notifier]
    policy: NotificationPolicy
    links: Links
    zone: ZoneInfo
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    budget_s: float = BUDGET_S
    quotes: Callable[[Sequence[MomentId], int], Sequence[str]] = lambda _moments, _limit: ()

    def dispatch(self) -> list[DeliveryAttempt]:
        """Group new events into notifications and deliver those that are due.

        Channels are independent of each other.
        """
        working = self._working()
        self.outbox.create_notifications(
            self.policy, self.clock(), [each.channel for each in working]
        )
        if not working:
            return []
        with ThreadPoolExecutor(len(working), "notify") as threads:
            return [attempt for each in threads.map(self._deliver, working) for attempt in each]

    def _working(self) -> list[Notifier]:
        off = self.outbox.unsubscribed()
        return [
            notifier
            for notifier in self.notifiers
            if notifier.channel not in off
            or off[notifier.channel]["address"] != notifier.destination_hash
        ]

    def _deliver(self, notifier: Notifier) -> list[DeliveryAttempt]:
        """Deliver what is due on one channel, until one is refused: the others would be too."""
        attempts: list[DeliveryAttempt] = []
        deadline = time.monotonic() + self.budget_s
        while time.monotonic() < deadline:
            lease = self.outbox.lease(notifier.channel, self.clock())
            if lease is None:
                break
            attempts.append(self._attempt(notifier, lease))
            if not attempts[-1].outcome.accepted:
                break
        return attempts

    def _attempt(self, notifier: Notifier, lease: DeliveryLease) -> DeliveryAttempt:
        content = self.outbox.content(lease.notification_id)
        began = time.monotonic()
        answer = self._send(notifier, content)
        took_s, now = time.monotonic() - began, self.clock()
        if isinstance(answer, DeliveryReceipt):
            outcome = DeliveryOutcome(
                lease, now, took_s, True, answer.code, answer.answer, receipt=answer.remote_id
            )
        else:
            outcome = self._refused(answer, lease, now, took_s)
        self.outbox.record(outcome)
        if outcome.accepted:
            self.outbox.retry_now(notifier.channel, now)
        elif isinstance(answer, ReceiverGone):
            self.outbox.unsubscribe(notifier.channel, notifier.destination_hash, str(answer), now)
        return DeliveryAttempt(content.channel, content.kind, content.part, content.count, outcome)

    def _send(
        self, notifier: Notifier, content: NotificationContent
    ) -> DeliveryReceipt | DeliveryRefused | ReceiverGone:
        """Send a notification; an internal error counts as a refusal, so that others are sent."""
        if not content.events:
            return DeliveryReceipt("nothing", "Its calls were erased: nothing was sent.")
        try:
            quotes = self._quotes(notifier.channel, content)
            return notifier.send(compose(content, self.links, self.zone, quotes))
        except (DeliveryRefused, ReceiverGone) as answer:
            return answer
        except Exception as error:
            return DeliveryRefused(
                "fault", f"Internal error in callpipeline ({type(error).__name__})."
            )

    def _quotes(self, channel: NotificationChannel, content: NotificationContent) -> Sequence[str]:
        """Return the words that the message quotes: none on channels that may not receive any."""
        moments = quoted_moments(content)
        if not moments or channel not in self.policy.quote_channels:
            return ()
        return self.quotes(moments, MAX_QUOTES)

    @staticmethod
    def _refused(
        answer: DeliveryRefused | ReceiverGone, lease: DeliveryLease, now: datetime, took_s: float
    ) -> DeliveryOutcome:
        """Schedule a retry after a growing wait, longer if the receiver requests it, or give up."""
        outcome = DeliveryOutcome(lease, now, took_s, False, answer.code, str(answer))
        if isinstance(answer, ReceiverGone) or lease.tries > len(RETRY_WAITS_S):
            return outcome
        requested_s = min(answer.retry_after_s or 0.0, RETRY_WAITS_S[-1])
        return replace(
            outcome,
            retry_at=now + timedelta(seconds=max(RETRY_WAITS_S[lease.tries - 1], requested_s)),
            asked_until=now + timedelta(seconds=requested_s) if requested_s else None,
        )


def describe_attempts(attempts: Iterable[DeliveryAttempt]) -> str:
    """Describe delivery attempts in one line, for the sensor's page."""
    each = [
        f"{one.channel}: {'delivered' if one.outcome.accepted else 'refused'} ({one.outcome.code})"
        for one in attempts
    ]
    return "; ".join(each) + "." if each else "Nothing due."


@dataclass(frozen=True, slots=True)
class NotifyOutcome:
    """The answer of each channel; failed ones are retried automatically for a day."""

    event_id: str
    sent: tuple[NotificationChannel, ...]
    failed: tuple[NotificationChannel, ...]
    answers: dict[NotificationChannel, str]


def notify_now(
    dispatcher: Dispatcher, notifications: NotificationLog, occurrence: NotificationEvent
) -> NotifyOutcome:
    """Add an event to the outbox and deliver what is due, respecting quiet hours.

    Requested channels that are not set up count as failed.
    """
    event_id = dispatcher.outbox.add(occurrence)
    assert event_id, "an event without a subject is always new"
    replace(dispatcher, budget_s=NOTIFY_NOW_BUDGET_S).dispatch()
    found = notifications.of_event(event_id)
    sent = {row["channel"] for row in found if row["state"] == "DELIVERED"}
    routing = dispatcher.policy.routing
    requested = occurrence.channels or routing.channels(occurrence.kind)
    off = dispatcher.outbox.unsubscribed()
    answers = {row["channel"]: row["answer"] or _why_not(row, off) for row in found}
    for channel in set(requested) - set(answers):
        is_held = channel in routing.configured
        answers[channel] = "Held until quiet hours end." if is_held else "Not set up."
    return NotifyOutcome(
        event_id,
        tuple(sorted(sent)),
        tuple(sorted(set(answers) - sent)),
        {channel: answers[channel] for channel in sorted(answers)},
    )


def _why_not(row: Row, off: Mapping[NotificationChannel, Row]) -> str:
    gone = off.get(row["channel"])
    if gone:
        return f"Turned off since it answered: {gone['answer']}"
    return "Queued behind other notifications."


@dataclass(frozen=True, slots=True)
class ChannelAnswer:
    """The receiver's answer to a test message. `where` names the receiver without its secrets."""

    channel: NotificationChannel
    where: str
    delivered: bool
    answer: str
    took_s: float


def check_channel(
    notifier: Notifier, resubscribe: Callable[[NotificationChannel], object]
) -> ChannelAnswer:
    """Send a test message and return the answer.

    A receiver that was turned off and accepts the message is turned on again.
    """
    began = time.monotonic()
    try:
        receipt = notifier.send(channel_test_message())
        answer, is_delivered = receipt.answer, not receipt.is_partial
    except (DeliveryRefused, ReceiverGone) as refusal:
        answer, is_delivered = str(refusal), False
    except Exception as error:  # such as an invalid sender; the other channels are still tested
        answer, is_delivered = f"Couldn't send it ({type(error).__name__}).", False
    took_s = round(time.monotonic() - began, 2)
    if is_delivered:
        resubscribe(notifier.channel)
    return ChannelAnswer(notifier.channel, notifier.destination, is_delivered, answer, took_s)


def channel_test_message() -> NotificationMessage:
    """Return the message that a test sends."""
    return NotificationMessage(
        notification_id=str(uuid.uuid4()),
        thread_id="test",
        kind=EventKind.CUSTOM,
        type="custom",
        severity=Severity.INFO,
        title="callpipeline can reach you here",
        message="This is a test message of callpipeline's notification channels.",
        context=("No action needed.",),
        at=datetime.now(UTC),
    )
