"""Where a page ends, as a text that comes back from outside."""

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.errors import CursorInvalid
from callpipeline.storage.reading.cursors import read, written

AT = datetime(2026, 3, 2, 9, 30, 0, 123456, tzinfo=UTC)
CALL = "2026-03-02-0123456789ab"
CURSOR = written("words", AT, CALL, 1.5, "left", 7)
KINDS = (float, str, int)


def test_it_comes_back_as_it_was_written():
    assert read(CURSOR, "words", KINDS) == (AT, CALL, 1.5, "left", 7)
    assert read(written("calls", AT, CALL), "calls") == (AT, CALL)


def test_it_is_fit_for_addresses():
    assert CURSOR.replace("-", "").replace("_", "").isalnum()


@given(st.text(max_size=300))
def test_any_other_text_is_refused(text: str):
    with pytest.raises(CursorInvalid):
        read(text, "words", KINDS)


@given(st.integers(0, len(CURSOR) - 1), st.characters())
def test_a_changed_one_is_refused_or_a_place_of_the_same_kind(place: int, other: str):
    try:
        at, call_id, *more = read(CURSOR[:place] + other + CURSOR[place + 1 :], "words", KINDS)
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
def test_one_that_is_none_is_refused(document: object):
    with pytest.raises(CursorInvalid, match="leave it away"):
        read(encoded(document), "words", KINDS)


def encoded(document: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")
