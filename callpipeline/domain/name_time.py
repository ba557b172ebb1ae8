"""The time of a call as recorders write it into the names of files and folders."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

_PARTS = ("year", "month", "day", "hour", "minute", "second")

TIME_GROUPS = frozenset({"started_at", "date", "time", *_PARTS})
"""Groups of a source's pattern that tell when the call took place."""

_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
_WRITTEN = re.compile(
    r"""(\d{4})[-_./]?(\d{2})[-_./]?(\d{2})             # 2025-02-19, 20250219
        (?:[T _-]*(\d{2})[-:._]?(\d{2})                  # T06-01, _0601
           (?:[-:._]?(\d{2})(?:[.,]\d+)?)?               # -22, 22.123
        )?
        \s*(Z|[+-]\d{2}:?\d{2})?                         # Z, +01:00, -0500
    """,
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)
_EPOCH = re.compile(r"(\d{9,10})(?:\.\d+)?|(\d{13})", re.ASCII)
"""Seconds or milliseconds since 1970; what follows a point is a counter in Asterisk's names."""


def time_told(told: Mapping[str, str], timezone: str, now: datetime) -> datetime | None:
    """When the call took place (UTC), by the groups of a name.

    None for what cannot be read, is before 1990, or more than a day in the future. A date alone is
    the beginning of that day. Of an hour that a clock change repeats it is the first, and a time
    that the change leaves out is read as if the clock had not been changed yet.
    """
    text = _written(told)
    try:
        found = _read(text, _zone(timezone)) if text else None
        if found and _EARLIEST <= found <= now + timedelta(days=1):
            return found
    except (ValueError, OverflowError):
        pass
    return None


def _written(told: Mapping[str, str]) -> str | None:
    """The time in one text, from whichever groups tell it."""
    if "started_at" in told:
        return told["started_at"]
    if "date" in told:
        return f"{told['date']}T{told['time']}" if "time" in told else told["date"]
    if not {"year", "month", "day"} <= told.keys():
        return None
    # A year of two digits is one of this century: nobody recorded calls in 1925.
    year, *others = (told.get(part, "0").zfill(2) for part in _PARTS)
    return f"{'20' + year if len(year) == 2 else year}{''.join(others)}"


def _read(text: str, zone: tzinfo) -> datetime | None:
    if since_1970 := _EPOCH.fullmatch(text):
        seconds, milliseconds = since_1970.groups()
        return datetime.fromtimestamp(int(seconds or milliseconds[:-3]), UTC)
    if not (written := _WRITTEN.fullmatch(text)):
        return None
    *parts, offset = written.groups()
    year, month, day, hour, minute, second = (int(part or 0) for part in parts)
    its_zone = _offset(offset) if offset else zone
    local = datetime(year, month, day, hour, minute, second, tzinfo=its_zone)
    return local.astimezone(UTC)


def _offset(text: str) -> tzinfo:
    if text.upper() == "Z":
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def _zone(name: str) -> tzinfo:
    """UTC is there where a machine has no time zone database."""
    return UTC if name == "UTC" else ZoneInfo(name)
