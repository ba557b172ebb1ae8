"""Email by SMTP: text and HTML parts, threads, and headers that let people sort it."""

import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from functools import cache
from pathlib import Path
from typing import Literal

import jinja2
from markupsafe import Markup, escape

from callpipeline.domain.notification import NotificationChannel
from callpipeline.errors import DeliveryRefused
from callpipeline.notify.message import (
    COLOURS,
    LONGEST_ERROR,
    Message,
    hashed,
    one_line,
    shortened,
)
from callpipeline.notify.ports import Receipt

LIMIT_S = 30.0
"""For a whole try; a step of the conversation may take STEP_S."""
STEP_S = 10.0
MOST_CALLS = 100
LONGEST_SUBJECT = 180

Security = Literal["starttls", "tls", "none"]
PORTS: dict[Security, int] = {"starttls": 587, "tls": 465, "none": 25}


@dataclass(frozen=True, slots=True)
class MailServer:
    """How to reach an SMTP server; its certificate is checked, against `ca_file` where given."""

    host: str
    security: Security = "starttls"
    port: int | None = None
    username: str | None = None
    password: str | None = None
    ca_file: Path | None = None

    @property
    def real_port(self) -> int:
        return self.port or PORTS[self.security]


class EmailNotifier:
    """Sends one mail to all its recipients."""

    channel = NotificationChannel.EMAIL

    def __init__(
        self,
        server: MailServer,
        sender: str,
        recipients: Sequence[str],
        *,
        limit_s: float = LIMIT_S,
        step_s: float = STEP_S,
    ) -> None:
        self._server, self._sender, self._recipients = server, sender, tuple(recipients)
        self._limit_s, self._step_s = limit_s, step_s
        self.where = f"{', '.join(recipients)} by {server.host}:{server.real_port}"
        self.address = hashed(self.where)

    def send(self, message: Message) -> Receipt:
        """Hand it to the server; of several recipients those that it refused are told."""
        mail = compose(message, self._sender, self._recipients)
        try:
            with _conversation(self._server, self._limit_s, self._step_s) as smtp:
                refused = smtp.send_message(mail)
        except smtplib.SMTPRecipientsRefused as error:
            raise _refused(*next(iter(error.recipients.values()))) from None
        except smtplib.SMTPResponseException as error:
            raise _refused(error.smtp_code, error.smtp_error) from None
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise DeliveryRefused("unreachable", _why(error, self._server)) from None
        if refused:
            told = "; ".join(f"{to}: {code} {_said(why)}" for to, (code, why) in refused.items())
            said = f"250 accepted, but not for {told}"
            return Receipt("250", said, name=mail["Message-ID"], is_partial=True)
        return Receipt("250", "250 accepted", name=mail["Message-ID"])


@contextmanager
def _conversation(server: MailServer, limit_s: float, step_s: float) -> Iterator[smtplib.SMTP]:
    """A server that was greeted and knows us. It is hung up on when the time is over."""
    trust = ssl.create_default_context(cafile=server.ca_file)
    if server.security == "tls":
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(timeout=step_s, context=trust)
    else:
        smtp = smtplib.SMTP(timeout=step_s)
    # It checks the certificate for the name that it was made with.
    smtp._host = server.host  # pyright: ignore[reportAttributeAccessIssue]
    hang_up = threading.Timer(limit_s, _hang_up, [smtp])
    hang_up.daemon = True
    hang_up.start()
    try:
        _greet(smtp, server, trust)
        yield smtp
        # The mail is taken or refused by now: how the server says good-bye changes nothing.
        with suppress(smtplib.SMTPException, OSError):
            smtp.quit()
    finally:
        hang_up.cancel()
        smtp.close()


def _greet(smtp: smtplib.SMTP, server: MailServer, trust: ssl.SSLContext) -> None:
    code, said = smtp.connect(server.host, server.real_port)
    if code != 220:
        raise smtplib.SMTPConnectError(code, said)
    if server.security == "starttls":
        smtp.starttls(context=trust)
    if server.username:
        smtp.login(server.username, server.password or "")


def _hang_up(smtp: smtplib.SMTP) -> None:
    with suppress(OSError):
        if smtp.sock:
            smtp.sock.shutdown(socket.SHUT_RDWR)


def compose(message: Message, sender: str, recipients: Sequence[str]) -> EmailMessage:
    """The mail of a message; the same message gives the same Message-ID."""
    domain = sender.rpartition("@")[2].strip("<> ") or "callpipeline.invalid"
    mail = EmailMessage()
    subject = f"[{message.severity.upper()}] {one_line(message.title)}"
    mail["Subject"] = shortened(subject, LONGEST_SUBJECT)
    mail["From"], mail["To"] = sender, ", ".join(recipients)
    mail["Date"] = format_datetime(message.at)
    mail["Message-ID"] = _message_id(message.notification_id, domain)
    mail["List-Id"] = f"callpipeline notifications <notifications.callpipeline.{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    if message.first_id:
        mail["In-Reply-To"] = mail["References"] = _message_id(message.first_id, domain)
    about = {
        "message": message,
        "colour": COLOURS[message.severity],
        "calls": message.calls[:MOST_CALLS],
        "more": max(message.call_count - MOST_CALLS, 0),
        "error": shortened(message.error_message or "", LONGEST_ERROR),
    }
    mail.set_content(_template("email.txt.jinja").render(about))
    mail.add_alternative(_template("email.html.jinja").render(about), subtype="html")
    return mail


def _message_id(notification_id: str, domain: str) -> str:
    return f"<{notification_id}@{domain}>"


@cache
def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("callpipeline.notify"),
        autoescape=jinja2.select_autoescape(["html.jinja"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["commands"] = _commands
    return environment.get_template(name)


def _commands(line: str) -> Markup:
    """What stands between backticks is a command, to be copied."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(line))))


def _refused(code: int, said: bytes | str) -> DeliveryRefused:
    return DeliveryRefused(str(code), f"{code} {_said(said)}")


def _said(words: bytes | str) -> str:
    text = words.decode(errors="replace") if isinstance(words, bytes) else words
    return shortened(one_line(text), 200)


def _why(error: Exception, server: MailServer) -> str:
    """What to look at; the library's own words where they say it."""
    place = f"{server.host}:{server.real_port}"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return f"{place}: {one_line(str(error))} See CALLPIPELINE_SMTP_SECURITY."
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{place}: its certificate is not trusted ({error.verify_message})."
    if isinstance(error, OSError) and error.strerror:
        return f"{place}: {error.strerror}."
    return f"{place} did not answer as a mail server does ({type(error).__name__})."
