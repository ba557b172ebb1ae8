"""The audit log of the web app: which routes are recorded, and how entries reach the database.

An entry is appended to a file before the response ends, and a thread moves files to the database:
requests neither wait for Postgres nor fail without it, and a killed app loses nothing.
"""

import logging
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from cachetools import TTLCache
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callpipeline.domain.access import AuditAction, AuditEntry
from callpipeline.errors import CallpipelineError
from callpipeline.storage.access import AuditLog, AuditSpool
from callpipeline.web.access import Visitor, visitor_of
from callpipeline.web.pages.rendering import printable

EVERY_S = 1.0
ONCE_S = 30 * 60.0
"""Listening to and reading the same thing within this time is one entry: browsers load a recording
in many ranges, and a page again and again."""
REPEATED = frozenset({AuditAction.LISTENED, AuditAction.READ})
MAX_REMEMBERED = 50_000

_CALL = re.compile(r"\d{4}-\d\d-\d\d-[0-9a-f]{12}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""A call's id, or its UUID."""

A = AuditAction
AUDITED: Mapping[str, AuditAction] = {
    "GET /calls/{call_id}/audio.wav": A.LISTENED,
    "GET /calls/{call_id}/clip.{format}": A.LISTENED,
    "GET /": A.READ,
    "GET /moments": A.READ,
    "GET /search/moments": A.READ,
    "GET /competitor": A.READ,
    "GET /agent": A.READ,
    "GET /customer": A.READ,
    "GET /views/{view_id}/report": A.READ,
    "GET /calls": A.READ,
    "GET /calls/{call_id}": A.READ,
    "GET /calls/{call_id}/words": A.READ,
    "GET /calls/{call_id}/metadata": A.READ,
    "GET /calls/{call_id}/voices": A.READ,
    "GET /search": A.READ,
    "GET /search/segments": A.READ,
    "GET /review": A.READ,
    "GET /audit": A.READ,
    "GET /competitors/suggestions": A.READ,
    "GET /jobs": A.READ,
    "GET /jobs/{job_id}": A.READ,
    "GET /admin/database/jobs": A.READ,
    "GET /admin/database/sentiment_results": A.READ,
    "GET /notify/history": A.READ,
    "GET /config": A.READ,
    "GET /dagster": A.READ,
    "GET /storage/download/{object_path:path}": A.READ,
    "GET /storage/presigned-url/{object_path:path}": A.EXPORTED,
    "GET /storage/signed/{token}": A.READ,
    "GET /export/{what}.{kind}": A.EXPORTED,
    "GET /calls/{call_id}/call.json": A.EXPORTED,
    "GET /calls/{call_id}/segments.csv": A.EXPORTED,
    "GET /calls/{call_id}/transcript.{format}": A.EXPORTED,
    "POST /upload": A.UPLOADED,
    "POST /upload/page": A.UPLOADED,
    "PUT /upload/{filename}": A.UPLOADED,
    "POST /webhook": A.UPLOADED,
    "PUT /calls/{call_id}/voices": A.CORRECTED,
    "PUT /calls/{call_id}/mentions/{mention_id}/sentiment": A.CORRECTED,
    "PATCH /calls/{call_id}/metadata": A.CORRECTED,
    "PUT /calls/{call_id}/segments/{channel}/{index}": A.CORRECTED,
    "GET /calls/{call_id}/transcript": A.READ,
    "POST /calls/{call_id}/transcript": A.CORRECTED,
    "POST /calls/{call_id}/review": A.CORRECTED,
    "POST /calls/{call_id}/sentiment": A.CORRECTED,
    "POST /calls/{call_id}/speakers": A.CORRECTED,
    "POST /calls/{call_id}/metadata": A.CORRECTED,
    "POST /catalog/apply": A.CHANGED,
    "POST /catalog/revert": A.CHANGED,
    "POST /competitors/apply": A.CHANGED,
    "POST /competitors/suggestions": A.CHANGED,
    "POST /patterns/{kind}": A.CHANGED,
    "PUT /patterns/{kind}": A.CHANGED,
    "DELETE /patterns/{kind}/{pattern:path}": A.CHANGED,
    "POST /alerts": A.CHANGED,
    "POST /views": A.CHANGED,
    "POST /views/rename": A.CHANGED,
    "POST /views/share": A.CHANGED,
    "POST /views/delete": A.CHANGED,
    "POST /views/schedule": A.CHANGED,
    "PUT /saved-views/{view_id}/schedule": A.CHANGED,
    "DELETE /saved-views/{view_id}/schedule": A.CHANGED,
    "POST /saved-views": A.CHANGED,
    "PATCH /saved-views/{view_id}": A.CHANGED,
    "DELETE /saved-views/{view_id}": A.CHANGED,
    "POST /alerts/delete": A.CHANGED,
    "POST /storage/upload": A.CHANGED,
    "DELETE /storage/delete/{object_path:path}": A.ERASED,
    "POST /competitors/rematch": A.OPERATED,
    "POST /catalog/rematch/cancel": A.OPERATED,
    "POST /catalog/rematch/resume": A.OPERATED,
    "POST /jobs/{job_id}/retry": A.OPERATED,
    "POST /calls/retry": A.OPERATED,
    "GET /admin/retention": A.READ,
    "POST /admin/retention/preview": A.READ,
    "POST /admin/retention/erase": A.ERASED,
    "POST /erasures": A.ERASED,
    "POST /admin/users": A.CHANGED,
    "POST /admin/users/role": A.CHANGED,
    "POST /admin/users/state": A.CHANGED,
    "POST /admin/users/password": A.CHANGED,
    "POST /admin/users/remove": A.CHANGED,
    "POST /users": A.CHANGED,
    "PATCH /users/{user_name}": A.CHANGED,
    "DELETE /users/{user_name}": A.CHANGED,
    "POST /users/{user_name}/password": A.CHANGED,
    "POST /admin/keys": A.CHANGED,
    "POST /admin/keys/revoke": A.CHANGED,
    "POST /keys": A.CHANGED,
    "DELETE /keys/{key_id}": A.CHANGED,
    "GET /admin/channels": A.READ,
    "POST /admin/channels/test": A.OPERATED,
    "POST /channels/{channel}/test": A.OPERATED,
    "POST /notify": A.OPERATED,
    "POST /notify/{kind}": A.OPERATED,
}
UNAUDITED = frozenset({
    # Totals, the competitor list, and documentation: nothing of a single call.
    "GET /upload", "GET /analytics", "GET /analytics/overview", "GET /analytics/competitors/list",
    "GET /analytics/sentiment-trends", "GET /analytics/share-of-voice",
    "GET /analytics/competitor/{competitor_name:path}", "GET /metrics", "GET /docs",
    "GET /catalog", "GET /catalog/versions", "GET /catalog/versions/{version}",
    "GET /catalog/versions/{version}/changes", "GET /catalog/competitors.yaml",
    "GET /catalog/rematch", "GET /competitors", "GET /competitors/status",
    "GET /competitors/history", "GET /competitors/edit", "GET /competitors/remove",
    "GET /competitors/restore", "GET /alerts", "GET /competitors/text", "GET /patterns/{kind}",
    "GET /agents", "GET /analytics/agents",
    "GET /views", "GET /views/{view_id}", "GET /saved-views", "GET /saved-views/{view_id}",
    "GET /saved-views/{view_id}/report",
    # The operation, with numbers only; users and keys, whose changes are recorded.
    "GET /admin", "GET /admin/users", "GET /admin/keys", "GET /admin/sources", "GET /admin/health",
    "GET /users", "GET /keys", "GET /retention", "GET /sources",
    # Changes nothing, or says nothing of what was said.
    "POST /catalog/check", "POST /catalog/preview", "POST /competitors/preview",
    "POST /find-competitors", "GET /storage/list", "GET /storage/exists/{object_path:path}",
    "GET /storage/health", "GET /admin/storage/files", "GET /calls/{call_id}/peaks",
    "HEAD /calls/{call_id}/audio.wav", "POST /logout",
    # Updates of pages that are recorded themselves, and Dagster's own pages: its guard records
    # what is changed there.
    "GET /events/calls", "GET /events/newest", "GET /events/calls/{call_id}",
    "GET /dagster/{path:path}", "HEAD /dagster/{path:path}", "POST /dagster/{path:path}",
})  # fmt: skip
"""Routes of visitors that the audit log leaves out."""

RecentKeys = TTLCache[tuple[str | None, ...], bool]

log = logging.getLogger(__name__)


class AuditTrail:
    """Takes the entries of requests, and moves them to the database in a thread."""

    def __init__(self, spool: AuditSpool, audit: AuditLog, is_away: Callable[[], bool]) -> None:
        self._spool = spool
        self._audit = audit
        self._is_away = is_away
        self._recent = RecentKeys(MAX_REMEMBERED, ONCE_S)
        self._lock = threading.Lock()

    def add(self, entry: AuditEntry) -> None:
        """Record an entry, unless the same person listened to or read the same before."""
        if entry.action not in REPEATED or self._is_new(entry):
            self._spool.append(entry)

    def _is_new(self, entry: AuditEntry) -> bool:
        target = entry.target or entry.what
        key = (entry.action, entry.actor, entry.method, entry.address, target)
        with self._lock:
            is_new = key not in self._recent
            self._recent[key] = True  # whoever goes on listening starts the period again
            return is_new

    def flush(self) -> int:
        """Move waiting entries to the database; without it, they go on waiting."""
        if self._is_away():
            return 0
        try:
            return self._spool.drain(self._audit.add)
        except CallpipelineError as error:
            log.warning("entries of the audit log wait: %s", error)
        except Exception as error:
            log.error("entries of the audit log wait: %s", type(error).__name__)
        return 0

    @contextmanager
    def running(self) -> Iterator["AuditTrail"]:
        """Flush every second meanwhile, also what an earlier process left behind."""
        ended = threading.Event()

        def flush_repeatedly() -> None:
            while not ended.wait(EVERY_S):
                self.flush()

        thread = threading.Thread(target=flush_repeatedly, name="audit", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            ended.set()
            thread.join()
            self.flush()


class AuditMiddleware:
    """Records what visitors do, around the authentication: only what was not refused."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def record(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                for entry in entries_of(Request(scope)):
                    scope["app"].state.app_state.audit.add(entry)
            await send(message)

        await self._app(scope, receive, record)


def name_in_audit(request: Request, what: str) -> None:
    """Add to the entry of a request whom or what it changes; never words or names of calls."""
    request.state.audited_name = what


def name_calls_in_audit(request: Request, call_ids: Sequence[str]) -> None:
    """Give each of these calls an entry of its own, in place of the one of the request."""
    request.state.audited_calls = tuple(call_ids)


def entries_of(request: Request) -> Iterator[AuditEntry]:
    """Yield the entry of a request, or one for each call that the route has named."""
    entry = entry_of(request)
    if entry is None:
        return
    named: Mapping[str, Any] = request.scope.get("state", {})
    if name := named.get("audited_name"):
        entry = replace(entry, what=f"{entry.what} {printable(str(name))[:120]}")
    call_ids: Sequence[str] | None = named.get("audited_calls")
    for call_id in (entry.target,) if call_ids is None else call_ids:
        yield replace(entry, target=call_id, entry_id=str(uuid.uuid4()))


def entry_of(request: Request) -> AuditEntry | None:
    """Return the entry of a request, None for what is not recorded."""
    scope = request.scope
    route = f"{request.method} {getattr(scope.get('route'), 'path', '')}"
    action = AUDITED.get(route)
    if action is None:
        return None
    visitor: Visitor | None = visitor_of(request)
    address = request.app.state.authenticator.proxies.address(request)
    parameters: Mapping[str, object] = scope.get("path_params", {})
    return AuditEntry(
        action=action,
        actor=visitor.name if visitor else "holder of a signed link",
        method=visitor.method if visitor else "link",
        address=str(address) if address else None,
        what=_named(route, parameters),
        target=_call_in(parameters),
    )


def _named(route: str, parameters: Mapping[str, object]) -> str:
    """Return the route with the parameters that name a format, never those that name a file."""
    for name in ("what", "kind", "format"):
        if name in parameters:
            route = route.replace(f"{{{name}}}", str(parameters[name])[:40])
    return route


def _call_in(parameters: Mapping[str, object]) -> str | None:
    for name in ("call_id", "job_id", "object_path"):
        if found := _CALL.search(str(parameters.get(name, ""))):
            return found[0]
    return None
