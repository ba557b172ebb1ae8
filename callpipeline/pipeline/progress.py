"""How far looking for new recordings has come: kept by a sensor from one tick to the next.

There are keys in it, which may be personal data: it is kept in our schema, never in Dagster's.
"""

import json
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from math import isfinite
from zoneinfo import ZoneInfo

from callpipeline.domain.call import Recording
from callpipeline.domain.source import Source

REST = 9
"""A new look through everything begins after so many times what the last one took.

So looking takes at most a tenth of the time: small folders are looked through at every tick, ten
seconds' worth of objects every minute and a half.
"""
LONGEST_REST_S = 24 * 3600.0
HOURLY = timedelta(hours=1)
OVERLAP_DAYS = 2
OVERLAP = 1000
LONGEST_WAIT = 10_000
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Sweep:
    """A walk through keys in their order; `began` is None between two walks (seconds since 1970).

    `after` is the last key looked at, `took_s` how long this walk has taken, `listed` how many
    objects it, or the last one, has met. After one that `ended` come `rest_s` of rest.
    """

    after: str | None = None
    began: float | None = None
    took_s: float = 0.0
    listed: int = 0
    ended: float = 0.0
    rest_s: float = 0.0

    @property
    def is_under_way(self) -> bool:
        return self.began is not None

    def is_due(self, now: datetime) -> bool:
        # Before it ended: the clock was put back, and nobody knows how long the rest has been.
        rests = self.ended <= now.timestamp() < self.ended + self.rest_s
        return self.is_under_way or not rests

    def started(self, now: datetime) -> "Sweep":
        """The walk under way, or a new one."""
        return self if self.is_under_way else Sweep(began=now.timestamp())

    def advanced(self, after: str | None, *, listed: int, took_s: float) -> "Sweep":
        return replace(self, after=after, listed=self.listed + listed, took_s=self.took_s + took_s)

    def finished(self, now: datetime, *, every: timedelta = timedelta()) -> "Sweep":
        """Between two walks; one begins no earlier than `every` after the last one began."""
        ended = now.timestamp()
        since_s = ended - (self.began if self.began is not None else ended)
        rest_s = max(REST * self.took_s, every.total_seconds() - max(since_s, 0.0))
        return Sweep(ended=ended, rest_s=min(rest_s, LONGEST_REST_S), listed=self.listed)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where looking for new recordings in a source stands.

    `everything` walks through the whole source, `recent` through the folders of the last days.
    `newest_after` is where names begin that sort last, `doubtful` when recordings were first seen
    that are dated in the future, by their call ids.
    """

    everything: Sweep = Sweep()
    recent: Sweep = Sweep()
    newest_after: str | None = None
    doubtful: Mapping[str, float] = field(default_factory=dict)

    def to_cursor(self, source: Source) -> str:
        """The progress as text of ASCII characters, whatever is in the keys."""
        return json.dumps({"version": _VERSION, "of": _place(source), **asdict(self)})

    @classmethod
    def from_cursor(cls, cursor: str | None, source: Source) -> "Progress":
        """The progress again; a new one where the cursor is of another version or place, or broken.

        Looking begins anew then, which finds nothing twice: the ledger knows what was found.
        """
        try:
            kept = json.loads(cursor or "{}")
            if (kept.pop("version"), kept.pop("of")) != (_VERSION, _place(source)):
                return cls()
            sweeps = {name: _sweep(**kept.pop(name)) for name in ("everything", "recent")}
            return _checked(cls(**sweeps, **kept))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            return cls()


def _sweep(**kept: object) -> Sweep:
    sweep = Sweep(**kept)  # pyright: ignore[reportArgumentType] - checked in the next lines
    numbers = (sweep.took_s, sweep.listed, sweep.ended, sweep.rest_s, sweep.began or 0.0)
    if not all(isinstance(number, int | float) and isfinite(number) for number in numbers):
        raise TypeError
    if not isinstance(sweep.after, str | None):
        raise TypeError
    return replace(sweep, rest_s=min(sweep.rest_s, LONGEST_REST_S))


def _checked(progress: Progress) -> Progress:
    if not isinstance(progress.newest_after, str | None):
        raise TypeError
    if not all(isinstance(seen, int | float) for seen in progress.doubtful.values()):
        raise TypeError
    return progress


def _place(source: Source) -> str:
    """What a position belongs to, told shortly."""
    return sha256(f"{source.url}\n{source.day_folders}".encode()).hexdigest()[:12]


class Newest:
    """Watches keys go by in their order, to tell from where on to look next time.

    That is OVERLAP keys before the last one, since names are not quite in order, and before the
    first one that was still being written; but not further back than LONGEST_WAIT keys.
    """

    def __init__(self, after: str | None = None) -> None:
        self._after = after
        self._listed = 0
        self._last: deque[str] = deque(maxlen=OVERLAP)
        self._unsettled: str | None = None

    def met(self, page: Iterable[Recording], *, first_unsettled: str | None) -> None:
        keys = [recording.key for recording in page]
        self._listed += len(keys)
        self._last.extend(keys)
        self._unsettled = self._unsettled or first_unsettled

    @property
    def names_after(self) -> str | None:
        """None is the beginning."""
        overlap = self._last[0] if len(self._last) == OVERLAP else self._after
        if overlap is None or self._unsettled is None or self._listed > LONGEST_WAIT:
            return overlap
        # A key without its last character sorts before it, and need not exist.
        return min(overlap, self._unsettled[:-1])


def recent_folders(source: Source, now: datetime) -> list[str]:
    """Folders of the last days and of tomorrow, by the source's clock and by UTC, in order.

    Tomorrow's too: a recorder may be ahead of the time zone that its source names.
    """
    days = [now + timedelta(days=offset) for offset in range(-OVERLAP_DAYS, 2)]
    if source.timezone != "UTC":
        days += [day.astimezone(ZoneInfo(source.timezone)) for day in days]
    folders = {day.strftime(source.day_folders or "") for day in days}
    return sorted(folders, key=lambda folder: f"{folder}/")
