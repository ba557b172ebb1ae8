"""Whose the bytes of recordings are: table `contents`."""

from dataclasses import dataclass

from psycopg import Connection
from psycopg.rows import DictRow

from callpipeline.domain.call import DuplicatePolicy
from callpipeline.storage.sql import query


@dataclass(frozen=True, slots=True)
class Owner:
    """The call that had some bytes first."""

    call_id: str
    is_erased: bool

    def policy(self, of_source: DuplicatePolicy) -> DuplicatePolicy:
        """What becomes of another call of these bytes: what was erased nobody processes again."""
        return DuplicatePolicy.LINK if self.is_erased else of_source


def own_content(connection: Connection[DictRow], call_id: str, sha256: str) -> Owner:
    """Note of which bytes a call is made; returns the call that had these bytes first."""
    content = {"call_id": call_id, "sha256": sha256}
    connection.execute(query("calls/lock_content"), content)
    owner = connection.execute(query("calls/own_content"), content).fetchone()
    assert owner  # the statement inserts a row or updates one
    return Owner(**owner)
