"""Cursors of pages, which come back as untrusted input."""

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.errors import CursorInvalid
from callpipeline.storage.reading.filtered import decode_cursor, encode_cursor

AT = datetime(2026, 3, 2, 9, 30, 0, 123456, tzinfo=UTC)
CALL = "2026-03-02-0123456789ab"
CURSOR = encode_cursor("words", AT, CALL, 1.5, "left", 7)
KINDS = (float, str, int)


def test_a_cursor_survives_a_round_trip():
    assert decode_cursor(CURSOR, "words", KINDS) == (AT, CALL, 1.5, "left", 7)
    assert decode_cursor(encode_cursor("calls", AT, CALL), "calls") == (AT, CALL)


def test_a_cursor_is_safe_in_urls():
    assert CURSOR.replace("-", "").replace("_", "").isalnum()


@given(st.text(max_size=300))
def test_other_text_is_rejected(text: str):
    with pytest.raises(CursorInvalid):
        decode_cursor(text, "words", KINDS)


@given(st.integers(0, len(CURSOR) - 1), st.characters())
def test_a_changed_cursor_is_rejected_or_still_valid(place: int, other: str):
    try:
        at, call_id, *more = decode_cursor(
            CURSOR[:place] + other + CURSOR[place + 1 :], "words", KINDS
        )
    except CursorInvalid:
        return
    assert at.tzinfo and len(call_id) == len(CALL)
    assert tuple(map(type, more)) == KINDS


@pytest.mark.parametrize(
    "document",
    [
        ["calls", AT.isoformat(), CALL, 1.5, "left", 7],  # another list
        ["words", AT.isoformat(), CALL, 1.5, "left"],
        ["words", AT.isoformat(), CALL, 1.5, "left", "7"],
        ["words", AT.isoformat(), CALL, 1.5, "left", True],
        ["words", AT.isoformat(), CALL, 1.5, "le\0ft", 7],
        ["words", AT.isoformat(), CALL, 1.5, "left", 10**30],
        ["words", AT.isoformat(), CALL, float("nan"), "left", 7],
        ["words", AT.isoformat(), "../../x", 1.5, "left", 7],
        ["words", AT.isoformat(), [CALL], 1.5, "left", 7],
        ["words", "2026-03-02T09:30:00", CALL, 1.5, "left", 7],
        ["words", "yesterday", CALL, 1.5, "left", 7],
        ["words", 5, CALL, 1.5, "left", 7],
        {"words": 1},
        "words",
        [],
    ],
)
def test_other_documents_are_rejected(document: object):
    with pytest.raises(CursorInvalid, match="Leave it out"):
        decode_cursor(encoded(document), "words", KINDS)


def encoded(document: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")
