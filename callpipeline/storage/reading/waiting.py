"""Places in the queue, and how long calls that are under way may still take."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from callpipeline.domain.call import CallState, Stage
from callpipeline.domain.standing import Pace, estimate_s
from callpipeline.storage.database import Database
from callpipeline.storage.reading.calls import CallRow

RECENT = 200
"""As many calls tell how long a stage takes."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """`place` is 1 for the call that is taken next, None where it does not wait, or not yet;
    `done_in_s` is an estimate in seconds, None where nothing tells."""

    place: int | None
    done_in_s: float | None


def pace(database: Database) -> Pace:
    """How fast calls go lately."""
    wanted = {"stages": [str(stage) for stage in Stage], "recent": RECENT}
    rows = database.rows("reading/pace", wanted)
    took_s = {Stage(row["stage"]): float(row["took_s"]) for row in rows}
    return Pace(rows[0]["ended"] if rows else 0, took_s)


def outlooks(
    database: Database, calls: Iterable[CallRow], *, now: datetime | None = None
) -> Mapping[str, Outlook]:
    """Of those calls that wait or are worked on, by call; one look at the queue for all."""
    open_calls = [call for call in calls if not call.state.is_final]
    if not open_calls:
        return {}
    waiting = [call.call_id for call in open_calls if call.state is CallState.PENDING]
    rows = database.rows("reading/queue", {"call_ids": waiting}) if waiting else []
    ahead = {row["call_id"]: int(row["ahead"]) for row in rows}
    lately, moment = pace(database), now or datetime.now(UTC)
    return {c.call_id: _outlook(c, ahead.get(c.call_id), lately, moment) for c in open_calls}


def _outlook(call: CallRow, ahead: int | None, lately: Pace, now: datetime) -> Outlook:
    """Of a call that waits for a service which is away nothing can be told."""
    if call.away_from and ahead is None:
        return Outlook(None, None)
    waits_s = max((call.not_before - now).total_seconds(), 0.0) if call.not_before else 0.0
    done_in_s = estimate_s(call.state, call.stages, lately, ahead=ahead or 0, waits_s=waits_s)
    return Outlook(None if ahead is None else ahead + 1, done_in_s)
