"""Watcher that polls the calls that open pages show, and updates the pages' listeners.

One query a second serves all pages. Without open pages, nothing is queried.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from fastapi import HTTPException

from callpipeline.errors import DatabaseUnavailable
from callpipeline.storage.reading.calls import CallChange, TrackedCall

POLL_INTERVAL_S = 1.0
NEWEST_CALLS = 12
"""Number of calls on the home page."""
REFRESH_EVERY = 5
"""Queue positions and estimates change by themselves: refresh open calls every so many polls."""
MAX_LISTENERS = 500
MAX_CALLS = 10_000
"""Calls on all open pages together. Pages beyond that get no stream, and poll instead."""

log = logging.getLogger("uvicorn.callpipeline")

Message = tuple[str, str]
"""The name of an event, and its text; the name is empty for fragments to swap into the page."""


class LiveCalls(Protocol):
    """The part of storage that is polled."""

    def changes(self, call_ids: Collection[str], *, newest: int) -> list[CallChange]: ...

    def by_id(self, call_ids: Collection[str]) -> list[TrackedCall]: ...


@dataclass(frozen=True, slots=True)
class Fragment:
    """HTML of a part of a page, and its digest."""

    html: str
    mark: str


@dataclass(frozen=True, slots=True)
class CallFragments:
    """Fragments of one call, rendered once for all pages: its list row and its page's header."""

    row: Fragment
    state: Fragment
    is_final: bool

    def of(self, view: str) -> Fragment:
        return self.state if view == "state" else self.row


@dataclass(frozen=True, slots=True)
class Subscription:
    """Content of a page, and the updates that it wants.

    `marks` are the fragments it has, by call id; `view` is the kind of fragment. `newest` is the
    list of newest calls, if the page shows it. `top` is the newest call on the page, if it wants
    to know how many newer ones there are.
    """

    view: str = "row"
    marks: Mapping[str, str] | None = None
    newest: tuple[str, ...] | None = None
    top: str | None = None


class Listener:
    """Pending messages for one page. Newer ones replace older ones that haven't been sent."""

    def __init__(self, subscription: Subscription) -> None:
        self._view = subscription.view
        self._marks = dict(subscription.marks or {})
        self._newest = subscription.newest
        self._top = subscription.top
        self._newer_count = 0
        self._partials: dict[str, str] = {}
        self._events: dict[str, str] = {}
        self._ready = asyncio.Event()
        self.is_closed = False

    @property
    def call_ids(self) -> frozenset[str]:
        return frozenset(self._marks)

    def update(self, fragments: Mapping[str, CallFragments], newest: Sequence[str]) -> None:
        """Queue messages for everything that the page doesn't show yet."""
        if self._newest is not None:
            self._update_newest(fragments, newest)
        for call_id in self._marks.keys() & fragments.keys():
            self._update_call(call_id, fragments[call_id])
        if self._top is not None:
            self._count_newer(newest)

    def close(self) -> None:
        """End the stream, when the app shuts down."""
        self.is_closed = True
        self._ready.set()

    async def wait(self, within_s: float) -> list[Message]:
        """Wait for messages; return an empty list if nothing changes within the time."""
        try:
            async with asyncio.timeout(within_s):
                await self._ready.wait()
        except TimeoutError:
            return []
        if not self.is_closed:
            self._ready.clear()
        return self._pop_messages()

    def _pop_messages(self) -> list[Message]:
        partials = "\n".join(self._partials.values())
        events = list(self._events.items())
        self._partials, self._events = {}, {}
        return ([("", partials)] if partials else []) + events

    def _update_call(self, call_id: str, fragments: CallFragments) -> None:
        new = fragments.of(self._view)
        if self._marks[call_id] == new.mark:
            return
        self._marks[call_id] = new.mark
        self._partials[call_id] = _hx_partial(f"#{self._view}-{call_id}", "outerMorph", new.html)
        if self._view == "state" and fragments.is_final:
            self._events["ended"] = call_id
        self._ready.set()

    def _update_newest(self, fragments: Mapping[str, CallFragments], newest: Sequence[str]) -> None:
        """Replace the whole list if calls were added; otherwise their rows are updated alone."""
        shown = [call_id for call_id in newest if call_id in fragments]
        if tuple(shown) == self._newest:
            return
        self._newest = tuple(shown)
        self._marks = {call_id: fragments[call_id].of("row").mark for call_id in shown}
        rows = "\n".join(fragments[call_id].of("row").html for call_id in shown)
        self._partials = {"": _hx_partial("#newest", "innerMorph", rows)}
        self._ready.set()

    def _count_newer(self, newest: Sequence[str]) -> None:
        """Count calls that are newer than `top`; all of them if `top` isn't in the list."""
        count = newest.index(self._top) if self._top in newest else len(newest)
        if count != self._newer_count:
            self._newer_count = count
            self._events["newer"] = str(count)
            self._ready.set()


class CallWatcher:
    """Polls calls for all open pages. One for the app, on its event loop."""

    def __init__(
        self,
        calls: LiveCalls,
        render: Callable[[TrackedCall], CallFragments],
        *,
        interval_s: float = POLL_INTERVAL_S,
        max_listeners: int = MAX_LISTENERS,
    ) -> None:
        self._calls = calls
        self._render = render
        self._interval_s = interval_s
        self._max_listeners = max_listeners
        self._listeners: set[Listener] = set()
        self._polling: asyncio.Task[None] | None = None
        self._marks: dict[str, str] = {}
        self._fragments: dict[str, CallFragments] = {}
        self._is_closed = False

    @property
    def listener_count(self) -> int:
        return len(self._listeners)

    def check_limits(self) -> None:
        """Raise HTTPException (503) at the limit; the page retries by itself."""
        calls = sum(len(each.call_ids) for each in self._listeners)
        is_full = len(self._listeners) >= self._max_listeners or calls >= MAX_CALLS
        if self._is_closed or is_full:
            raise HTTPException(
                503, "Too many pages are open. Try again in a moment.", {"Retry-After": "30"}
            )

    @contextmanager
    def listen(self, subscription: Subscription) -> Iterator[Listener]:
        """Register a listener for an open page."""
        listener = Listener(subscription)
        self._listeners.add(listener)
        if self._is_closed:
            listener.close()
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll_repeatedly())
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def close(self) -> None:
        """End all streams: a server that shuts down waits for open responses."""
        self._is_closed = True
        for listener in self._listeners:
            listener.close()
        if self._polling is not None:
            self._polling.cancel()

    async def _poll_repeatedly(self) -> None:
        count = 0
        while self._listeners:
            try:
                await self._poll(refresh=count % REFRESH_EVERY == 0)
            except DatabaseUnavailable:
                pass  # the next poll is a second away
            except Exception as error:
                # One page that fails to render must not stop the updates of all others.
                log.error("unhandled %s in the call watcher", type(error).__name__)
            count += 1
            await asyncio.sleep(self._interval_s)
        self._marks, self._fragments = {}, {}

    async def _poll(self, *, refresh: bool) -> None:
        # Listeners that register during the query wait for the next poll: results from before
        # their page was rendered must not be sent to it.
        listeners = list(self._listeners)
        call_ids = frozenset[str]().union(*(listener.call_ids for listener in listeners))
        changes = await asyncio.to_thread(self._calls.changes, call_ids, newest=NEWEST_CALLS)
        changed = [each.call_id for each in changes if self._is_changed(each, refresh=refresh)]
        rendered = await asyncio.to_thread(self._render_calls, changed)
        current = {change.call_id for change in changes}
        merged = self._fragments | rendered
        self._fragments = {call_id: each for call_id, each in merged.items() if call_id in current}
        self._marks = {change.call_id: change.mark for change in changes}
        newest = [change.call_id for change in changes if change.is_new]
        for listener in listeners:
            listener.update(self._fragments, newest)

    def _is_changed(self, change: CallChange, *, refresh: bool) -> bool:
        has_new_mark = self._marks.get(change.call_id) != change.mark
        return has_new_mark or (refresh and change.is_open)

    def _render_calls(self, call_ids: Sequence[str]) -> dict[str, CallFragments]:
        return {call.call.call_id: self._render(call) for call in self._calls.by_id(call_ids)}


def fragment(html: str) -> Fragment:
    return Fragment(html, sha256(html.encode()).hexdigest()[:10])


def _hx_partial(target: str, swap: str, html: str) -> str:
    """Wrap HTML for htmx, which ignores it on pages without the target."""
    return f'<hx-partial hx-target="{target}" hx-swap="{swap}">{html}</hx-partial>'
