"""Telling people something that somebody else knows, and what became of it at once."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from callpipeline.domain.notification import NotificationChannel, Occurrence
from callpipeline.pipeline.dispatch import Dispatcher
from callpipeline.storage.database import Row
from callpipeline.storage.notifications import Notifications

BUDGET_S = 5.0
"""For what else is due: who asks waits for the answer."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What each channel answered. One that did not take it is tried again by itself for a day."""

    event_id: str
    sent: tuple[NotificationChannel, ...]
    failed: tuple[NotificationChannel, ...]
    answers: dict[NotificationChannel, str]


def _why_not(row: Row, off: Mapping[NotificationChannel, Row]) -> str:
    gone = off.get(row["channel"])
    if gone:
        return f"Nothing is sent there since it answered: {gone['answer']}"
    return "Others are due before it: it is delivered in a moment."


def tell_now(
    dispatcher: Dispatcher, notifications: Notifications, occurrence: Occurrence
) -> Answered:
    """Enter an event and deliver what is due; it is in the outbox whatever comes of that.

    Channels that were asked for and are not set up have failed. Quiet hours are heeded.
    """
    event_id = dispatcher.outbox.add(occurrence)
    assert event_id, "an event without a subject is always new"
    replace(dispatcher, budget_s=BUDGET_S).dispatch()
    found = notifications.of_event(event_id)
    sent = {row["channel"] for row in found if row["state"] == "DELIVERED"}
    routing = dispatcher.policy.routing
    asked = occurrence.channels or routing.channels(occurrence.kind)
    off = dispatcher.outbox.off()
    answers = {row["channel"]: row["answer"] or _why_not(row, off) for row in found}
    for channel in set(asked) - set(answers):
        is_held = channel in routing.configured
        answers[channel] = "It waits for the end of the quiet hours." if is_held else "Not set up."
    return Answered(
        event_id,
        tuple(sorted(sent)),
        tuple(sorted(set(answers) - sent)),
        {channel: answers[channel] for channel in sorted(answers)},
    )
