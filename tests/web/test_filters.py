"""Filters in addresses: what is written into one is read out of it again."""

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.domain.audio import Speaker
from callpipeline.domain.call import CallState
from callpipeline.domain.filters import Filters, Stance
from callpipeline.web.filters import FIRST_DAY, LAST_DAY, Asked, address
from callpipeline.web.problems import explain_errors

seen: list[Filters] = []
app = FastAPI()
explain_errors(app)

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda name: name.strip() and name != "(unknown)"
)


@app.get("/seen")
def look(filters: Asked) -> None:
    seen.append(filters)


def asked(way: str) -> tuple[int, Any]:
    """The status and the document of an answer."""
    reply = TestClient(app).get(way)
    return reply.status_code, reply.json()


@st.composite
def some_filters(draw: st.DrawFn) -> Filters:
    first, last = sorted(draw(st.tuples(*[st.dates(FIRST_DAY, LAST_DAY)] * 2)))
    return Filters(
        from_day=draw(st.sampled_from([None, first])),
        to_day=draw(st.sampled_from([None, last])),
        agent=draw(st.none() | st.just("") | NAMES),
        source=draw(st.none() | NAMES),
        competitors=tuple(draw(st.lists(NAMES, max_size=3, unique=True))),
        sentiment=draw(st.none() | st.sampled_from(Stance)),
        speaker=draw(st.none() | st.sampled_from(Speaker)),
        named=draw(st.booleans()),
        states=draw(st.none() | st.lists(st.sampled_from(CallState), unique=True).map(tuple)),
        name=draw(st.just("") | NAMES),
    )


@given(some_filters())
def test_an_address_says_what_the_filters_say(filters: Filters) -> None:
    assert asked(address("/seen", filters)) == (200, None)
    assert seen.pop() == filters
    assert address("/seen", filters.counted()).count("state=") <= len(CallState)


def test_what_a_form_sends_empty_wants_all() -> None:
    asked("/seen?from=&to=&agent=&competitor=&state=&sentiment=&speaker=&named=&name=%20")
    assert seen.pop() == Filters()
    assert address("/seen", Filters()) == "/seen"


def test_states_are_read_in_any_case() -> None:
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
def test_what_cannot_be_meant_is_refused_in_words(query: str) -> None:
    status, problem = asked(f"/seen?{query}")
    assert (status, problem["title"]) == (422, "Unprocessable Entity")
    assert problem["detail"].startswith("The request cannot be used. ")
