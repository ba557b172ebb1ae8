"""How much a visitor, or an address, may ask for in a minute."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from fastapi import HTTPException

MOST = 10_000
"""Visitors that are remembered; whoever has not been here for longest is forgotten."""


class Allowance:
    """So much in a minute for each, all at once or evenly (a token bucket). 0 is any number."""

    def __init__(
        self, per_min: int, *, most: int = MOST, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_min = per_min
        self._most = most
        self._now = now
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, who: str) -> None:
        """Count one. Raises HTTPException (429) where nothing is left."""
        if not self._per_min:
            return
        left = self._filled(who)
        if left < 1:
            raise too_many((1 - left) * 60 / self._per_min)
        self._put(who, left - 1)

    def give_back(self, who: str) -> None:
        """It was none of those that are counted."""
        if self._per_min:
            self._put(who, min(self._per_min, self._filled(who) + 1))

    def _filled(self, who: str) -> float:
        left, at = self._left.get(who, (float(self._per_min), self._now()))
        return min(self._per_min, left + (self._now() - at) * self._per_min / 60)

    def _put(self, who: str, left: float) -> None:
        self._left[who] = (left, self._now())
        self._left.move_to_end(who)
        while len(self._left) > self._most:
            self._left.popitem(last=False)

    def __len__(self) -> int:
        return len(self._left)


def too_many(wait_s: float) -> HTTPException:
    """429, with the seconds to wait."""
    seconds = max(1, math.ceil(wait_s))
    return HTTPException(
        429, f"Too many requests: try again in {seconds} s.", {"Retry-After": str(seconds)}
    )
