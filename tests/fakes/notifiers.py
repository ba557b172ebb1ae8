"""In-memory notification channel; `tests/contracts` tests it together with the real ones."""

from collections.abc import Callable
from dataclasses import dataclass, field

from callpipeline.domain.notifications import NotificationChannel
from callpipeline.errors import CallpipelineError, DeliveryRefused
from callpipeline.notify.ports import DeliveryReceipt, NotificationMessage

DOWN = DeliveryRefused("503", "503 down for maintenance")


@dataclass
class InMemoryNotifier:
    """Records messages; raises `refusal` while that is set.

    `on_accept` is called after a message is recorded, before `send` returns.
    """

    channel: NotificationChannel = NotificationChannel.WEBHOOK
    accepted: list[NotificationMessage] = field(default_factory=list)
    refusal: CallpipelineError | None = None
    attempts: int = 0
    on_accept: Callable[[NotificationMessage], None] = lambda message: None

    @property
    def destination(self) -> str:
        return "memory"

    @property
    def destination_hash(self) -> str:
        return f"memory-{self.channel}"

    def send(self, message: NotificationMessage) -> DeliveryReceipt:
        self.attempts += 1
        if self.refusal:
            raise self.refusal
        self.accepted.append(message)
        self.on_accept(message)
        return DeliveryReceipt("ok", "ok", remote_id=f"accepted-{len(self.accepted)}")

    @property
    def titles(self) -> list[str]:
        return [message.title for message in self.accepted]
