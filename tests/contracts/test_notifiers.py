"""Every way to people: fake, Slack's two, email's two, and the webhook, over real sockets."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from callpipeline.domain.notification import Severity
from callpipeline.errors import DeliveryRefused
from callpipeline.notify.email import EmailNotifier, MailServer
from callpipeline.notify.message import Message
from callpipeline.notify.ports import Notifier, Receipt
from callpipeline.notify.slack import SlackBotNotifier, SlackWebhookNotifier, web_client
from callpipeline.notify.webhook import WebhookNotifier
from tests.builders import a_message
from tests.fakes.notifiers import DOWN, InMemoryNotifier
from tests.fakes.receivers import Answer, HttpReceiver, MailBox, SlackApi, certificate, mail_server
from tests.soak.installation import free_port


@dataclass
class Line:
    """A notifier and its receiver: `arrived` is each message as text, `break_once` lets the next
    one be refused, `gone` is the same notifier with nobody at the other end."""

    notifier: Notifier
    arrived: Callable[[], list[str]]
    break_once: Callable[[], None]
    gone: Notifier


def in_memory(stack: ExitStack, folder: Path) -> Line:
    fake, gone = InMemoryNotifier(), InMemoryNotifier(refuses=DOWN)

    def break_once() -> None:
        fake.refuses = DOWN

    def arrived() -> list[str]:
        return [f"{m.title} {m.notification_id}" for m in fake.taken]

    return Line(_Recovering(fake), arrived, break_once, gone)


class _Recovering:
    """The fake, which takes again what comes after a refusal."""

    def __init__(self, fake: InMemoryNotifier) -> None:
        self._fake = fake
        self.channel, self.where, self.address = fake.channel, fake.where, fake.address

    def send(self, message: Message) -> Receipt:
        try:
            return self._fake.send(message)
        finally:
            self._fake.refuses = None


def http_line(receiver: HttpReceiver, make: Callable[[str], Notifier]) -> Line:
    def arrived() -> list[str]:
        return [request.body.decode() + str(request.headers) for request in receiver.requests]

    def break_once() -> None:
        receiver.answers.append(Answer(503, b"down for maintenance"))

    return Line(make(receiver.url), arrived, break_once, make(f"http://127.0.0.1:{free_port()}"))


def slack_bot(stack: ExitStack, folder: Path) -> Line:
    api = SlackApi()
    stack.enter_context(api.running())
    return http_line(
        api, lambda url: SlackBotNotifier(web_client(api.token, f"{url}/api/"), "#calls")
    )


def slack_webhook(stack: ExitStack, folder: Path) -> Line:
    receiver = HttpReceiver()
    stack.enter_context(receiver.running())
    return http_line(receiver, lambda url: SlackWebhookNotifier(f"{url}/services/T/B/planted"))


def webhook(stack: ExitStack, folder: Path) -> Line:
    receiver = HttpReceiver()
    stack.enter_context(receiver.running())
    return http_line(
        receiver, lambda url: WebhookNotifier(f"{url}/hook?token=planted", [b"k" * 24])
    )


def mail(stack: ExitStack, folder: Path, *, tls: bool) -> Line:
    trust, ca_file = certificate(folder)
    box: MailBox = stack.enter_context(mail_server(trust, tls=tls))
    server = MailServer(
        "127.0.0.1",
        "tls" if tls else "starttls",
        box.port,
        box.username,
        box.password,
        ca_file,
    )

    def make(server: MailServer) -> Notifier:
        return EmailNotifier(server, "callpipeline@example.com", ["ops@example.com"])

    def break_once() -> None:
        box.refuse.append("451 down for maintenance")

    return Line(
        make(server),
        lambda: [m.as_string() for m in box.mails],
        break_once,
        make(replace(server, port=free_port())),
    )


LINES: dict[str, Callable[[ExitStack, Path], Line]] = {
    "in memory": in_memory,
    "slack bot": slack_bot,
    "slack webhook": slack_webhook,
    "webhook": webhook,
    "mail starttls": lambda stack, folder: mail(stack, folder, tls=False),
    "mail tls": lambda stack, folder: mail(stack, folder, tls=True),
}


@pytest.fixture(params=sorted(LINES))
def line(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Line]:
    with ExitStack() as stack:
        yield LINES[request.param](stack, tmp_path)


def test_a_message_arrives_once_and_is_acknowledged(line: Line) -> None:
    receipt = line.notifier.send(a_message(title="Zebra crossing"))
    [arrived] = line.arrived()
    assert "Zebra crossing" in arrived
    assert receipt.code in ("ok", "200", "250")
    assert receipt.answer


def test_a_refusal_says_how_and_the_next_try_is_taken(line: Line) -> None:
    line.break_once()
    with pytest.raises(DeliveryRefused) as refused:
        line.notifier.send(a_message())
    assert refused.value.code in ("503", "451")
    assert "maintenance" in str(refused.value)
    before = len(line.arrived())
    line.notifier.send(a_message())
    assert len(line.arrived()) == before + 1


def test_nobody_at_the_other_end_is_a_refusal_without_a_secret(line: Line) -> None:
    with pytest.raises(DeliveryRefused) as refused:
        line.gone.send(a_message())
    assert "planted" not in f"{refused.value} {refused.value.__cause__}"
    assert refused.value.__context__ is None or refused.value.__suppress_context__


def test_where_it_goes_is_told_without_a_secret(line: Line) -> None:
    assert line.notifier.where
    assert "planted" not in line.notifier.where + line.notifier.address
    assert line.notifier.address != line.gone.address or line.gone.address.startswith("memory")


@pytest.mark.parametrize(
    "said",
    ["<script>alert(1)</script>", "<!channel> look", "a\r\nBcc: all@example.com", "🙂 ünïcode", ""],
)
def test_any_words_can_be_told(line: Line, said: str) -> None:
    message = a_message(title=said, message=said, error_message=said, context=(said,))
    assert line.notifier.send(message).answer
    assert len(line.arrived()) == 1


@pytest.mark.parametrize("severity", list(Severity))
def test_what_is_very_long_can_be_told(line: Line, severity: Severity) -> None:
    message = a_message(
        title="t" * 5000,
        message="m" * 20_000,
        error_message="e" * 20_000,
        severity=severity,
        calls=1000,
    )
    assert line.notifier.send(message).answer
