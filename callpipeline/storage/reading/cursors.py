"""Where a page ends, as a text for addresses: opaque to people, and checked when it comes back."""

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import datetime
from math import isfinite
from typing import Any

from callpipeline.domain.call_ids import is_call_id
from callpipeline.errors import CursorInvalid
from callpipeline.storage.database import storable

LONGEST = 400
"""Characters: those that are made here have fewer than 200."""


def written(of: str, at: datetime, call_id: str, *more: object) -> str:
    """The cursor behind a row of the list `of`; it holds times and ids, and no name."""
    document = json.dumps([of, at.isoformat(), call_id, *more], separators=(",", ":"))
    return base64.urlsafe_b64encode(document.encode()).rstrip(b"=").decode()


def read(
    cursor: str, of: str, kinds: Sequence[type] = ()
) -> tuple[datetime, str, *tuple[Any, ...]]:
    """What `written` was given; `kinds` are the types of `more`. Raises CursorInvalid."""
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
    """Whether Postgres takes it, in columns of these kinds."""
    match value:
        case str():
            return storable(value) == value
        case int():
            return abs(value) < 2**31
        case _:
            return isinstance(value, float) and isfinite(value)


def _document(cursor: str) -> list[Any]:
    if len(cursor) > LONGEST:
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
        "The cursor is none that this list gave out: leave it away to begin with the first page."
    )
