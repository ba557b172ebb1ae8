"""Calls as people follow them: how far each is, and, cheaply, which have changed since."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from callpipeline.storage.database import Database
from callpipeline.storage.reading.calls import CallRow, of_ids
from callpipeline.storage.reading.waiting import Outlook, outlooks

NO_OUTLOOK = Outlook(None, None)


@dataclass(frozen=True, slots=True)
class Glimpse:
    """`mark` differs when anything of the call may have changed; `is_new`: among the newest."""

    call_id: str
    mark: str
    is_open: bool
    is_new: bool


@dataclass(frozen=True, slots=True)
class FollowedCall:
    """A call with its outlook, and the run that holds it, or stored of it what was stored last."""

    row: CallRow
    outlook: Outlook = NO_OUTLOOK
    run_id: str | None = None


class Following:
    """What lists and the heads of pages show of calls."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def look(self, call_ids: Collection[str], *, newest: int) -> list[Glimpse]:
        """These calls and the newest ones, newest first. One query, by index."""
        rows = self._database.rows("reading/look", {"call_ids": list(call_ids), "newest": newest})
        return [Glimpse(r["call_id"], r["mark"], r["is_open"], r["is_new"]) for r in rows]

    def calls(self, call_ids: Collection[str]) -> list[FollowedCall]:
        """These calls, newest first; those that the ledger does not have are left out."""
        return self.followed(of_ids(self._database, call_ids)) if call_ids else []

    def followed(self, rows: Sequence[CallRow]) -> list[FollowedCall]:
        """The same of calls that were read already, in the order given."""
        if not rows:
            return []
        ahead = outlooks(self._database, rows)
        ids = {"call_ids": [row.call_id for row in rows]}
        runs = {
            row["call_id"]: row["run_id"] for row in self._database.rows("reading/runs_of", ids)
        }
        return [
            FollowedCall(row, ahead.get(row.call_id, NO_OUTLOOK), runs.get(row.call_id))
            for row in rows
        ]
