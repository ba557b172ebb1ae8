"""A place where recordings arrive, and what the name of a recording there tells of its call."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from callpipeline.domain.call import DuplicatePolicy, Lane
from callpipeline.domain.name_time import TIME_GROUPS, time_told

SEARCHED = 1024
"""Characters of a key, counted from its end, in which a pattern is searched.

The pattern is the operator's: one with nested repetition, as `(a+)+`, takes time that doubles with
each character, and nothing here can stop it.
"""
LONGEST_VALUE = 200

_SIDES = {"left": "left", "l": "left", "0": "left", "right": "right", "r": "right", "1": "right"}
_DIRECTIONS = {
    **dict.fromkeys(("in", "inbound", "incoming", "ib", "i", "received"), "inbound"),
    **dict.fromkeys(("out", "outbound", "outgoing", "ob", "o", "dialled", "dialed"), "outbound"),
}


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What is known of a call before anybody listens to it."""

    metadata: dict[str, str] = field(default_factory=dict)
    started_at: datetime | None = None
    agent_channel: str = "left"


@dataclass(frozen=True, slots=True)
class Source:
    """A folder or bucket with recordings; `name` is in the names of its sensor and its bucket.

    `filename` is a regular expression, searched in an object's key. Its named groups become
    metadata of the call, and `started_at` (or `date` and `time`, or `year`, `month`, `day`, `hour`,
    `minute`, `second`) the time at which it took place, in `timezone` unless it says otherwise;
    `agent_channel` tells the agent's side where it differs from call to call.

    `day_folders` is how folders are named after days, as `%Y/%m/%d`: then a look for what is new
    needs the newest of them only. `lane` None lets each call's age decide.
    """

    name: str
    url: str
    filename: str | None = None
    timezone: str = "UTC"
    agent_channel: str = "left"
    duplicates: DuplicatePolicy = DuplicatePolicy.LINK
    lane: Lane | None = None
    day_folders: str | None = None

    def facts_of(
        self, key: str, *, now: datetime | None = None, told: Mapping[str, str] | None = None
    ) -> CallFacts:
        """What an object's key tells; a time that makes no sense stays in the metadata as text.

        What somebody `told` besides, by the names of groups, goes before that.
        """
        told = _groups(self.filename, key) | _cleaned(told or {})
        started_at = time_told(told, self.timezone, now or datetime.now(UTC))
        if started_at:
            told = {name: value for name, value in told.items() if name not in TIME_GROUPS}
        side = _SIDES.get(told.get("agent_channel", "").casefold())
        if side:
            del told["agent_channel"]
        if direction := _DIRECTIONS.get(told.get("direction", "").casefold()):
            told["direction"] = direction
        return CallFacts(told, started_at, side or self.agent_channel)


def _groups(pattern: str | None, key: str) -> dict[str, str]:
    """The named groups that matched something, fit to be shown and stored."""
    found = re.search(pattern, key[-SEARCHED:]) if pattern else None
    return _cleaned(found.groupdict("")) if found else {}


def _cleaned(told: Mapping[str, str]) -> dict[str, str]:
    cleaned = {name: _clean(value) for name, value in told.items()}
    return {name: value for name, value in cleaned.items() if value}


def _clean(value: str) -> str:
    """Without control, invisible, direction-changing and undecodable characters, and not long."""
    shown = "".join(c for c in value if not unicodedata.category(c).startswith("C"))
    return shown.strip()[:LONGEST_VALUE].strip()
