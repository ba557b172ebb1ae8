"""Roles of the voices in mono recordings: stored ones, and the decisions of people on them.

A decision locks the call's row, as each write of a run does, and applies again when the call is
processed again: voices are numbered by first appearance, so their numbers stay the same.
"""

from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.domain.audio import Speaker
from callpipeline.domain.transcripts import Voice
from callpipeline.errors import CorrectionOutdated, UnknownCall, UnknownVoices
from callpipeline.storage.calls.descriptions import minutes_ago
from callpipeline.storage.ports.results import VoiceDecision
from callpipeline.storage.postgres.database import Database, Row, sanitize_text
from callpipeline.storage.postgres.sql import query


class Speakers:
    """Decisions on which voice is the agent. Of two concurrent decisions the later one applies."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def decide(
        self, call_id: str, agent_voice: int, by: str | None = None, *, seen: int | None = None
    ) -> VoiceDecision:
        """Record that a voice is the agent, and apply it to segments, mentions and talk time.

        `seen` is the last decision that the person saw, 0 if there was none: raises
        CorrectionOutdated if there is a later one. Raises UnknownCall, and UnknownVoices if the
        transcript has no voices. Judgements stay.
        """
        decided = {"call_id": call_id, "agent_voice": agent_voice}
        decided |= {"by": sanitize_text(by) if by else None}
        with self._database.transaction() as connection:
            if connection.execute(query("reviews/lock_call"), decided).fetchone() is None:
                raise UnknownCall(f"Call {call_id!r} not found.")
            last = connection.execute(query("speakers/last_decision"), decided).fetchone()
            if seen is not None and last is not None and last["decision_id"] > seen:
                raise CorrectionOutdated(
                    f"{last['decided_by'] or 'Another person'} assigned the speakers "
                    f"{minutes_ago(last['minutes'])}."
                )
            row = connection.execute(query("speakers/insert_decision"), decided).fetchone()
            if row is None:
                raise UnknownVoices(f"Call {call_id} has no voices to choose from.")
            apply_to_segments(connection, call_id)
            apply_to_mentions(connection, call_id)
            apply_to_metrics(connection, call_id)
            connection.execute(query("reviews/touch_call"), decided)
        return _decision(row)

    def decision(self, call_id: str) -> VoiceDecision | None:
        """Return the decision in force, or None."""
        rows = self._database.rows("speakers/last_decision", {"call_id": call_id})
        return _decision(rows[0]) if rows else None

    def voices(self, call_id: str) -> tuple[Voice, ...]:
        """Return the voices of a call with their roles; empty if they were not separated."""
        rows = self._database.rows("speakers/voices", {"call_id": call_id})
        return tuple(Voice(row["voice"], row["talk_s"], Speaker(row["speaker"])) for row in rows)


def apply_to_segments(connection: Connection[DictRow], call_id: str) -> None:
    """Give voices the roles that a person decided, and segments those of their voices.

    In the caller's transaction.
    """
    connection.execute(query("speakers/apply_decision"), {"call_id": call_id})
    connection.execute(query("speakers/update_segments"), {"call_id": call_id})


def apply_to_metrics(connection: Connection[DictRow], call_id: str) -> None:
    """Divide the talk time by the roles of voices, in the caller's transaction."""
    connection.execute(query("speakers/update_metrics"), {"call_id": call_id})


def apply_to_mentions(connection: Connection[DictRow], call_id: str) -> None:
    """Bring the speakers of mentions in line with a decision made since they were found."""
    connection.execute(query("speakers/update_mentions"), {"call_id": call_id})


def agent_voice(connection: Connection[DictRow], call_id: str) -> int | None:
    """Return the voice of the agent, or None if undecided."""
    rows = connection.execute(query("speakers/voices"), {"call_id": call_id}).fetchall()
    return next((row["voice"] for row in rows if row["speaker"] == Speaker.AGENT), None)


def _decision(row: Row) -> VoiceDecision:
    return VoiceDecision(*(row[name] for name in VoiceDecision.__dataclass_fields__))
