"""Filters in query strings."""

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.domain.audio import Speaker
from callpipeline.domain.calls.call import CallState
from callpipeline.domain.calls.filters import CallFilters, MentionSentiment
from callpipeline.web.filters import FIRST_DAY, LAST_DAY, QueryFilters, url_with_filters
from callpipeline.web.problems import install_error_handlers

seen: list[CallFilters] = []
app = FastAPI()
install_error_handlers(app)

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda name: name.strip() and name != "(unknown)"
)


@app.get("/seen")
def look(filters: QueryFilters) -> None:
    seen.append(filters)


def asked(way: str) -> tuple[int, Any]:
    """Return the status and the document of a response."""
    reply = TestClient(app).get(way)
    return reply.status_code, reply.json()


@st.composite
def some_filters(draw: st.DrawFn) -> CallFilters:
    first, last = sorted(draw(st.tuples(*[st.dates(FIRST_DAY, LAST_DAY)] * 2)))
    return CallFilters(
        from_day=draw(st.sampled_from([None, first])),
        to_day=draw(st.sampled_from([None, last])),
        agent=draw(st.none() | st.just("") | NAMES),
        source=draw(st.none() | NAMES),
        competitors=tuple(draw(st.lists(NAMES, max_size=3, unique=True))),
        sentiment=draw(st.none() | st.sampled_from(MentionSentiment)),
        speaker=draw(st.none() | st.sampled_from(Speaker)),
        named=draw(st.booleans()),
        states=draw(st.none() | st.lists(st.sampled_from(CallState), unique=True).map(tuple)),
        name=draw(st.just("") | NAMES),
    )


@given(some_filters())
def test_filters_round_trip_through_a_url(filters: CallFilters) -> None:
    assert asked(url_with_filters("/seen", filters)) == (200, None)
    assert seen.pop() == filters
    assert url_with_filters("/seen", filters.counted()).count("state=") <= len(CallState)


def test_empty_parameters_are_ignored() -> None:
    asked("/seen?from=&to=&agent=&competitor=&state=&sentiment=&speaker=&named=&name=%20")
    assert seen.pop() == CallFilters()
    assert url_with_filters("/seen", CallFilters()) == "/seen"


def test_links_with_the_former_name_of_a_sentiment_still_work() -> None:
    assert asked("/seen?sentiment=unsure") == (200, None)
    assert seen.pop().sentiment is MentionSentiment.MIXED


def test_states_are_case_insensitive() -> None:
    asked("/seen?state=failed&state=Counted")
    assert seen.pop().states == (
        *(CallState.FAILED, CallState.PENDING, CallState.PROCESSING, CallState.COMPLETED),
    )


@pytest.mark.parametrize(
    "query",
    [
        *("from=1969-12-31", "to=2200-01-01", "from=1e9", "from=2026-3-1", "from=2026-02-30"),
        *("sentiment=Positive", "state=gone", "named=maybe", f"agent={'a' * 201}"),
        *("from=2026-03-02&to=2026-03-01", "competitor=x&" * 101),
    ],
)
def test_invalid_filters_are_refused_with_a_message(query: str) -> None:
    status, problem = asked(f"/seen?{query}")
    assert (status, problem["title"]) == (422, "Unprocessable Entity")
    is_reversed = query.startswith("from=") and "&to=" in query
    expected = "The start date must be before the end date." if is_reversed else "Invalid request. "
    assert problem["detail"].startswith(expected)
