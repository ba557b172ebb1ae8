"""Receivers of notifications on real sockets: a mail server, Slack's API and a webhook.

Their answers are configurable, and they record requests.
"""

import json
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP as SmtpServer
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

from tests.processes import free_port


@dataclass(frozen=True)
class Answer:
    """A canned response, with `wait_s` before the first byte and `drip_s` between bytes.

    If `cut`, the response ends before its declared length.
    """

    status: int = 200
    body: bytes = b"ok"
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    drip_s: float = 0.0
    cut: bool = False


@dataclass(frozen=True)
class Request:
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class HttpReceiver:
    """An HTTP server for POST requests; it gives each of `answers` once, then `usual`.

    `accepted` lists the requests that were answered with success.
    """

    def __init__(self, usual: Callable[[Request], Answer] = lambda _: Answer()) -> None:
        self.requests: list[Request] = []
        self.accepted: list[Request] = []
        self.answers: list[Answer] = []
        self.usual = usual
        self._gone = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator["HttpReceiver"]:
        thread = threading.Thread(target=self._server.serve_forever, args=[0.05], daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._gone.set()
            self._server.shutdown()
            self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.path, headers, body)
                receiver.requests.append(request)
                answer = receiver.answers.pop(0) if receiver.answers else receiver.usual(request)
                if answer.status < 300:
                    receiver.accepted.append(request)
                receiver._gone.wait(answer.wait_s)
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body) + 100 * answer.cut))
                self.end_headers()
                self._send(answer)

            def _send(self, answer: Answer) -> None:
                pieces = [bytes([b]) for b in answer.body] if answer.drip_s else [answer.body]
                try:
                    for piece in pieces:
                        self.wfile.write(piece)
                        self.wfile.flush()
                        receiver._gone.wait(answer.drip_s)
                except OSError:
                    pass  # the client has closed the connection

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler


class SlackApi(HttpReceiver):
    """Slack's Web API for a bot with one token; any other path is an incoming webhook."""

    def __init__(self, token: str = "xoxb-planted-token") -> None:
        super().__init__(self._answer)
        self.token = token
        self.posts: list[dict[str, Any]] = []

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/"

    def _answer(self, request: Request) -> Answer:
        if request.path != "/api/chat.postMessage":
            self.posts.append(request.json)
            return Answer()
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return _json({"ok": False, "error": "invalid_auth"})
        post = self._read(request)
        self.posts.append(post)
        return _json({"ok": True, "channel": "C1", "ts": f"1700000000.{len(self.posts):06}"})

    @staticmethod
    def _read(request: Request) -> dict[str, Any]:
        if "json" in request.headers["content-type"]:
            return request.json
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        nested = {n: json.loads(form[n]) for n in ("attachments", "blocks") if n in form}
        return form | nested


def _json(document: object, **headers: str) -> Answer:
    return Answer(200, json.dumps(document).encode(), {"Content-Type": "application/json"})


@dataclass
class MailBox:
    """A mail server with login, by STARTTLS or TLS; `refuse` lists answers to the next mails."""

    port: int
    username: str
    password: str
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    refuse: list[str] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)
    logins: list[str] = field(default_factory=list)
    goodbye: str | None = None

    def authenticate(
        self, server: object, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append(mechanism)
        given = (data.login.decode(), data.password.decode())
        return AuthResult(success=given == (self.username, self.password), handled=False)

    async def handle_RCPT(
        self,
        server: SmtpServer,
        session: Session,
        envelope: Envelope,
        address: str,
        rcpt_options: list[str],
    ) -> str:
        if address in self.unknown:
            return "550 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_QUIT(self, server: SmtpServer, session: Session, envelope: Envelope) -> str:
        return self.goodbye or "221 Bye"

    async def handle_DATA(self, server: SmtpServer, session: Session, envelope: Envelope) -> str:
        if self.refuse:
            return self.refuse.pop(0)
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        self.mails.append(mail)  # pyright: ignore[reportArgumentType] - the policy says which
        self.recipients.append(list(envelope.rcpt_tos))
        return "250 accepted"


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Create a certificate for this machine, and the file of its CA."""
    authority, ca_file = trustme.CA(), folder / "ca.pem"
    trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(trust)
    authority.cert_pem.write_to_path(str(ca_file))
    return trust, ca_file


@contextmanager
def mail_server(
    trust: ssl.SSLContext, *, tls: bool = False, username: str = "cp", password: str = "planted-pw"
) -> Iterator[MailBox]:
    """Run a mail server on a free port, with the certificate in `trust`."""
    box = MailBox(free_port(), username, password)
    tls_options: dict[str, Any] = {"ssl_context": trust} if tls else {"tls_context": trust}
    with warnings.catch_warnings():
        # aiosmtpd does not recognise implicit TLS, and warns on each connection.
        warnings.filterwarnings("ignore", "Requiring AUTH while not requiring TLS")
        controller = Controller(
            box,
            hostname="127.0.0.1",
            port=box.port,
            authenticator=box.authenticate,
            auth_required=True,
            auth_require_tls=not tls,
            **tls_options,
        )
        controller.start()
        try:
            yield box
        finally:
            controller.stop()


SECRETS = {
    "slack_bot_token": "xoxb-planted-token",
    "smtp_password": "planted-pw",
    "notify_webhook_secret": "whsec_cGxhbnRlZC1zZWNyZXQtb2Ytb3Vycw==",
    "api_key": "planted-api-key-of-ours",
}
"""Secrets that contain a marker word, plain or in base64, that must not appear elsewhere."""
PLANTED = ("planted", "cGxhbnRlZC1z")


class Receivers:
    """One receiver per channel, and the settings that point to them."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        trust, ca_file = certificate(folder)
        self.mail: MailBox = stack.enter_context(mail_server(trust))
        self.slack = SlackApi()
        self.webhook = HttpReceiver()
        for receiver in (self.slack, self.webhook):
            stack.enter_context(receiver.running())
        self.settings: dict[str, Any] = {
            **SECRETS,
            "slack_channel": "#calls",
            "slack_api_url": self.slack.api_url,
            "smtp_host": "127.0.0.1",
            "smtp_port": self.mail.port,
            "smtp_username": self.mail.username,
            "smtp_ca_file": ca_file,
            "email_from": "callpipeline@example.com",
            "email_to": "ops@example.com, ci@example.com",
            "notify_webhook_url": f"{self.webhook.url}/hook?token=planted-query",
            "dagster_ui_url": "https://dagster.example.com",
            "web_url": "https://calls.example.com",
            "web_port": free_port(),
        }

    @property
    def environment(self) -> dict[str, str]:
        """Return the settings as environment variables, with links to the pages of `up`."""
        named = self.settings.items()
        variables = {f"CALLPIPELINE_{name.upper()}": str(value) for name, value in named}
        del variables["CALLPIPELINE_DAGSTER_UI_URL"], variables["CALLPIPELINE_WEB_URL"]
        return variables
