"""A channel in memory; `tests/contracts` holds it to what the real ones do."""

from collections.abc import Callable
from dataclasses import dataclass, field

from callpipeline.domain.notification import NotificationChannel
from callpipeline.errors import CallpipelineError, DeliveryRefused
from callpipeline.notify.message import Message
from callpipeline.notify.ports import Receipt

DOWN = DeliveryRefused("503", "503 down for maintenance")


@dataclass
class InMemoryNotifier:
    """Keeps what it is sent. While `refuses` is set it takes nothing; `after` is called when it
    has taken a message, before anybody hears of it."""

    channel: NotificationChannel = NotificationChannel.WEBHOOK
    taken: list[Message] = field(default_factory=list)
    refuses: CallpipelineError | None = None
    tries: int = 0
    after: Callable[[Message], None] = lambda message: None

    @property
    def where(self) -> str:
        return "memory"

    @property
    def address(self) -> str:
        return f"memory-{self.channel}"

    def send(self, message: Message) -> Receipt:
        self.tries += 1
        if self.refuses:
            raise self.refuses
        self.taken.append(message)
        self.after(message)
        return Receipt("ok", "ok", name=f"taken-{len(self.taken)}")

    @property
    def titles(self) -> list[str]:
        return [message.title for message in self.taken]
