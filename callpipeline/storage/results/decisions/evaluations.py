"""Evaluations on labels, and the labels that people gave in review."""

import json

from callpipeline.storage.ports.results import (
    MAX_REVIEW_SHIFT_S,
    ReviewedMention,
    StoredEvaluation,
)
from callpipeline.storage.postgres.database import Database, Row
from callpipeline.storage.postgres.sql import query

MAX_REVIEWED = 5_000
"""Reviewed mentions used as labels, newest first."""
SAMPLED_CALLS = 500


class Evaluations:
    """Table `evaluations`, and labels from table `reviews`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def last(self, subject: str) -> StoredEvaluation | None:
        """Return the last evaluation."""
        return _evaluation(self._database.rows("evaluations/last", {"subject": subject}))

    def before(self, subject: str, versions: str) -> StoredEvaluation | None:
        """Return the last evaluation of other versions than these."""
        parameters = {"subject": subject, "versions": versions}
        return _evaluation(self._database.rows("evaluations/last_of_other_versions", parameters))

    def save(self, subject: str, evaluation: StoredEvaluation) -> None:
        parameters = {
            "subject": subject,
            "versions": evaluation.versions,
            "labels": evaluation.labels,
            "outcomes": json.dumps(dict(evaluation.outcomes)),
            "numbers": json.dumps(dict(evaluation.numbers)),
        }
        self._database.with_retry(lambda c: c.execute(query("evaluations/insert"), parameters))

    def reviewed_mentions(self) -> list[ReviewedMention]:
        """Return the mentions that people decided on, each with the text around it."""
        parameters = {"limit": MAX_REVIEWED, "max_shift_s": MAX_REVIEW_SHIFT_S}
        rows = self._database.rows("evaluations/reviewed_mentions", parameters)
        return [_reviewed(row) for row in rows]

    def questions_per_call(self) -> tuple[int, float]:
        """Return the number of newest calls that were looked at, and the open questions of each."""
        [row] = self._database.rows("evaluations/open_questions", {"limit": SAMPLED_CALLS})
        return row["calls"], row["questions"] / row["calls"] if row["calls"] else 0.0

    def estimated_recall(self) -> float | None:
        """Return which part of the companies among ambiguous names counts in the newest calls.

        These calls have no labels: the score of a mention that doesn't count says how probably it
        is the company. None without scored mentions.
        """
        [row] = self._database.rows("evaluations/expected_misses", {"limit": SAMPLED_CALLS})
        expected = row["counted"] + row["missed"]
        return row["counted"] / expected if expected else None


def _evaluation(rows: list[Row]) -> StoredEvaluation | None:
    if not rows:
        return None
    row = rows[0]
    return StoredEvaluation(row["versions"], row["labels"], row["outcomes"], row["numbers"])


def _reviewed(row: Row) -> ReviewedMention:
    before = f"{row['text_before']} " if row["text_before"] else ""
    after = f" {row['text_after']}" if row["text_after"] else ""
    return ReviewedMention(
        row["call_id"],
        row["competitor"],
        before + row["text"] + after,
        len(before) + row["char_start"],
        len(before) + row["char_end"],
        row["decision"] == "confirmed",
    )
