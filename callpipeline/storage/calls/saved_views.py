"""Saved views: filters of pages under a name."""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, NoReturn

from psycopg import Connection
from psycopg.errors import UniqueViolation
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from callpipeline.domain.calls.saved_views import (
    MAX_VIEWS,
    ReportSchedule,
    SavedView,
    ViewPage,
    filters_document,
    filters_of,
)
from callpipeline.domain.notifications import NotificationEvent
from callpipeline.errors import UnknownView, ViewRefused
from callpipeline.storage.notifications import add_event
from callpipeline.storage.postgres.database import Database, Row, sanitize_json, sanitize_text
from callpipeline.storage.postgres.sql import query


@dataclass(frozen=True, slots=True)
class NamedText:
    """A view of an owner, or a report in the outbox (with `event_id`), that names a person."""

    name: str
    owner: str
    view_id: int | None
    event_id: str | None


class SavedViews:
    """Views by their owners; what a visitor may not see is as if it did not exist."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, visitor: str) -> Sequence[SavedView]:
        """Return the views of a visitor, and those that others share, by name."""
        return [_view(row) for row in self._database.rows("saved_views/list", {"visitor": visitor})]

    def find(self, view_id: int, visitor: str) -> SavedView:
        """Return a view. Raises UnknownView."""
        rows = self._database.rows("saved_views/find", {"view_id": view_id, "visitor": visitor})
        if not rows:
            raise _unknown()
        return _view(rows[0])

    def add(self, view: SavedView) -> SavedView:
        """Save a view. Raises ViewRefused if its owner has one of this name, or too many."""
        row: Row = {
            "name": sanitize_text(view.name),
            "page": str(view.page),
            "filters": Jsonb(sanitize_json(filters_document(view.filters))),
            "extras": Jsonb(sanitize_json([list(each) for each in view.extras])),
            "days": view.days,
            "is_shared": view.is_shared,
            "owner": view.owner,
            "made_by": view.made_by and sanitize_text(view.made_by),
            "limit": MAX_VIEWS,
        }

        def insert(connection: Connection[DictRow]) -> list[Row]:
            connection.execute(query("saved_views/lock_owner"), row)
            return connection.execute(query("saved_views/add"), row).fetchall()

        added = self._database.with_retry(insert)
        if added:
            return replace(view, **added[0])
        if any(_same(each, view) for each in self.list(view.owner)):
            raise _taken(view.name)
        raise ViewRefused(f"You have {MAX_VIEWS} views. Delete some to save another.")

    def change(
        self,
        view_id: int,
        visitor: str,
        *,
        is_admin: bool = False,
        name: str | None = None,
        is_shared: bool | None = None,
    ) -> SavedView:
        """Rename a view, or share it or not; return it, even if the visitor can't see it any more.

        Raises UnknownView and ViewRefused.
        """
        row: Row = {"view_id": view_id, "visitor": visitor, "is_admin": is_admin}
        row |= {"name": name and sanitize_text(name), "is_shared": is_shared}
        try:
            changed = self._database.rows("saved_views/change", row)
        except UniqueViolation:
            raise _taken(name or "") from None
        if not changed:
            self._explain(view_id, visitor)
        return _view(changed[0])

    def delete(self, view_id: int, visitor: str, *, is_admin: bool = False) -> None:
        """Delete a view. Raises UnknownView and ViewRefused."""
        row: Row = {"view_id": view_id, "visitor": visitor, "is_admin": is_admin}
        if not self._database.rows("saved_views/delete", row):
            self._explain(view_id, visitor)

    def with_report(self) -> Sequence[SavedView]:
        """Return the shared views with a weekly report."""
        return [_view(row) for row in self._database.rows("saved_views/with_report")]

    def schedule(self, view_id: int, visitor: str, schedule: ReportSchedule | None) -> None:
        """Set when the report of a view is sent, or send none. Raises UnknownView, ViewRefused."""
        view = self.find(view_id, visitor)
        if schedule is None:
            self._database.rows("saved_views/unschedule", {"view_id": view_id})
            return
        check_reportable(view)
        row: Row = {"view_id": view_id, "weekday": schedule.weekday, "at": schedule.at}
        row |= {"has_quotes": schedule.has_quotes}
        row |= {"by": schedule.set_by and sanitize_text(schedule.set_by)}
        if not view.is_shared or not self._database.rows("saved_views/schedule", row):
            raise ViewRefused("Share the view first: its report is sent to several people.")

    def report(self, view_id: int, day: date, report: NotificationEvent, now: datetime) -> bool:
        """Add the report of a day to the outbox; return whether it was added: once a day."""
        event_id, taken = str(uuid.uuid4()), {"view_id": view_id, "day": day}

        def enter(connection: Connection[DictRow]) -> bool:
            due = connection.execute(query("saved_views/take_report"), taken).fetchone()
            return bool(due) and add_event(connection, event_id, report, now)

        return self._database.with_retry(enter)

    def naming(self, person: str) -> Sequence[NamedText]:
        """Return the views of all owners, and the reports, that have these words in this order."""
        words = re.findall(r"[^\W_]+", person.casefold())
        if not words:
            return []
        pattern = re.compile(r"(?<![^\W_])" + r"[\W_]+".join(words) + r"(?![^\W_])")
        rows = self._database.rows("saved_views/texts")
        return [NamedText(**row) for row in rows if pattern.search(row.pop("text").casefold())]

    def forget(self, texts: Sequence[NamedText]) -> None:
        """Delete these views and reports."""
        view_ids = [each.view_id for each in texts if each.view_id]
        event_ids = [each.event_id for each in texts if each.event_id]

        def delete(connection: Connection[DictRow]) -> None:
            connection.execute(query("saved_views/forget"), {"view_ids": view_ids})
            gone: Row = {"call_ids": [], "event_ids": event_ids}
            connection.execute(query("erasure/delete_events_of_calls"), gone)

        self._database.with_retry(delete)

    def _explain(self, view_id: int, visitor: str) -> NoReturn:
        """Raise the reason why a visitor can't change a view."""
        self.find(view_id, visitor)
        raise ViewRefused("Only the person who shares this view, or an admin, can change it.")


def leave_views(connection: Connection[DictRow], owner: str) -> None:
    """Delete the private views of an owner who is gone, and leave shared ones without an owner.

    Otherwise the next visitor with the same ID would have them.
    """
    connection.execute(query("saved_views/delete_private"), {"owner": owner})
    connection.execute(query("saved_views/disown_shared"), {"owner": owner})


def check_reportable(view: SavedView) -> None:
    """Raise ViewRefused for a view that has no report."""
    if view.searches_words:
        raise ViewRefused("A search for words has no report: its numbers would be of all calls.")


def _same(one: SavedView, other: SavedView) -> bool:
    return one.owner == other.owner and one.name.lower() == other.name.lower()


_SCHEDULE = ("weekday", "at", "has_quotes", "set_by", "set_at", "reported_on")


def _view(row: dict[str, Any]) -> SavedView:
    schedule = {name: row.pop(name) for name in _SCHEDULE}
    row["report"] = ReportSchedule(**schedule) if schedule["weekday"] else None
    row["extras"] = tuple((name, value) for name, value in row["extras"])
    row |= {"page": ViewPage(row["page"]), "filters": filters_of(row["filters"])}
    return SavedView(**row)


def _unknown() -> UnknownView:
    return UnknownView("View not found. It may have been deleted, or is no longer shared.")


def _taken(name: str) -> ViewRefused:
    return ViewRefused(f"You already have a view named {name}.")
