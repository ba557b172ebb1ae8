"""The daily marts' side of the database: which are stale, and what is counted beside the assets."""

from collections.abc import Collection
from datetime import UTC, date, datetime

from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.domain.stale_days import StaleDay
from callpipeline.storage import tables
from callpipeline.storage.database import Database, Row
from callpipeline.storage.sql import query


class Marts:
    """Reads the ledger by the day of its calls."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def stale_days(
        self, first: date, since: datetime | None = None
    ) -> tuple[list[StaleDay], datetime]:
        """The stale days from `first` on, and the database's clock.

        Only changes after `since` are looked at, which takes no longer with more calls.
        """
        wanted = {"first": first, "since": since or datetime.min.replace(tzinfo=UTC)}

        def look(connection: Connection[DictRow]) -> tuple[list[StaleDay], datetime]:
            now = tables.clock(connection)
            rows = connection.execute(query("marts/stale_days"), wanted).fetchall()
            return [StaleDay(**row) for row in rows], now

        return self._database.patiently(look)

    def closed_days(self, days: Collection[date]) -> list[date]:
        """Those of the days whose calls went when their time was over, or some of them."""
        rows = self._database.rows("marts/closed_days", {"days": list(days)})
        return [row["day"] for row in rows]

    def work(self, days: Collection[date]) -> list[Row]:
        """The seconds that each stage of each call of these days took: day, stage, took_s."""
        return self._database.rows("marts/work", {"days": list(days)})
