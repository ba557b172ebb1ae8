"""Contract of notifiers: the fake, and Slack, email and webhook over real sockets."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from callpipeline.domain.notifications import Severity
from callpipeline.errors import DeliveryRefused
from callpipeline.notify.email import EmailNotifier, SmtpServer
from callpipeline.notify.ports import DeliveryReceipt, NotificationMessage, Notifier
from callpipeline.notify.slack import SlackBotNotifier, SlackWebhookNotifier, web_client
from callpipeline.notify.webhook import WebhookNotifier
from tests.builders import a_message
from tests.fakes.notifiers import DOWN, InMemoryNotifier
from tests.fakes.receivers import Answer, HttpReceiver, MailBox, SlackApi, certificate, mail_server
from tests.processes import free_port


@dataclass
class Delivery:
    """A notifier and its receiver.

    `arrived` returns the received messages as text, `break_once` makes the receiver refuse the
    next one, and `gone` is a notifier whose receiver doesn't exist.
    """

    notifier: Notifier
    arrived: Callable[[], list[str]]
    break_once: Callable[[], None]
    gone: Notifier


def in_memory(stack: ExitStack, folder: Path) -> Delivery:
    fake, gone = InMemoryNotifier(), InMemoryNotifier(refusal=DOWN)

    def break_once() -> None:
        fake.refusal = DOWN

    def arrived() -> list[str]:
        return [f"{m.title} {m.notification_id}" for m in fake.accepted]

    return Delivery(_Recovering(fake), arrived, break_once, gone)


class _Recovering:
    """The fake, which refuses only once."""

    def __init__(self, fake: InMemoryNotifier) -> None:
        self._fake = fake
        self.channel, self.destination, self.destination_hash = (
            fake.channel,
            fake.destination,
            fake.destination_hash,
        )

    def send(self, message: NotificationMessage) -> DeliveryReceipt:
        try:
            return self._fake.send(message)
        finally:
            self._fake.refusal = None


def http_delivery(receiver: HttpReceiver, make: Callable[[str], Notifier]) -> Delivery:
    def arrived() -> list[str]:
        return [request.body.decode() + str(request.headers) for request in receiver.requests]

    def break_once() -> None:
        receiver.answers.append(Answer(503, b"down for maintenance"))

    return Delivery(
        make(receiver.url), arrived, break_once, make(f"http://127.0.0.1:{free_port()}")
    )


def slack_bot(stack: ExitStack, folder: Path) -> Delivery:
    api = SlackApi()
    stack.enter_context(api.running())
    return http_delivery(
        api, lambda url: SlackBotNotifier(web_client(api.token, f"{url}/api/"), "#calls")
    )


def slack_webhook(stack: ExitStack, folder: Path) -> Delivery:
    receiver = HttpReceiver()
    stack.enter_context(receiver.running())
    return http_delivery(receiver, lambda url: SlackWebhookNotifier(f"{url}/services/T/B/planted"))


def webhook(stack: ExitStack, folder: Path) -> Delivery:
    receiver = HttpReceiver()
    stack.enter_context(receiver.running())
    return http_delivery(
        receiver, lambda url: WebhookNotifier(f"{url}/hook?token=planted", [b"k" * 24])
    )


def mail(stack: ExitStack, folder: Path, *, tls: bool) -> Delivery:
    trust, ca_file = certificate(folder)
    box: MailBox = stack.enter_context(mail_server(trust, tls=tls))
    server = SmtpServer(
        "127.0.0.1",
        "tls" if tls else "starttls",
        box.port,
        box.username,
        box.password,
        ca_file,
    )

    def make(server: SmtpServer) -> Notifier:
        return EmailNotifier(server, "callpipeline@example.com", ["ops@example.com"])

    def break_once() -> None:
        box.refuse.append("451 down for maintenance")

    return Delivery(
        make(server),
        lambda: [m.as_string() for m in box.mails],
        break_once,
        make(replace(server, port=free_port())),
    )


DELIVERIES: dict[str, Callable[[ExitStack, Path], Delivery]] = {
    "in memory": in_memory,
    "slack bot": slack_bot,
    "slack webhook": slack_webhook,
    "webhook": webhook,
    "mail starttls": lambda stack, folder: mail(stack, folder, tls=False),
    "mail tls": lambda stack, folder: mail(stack, folder, tls=True),
}


@pytest.fixture(params=sorted(DELIVERIES))
def delivery(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Delivery]:
    with ExitStack() as stack:
        yield DELIVERIES[request.param](stack, tmp_path)


def test_a_message_arrives_once_and_is_acknowledged(delivery: Delivery) -> None:
    receipt = delivery.notifier.send(a_message(title="Zebra crossing"))
    [arrived] = delivery.arrived()
    assert "Zebra crossing" in arrived
    assert receipt.code in ("ok", "200", "250")
    assert receipt.answer


def test_a_refusal_has_a_reason_and_the_next_attempt_succeeds(delivery: Delivery) -> None:
    delivery.break_once()
    with pytest.raises(DeliveryRefused) as refused:
        delivery.notifier.send(a_message())
    assert refused.value.code in ("503", "451")
    assert "maintenance" in str(refused.value)
    before = len(delivery.arrived())
    delivery.notifier.send(a_message())
    assert len(delivery.arrived()) == before + 1


def test_a_missing_receiver_is_a_refusal_without_secrets(delivery: Delivery) -> None:
    with pytest.raises(DeliveryRefused) as refused:
        delivery.gone.send(a_message())
    assert "planted" not in f"{refused.value} {refused.value.__cause__}"
    assert refused.value.__context__ is None or refused.value.__suppress_context__


def test_the_destination_contains_no_secrets(delivery: Delivery) -> None:
    assert delivery.notifier.destination
    assert "planted" not in delivery.notifier.destination + delivery.notifier.destination_hash
    assert (
        delivery.notifier.destination_hash != delivery.gone.destination_hash
        or delivery.gone.destination_hash.startswith("memory")
    )


@pytest.mark.parametrize(
    "text",
    ["<script>alert(1)</script>", "<!channel> look", "a\r\nBcc: all@example.com", "🙂 ünïcode", ""],
)
def test_any_text_can_be_sent(delivery: Delivery, text: str) -> None:
    message = a_message(title=text, message=text, error_message=text, context=(text,))
    assert delivery.notifier.send(message).answer
    assert len(delivery.arrived()) == 1


@pytest.mark.parametrize("severity", list(Severity))
def test_very_long_messages_can_be_sent(delivery: Delivery, severity: Severity) -> None:
    message = a_message(
        title="t" * 5000,
        message="m" * 20_000,
        error_message="e" * 20_000,
        severity=severity,
        calls=1000,
    )
    assert delivery.notifier.send(message).answer
