"""Metadata and times of calls: added from side files, and corrected by people.

Corrections have precedence over all else, also when a call is processed again. They are a history
(table `call_corrections`); the row of the call has the values in force, which analytics follow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from callpipeline.domain.audio import QualityFlag
from callpipeline.domain.calls.call import Call, Recording
from callpipeline.domain.calls.sources import CallAttributes
from callpipeline.errors import ClaimLost, CorrectionOutdated, UnknownCall
from callpipeline.storage.postgres.database import Database, Row, sanitize_text
from callpipeline.storage.postgres.sql import query

STARTED_AT = "started_at"
WAIT_S = 30.0
"""Time until a missing side file is looked for again; longer, the longer it is missing."""
LONGEST_WAIT_S = 12 * 3600.0
GIVE_UP_S = 7 * 86_400.0
"""Time after the end of a call after which no side file is expected any more."""


@dataclass(frozen=True, slots=True)
class Correction:
    """Fields that a person corrected; None removed a field."""

    fields: Mapping[str, str | None]
    corrected_by: str | None
    corrected_at: datetime


@dataclass(frozen=True, slots=True)
class CallDescription:
    """Metadata and time of a call, and the corrections that led to it, newest first.

    `version` is the number of its last correction, 0 without one.
    """

    metadata: Mapping[str, str]
    started_at: datetime | None
    corrections: tuple[Correction, ...] = ()
    version: int = 0


class Descriptions:
    """Reads and changes what is known about calls."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def describe(self, call: Call, run_id: str, attributes: CallAttributes) -> None:
        """Add what a side file says about a call that a run holds. Raises ClaimLost."""
        described = {
            "call_id": call.call_id,
            "run_id": run_id,
            "metadata": Jsonb(dict(attributes.metadata)),
            "started_at": attributes.started_at,
            "agent_channel": attributes.agent_channel,
        }
        rows = self._database.rows("descriptions/describe", described)
        if not rows:
            raise ClaimLost(f"Call {call.call_id} is claimed by another run now.")

    def await_file(self, call: Call, run_id: str) -> None:
        """Note that the side file of a claimed call is missing or unreadable. Raises ClaimLost."""
        expected = {"call_id": call.call_id, "run_id": run_id, "wait_s": WAIT_S}
        if not self._database.rows("descriptions/await_file", expected):
            raise ClaimLost(f"Call {call.call_id} is claimed by another run now.")

    def due(self, limit: int) -> list[Call]:
        """Return calls that ended without a side file and are due for another look."""
        rows = self._database.rows("descriptions/due", {"limit": limit})
        return [Call(row.pop("call_id"), Recording(**row)) for row in rows]

    def postpone(self, call_id: str, unreadable: QualityFlag | None = None) -> None:
        """Look again later: in half of the time since the call ended, until GIVE_UP_S."""
        waits = {"wait_s": WAIT_S, "longest_wait_s": LONGEST_WAIT_S, "give_up_s": GIVE_UP_S}
        parameters = {"call_id": call_id} | waits
        self._database.with_retry(lambda c: c.execute(query("descriptions/postpone"), parameters))
        if unreadable:
            flagged = _flagged(call_id, unreadable)
            self._database.with_retry(
                lambda c: c.execute(query("descriptions/set_unreadable"), flagged)
            )

    def describe_late(self, call_id: str, attributes: CallAttributes) -> bool:
        """Add what a side file says about a call that has ended; return False if it has not.

        The channel of the agent stays: transcripts and mentions have the speakers already.
        """
        given = {
            "call_id": call_id,
            "metadata": Jsonb(dict(attributes.metadata)),
            "started_at": attributes.started_at,
        }

        def store(connection: Connection[DictRow]) -> bool:
            connection.execute(query("reviews/lock_call"), given)
            connection.execute(query("descriptions/insert_moved_day"), given)
            stored = connection.execute(query("descriptions/describe_late"), given).fetchone()
            if stored:
                connection.execute(query("descriptions/set_unreadable"), _flagged(call_id))
            return stored is not None

        return self._database.with_retry(store)

    def find(self, call_id: str) -> CallDescription:
        """Return what is known about a call. Raises UnknownCall, also for an erased call."""
        rows = self._database.rows("descriptions/find", {"call_id": call_id})
        if not rows:
            raise UnknownCall(f"Call {call_id!r} not found.")
        found = self._database.rows("descriptions/corrections", {"call_id": call_id})
        corrections = tuple(Correction(**row) for row in found)
        return CallDescription(
            rows[0]["metadata"], rows[0]["started_at"], corrections, rows[0]["version"]
        )

    def correct(
        self,
        call_id: str,
        fields: Mapping[str, str | None],
        *,
        started_at: datetime | None = None,
        by: str | None = None,
        seen: int | None = None,
    ) -> CallDescription:
        """Correct fields of a call; None removes a field. Raises UnknownCall.

        `seen` is the version that the person saw: raises CorrectionOutdated if one of the fields
        was corrected since. If `started_at` is among the fields, the time of the call becomes the
        given one.
        """
        removed = [name for name, value in fields.items() if value is None]
        given = {name: value for name, value in fields.items() if value is not None}
        given.pop(STARTED_AT, None)
        changed: Row = {
            "call_id": call_id,
            "fields": Jsonb(dict(fields)),
            "given": Jsonb(given),
            "removed": removed,
            "changes_time": STARTED_AT in fields,
            "started_at": started_at,
            "by": sanitize_text(by) if by else None,
        }

        def store(connection: Connection[DictRow]) -> None:
            if connection.execute(query("reviews/lock_call"), changed).fetchone() is None:
                raise UnknownCall(f"Call {call_id!r} not found.")
            if seen is not None:
                _check_version(connection, call_id, tuple(fields), seen)
            connection.execute(query("descriptions/insert_correction"), changed)
            connection.execute(query("descriptions/correct"), changed)
            connection.execute(query("reviews/touch_call"), changed)

        self._database.with_retry(store)
        return self.find(call_id)


def _check_version(
    connection: Connection[DictRow], call_id: str, fields: Sequence[str], seen: int
) -> None:
    """Raise CorrectionOutdated if another person has corrected one of the fields since."""
    parameters = {"call_id": call_id, "fields": list(fields), "seen": seen}
    row = connection.execute(query("descriptions/corrected_since"), parameters).fetchone()
    if row:
        raise CorrectionOutdated(
            f"{row['corrected_by'] or 'Another person'} corrected {row['field'].replace('_', ' ')} "
            f"{minutes_ago(row['minutes'])}."
        )


def minutes_ago(minutes: int) -> str:
    """Return how long ago something was, in words."""
    return f"{minutes} minutes ago" if minutes > 1 else "a minute ago"


def _flagged(call_id: str, flag: QualityFlag | None = None) -> Row:
    flags = [asdict(flag)] if flag else []
    return {"call_id": call_id, "flags": Jsonb(flags)}
