"""Call IDs: deterministic, sorted by day, and safe in URLs, keys and partitions."""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from callpipeline.domain.calls.call import CallState
from tests.builders import a_recording

ANY_TEXT = st.text(st.characters(codec=None, categories=None), max_size=100)


def test_the_same_object_is_always_the_same_call():
    # Literal: IDs are stored in databases and object keys, so they must never change.
    assert a_recording().call_id == "2026-03-02-f54f34c13670"


@pytest.mark.parametrize("changed", [{"key": "b.wav"}, {"etag": "2"}, {"bucket": "other"}])
def test_a_different_object_is_a_different_call(changed: dict[str, Any]):
    assert a_recording(**changed).call_id != a_recording().call_id


def test_parts_of_the_identity_are_delimited():
    assert (
        a_recording("b", bucket="a", etag="cd").call_id
        != a_recording("bc", bucket="a", etag="d").call_id
    )


def test_the_day_is_in_utc():
    evening_in_new_york = datetime(2026, 3, 1, 22, 0, tzinfo=timezone(timedelta(hours=-5)))
    early_in_tokyo = datetime(2026, 3, 2, 1, 0, tzinfo=timezone(timedelta(hours=9)))
    assert a_recording(last_modified=evening_in_new_york).call_id.startswith("2026-03-02-")
    assert a_recording(last_modified=early_in_tokyo).call_id.startswith("2026-03-01-")


@given(key=ANY_TEXT, etag=ANY_TEXT, seconds=st.integers(0, 4_000_000_000))
@hypothesis_settings(max_examples=40, deadline=None)
def test_any_key_makes_an_id_of_safe_characters(key: str, etag: str, seconds: int):
    day = datetime.fromtimestamp(seconds, UTC)
    call_id = a_recording(key, etag=etag, last_modified=day).call_id
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-[0-9a-f]{12}", call_id)
    assert call_id == a_recording(key, etag=etag, last_modified=day).call_id


def test_final_states_are_those_without_processing():
    final = {state for state in CallState if state.is_final}
    assert final == set(CallState) - {CallState.PENDING, CallState.PROCESSING}
