"""What changes seldom and takes long to read, kept for a minute."""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")

FOR_S = 60.0


class Remembered(Generic[Value]):
    """Called, it gives what was read last; what is older than `for_s` is read anew."""

    def __init__(
        self,
        read: Callable[[], Value],
        for_s: float = FOR_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._for_s = for_s
        self._now = now
        self._kept: tuple[float, Value] | None = None

    def __call__(self) -> Value:
        kept, now = self._kept, self._now()
        if kept is None or now - kept[0] >= self._for_s:
            kept = self._kept = (now, self._read())
        return kept[1]
