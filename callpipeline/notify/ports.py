"""What telling people needs of a channel; the adapters stand beside this file."""

from dataclasses import dataclass
from typing import Protocol

from callpipeline.domain.notification import NotificationChannel
from callpipeline.notify.message import Message


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receiver took a message. `code` is its answer in a word, `answer` in full.

    `name` is the receiver's own name of the message, for threads; `is_partial` says that
    some of several recipients do not get it.
    """

    code: str
    answer: str
    name: str | None = None
    is_partial: bool = False


class Notifier(Protocol):
    """Brings messages to one channel."""

    @property
    def channel(self) -> NotificationChannel: ...

    @property
    def where(self) -> str:
        """Where messages go, in words that hold no secret."""
        ...

    @property
    def address(self) -> str:
        """A hash of where messages go: tells that it is another place now."""
        ...

    def send(self, message: Message) -> Receipt:
        """Deliver once. Raises DeliveryRefused, and ReceiverGone for one that wants no more."""
        ...
