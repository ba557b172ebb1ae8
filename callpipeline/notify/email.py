"""Email by SMTP, with text and HTML parts, threading, and headers for filters."""

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

from callpipeline.domain.notifications import NotificationChannel
from callpipeline.errors import DeliveryRefused
from callpipeline.notify.ports import (
    COLOURS,
    MAX_ERROR_CHARS,
    DeliveryReceipt,
    NotificationMessage,
    hash_address,
    single_line,
    truncate,
)

LIMIT_S = 30.0
"""Limit of a delivery attempt; STEP_S limits one step of the SMTP session."""
STEP_S = 10.0
MAX_CALLS = 100
MAX_SUBJECT_CHARS = 180

Security = Literal["starttls", "tls", "none"]
PORTS: dict[Security, int] = {"starttls": 587, "tls": 465, "none": 25}


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Address and login of an SMTP server; its certificate is verified, by `ca_file` if given."""

    host: str
    security: Security = "starttls"
    port: int | None = None
    username: str | None = None
    password: str | None = None
    ca_file: Path | None = None

    @property
    def effective_port(self) -> int:
        return self.port or PORTS[self.security]


class EmailNotifier:
    """Sends one email to all recipients."""

    channel = NotificationChannel.EMAIL

    def __init__(
        self,
        server: SmtpServer,
        sender: str,
        recipients: Sequence[str],
        *,
        limit_s: float = LIMIT_S,
        step_s: float = STEP_S,
    ) -> None:
        self._server, self._sender, self._recipients = server, sender, tuple(recipients)
        self._limit_s, self._step_s = limit_s, step_s
        self.destination = f"{', '.join(recipients)} by {server.host}:{server.effective_port}"
        self.destination_hash = hash_address(self.destination)

    def send(self, message: NotificationMessage) -> DeliveryReceipt:
        """Send the message; the receipt lists recipients that the server refused."""
        mail = compose(message, self._sender, self._recipients)
        try:
            with _session(self._server, self._limit_s, self._step_s) as smtp:
                refused = smtp.send_message(mail)
        except smtplib.SMTPRecipientsRefused as error:
            raise _refused(*next(iter(error.recipients.values()))) from None
        except smtplib.SMTPResponseException as error:
            raise _refused(error.smtp_code, error.smtp_error) from None
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise DeliveryRefused("unreachable", _why(error, self._server)) from None
        if refused:
            details = "; ".join(f"{to}: {code} {_text(why)}" for to, (code, why) in refused.items())
            answer = f"250 accepted, but not for {details}"
            return DeliveryReceipt("250", answer, remote_id=mail["Message-ID"], is_partial=True)
        return DeliveryReceipt("250", "250 accepted", remote_id=mail["Message-ID"])


@contextmanager
def _session(server: SmtpServer, limit_s: float, step_s: float) -> Iterator[smtplib.SMTP]:
    """Open an SMTP session, logged in; the connection is cut after `limit_s`."""
    trust = ssl.create_default_context(cafile=server.ca_file)
    if server.security == "tls":
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(timeout=step_s, context=trust)
    else:
        smtp = smtplib.SMTP(timeout=step_s)
    # smtplib verifies the certificate against this name.
    smtp._host = server.host  # pyright: ignore[reportAttributeAccessIssue]
    timer = threading.Timer(limit_s, _hang_up, [smtp])
    timer.daemon = True
    timer.start()
    try:
        _greet(smtp, server, trust)
        yield smtp
        # The mail has been accepted or refused by now: a failing QUIT changes nothing.
        with suppress(smtplib.SMTPException, OSError):
            smtp.quit()
    finally:
        timer.cancel()
        smtp.close()


def _greet(smtp: smtplib.SMTP, server: SmtpServer, trust: ssl.SSLContext) -> None:
    code, answer = smtp.connect(server.host, server.effective_port)
    if code != 220:
        raise smtplib.SMTPConnectError(code, answer)
    if server.security == "starttls":
        smtp.starttls(context=trust)
    if server.username:
        smtp.login(server.username, server.password or "")


def _hang_up(smtp: smtplib.SMTP) -> None:
    with suppress(OSError):
        if smtp.sock:
            smtp.sock.shutdown(socket.SHUT_RDWR)


def compose(message: NotificationMessage, sender: str, recipients: Sequence[str]) -> EmailMessage:
    """Build the mail of a message; its Message-ID is derived from the notification ID."""
    domain = sender.rpartition("@")[2].strip("<> ") or "callpipeline.invalid"
    mail = EmailMessage()
    subject = f"[{message.severity.upper()}] {single_line(message.title)}"
    mail["Subject"] = truncate(subject, MAX_SUBJECT_CHARS)
    mail["From"], mail["To"] = sender, ", ".join(recipients)
    mail["Date"] = format_datetime(message.at)
    mail["Message-ID"] = _message_id(message.notification_id, domain)
    mail["List-Id"] = f"callpipeline notifications <notifications.callpipeline.{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    if message.first_id:
        mail["In-Reply-To"] = mail["References"] = _message_id(message.first_id, domain)
    variables = {
        "message": message,
        "colour": COLOURS[message.severity],
        "calls": message.calls[:MAX_CALLS],
        "more": max(message.call_count - MAX_CALLS, 0),
        "error": truncate(message.error_message or "", MAX_ERROR_CHARS),
    }
    mail.set_content(_template("email.txt.jinja").render(variables))
    mail.add_alternative(_template("email.html.jinja").render(variables), subtype="html")
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
    """Mark text between backticks as a command."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(line))))


def _refused(code: int, answer: bytes | str) -> DeliveryRefused:
    return DeliveryRefused(str(code), f"{code} {_text(answer)}")


def _text(answer: bytes | str) -> str:
    text = answer.decode(errors="replace") if isinstance(answer, bytes) else answer
    return truncate(single_line(text), 200)


def _why(error: Exception, server: SmtpServer) -> str:
    """Describe the failure, in the library's own words where they help."""
    address = f"{server.host}:{server.effective_port}"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return f"{address}: {single_line(str(error))} See CALLPIPELINE_SMTP_SECURITY."
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{address}: its certificate is not trusted ({error.verify_message})."
    if isinstance(error, OSError) and error.strerror:
        return f"{address}: {error.strerror}."
    return f"{address} did not respond like a mail server ({type(error).__name__})."
