"""What is read in more than one way is the same by each: words near and far, numbers at once."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.crowd import fill
from benchmarks.crowd_words import PHRASES
from callpipeline.domain.filters import Filters
from callpipeline.storage.database import Database
from callpipeline.storage.reading.reader import Reading
from callpipeline.storage.search import HitCount
from tests.integration.crowds import FILTERS, FIRST, LAST, NOW, SMALL
from tests.integration.databases import asked, new_database

few = settings(max_examples=50, deadline=None)
WORDS = st.sampled_from(
    ["call", "number", "cancel", f'"{PHRASES[2]}"', "offer -price", "sky", "qq"]
)


@pytest.fixture(scope="module")
def crowd_url(postgres: str, template: str) -> Iterator[str]:
    with new_database(postgres, template) as url:
        fill(url, SMALL, now=NOW)
        yield url


@pytest.fixture(scope="module")
def reading(crowd_url: str) -> Iterator[Reading]:
    with Database(crowd_url) as database:
        yield Reading(database)


def found(reading: Reading, words: str, filters: Filters, near: int) -> list[tuple[object, ...]]:
    """Places of all pages, where so many of the newest calls are read through."""
    places, after = [], None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("callpipeline.storage.search.NEAR", near)
        while True:
            page = reading.search(words, filters, limit=9, after=after)
            places += [(hit.call_id, hit.channel, hit.segment_index) for hit in page.hits]
            if not (after := page.after):
                return places


def counted(reading: Reading, words: str, filters: Filters, near: int) -> HitCount:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("callpipeline.storage.search.NEAR", near)
        return reading.count_hits(words, filters)


@few
@given(words=WORDS, filters=FILTERS, near=st.sampled_from([1, 5, 40]))
def test_words_are_found_by_the_index_as_in_the_newest_calls(
    reading: Reading, words: str, filters: Filters, near: int
):
    places = found(reading, words, filters, near=10_000)
    assert found(reading, words, filters, near) == places
    assert len(places) == len(set(places))
    assert counted(reading, words, filters, near) == HitCount(len(places), is_more=False)
    assert counted(reading, words, filters, near=10_000) == HitCount(len(places), is_more=False)


def test_nothing_is_missing_of_what_was_said(reading: Reading, crowd_url: str):
    [(said,)] = asked(
        crowd_url,
        "SELECT count(*) FROM callpipeline.segments s JOIN callpipeline.calls c USING (call_id) "
        "WHERE c.state NOT IN ('DUPLICATE', 'ERASED') AND "
        "to_tsvector('english', s.text) @@ plainto_tsquery('english', 'number')",
    )
    assert len(found(reading, "number", Filters(), near=5)) == said > 50


@few
@given(filters=FILTERS, earlier=st.none() | FILTERS)
def test_numbers_asked_at_once_are_those_asked_one_by_one(
    reading: Reading, filters: Filters, earlier: Filters | None
):
    at_once = reading.analytics(filters, earlier=earlier)
    assert at_once.voices == reading.over_time(replace(filters, competitors=()))
    before = earlier and {e.name: e.counts.mentions for e in reading.by_competitor(earlier)}
    assert at_once.before == before


@few
@given(filters=FILTERS, known=st.sampled_from([FIRST, date(2026, 5, 1), LAST]))
def test_no_mention_is_cut_off_by_days_that_are_out_of_date(
    reading: Reading, filters: Filters, known: date
):
    over_time = reading.analytics(filters, days=(known, known)).over_time
    assert sum(over_time.mentions) == sum(reading.over_time(filters).mentions)


def test_days_without_calls_are_not_drawn(reading: Reading):
    choices = reading.choices()
    assert choices.first_day and choices.last_day
    wanted = Filters(from_day=date(2020, 1, 1), to_day=date(2030, 1, 1))
    drawn = reading.analytics(wanted, days=(choices.first_day, choices.last_day)).over_time
    assert drawn.stretches[0].first == choices.first_day
    assert drawn.stretches[-1].last == choices.last_day
