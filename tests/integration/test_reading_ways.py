"""Different ways of reading agree: search by scan and by index, numbers at once and one by one."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.synthetic_calls import fill
from benchmarks.synthetic_data import PHRASES
from callpipeline.domain.calls.call import CallState
from callpipeline.domain.calls.filters import CallFilters
from callpipeline.storage.postgres.database import Database
from callpipeline.storage.reading.search import HitCount
from tests.integration.databases import execute_sql, new_database
from tests.integration.synthetic_calls import FILTERS, FIRST, LAST, NOW, SMALL, Readers

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
def readers(crowd_url: str) -> Iterator[Readers]:
    with Database(crowd_url) as database:
        yield Readers.of(database)


def found(
    readers: Readers, words: str, filters: CallFilters, near: int
) -> list[tuple[object, ...]]:
    """Return the hits of all pages when so many of the newest calls are scanned."""
    places, after = [], None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("callpipeline.storage.reading.search.NEAR_CALLS", near)
        while True:
            page = readers.search.list(words, filters, limit=9, after=after)
            places += [(hit.call_id, hit.channel, hit.segment_index) for hit in page.hits]
            if not (after := page.after):
                return places


def counted(readers: Readers, words: str, filters: CallFilters, near: int) -> HitCount:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("callpipeline.storage.reading.search.NEAR_CALLS", near)
        return readers.search.count(words, filters)


@few
@given(words=WORDS, filters=FILTERS, near=st.sampled_from([1, 5, 40]))
def test_the_index_and_the_scan_find_the_same_hits(
    readers: Readers, words: str, filters: CallFilters, near: int
):
    places = found(readers, words, filters, near=10_000)
    assert found(readers, words, filters, near) == places
    assert len(places) == len(set(places))
    assert counted(readers, words, filters, near) == HitCount(len(places), is_more=False)
    assert counted(readers, words, filters, near=10_000) == HitCount(len(places), is_more=False)


def test_search_finds_every_segment(readers: Readers, crowd_url: str):
    [(said,)] = execute_sql(
        crowd_url,
        "SELECT count(*) FROM callpipeline.segments s JOIN callpipeline.calls c USING (call_id) "
        "WHERE c.state NOT IN ('DUPLICATE', 'ERASED') AND "
        "to_tsvector('english', s.text) @@ plainto_tsquery('english', 'number')",
    )
    assert len(found(readers, "number", CallFilters(), near=5)) == said > 50


@few
@given(filters=FILTERS, earlier=st.none() | FILTERS)
def test_numbers_read_at_once_equal_those_read_one_by_one(
    readers: Readers, filters: CallFilters, earlier: CallFilters | None
):
    at_once = readers.analytics.analytics(filters, earlier=earlier)
    assert at_once.voices == readers.analytics.over_time(replace(filters, competitors=()))
    for rates, selected in ((at_once.rates, filters), (at_once.before, earlier)):
        if rates is None or selected is None:
            assert rates is selected is None
            continue
        completed = selected.in_state(CallState.COMPLETED)
        found = readers.analytics.by_competitor(completed)
        assert {name: each.all.events for name, each in rates.by_competitor.items()} == {
            each.name: each.counts.mentions for each in found
        }
        assert all(each.all.of == rates.completed for each in rates.by_competitor.values())
        assert rates.with_mention <= rates.completed


@few
@given(filters=FILTERS, known=st.sampled_from([FIRST, date(2026, 5, 1), LAST]))
def test_an_outdated_range_of_days_cuts_off_no_mention(
    readers: Readers, filters: CallFilters, known: date
):
    over_time = readers.analytics.analytics(filters, days=(known, known)).over_time
    assert sum(over_time.mentions) == sum(readers.analytics.over_time(filters).mentions)


def test_days_without_calls_are_not_charted(readers: Readers):
    choices = readers.analytics.filter_choices()
    assert choices.first_day and choices.last_day
    wanted = CallFilters(from_day=date(2020, 1, 1), to_day=date(2030, 1, 1))
    drawn = readers.analytics.analytics(
        wanted, days=(choices.first_day, choices.last_day)
    ).over_time
    assert drawn.buckets[0].first == choices.first_day
    assert drawn.buckets[-1].last == choices.last_day
