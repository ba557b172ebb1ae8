"""Quick answers while Postgres is away: requests neither queue for a connection nor hang.

A watcher asks Postgres a trivial question twice a second. As soon as it does not answer, requests
that wait for it are answered, and further queries are refused; both end when it answers again.
"""

import asyncio
import threading
import time
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import Connection, Error
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callpipeline.errors import DatabaseUnavailable
from callpipeline.http_server.responses import error_response

INTERVAL_S = 0.3
LOOK_EVERY_S = 0.1
ANSWER_WITHIN_S = 0.8
CONNECT: dict[str, Any] = {
    "autocommit": True,
    "connect_timeout": 3,
    "tcp_user_timeout": 3000,
    "application_name": "callpipeline watch",
}
GRACE_S = 0.3
"""For requests that need no database, or have what they need in a cache."""
EXEMPT = ("/health", "/metrics", "/static/", "/upload")
"""Health checks time out by themselves; an upload is received in the meantime."""


class Silence:
    """Measures for how long a question has had no answer, while this process could hear one.

    Postgres is not away because the whole machine stood still, or this process had to wait for the
    processor: however late a look is, it counts as one interval.
    """

    def __init__(self) -> None:
        self._asked_at: float | None = None
        self._silent_s = 0.0

    def look(self, asked_at: float | None, waited_s: float) -> float:
        """Return the silence in seconds, `waited_s` after the last look."""
        is_same = asked_at is not None and asked_at == self._asked_at
        self._silent_s = self._silent_s + min(waited_s, LOOK_EVERY_S) if is_same else 0.0
        self._asked_at = asked_at
        return self._silent_s


class DatabaseWatch:
    """Watches whether Postgres answers. `is_away` may be read from any thread.

    The question is asked in a thread of its own, which hangs as long as Postgres does: psycopg
    takes seconds to give up a query that is not answered.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._is_away = False
        self._is_refused = False
        self._asked_at: float | None = None
        self._silence = Silence()
        self._stop = threading.Event()
        self._waiting: set[asyncio.Future[None]] = set()

    def is_away(self) -> bool:
        return self._is_away

    def leave_early(self) -> "asyncio.Future[None]":
        """Return a future that completes when a request should no longer wait for Postgres."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        future.add_done_callback(self._waiting.discard)
        if self._is_away:
            _complete_later(future)
        return future

    async def run(self) -> None:
        """Watch until cancelled."""
        self._stop.clear()
        threading.Thread(target=self._ask_repeatedly, daemon=True, name="database-watch").start()
        try:
            while True:
                begin = time.monotonic()
                await asyncio.sleep(LOOK_EVERY_S)
                self._look(time.monotonic() - begin)
        finally:
            self._stop.set()

    def _look(self, waited_s: float) -> None:
        was_away = self._is_away
        is_silent = self._silence.look(self._asked_at, waited_s) > ANSWER_WITHIN_S
        self._is_away = is_silent or self._is_refused
        if self._is_away and not was_away:
            for future in self._waiting:
                _complete_later(future)

    def _ask_repeatedly(self) -> None:
        connection: Connection[Any] | None = None
        while not self._stop.is_set():
            had_connection = connection is not None
            self._asked_at = time.monotonic()
            try:
                connection = connection or psycopg.connect(self._url, **CONNECT)
                connection.execute("SELECT")
                self._is_refused = False
            except (Error, OSError):
                # A connection that was lost is replaced at once: Postgres may just have restarted.
                self._is_refused = not had_connection
                _close(connection)
                connection = None
            self._asked_at = None
            self._stop.wait(0 if had_connection and connection is None else INTERVAL_S)
        _close(connection)


def _complete_later(future: "asyncio.Future[None]") -> None:
    def complete() -> None:
        if not future.done():
            future.set_result(None)

    asyncio.get_running_loop().call_later(GRACE_S, complete)


def _close(connection: Connection[Any] | None) -> None:
    if connection is not None:
        with suppress(Error, OSError):
            connection.close()


class DatabaseAwayMiddleware:
    """Respond 503 to a request that waits for a database that is away."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(EXEMPT):
            await self._app(scope, receive, send)
            return
        watch: DatabaseWatch = scope["app"].state.app_state.database_watch
        has_started, is_over = False, False

        async def send_first(message: Message) -> None:
            nonlocal has_started
            if not is_over:
                has_started = True
                await send(message)

        early = watch.leave_early()
        work = asyncio.ensure_future(self._app(scope, receive, send_first))
        try:
            await asyncio.wait({work, early}, return_when=asyncio.FIRST_COMPLETED)
            if work.done() or has_started:
                await work
                return
        except asyncio.CancelledError:
            work.cancel()
            raise
        finally:
            early.cancel()
        # Not awaited: its thread waits for Postgres, and ends when that answers or breaks off.
        is_over = True
        work.add_done_callback(_forget)
        work.cancel()
        away = DatabaseUnavailable("Postgres did not respond.")
        await (await error_response(Request(scope), away))(scope, receive, send)


def _forget(work: "asyncio.Future[None]") -> None:
    """Consume the result, so that asyncio does not report an error that nothing waits for."""
    if not work.cancelled():
        work.exception()
