"""One open page: what it shows, and what it is to be told next."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from callpipeline.web.live.pieces import Pieces

Message = tuple[str, str]
"""The name of an event, empty for what is put into the page, and its text."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a page shows, and wants to be told of.

    `marks` are the pieces it has, by call, as their marks; `view` says which piece of a call that
    is. `newest` is the list of the newest calls as it has it; `top` the newest call it knows of,
    where it wants to hear that there are newer ones.
    """

    view: str = "row"
    marks: Mapping[str, str] | None = None
    newest: tuple[str, ...] | None = None
    top: str | None = None


class Listener:
    """Messages for one page, of which the latest counts: who reads slowly misses what is past."""

    def __init__(self, wish: Wish) -> None:
        self._view = wish.view
        self._marks = dict(wish.marks or {})
        self._newest = wish.newest
        self._top = wish.top
        self._told_newer = 0
        self._waiting: dict[str, str] = {}
        self._events: dict[str, str] = {}
        self._ready = asyncio.Event()
        self.is_closed = False

    @property
    def call_ids(self) -> frozenset[str]:
        return frozenset(self._marks)

    def show(self, seen: Mapping[str, Pieces], newest: Sequence[str]) -> None:
        """Take from what was just seen what this page does not show yet."""
        if self._newest is not None:
            self._show_newest(seen, newest)
        for call_id in self._marks.keys() & seen.keys():
            self._show_call(call_id, seen[call_id])
        if self._top is not None:
            self._count_newer(newest)

    def close(self) -> None:
        """The page is told nothing more: the app stops."""
        self.is_closed = True
        self._ready.set()

    async def told(self, within_s: float) -> list[Message]:
        """What there is to tell, waited for so long; nothing where nothing changed."""
        try:
            async with asyncio.timeout(within_s):
                await self._ready.wait()
        except TimeoutError:
            return []
        if not self.is_closed:
            self._ready.clear()
        return self._taken()

    def _taken(self) -> list[Message]:
        swapped = "\n".join(self._waiting.values())
        events = list(self._events.items())
        self._waiting, self._events = {}, {}
        return ([("", swapped)] if swapped else []) + events

    def _show_call(self, call_id: str, pieces: Pieces) -> None:
        piece = pieces.of(self._view)
        if self._marks[call_id] == piece.mark:
            return
        self._marks[call_id] = piece.mark
        self._waiting[call_id] = _put(f"#{self._view}-{call_id}", "outerMorph", piece.html)
        if self._view == "state" and pieces.is_final:
            self._events["ended"] = call_id
        self._ready.set()

    def _show_newest(self, seen: Mapping[str, Pieces], newest: Sequence[str]) -> None:
        """Calls that came in change the list as a whole; else only their rows are told."""
        shown = [call_id for call_id in newest if call_id in seen]
        if tuple(shown) == self._newest:
            return
        self._newest = tuple(shown)
        self._marks = {call_id: seen[call_id].of("row").mark for call_id in shown}
        rows = "\n".join(seen[call_id].of("row").html for call_id in shown)
        self._waiting = {"": _put("#newest", "innerMorph", rows)}
        self._ready.set()

    def _count_newer(self, newest: Sequence[str]) -> None:
        """As many as can be told: where the one that it knows is not among them, all are newer."""
        known = newest.index(self._top) if self._top in newest else len(newest)
        if known != self._told_newer:
            self._told_newer = known
            self._events["newer"] = str(known)
            self._ready.set()


def _put(target: str, swap: str, html: str) -> str:
    """Where htmx is to put it; a page without that place leaves it."""
    return f'<hx-partial hx-target="{target}" hx-swap="{swap}">{html}</hx-partial>'
