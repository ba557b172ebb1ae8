"""Email: escaped text and HTML parts, threads, logins, certificates and refused recipients."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import pytest

from callpipeline.domain.notifications import Severity
from callpipeline.errors import DeliveryRefused
from callpipeline.notify.email import EmailNotifier, SmtpServer, compose
from tests.builders import a_message
from tests.fakes.receivers import certificate, mail_server
from tests.processes import until

FROM, TO = "callpipeline@example.com", ["ops@example.com", "ci@example.com"]


class Post:
    """A mail server and its settings."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        trust, ca_file = certificate(folder)
        box = self.box = stack.enter_context(mail_server(trust))
        self.server = SmtpServer(
            "127.0.0.1", "starttls", box.port, box.username, box.password, ca_file
        )

    def notifier(self, **changed: object) -> EmailNotifier:
        return EmailNotifier(replace(self.server, **changed), FROM, TO)  # pyright: ignore


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    with ExitStack() as stack:
        yield Post(stack, tmp_path)


def part(mail: EmailMessage, kind: str) -> str:
    body = mail.get_body((kind,))
    assert body
    return body.get_content()


def test_a_mail_has_both_parts_and_headers_for_filters(post: Post) -> None:
    post.notifier().send(a_message(error_message="the recogniser is away"))
    [mail] = post.box.mails
    assert mail["Subject"] == "[ERROR] A call failed at transcripts (EngineUnavailable)"
    assert "callpipeline" in mail["List-Id"]
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"] == f"<{a_message().notification_id}@example.com>"
    for kind in ("plain", "html"):
        assert "the recogniser is away" in part(mail, kind)
        assert "http://d/0" in part(mail, kind)
        assert "call-0.wav" in part(mail, kind)
        assert "What to do about it." in part(mail, kind)
    assert post.box.recipients == [TO]


def test_everything_is_escaped() -> None:
    hostile = '<img src=x onerror=alert(1)> & "quotes"'
    message = a_message(title=hostile, message=hostile, error_message=hostile, context=(hostile,))
    html = part(compose(message, FROM, TO), "html")
    assert "<img" not in html
    assert html.count("&lt;img src=x") == 5
    assert hostile in part(compose(message, FROM, TO), "plain")


def test_a_title_cannot_add_headers() -> None:
    mail = compose(a_message(title="x\r\nBcc: all@example.com"), FROM, TO)
    assert mail["Bcc"] is None
    assert mail["Subject"] == "[ERROR] x Bcc: all@example.com"


def test_related_messages_are_a_thread() -> None:
    first = compose(a_message(), FROM, TO)
    known = a_message().notification_id
    later = compose(a_message(notification_id="other", first_id=known), FROM, TO)
    assert later["In-Reply-To"] == later["References"] == first["Message-ID"]
    assert later["Message-ID"] != first["Message-ID"]


def test_a_recovery_says_so() -> None:
    message = a_message(is_recovery=True, severity=Severity.INFO, title="transcripts works again")
    assert "resolved" in part(compose(message, FROM, TO), "html")


def test_a_wrong_password_is_refused_in_the_servers_words(post: Post) -> None:
    with pytest.raises(DeliveryRefused) as refused:
        post.notifier(password="planted-wrong").send(a_message())
    assert refused.value.code == "535"
    assert "planted" not in str(refused.value)


def test_an_untrusted_certificate_is_refused(post: Post) -> None:
    with pytest.raises(DeliveryRefused, match="certificate is not trusted"):
        post.notifier(ca_file=None).send(a_message())
    assert post.box.logins == []


def test_the_password_is_not_sent_without_encryption(post: Post) -> None:
    with pytest.raises(DeliveryRefused):
        post.notifier(security="none").send(a_message())
    assert post.box.mails == []


def test_refused_recipients_are_listed(post: Post) -> None:
    post.box.unknown = {TO[1]}
    answer = post.notifier().send(a_message()).answer
    assert answer == f"250 accepted, but not for {TO[1]}: 550 no such user here"
    assert post.box.recipients == [[TO[0]]]


def test_no_recipient_left_is_a_refusal(post: Post) -> None:
    post.box.unknown = set(TO)
    with pytest.raises(DeliveryRefused, match="550 no such user here"):
        post.notifier().send(a_message())


@pytest.mark.parametrize("goodbye", ["421 too busy for that", "250 fine"])
def test_a_failing_quit_does_not_undo_an_accepted_mail(post: Post, goodbye: str) -> None:
    """Otherwise it would be sent repeatedly."""
    post.box.goodbye = goodbye
    assert post.notifier().send(a_message()).code == "250"
    assert len(post.box.mails) == 1


def test_a_silent_server_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hold: list[socket.socket] = []
        threading.Thread(target=lambda: hold.append(silent.accept()[0]), daemon=True).start()
        server = SmtpServer("127.0.0.1", "none", silent.getsockname()[1])
        with pytest.raises(DeliveryRefused):
            EmailNotifier(server, FROM, TO, step_s=0.3).send(a_message())
        until(lambda: bool(hold), "the connection is accepted")
        hold[0].close()


def test_a_slow_server_times_out() -> None:
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as dripping:

        def drip() -> None:
            with dripping.accept()[0] as line:
                line.sendall(b"220 hello\r\n")
                while not over.wait(0.1):
                    try:
                        line.sendall(b"250-still\r\n")
                    except OSError:
                        return

        threading.Thread(target=drip, daemon=True).start()
        server = SmtpServer("127.0.0.1", "none", dripping.getsockname()[1])
        with pytest.raises(DeliveryRefused):
            EmailNotifier(server, FROM, TO, limit_s=0.5).send(a_message())
        over.set()
