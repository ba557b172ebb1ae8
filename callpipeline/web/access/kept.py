"""What was found a moment ago, so that it is not looked up for each request."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Found = TypeVar("Found")

FOR_S = 3.0
"""A key that is revoked, or a login that is over, opens nothing any more after so long."""
MOST = 2_000


class Lately(Generic[Found]):
    """Findings of the last seconds, of nothing being there too; the oldest go first."""

    def __init__(
        self, for_s: float = FOR_S, most: int = MOST, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._for_s = for_s
        self._most = most
        self._now = now
        self._found: OrderedDict[Hashable, tuple[float, Found]] = OrderedDict()

    def get(self, what: Hashable) -> tuple[Found] | None:
        """What was found, in a tuple, since it may be None; None where it is to be looked up."""
        at, found = self._found.get(what, (float("-inf"), None))
        return (found,) if self._now() - at < self._for_s else None  # pyright: ignore

    def put(self, what: Hashable, found: Found) -> None:
        self._found[what] = (self._now(), found)
        self._found.move_to_end(what)
        while len(self._found) > self._most:
            self._found.popitem(last=False)

    def drop(self, what: Hashable) -> None:
        self._found.pop(what, None)

    def __len__(self) -> int:
        return len(self._found)
