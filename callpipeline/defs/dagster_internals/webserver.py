"""Guard around Dagster's UI, which itself trusts every request.

Dagster's web server runs mutations by GET, and checks neither Host nor Origin: an image on any page
in an operator's browser could stop everything. The guard is installed in every process that serves
the UI on callpipeline's instance, also by `dagster dev`.

The UI is served twice: at the root, for this machine while the web app has no users, and below
`/dagster`, for requests that the web app passes on with the role of a visitor who is logged in.
"""

import json
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callpipeline.config import Settings, settings
from callpipeline.domain.access import AuditAction, AuditEntry
from callpipeline.errors import CallpipelineError
from callpipeline.http_server import graphql, origins
from callpipeline.http_server.security import Signer, signing_key
from callpipeline.storage.access import AuditLog, AuditSpool
from callpipeline.storage.postgres.database import Database

PREFIX = "/dagster"
PURPOSE = "dagster"
HEADER = "x-callpipeline-role"
"""Set by the web app: who sends a request, as a signed text that is valid for a minute: the role,
`admin` or `reader`, and in JSON the name, how that is known, and the address."""
READ_ONLY = "callpipeline_read_only"
DATABASE_URL = "CALLPIPELINE_DATABASE_URL"
"""Variable of every process that opens callpipeline's instance of Dagster."""
MAX_QUERY_BYTES = 5_000_000
UNRECORDED = frozenset({"setNuxSeen", "logTelemetry"})
"""Mutations that change nothing; the UI sends them by itself."""
ERASING = ("delete", "wipe")
_CALL = re.compile(r"\d{4}-\d\d-\d\d-[0-9a-f]{12}")

log = logging.getLogger(__name__)

ELSEWHERE = (
    "Dagster's UI is for this machine. Others open it at the web app's address, below /dagster, "
    "where they log in (docs/security.md)."
)
LOG_IN = "Log in to the web app, and open Dagster's UI there: {url}/dagster/"
ONLY_JSON = "Send queries to /graphql by POST, as application/json."
CLOSED = "Events are reported by callpipeline itself: this address is closed."
READERS_ONLY_READ = "Only admins may change anything here."


class _Refused(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass(frozen=True, slots=True)
class _Sender:
    """The sender of a request: a visitor for whom the web app vouches, or a local user."""

    role: Literal["admin", "reader", "local"]
    name: str = "local user"
    method: str = "loopback"
    address: str | None = None


Record = Callable[[Sequence[AuditEntry]], object]


class DagsterGuard:
    """Let a request pass to Dagster's UI if it comes from its own pages, or from a program here.

    What a request changes gets an entry in the audit log.
    """

    def __init__(
        self,
        root: ASGIApp,
        below: ASGIApp,
        options: Settings,
        signer: Signer,
        record: Record = lambda entries: None,
    ) -> None:
        """`below` serves the UI below PREFIX, `root` everything else."""
        self._root, self._below = root, below
        self._options, self._signer, self._record = options, signer, record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._root(scope, receive, send)
            return
        try:
            receive, changes = await self._check(scope, receive)
        except _Refused as refused:
            await _refuse(scope, refused)(scope, receive, send)
            return

        is_below = scope["path"].startswith(f"{PREFIX}/") or scope["path"] == PREFIX
        app = self._below if is_below else self._root
        if not changes.mutations:
            await app(scope, receive, send)
            return
        response, is_recorded = graphql.Response(), False

        def record() -> None:
            nonlocal is_recorded
            if not is_recorded:
                is_recorded = True
                self._record(list(changes.entries(response)))

        async def recording(message: Message) -> None:
            if message["type"] == "http.response.start":
                response.status = message["status"]
            elif message["type"] == "http.response.body":
                response.add(message.get("body", b""))
                if not message.get("more_body", False):
                    record()
            await send(message)

        try:
            await app(scope, receive, recording)
        finally:
            record()  # whoever hung up has changed something, perhaps

    async def _check(self, scope: Scope, receive: Receive) -> tuple[Receive, "_Changes"]:
        """Return where to receive the body from, and what it changes. Raises _Refused."""
        connection = HTTPConnection(scope)
        path = scope["path"].removeprefix(PREFIX)
        self._check_host(connection)
        if path.startswith(("/report_asset_", "/notebook", "/dagit/")):
            raise _Refused(403, CLOSED)
        sender = self._sender(connection)
        if sender.role == "local" and path != "/server_info":
            self._check_local(connection)
        if scope["type"] == "websocket":
            _check_websocket(connection)
            return receive, _Changes()
        if sender.role == "local":  # the web app has checked the origin of what it passes on
            _check_origin(Request(scope), self._options.dagster_ui_url)
        changes = _Changes()
        if path.rstrip("/") == "/graphql":
            _check_is_json(Request(scope))
            body, receive = await _read_query(receive)
            if sender.role == "reader" and not graphql.only_reads(body):
                raise _Refused(403, READERS_ONLY_READ)
            changes = _Changes.of(body, sender)
        if sender.role == "reader":
            scope.setdefault("state", {})[READ_ONLY] = True
        return receive, changes

    def _check_host(self, connection: HTTPConnection) -> None:
        """Refuse foreign names: with a rebound one, a page of another site looks like ours."""
        hosts = connection.headers.getlist("host")
        if len(hosts) != 1:
            raise _Refused(400, "Send one Host header.")
        if not origins.is_local_host(hosts[0], self._options.dagster_ui_url):
            raise _Refused(421, ELSEWHERE)

    def _sender(self, connection: HTTPConnection) -> _Sender:
        """Return for whom the web app vouches; it did not pass on requests of local users."""
        tokens = connection.headers.getlist(HEADER)
        if not tokens:
            return _Sender("local", address=connection.client.host if connection.client else None)
        try:
            signed = self._signer.verify(PURPOSE, tokens[0]) if len(tokens) == 1 else None
        except ValueError:
            signed = None
        role, _, about = signed.text.partition(" ") if signed else ("", "", "")
        if signed is None or signed.is_expired or role not in ("admin", "reader"):
            raise _Refused(403, ELSEWHERE)
        return _Sender(role, *(json.loads(about) if about else ("unknown", "proxy")))

    def _check_local(self, connection: HTTPConnection) -> None:
        if not origins.is_from_loopback(connection):
            raise _Refused(403, ELSEWHERE)
        if not self._options.web_is_open:
            url = self._options.web_url or f"http://127.0.0.1:{self._options.web_port}"
            raise _Refused(403, LOG_IN.format(url=url.rstrip("/")))


def _check_origin(request: Request, own_url: str | None) -> None:
    if request.method not in origins.SAFE_METHODS:
        is_ours = origins.is_same_site_write(request, own_url, https=False)
    else:
        origin = request.headers.get("origin")
        is_ours = origins.is_allowed_read(request) and (
            origin is None or origins.is_same_site_write(request, own_url, https=False)
        )
    if not is_ours:
        raise _Refused(403, origins.CROSS_SITE)


def _check_websocket(connection: HTTPConnection) -> None:
    """Browsers always send the origin of a page that opens a socket; programs send none."""
    origin = connection.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != connection.headers["host"].lower():
        raise _Refused(403, origins.CROSS_SITE)
    if connection.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise _Refused(403, origins.CROSS_SITE)


def _check_is_json(request: Request) -> None:
    """Other kinds of bodies, and queries in the URL, can be sent by pages of other sites."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    has_query = bool(request.query_params.keys() - {"op"})  # the UI adds the operation's name
    if request.method != "POST" or kind != "application/json" or has_query:
        raise _Refused(405, ONLY_JSON)


async def _read_query(receive: Receive) -> tuple[bytes, Receive]:
    """Return a body, and a channel to receive it again. Raises _Refused."""
    body, is_more = b"", True
    while is_more:
        message = await receive()
        if message["type"] != "http.request":
            break
        body += message.get("body", b"")
        is_more = message.get("more_body", False)
        if len(body) > MAX_QUERY_BYTES:
            raise _Refused(413, "This query is too large.")
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return first.pop() if first else await receive()

    return body, again


@dataclass(frozen=True, slots=True)
class _Changes:
    """Changes that a request asks for, the calls that it names, and its sender."""

    mutations: Sequence[graphql.Mutation] = ()
    call_ids: Sequence[str] = ()
    sender: _Sender = _Sender("local")

    @staticmethod
    def of(body: bytes, sender: _Sender) -> "_Changes":
        found, text = graphql.read_mutations(body)
        changing = [each for each in found if each.name not in UNRECORDED]
        return _Changes(changing, list(dict.fromkeys(_CALL.findall(text))), sender)

    def entries(self, response: graphql.Response) -> Iterator[AuditEntry]:
        """Yield an entry for each mutation, and for each call that the request names."""
        sender = self.sender
        for mutation in self.mutations:
            erases = mutation.name.startswith(ERASING)
            action = AuditAction.ERASED if erases else AuditAction.OPERATED
            outcome = response.outcome(mutation)
            what = f"Dagster: {mutation.name}" + (f" ({outcome})" if outcome else "")
            for call_id in self.call_ids or [None]:
                yield AuditEntry(action, sender.name, sender.method, sender.address, what, call_id)


def _recorder(options: Settings) -> Record:
    """Return a function that writes entries to the disk at once, and soon to the database."""
    spool = AuditSpool(options.home / "audit")

    def store() -> None:
        try:
            with Database(os.environ[DATABASE_URL], max_connections=1) as database:
                spool.drain(AuditLog(database).add)
        except CallpipelineError as error:
            log.warning("entries of the audit log wait: %s", error)

    def record(entries: Sequence[AuditEntry]) -> None:
        spool.append(*entries)
        threading.Thread(target=store, name="audit").start()

    return record


def _refuse(scope: Scope, refused: _Refused) -> ASGIApp:
    if scope["type"] == "websocket":

        async def close(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "websocket.close", "code": 1008})

        return close
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    response: Response = PlainTextResponse(refused.reason, refused.status, headers)
    return response


def install_guard(read_settings: Callable[[], Settings] = settings) -> None:
    """Guard the UI that this process will serve. Repeated calls do nothing."""
    from dagster_webserver.webserver import DagsterWebserver

    if getattr(DagsterWebserver, "is_guarded", False):
        return
    create_app, create_context = (
        DagsterWebserver.create_asgi_app,
        DagsterWebserver._make_request_context,  # pyright: ignore[reportPrivateUsage]
    )

    def guarded(self: Any, **kwargs: Any) -> ASGIApp:
        options = read_settings()
        below = type(self)(self._process_context, PREFIX, self._live_data_poll_rate)
        apps = create_app(self, **kwargs), create_app(below)
        return DagsterGuard(*apps, options, Signer(signing_key(options)), _recorder(options))

    def with_role(self: Any, connection: HTTPConnection) -> Any:
        context = create_context(self, connection)
        if connection.scope.get("state", {}).get(READ_ONLY):
            context._read_only = True
        return context

    DagsterWebserver.create_asgi_app = guarded  # pyright: ignore[reportAttributeAccessIssue]
    DagsterWebserver._make_request_context = with_role  # pyright: ignore[reportAttributeAccessIssue]
    DagsterWebserver.is_guarded = True  # pyright: ignore[reportAttributeAccessIssue]
