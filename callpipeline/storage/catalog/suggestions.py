"""Speech that aliases are mined from, and the aliases that people refused."""

from collections.abc import Sequence

from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.domain.competitors.misheard import alias_letters
from callpipeline.storage.ports.suggestions import SpokenSegment
from callpipeline.storage.postgres.database import Database, sanitize_text
from callpipeline.storage.postgres.sql import query


class AliasSuggestions:
    """Stored segments by call, and table `refused_aliases`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self) -> int:
        """Return the number of completed calls with a transcript."""
        return self._database.rows("suggestions/count_calls")[0]["calls"]

    def newest(self, limit: int) -> list[str]:
        """Return the newest completed calls with a transcript."""
        rows = self._database.rows("suggestions/newest_calls", {"limit": limit})
        return [row["call_id"] for row in rows]

    def segments(self, call_ids: Sequence[str]) -> list[SpokenSegment]:
        """Return the segments of calls, in order."""
        rows = self._database.rows("suggestions/segments", {"call_ids": list(call_ids)})
        return [SpokenSegment(**row) for row in rows]

    def refused(self) -> frozenset[tuple[str, str]]:
        """Return (competitor, letters) of the aliases that people refused."""
        rows = self._database.rows("suggestions/refused")
        return frozenset((row["competitor"], row["letters"]) for row in rows)

    def refuse(self, competitor: str, aliases: Sequence[str], refused_by: str | None) -> None:
        """Remember that aliases of a competitor are not to be proposed again."""
        rows = [
            {
                "competitor": competitor,
                "letters": alias_letters(alias),
                "alias": sanitize_text(alias),
                "refused_by": sanitize_text(refused_by) if refused_by else None,
            }
            for alias in aliases
        ]

        def refuse(connection: Connection[DictRow]) -> None:
            for row in rows:
                connection.execute(query("suggestions/refuse"), row)

        self._database.with_retry(refuse)

    def forget_refusals(self, competitor: str, aliases: Sequence[str]) -> None:
        """Forget that aliases of a competitor were refused."""
        letters = [alias_letters(alias) for alias in aliases]
        accepted = {"competitor": competitor, "letters": letters}
        self._database.with_retry(
            lambda c: c.execute(query("suggestions/forget_refusals"), accepted)
        )
