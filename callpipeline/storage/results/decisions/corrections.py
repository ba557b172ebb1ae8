"""Corrections of sentiment by people. They apply at once, and again when mentions are judged again.

A correction locks the call's row, as each write of a run does: either the run sees the correction,
or the correction applies to what the run stored.
"""

from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.sentiment import Sentiment
from callpipeline.errors import ReviewOutdated, UnknownCall, UnknownMention
from callpipeline.storage.ports.results import MAX_REVIEW_SHIFT_S
from callpipeline.storage.postgres.database import Database, sanitize_text
from callpipeline.storage.postgres.sql import query
from callpipeline.storage.results import serialization

MAX_CORRECTED = 2_000
"""Corrected mentions used as labels, newest first."""


class SentimentCorrections:
    """Table `sentiment_corrections`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def correct(
        self,
        call_id: str,
        mention_id: str,
        sentiment: Sentiment | None,
        by: str | None = None,
        *,
        seen: Sentiment | None = None,
    ) -> None:
        """Correct the sentiment of a judged mention; None lets the judge's hold again.

        `seen` is the sentiment that the person saw: raises ReviewOutdated if it has changed since.
        Raises UnknownCall, and UnknownMention if the mention does not count or is not judged.
        """
        call = {"call_id": call_id}
        mention = call | {"mention_id": mention_id, "near_s": MAX_REVIEW_SHIFT_S}
        with self._database.transaction() as connection:
            if connection.execute(query("reviews/lock_call"), call).fetchone() is None:
                raise UnknownCall(f"Call {call_id!r} not found.")
            present = connection.execute(query("corrections/present"), mention).fetchone()
            if present is None:
                raise UnknownMention("This mention has no sentiment that could be corrected.")
            if seen is not None and present["sentiment"] != seen:
                who = present["corrected_by"] or "another person"
                how = f"{who} corrected it to" if present["corrected"] else "it was judged again as"
                raise ReviewOutdated(f"Meanwhile {how} {present['sentiment']}.")
            correction = {"sentiment": sentiment, "start_s": present["start_s"]}
            correction |= {"by": sanitize_text(by) if by else None}
            connection.execute(query("corrections/insert"), mention | correction)
            apply(connection, call_id)
            connection.execute(query("reviews/touch_call"), call)

    def corrected(self) -> list[tuple[str, Mention, Sentiment]]:
        """Return (call id, mention, right sentiment) of corrected mentions, newest first."""
        parameters = {"near_s": MAX_REVIEW_SHIFT_S, "limit": MAX_CORRECTED}
        rows = self._database.rows("corrections/corrected_mentions", parameters)
        return [
            (row["call_id"], serialization.mention_from_row(row), Sentiment(row["sentiment"]))
            for row in rows
        ]


def apply(connection: Connection[DictRow], call_id: str) -> None:
    """Apply corrections to judgements that were just stored, in the caller's transaction."""
    parameters = {"call_id": call_id, "near_s": MAX_REVIEW_SHIFT_S}
    connection.execute(query("corrections/apply"), parameters)
