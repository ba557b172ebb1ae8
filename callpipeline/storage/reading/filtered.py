"""Filtered queries, planned for their actual values, cursors of pages, and the zone of days.

Cursors are opaque strings for URLs, which are validated when they come back.
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import cache
from math import isfinite
from typing import Any, LiteralString
from zoneinfo import ZoneInfo

import stamina
from psycopg import Connection
from psycopg.errors import InvalidParameterValue, LockNotAvailable
from psycopg.rows import DictRow

from callpipeline.domain.calls.call import is_call_id
from callpipeline.domain.calls.filters import COUNTED_STATES, LISTED_STATES, CallFilters
from callpipeline.errors import CallsBusy, CursorInvalid, SettingsInvalid
from callpipeline.storage.postgres.database import Database, Row, sanitize_text
from callpipeline.storage.postgres.sql import query

ALL = CallFilters()
COUNTED = [str(state) for state in COUNTED_STATES]
HAS_MENTION = "/* AND has_mention */"
IN_FILTERED_CALL = "/* AND in_filtered_call */"
IN_STATE = "/* AND in_state */"
ANY_COMPETITOR = "m.competitor = ANY(%(competitors)s)"
ONE_COMPETITOR = "m.competitor = (%(competitors)s::text[])[1]"
"""Only an equality lets an index return the mentions of a competitor in order of time."""

MAX_CURSOR_CHARS = 400
"""Generated cursors have fewer than 200."""
ZONE_ATTEMPTS = 3
"""Each takes 5 s if calls are in use; those that write calls can go on in between."""


def select(
    database: Database, name: str, filters: CallFilters, more: Mapping[str, object] | None = None
) -> list[Row]:
    """Return the rows of a filtered query.

    It is not prepared: a generic plan reads all calls where a filter by day or agent needs few.
    """
    text = statement(name, filters)
    values = parameters(filters) | dict(more or {})
    return database.with_retry(lambda c: c.execute(text, values, prepare=False).fetchall())


def resolve_competitors(database: Database, filters: CallFilters) -> CallFilters:
    """Replace the competitors of the filters by their exact names, ignoring case if necessary.

    An unknown name is kept and matches nothing.
    """
    if not filters.competitors:
        return filters
    known = list_competitors(database)
    names = [name for wanted in filters.competitors for name in _exact_names(wanted, known)]
    return replace(filters, competitors=tuple(dict.fromkeys(names)))


def list_competitors(database: Database) -> list[str]:
    """Return the competitors with counted mentions, by name."""
    return [row["competitor"] for row in database.rows("reading/list_competitors")]


def statement(name: str, filters: CallFilters) -> LiteralString:
    """Return the text of a named query with the conditions that the filters need."""
    # The read model of mentions has no others than those of calls that count.
    is_narrow = filters.states is not None and not set(filters.states) >= set(COUNTED_STATES)
    return _statement(
        name, filters.requires_mention, is_narrow, bool(filters.name), len(filters.competitors) == 1
    )


@cache
def _statement(
    name: str, requires_mention: bool, limits_states: bool, limits_names: bool, is_one: bool
) -> LiteralString:
    """Return one of several texts: Postgres cannot turn `NOT … OR EXISTS` into a join."""
    text = query(name)
    if requires_mention:
        text = text.replace(HAS_MENTION, f"AND (\n{query('reading/has_mention')})")
    if limits_states:
        text = text.replace(IN_STATE, "AND m.state = ANY(%(states)s)")
    if limits_names:
        text = text.replace(IN_FILTERED_CALL, f"AND (\n{query('reading/in_filtered_call')})")
    return text.replace(ANY_COMPETITOR, ONE_COMPETITOR) if is_one else text


def parameters(filters: CallFilters) -> Row:
    """Return the values of the conditions; competitors must be exact names."""
    words = [sanitize_text(word).lower() for word in filters.name.split()]
    states = LISTED_STATES if filters.states is None else filters.states
    return {
        "from_day": filters.from_day,
        "to_day": filters.to_day,
        "agent": None if filters.agent is None else sanitize_text(filters.agent),
        "source": None if filters.source is None else sanitize_text(filters.source),
        "competitors": list(filters.competitors) or None,
        "sentiment": filters.sentiment and str(filters.sentiment),
        "speaker": filters.speaker and str(filters.speaker),
        "states": [str(state) for state in states],
        "switching": [str(each) for each in filters.switching] or None,
        "moment_calls": [each.call_id for each in filters.moments] or None,
        "moment_mentions": [sanitize_text(each.mention_id) for each in filters.moments] or None,
        "name_patterns": [f"%{_escape_pattern(word)}%" for word in words] or None,
    }


def _exact_names(wanted: str, known: list[str]) -> list[str]:
    if wanted in known:
        return [wanted]
    matches = [name for name in known if name.casefold() == wanted.casefold()]
    return matches or [sanitize_text(wanted)]


def _escape_pattern(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def encode_cursor(of: str, at: datetime, call_id: str, *more: object) -> str:
    """Return the cursor after a row of the list `of`; it contains times and ids, but no names."""
    document = json.dumps([of, at.isoformat(), call_id, *more], separators=(",", ":"))
    return base64.urlsafe_b64encode(document.encode()).rstrip(b"=").decode()


def decode_cursor(
    cursor: str, of: str, kinds: Sequence[type] = ()
) -> tuple[datetime, str, *tuple[Any, ...]]:
    """Return the values given to `encode_cursor`; `kinds` are the types of `more`.

    Raises CursorInvalid.
    """
    try:
        kind, at, call_id, *more = _document(cursor)
        moment = datetime.fromisoformat(at)
    except (ValueError, TypeError, RecursionError):
        raise _invalid() from None
    fits = kind == of and moment.tzinfo and isinstance(call_id, str) and is_call_id(call_id)
    if not fits or len(more) != len(kinds):
        raise _invalid()
    if any(type(each) is not known for each, known in zip(more, kinds, strict=True)):
        raise _invalid()
    if not all(map(_is_storable, more)):
        raise _invalid()
    return moment, call_id, *more


def _is_storable(value: object) -> bool:
    """Return true if Postgres accepts the value."""
    match value:
        case str():
            return sanitize_text(value) == value
        case int():
            return abs(value) < 2**31
        case _:
            return isinstance(value, float) and isfinite(value)


def _document(cursor: str) -> list[Any]:
    if len(cursor) > MAX_CURSOR_CHARS:
        raise ValueError("longer than any")
    padded = cursor + "=" * (-len(cursor) % 4)
    try:
        found = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, UnicodeError) as error:
        raise ValueError("no document") from error
    if not isinstance(found, list) or len(found) < 3 or not isinstance(found[1], str):
        raise ValueError("another document")
    return found


def _invalid() -> CursorInvalid:
    return CursorInvalid(
        "The cursor is invalid for this list. Leave it out to start with the first page."
    )


class DayZone:
    """Reads and changes the time zone of days: of filters, charts, marts, exports and alerts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self) -> ZoneInfo:
        [row] = self._database.rows("reading/time_zone")
        return ZoneInfo(row["name"])

    def today(self, now: datetime) -> date:
        return now.astimezone(self.get()).date()

    def set(self, name: str) -> bool:
        """Count all days in this time zone; return false if it is in use already.

        Calls cannot be written meanwhile: 100,000 take some seconds. They can be read. Raises
        SettingsInvalid if Postgres does not know the zone, CallsBusy if transactions such as those
        of exports keep it from changing the index by day.
        """
        if self.get().key == name:
            return False

        def change(connection: Connection[DictRow]) -> bool:
            try:
                [row] = connection.execute(query("reading/set_time_zone"), {"zone": name})
            except InvalidParameterValue:
                raise SettingsInvalid(
                    f"CALLPIPELINE_TIMEZONE: Postgres does not know the time zone {name}."
                ) from None
            except LockNotAvailable:
                raise CallsBusy(
                    f"Days are not counted in {name} yet: an export, a backup or another "
                    "transaction uses the calls. Repeat the command once it has ended."
                ) from None
            return row["is_changed"]

        for attempt in stamina.retry_context(
            on=CallsBusy, attempts=ZONE_ATTEMPTS, timeout=None, wait_initial=1, wait_max=5
        ):
            with attempt:
                return self._database.with_retry(change)
        raise AssertionError("the last attempt returns or raises")
