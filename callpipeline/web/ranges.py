"""Byte ranges of answers (RFC 9110, section 14): which bytes are wanted, and in which words."""

import re
from dataclasses import dataclass

_ONE = re.compile(
    r"bytes[ \t]*=[ \t]*(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))[ \t]*", re.IGNORECASE | re.ASCII
)


class Unsatisfiable(Exception):
    """None of the bytes that are wanted are there."""


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes from `start` to before `end`."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start

    def content_range(self, size: int) -> str:
        return f"bytes {self.start}-{self.end - 1}/{size}"


def wanted_span(header: str | None, size: int) -> Span | None:
    """The bytes that a Range header wants; None for all of them. Raises Unsatisfiable.

    Several ranges, or what is no range of bytes, are answered with everything, as may be done.
    """
    found = _ONE.fullmatch(header.strip()) if header else None
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        start, end = max(0, size - int(suffix)), size
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
        if last and int(last) < int(first):
            return None
    if start >= end:
        raise Unsatisfiable
    return Span(start, end)


def is_current(condition: str | None, etag: str) -> bool:
    """Whether an If-Range holds: a date never does, since we give none."""
    return condition is None or condition.strip() == etag


def names(condition: str | None, etag: str) -> bool:
    """Whether an If-None-Match names this very answer, weakly compared."""
    if condition is None:
        return False
    given = {each.strip().removeprefix("W/") for each in condition.split(",")}
    return "*" in given or etag.removeprefix("W/") in given
