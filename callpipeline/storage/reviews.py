"""What people decided about mentions: noted, holding at once, and again when they are found anew.

A decision locks the call's row, as each write of a run does. So it is there when a run looks, or
it is made of what the run has stored; the call's state it never touches.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.domain.mention import Mention, MentionStatus
from callpipeline.domain.review import Decision, Review
from callpipeline.errors import ReviewOutdated, UnknownCall, UnknownMention
from callpipeline.storage import rows
from callpipeline.storage.database import Database, Row, storable
from callpipeline.storage.sql import query

NEAR_S = 1.0
"""How far from where it was a mention may be found again: word times are some tenths off."""


class Place(NamedTuple):
    """Where a list of unsure mentions has come to: its last one."""

    took_place_at: datetime
    call_id: str
    start_s: float
    mention_id: str


@dataclass(frozen=True, slots=True)
class Unsure:
    """A mention that waits for a person; `text` is its segment's, None where that is gone."""

    call_id: str
    took_place_at: datetime
    agent: str | None
    mention: Mention
    text: str | None

    @property
    def place(self) -> Place:
        mention = self.mention
        return Place(self.took_place_at, self.call_id, mention.start_s, mention.mention_id)


class Reviews:
    """Table `reviews`, and what follows from it. Of two decisions at once the later one holds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def decide(
        self, call_id: str, mention_id: str, decision: Decision, by: str | None = None
    ) -> Review:
        """Let a decision hold from now on. Raises UnknownCall, UnknownMention.

        It is asked once: whoever gets no answer decides again.
        """
        decided = {"call_id": call_id, "mention_id": mention_id}
        decided |= {"decision": decision, "by": storable(by) if by else None}
        with self._database.transaction() as connection:
            _lock(connection, call_id)
            row = connection.execute(query("reviews/decide"), decided).fetchone()
            if row is None:
                raise UnknownMention(f"Call {call_id} has no such mention (any more).")
            _hold(connection, call_id)
        return _review(row)

    def undo(self, review_id: int, by: str | None = None) -> Review:
        """Take a decision back: what held before it holds again.

        Raises ReviewOutdated where somebody decided since, or the call was erased.
        """
        undone = {"review_id": review_id, "by": storable(by) if by else None}
        outdated = ReviewOutdated("Somebody decided about the mention since: look at it again.")
        with self._database.transaction() as connection:
            found = connection.execute(query("reviews/find"), undone).fetchone()
            if found is None:
                raise outdated
            _lock(connection, found["call_id"])
            row = connection.execute(query("reviews/undo"), undone).fetchone()
            if row is None:
                raise outdated
            _hold(connection, row["call_id"])
        return _review(row)

    def history(self, call_id: str, mention_id: str | None = None) -> list[Review]:
        """Every decision about a call's mentions, or about one, the newest first."""
        wanted = {"call_id": call_id, "mention_id": mention_id}
        return [_review(row) for row in self._database.rows("reviews/history", wanted)]

    def holding(self, call_id: str) -> dict[str, Review]:
        """The decisions that hold, by mention."""
        newest = {review.mention_id: review for review in reversed(self.history(call_id))}
        return {id_: each for id_, each in newest.items() if each.decision is not Decision.LEFT}

    def unsure(
        self, *, competitor: str | None = None, after: Place | None = None, limit: int = 50
    ) -> list[Unsure]:
        """Mentions of complete calls that wait for a person, of the newest calls first."""
        place = after._asdict() if after else dict.fromkeys(Place._fields)
        wanted = place | {"competitor": competitor, "limit": limit}
        return [_unsure(row) for row in self._database.rows("reviews/unsure", wanted)]

    def count_unsure(self) -> dict[str, int]:
        """How many wait, by competitor, most first."""
        return {row["competitor"]: row["mentions"] for row in self._database.rows("reviews/count")}


def apply(
    connection: Connection[DictRow], call_id: str, found: tuple[Mention, ...]
) -> tuple[Mention, ...]:
    """Let decisions hold for mentions that were just stored, in the caller's transaction."""
    wanted = {"call_id": call_id, "near_s": NEAR_S}
    decided = connection.execute(query("reviews/apply"), wanted).fetchall()
    if not decided:
        return found
    settle(connection, call_id)
    by_id = {row["mention_id"]: row for row in decided}
    return tuple(_as_decided(each, by_id.get(each.mention_id)) for each in found)


def settle(connection: Connection[DictRow], call_id: str) -> None:
    """Let the sentiment of mentions follow decisions, in the caller's transaction."""
    connection.execute(query("reviews/settle"), {"call_id": call_id})


def _as_decided(mention: Mention, row: Row | None) -> Mention:
    if row is None:
        return mention
    return replace(mention, status=MentionStatus(row["status"]), reason=row["reason"])


def _lock(connection: Connection[DictRow], call_id: str) -> None:
    if connection.execute(query("reviews/lock"), {"call_id": call_id}).fetchone() is None:
        raise UnknownCall(f"There is no call {call_id!r} (any more).")


def _hold(connection: Connection[DictRow], call_id: str) -> None:
    apply(connection, call_id, ())
    connection.execute(query("reviews/changed"), {"call_id": call_id})


def _review(row: Row) -> Review:
    known: Row = {name: row[name] for name in Review.__dataclass_fields__}
    typed: Row = {"decision": Decision(row["decision"])}
    return Review(**(known | typed))


def _unsure(row: Row) -> Unsure:
    known = (row["call_id"], row["took_place_at"], row["agent"])
    return Unsure(*known, rows.to_mention(row), row["text"])
