"""A process that sends weekly reports, and may kill itself on the way: `<url> <settings> <where>`.

The settings are JSON. It kills itself `in_transaction`, `before_dispatch`, `after_lease` or
`after_delivery`, or `nowhere`.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import SecretStr

from callpipeline import wiring
from callpipeline.config import Settings
from callpipeline.notify.ports import DeliveryReceipt, NotificationMessage, Notifier
from callpipeline.pipeline.notifications.reports import ReportMonitor
from callpipeline.storage.calls import saved_views
from callpipeline.storage.notifications import LEASE_S


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class FatalNotifier:
    """Sends by another notifier; kills the process before or after."""

    notifier: Notifier
    before: Callable[[], None]
    after: Callable[[], None]

    @property
    def channel(self):
        return self.notifier.channel

    @property
    def destination(self) -> str:
        return self.notifier.destination

    @property
    def destination_hash(self) -> str:
        return self.notifier.destination_hash

    def send(self, message: NotificationMessage) -> DeliveryReceipt:
        self.before()
        receipt = self.notifier.send(message)
        self.after()
        return receipt


def main(url: str, given: str, where: str) -> None:
    values = json.loads(given)
    options = Settings(
        home=Path(values.pop("home")),
        database_url=SecretStr(url),
        _env_file=None,  # pyright: ignore[reportCallIssue]
        **values,
    )
    if where == "in_transaction":
        saved_views.add_event = die  # pyright: ignore[reportAttributeAccessIssue]
    fatal = {"after_lease": (die, int), "after_delivery": (int, die)}.get(where, (int, int))
    with wiring.open_storage(options, url) as storage:
        day_zone = storage.day_zone
        monitor = ReportMonitor(
            storage.views, storage.analytics, storage.insights, storage.reviews, day_zone
        )
        monitor.check(datetime.now(UTC))
        if where == "before_dispatch":
            die()
        dispatcher = wiring.open_dispatcher(options, storage.outbox)
        notifiers = [FatalNotifier(each, *fatal) for each in dispatcher.notifiers]
        object.__setattr__(dispatcher, "notifiers", notifiers)
        # What a process that was killed has leased is free again by then.
        later = timedelta(seconds=LEASE_S + 60 if where == "nowhere" else 0)
        object.__setattr__(dispatcher, "clock", lambda: datetime.now(UTC) + later)
        dispatcher.dispatch()


if __name__ == "__main__":
    main(*sys.argv[1:])
