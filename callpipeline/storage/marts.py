"""The daily marts' side of the database: what is counted beside the assets of a call."""

from collections.abc import Collection
from datetime import date

from callpipeline.storage.database import Database, Row


class Marts:
    """Reads the ledger by the day of its calls."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def work(self, days: Collection[date]) -> list[Row]:
        """The seconds that each stage of each call of these days took: day, stage, took_s."""
        return self._database.rows("marts/work", {"days": list(days)})
