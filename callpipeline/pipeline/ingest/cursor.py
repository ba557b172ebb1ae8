"""The cursor of discovery, which a sensor stores between ticks.

It contains object keys, which may be personal data: it is stored in our schema, not Dagster's.
"""

import json
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from math import isfinite
from zoneinfo import ZoneInfo

from callpipeline.domain.calls.call import Recording
from callpipeline.domain.calls.sources import Source

REST_FACTOR = 9
"""Rest between two full sweeps, as a multiple of what the last one took.

Sweeps take at most a tenth of the time: small folders are swept on every tick, a folder that takes
ten seconds every minute and a half.
"""
MAX_REST_S = 24 * 3600.0
HOURLY = timedelta(hours=1)
OVERLAP_DAYS = 2
OVERLAP_KEYS = 1000
MAX_UNSETTLED_KEYS = 10_000
_VERSION = 2


@dataclass(frozen=True, slots=True)
class Sweep:
    """A walk through keys in order; `began` and `ended` are Unix times in seconds.

    `began` is None between two sweeps. `after` is the last key listed, `took_s` the time spent, and
    `listed` the number of objects of this sweep, or of the last one. `rest_s` follows `ended`.
    """

    after: str | None = None
    began: float | None = None
    took_s: float = 0.0
    listed: int = 0
    ended: float = 0.0
    rest_s: float = 0.0

    @property
    def in_progress(self) -> bool:
        return self.began is not None

    def is_due(self, now: datetime) -> bool:
        # A time before `ended` means that the clock was set back: how long it rested is unknown.
        rests = self.ended <= now.timestamp() < self.ended + self.rest_s
        return self.in_progress or not rests

    def started(self, now: datetime) -> "Sweep":
        """Return the sweep in progress, or a new one."""
        return self if self.in_progress else Sweep(began=now.timestamp())

    def advanced(self, after: str | None, *, listed: int, took_s: float) -> "Sweep":
        return replace(self, after=after, listed=self.listed + listed, took_s=self.took_s + took_s)

    def finished(self, now: datetime, *, every: timedelta = timedelta()) -> "Sweep":
        """End the sweep; the next begins no earlier than `every` after the start of this one."""
        ended = now.timestamp()
        since_s = ended - (self.began if self.began is not None else ended)
        rest_s = max(REST_FACTOR * self.took_s, every.total_seconds() - max(since_s, 0.0))
        return Sweep(ended=ended, rest_s=min(rest_s, MAX_REST_S), listed=self.listed)


@dataclass(frozen=True, slots=True)
class DiscoveryCursor:
    """The position of discovery in a source.

    `full_sweep` covers the whole source, `recent_sweep` the folders of the last days.
    `newest_after` is the key behind which new recordings are expected. `future_dated` maps call ids
    of recordings dated in the future to the Unix time at which each was first seen.
    """

    full_sweep: Sweep = Sweep()
    recent_sweep: Sweep = Sweep()
    newest_after: str | None = None
    future_dated: Mapping[str, float] = field(default_factory=dict[str, float])

    def to_json(self, source: Source) -> str:
        """Return the cursor as ASCII JSON, whatever the keys contain."""
        return json.dumps({"version": _VERSION, "source": _fingerprint(source), **asdict(self)})

    @classmethod
    def from_json(cls, cursor: str | None, source: Source) -> "DiscoveryCursor":
        """Parse a cursor; return a new one for another version or source, or invalid JSON.

        A new cursor starts a new sweep, which registers nothing twice: the ledger has those calls.
        """
        try:
            fields = json.loads(cursor or "{}")
            if (fields.pop("version"), fields.pop("source")) != (_VERSION, _fingerprint(source)):
                return cls()
            sweeps = {name: _sweep(**fields.pop(name)) for name in ("full_sweep", "recent_sweep")}
            return _checked(cls(**sweeps, **fields))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            return cls()


def _sweep(**fields: object) -> Sweep:
    sweep = Sweep(**fields)  # pyright: ignore[reportArgumentType] - checked in the next lines
    numbers = (sweep.took_s, sweep.listed, sweep.ended, sweep.rest_s, sweep.began or 0.0)
    if not all(map(_is_finite_number, numbers)):
        raise TypeError
    if not _is_optional_text(sweep.after):
        raise TypeError
    return replace(sweep, rest_s=min(sweep.rest_s, MAX_REST_S))


def _checked(cursor: DiscoveryCursor) -> DiscoveryCursor:
    if not _is_optional_text(cursor.newest_after):
        raise TypeError
    if not all(map(_is_number, cursor.future_dated.values())):
        raise TypeError
    return cursor


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _is_finite_number(value: object) -> bool:
    return isinstance(value, int | float) and isfinite(value)


def _is_optional_text(value: object) -> bool:
    return isinstance(value, str | None)


def _fingerprint(source: Source) -> str:
    """Return a short hash of what the cursor is a position in."""
    return sha256(f"{source.url}\n{source.day_folders}".encode()).hexdigest()[:12]


class NewestKeys:
    """Tracks keys in order, to decide where the next scan resumes.

    It resumes OVERLAP_KEYS before the last key, since names are not strictly in order, and before
    the first key still being written, but not if more than MAX_UNSETTLED_KEYS were listed.
    """

    def __init__(self, after: str | None = None) -> None:
        self._after = after
        self._listed = 0
        self._last: deque[str] = deque(maxlen=OVERLAP_KEYS)
        self._unsettled: str | None = None

    def add(self, page: Iterable[Recording], *, first_unsettled: str | None) -> None:
        keys = [recording.key for recording in page]
        self._listed += len(keys)
        self._last.extend(keys)
        self._unsettled = self._unsettled or first_unsettled

    @property
    def resume_after(self) -> str | None:
        """The key to resume after; None for the beginning."""
        overlap = self._last[0] if len(self._last) == OVERLAP_KEYS else self._after
        if overlap is None or self._unsettled is None or self._listed > MAX_UNSETTLED_KEYS:
            return overlap
        # A key without its last character sorts before it, and need not exist.
        return min(overlap, self._unsettled[:-1])


def recent_folders(source: Source, now: datetime) -> list[str]:
    """Return the folders of the last days and of tomorrow, by the source's clock and by UTC.

    Tomorrow's because a recorder may be ahead of the time zone that its source names.
    """
    days = [now + timedelta(days=offset) for offset in range(-OVERLAP_DAYS, 2)]
    if source.timezone != "UTC":
        days += [day.astimezone(ZoneInfo(source.timezone)) for day in days]
    folders = {day.strftime(source.day_folders or "") for day in days}
    return sorted(folders, key=lambda folder: f"{folder}/")
