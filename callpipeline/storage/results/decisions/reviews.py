"""Decisions of reviewers on mentions. They apply at once, and again when mentions are found again.

A decision locks the call's row, as each write of a run does: either the run sees the decision, or
the decision applies to what the run stored. The state of the call does not change.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import replace

from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.domain.competitors.disambiguation.scoring import Answer, NameAnswers
from callpipeline.domain.competitors.mentions import (
    MAX_COVERED_LOG_ODDS,
    Decision,
    Mention,
    MentionStatus,
    Review,
)
from callpipeline.errors import ReviewOutdated, UnknownCall, UnknownMention
from callpipeline.storage.calls.descriptions import minutes_ago
from callpipeline.storage.ports.results import (
    MAX_REVIEW_SHIFT_S,
    DecisionCount,
    PendingReview,
    ReviewPosition,
)
from callpipeline.storage.postgres.database import Database, Row, sanitize_text
from callpipeline.storage.postgres.sql import query
from callpipeline.storage.results import serialization
from callpipeline.storage.results.decisions import corrections


class Reviews:
    """Decisions on mentions. Of two concurrent decisions the later one applies."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def decide(
        self,
        call_id: str,
        mention_id: str,
        decision: Decision,
        by: str | None = None,
        *,
        seen: MentionStatus | None = None,
    ) -> Review:
        """Record a decision and apply it. Raises UnknownCall, UnknownMention.

        On an open mention, it applies to others of the same competitor in the call, too: open ones,
        and those that a moderate score decided (`domain.competitors.mentions.follows`).
        `seen` is the status that the reviewer saw: raises ReviewOutdated if another person has
        decided since. The statement is not retried: after a lost connection the reviewer decides
        again.
        """
        decided = {"call_id": call_id, "mention_id": mention_id}
        decided |= {"decision": decision, "by": sanitize_text(by) if by else None}
        decided |= {"max_log_odds": MAX_COVERED_LOG_ODDS}
        with self._database.transaction() as connection:
            _lock(connection, call_id)
            if seen is not None:
                _check_seen(connection, call_id, mention_id, seen)
            rows = connection.execute(query("reviews/insert"), decided).fetchall()
            if not rows:
                raise UnknownMention(f"Call {call_id} has no such mention.")
            _apply_now(connection, call_id)
        return _review(next(row for row in rows if row["mention_id"] == mention_id))

    def undo(self, review_id: int, by: str | None = None) -> Review:
        """Undo a decision: the one before it applies again.

        Raises ReviewOutdated if there is a later decision, or the call was erased.
        """
        undone = {"review_id": review_id, "by": sanitize_text(by) if by else None}
        outdated = ReviewOutdated("Someone else reviewed this mention. Reload the page.")
        with self._database.transaction() as connection:
            found = connection.execute(query("reviews/call_of_review"), undone).fetchone()
            if found is None:
                raise outdated
            _lock(connection, found["call_id"])
            rows = connection.execute(query("reviews/undo"), undone).fetchall()
            if not rows:
                raise outdated
            _apply_now(connection, found["call_id"])
        return _review(next(row for row in rows if row["undoes"] == review_id))

    def history(self, call_id: str, mention_id: str | None = None) -> list[Review]:
        """Return every decision on a call's mentions, or on one of them, newest first."""
        parameters = {"call_id": call_id, "mention_id": mention_id}
        return [_review(row) for row in self._database.rows("reviews/list", parameters)]

    def in_force(self, call_id: str) -> dict[str, Review]:
        """Return the decisions in force, by mention id."""
        newest = {review.mention_id: review for review in reversed(self.history(call_id))}
        return {id_: each for id_, each in newest.items() if each.decision is not Decision.RESET}

    def pending(
        self, *, competitor: str | None = None, after: ReviewPosition | None = None, limit: int = 50
    ) -> list[PendingReview]:
        """Return a mention for each open question about completed calls, most useful first.

        There is one question for each competitor and call. An answer is worth more, the less
        certain the mention is and the more calls wait for answers about the competitor.
        """
        place = after._asdict() if after else dict.fromkeys(ReviewPosition._fields)
        parameters = place | {"competitor": competitor, "limit": limit}
        return [_pending(row) for row in self._database.rows("reviews/list_pending", parameters)]

    def count_pending(self) -> dict[str, int]:
        """Count the open questions by competitor, most first."""
        return {
            row["competitor"]: row["mentions"]
            for row in self._database.rows("reviews/count_pending")
        }

    def count_decisions(self) -> dict[str, DecisionCount]:
        """Count the mentions that people confirmed and dismissed, by competitor."""
        return {
            row["competitor"]: DecisionCount(row["confirmed"], row["dismissed"])
            for row in self._database.rows("reviews/count_decisions")
        }


def answers(database: Database, competitors: Collection[str]) -> dict[str, NameAnswers]:
    """Return what reviewers said about the ambiguous names of competitors."""
    by_name: dict[str, list[Answer]] = defaultdict(list)
    for row in database.rows("reviews/answers", {"competitors": list(competitors)}):
        answer = Answer(row["log_odds"], row["is_company"], row["phrase"])
        by_name[row["competitor"]].append(answer)
    return {name: NameAnswers(tuple(given)) for name, given in by_name.items()}


def apply(
    connection: Connection[DictRow], call_id: str, found: tuple[Mention, ...]
) -> tuple[Mention, ...]:
    """Apply decisions to mentions that were just stored, in the caller's transaction."""
    parameters = {"call_id": call_id, "near_s": MAX_REVIEW_SHIFT_S}
    decided = connection.execute(query("reviews/apply"), parameters).fetchall()
    if not decided:
        return found
    reconcile_sentiment(connection, call_id)
    by_id = {row["mention_id"]: row for row in decided}
    return tuple(_with_decision(each, by_id.get(each.mention_id)) for each in found)


def reconcile_sentiment(connection: Connection[DictRow], call_id: str) -> None:
    """Bring sentiment in line with decisions and corrections, in the caller's transaction."""
    connection.execute(query("reviews/reconcile_sentiment"), {"call_id": call_id})
    corrections.apply(connection, call_id)


def _with_decision(mention: Mention, row: Row | None) -> Mention:
    if row is None:
        return mention
    return replace(mention, status=MentionStatus(row["status"]), reason=row["reason"])


def _lock(connection: Connection[DictRow], call_id: str) -> None:
    if connection.execute(query("reviews/lock_call"), {"call_id": call_id}).fetchone() is None:
        raise UnknownCall(f"Call {call_id!r} not found.")


def _check_seen(
    connection: Connection[DictRow], call_id: str, mention_id: str, seen: MentionStatus
) -> None:
    """Raise ReviewOutdated if the mention has another status than the one that was seen."""
    mention = {"call_id": call_id, "mention_id": mention_id}
    row = connection.execute(query("reviews/present"), mention).fetchone()
    if row is None or row["status"] == seen:
        return
    if row["decision"] is None or row["decision"] == Decision.RESET:
        raise ReviewOutdated("This mention was found again meanwhile. Check it once more.")
    who = row["decided_by"] or "Another person"
    raise ReviewOutdated(f"{who} {row['decision']} this mention {minutes_ago(row['minutes'])}.")


def _apply_now(connection: Connection[DictRow], call_id: str) -> None:
    apply(connection, call_id, ())
    connection.execute(query("reviews/touch_call"), {"call_id": call_id})


def _review(row: Row) -> Review:
    known: Row = {name: row[name] for name in Review.__dataclass_fields__}
    typed: Row = {"decision": Decision(row["decision"])}
    return Review(**(known | typed))


def _pending(row: Row) -> PendingReview:
    known = (row["call_id"], row["took_place_at"], row["agent"])
    mention = serialization.mention_from_row(row)
    return PendingReview(*known, mention, row["segment_text"], row["worth"])
