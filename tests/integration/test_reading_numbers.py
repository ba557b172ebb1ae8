"""Numbers: right, and each with the filter that lists exactly the calls behind it."""

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings

from benchmarks.crowd import fill
from callpipeline.domain.call import CallState
from callpipeline.domain.filters import Filters, Stance
from callpipeline.storage.database import Database
from callpipeline.storage.reading.reader import Reading
from tests.integration.crowds import FILTERS, NOW, SMALL, Known, known
from tests.integration.databases import new_database

# What a failed example shows is long: all calls of the crowd.
pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")
few = settings(max_examples=60, deadline=None)


@pytest.fixture(scope="module")
def crowd_url(postgres: str, template: str) -> Iterator[str]:
    with new_database(postgres, template) as url:
        fill(url, SMALL, now=NOW)
        yield url


@pytest.fixture(scope="module")
def reading(crowd_url: str) -> Iterator[Reading]:
    with Database(crowd_url) as database:
        yield Reading(database)


@pytest.fixture(scope="module")
def truth(crowd_url: str) -> Known:
    return known(crowd_url)


def listed(reading: Reading, filters: Filters) -> set[str]:
    """The calls of all pages."""
    found, after = [], None
    while True:
        page = reading.calls(filters, limit=97, after=after)
        found += [call.call_id for call in page.calls]
        if not (after := page.after):
            assert len(found) == len(set(found))
            return set(found)


@few
@given(filters=FILTERS)
def test_lists_have_what_filters_let_through(reading: Reading, truth: Known, filters: Filters):
    assert listed(reading, filters) == truth.behind(filters)
    assert reading.count(filters) == len(truth.behind(filters))


@few
@given(filters=FILTERS)
def test_totals_are_of_the_calls_that_their_links_list(
    reading: Reading, truth: Known, filters: Filters
):
    totals = reading.totals(filters)
    assert totals == reading.analytics(filters).totals
    assert totals.calls == len(listed(reading, filters.counted()))
    assert totals.completed == len(listed(reading, filters.in_state(CallState.COMPLETED)))
    assert totals.failed == len(listed(reading, filters.in_state(CallState.FAILED)))
    assert totals.calls_with_mention == len(listed(reading, filters.with_mention()))
    assert totals.mentions == len(truth.named(filters))


@few
@given(filters=FILTERS)
def test_competitors_have_the_calls_that_their_links_list(
    reading: Reading, truth: Known, filters: Filters
):
    found = reading.by_competitor(filters)
    assert found == reading.analytics(filters).by_competitor
    expected = Counter(m["competitor"] for m in truth.named(filters))
    assert {each.name: each.counts.mentions for each in found} == expected
    for each in found:
        assert each.calls == len(listed(reading, filters.naming(each.name)))
        assert each.share == pytest.approx(each.counts.mentions / sum(expected.values()))
        for stance in Stance:
            if filters.sentiment is None:
                mentions = truth.named(filters.naming(each.name).spoken_of(stance))
                assert each.counts.of(stance) == len(mentions)


@few
@given(filters=FILTERS)
def test_agents_have_the_calls_that_their_links_list(
    reading: Reading, truth: Known, filters: Filters
):
    found = reading.by_agent(filters)
    assert found == reading.analytics(filters).by_agent
    assert sum(each.calls for each in found) == len(truth.behind(filters.counted()))
    for each in found:
        link = filters.of_agent(each.key)
        assert each.calls == len(listed(reading, link))
        assert each.calls_with_mention == len(listed(reading, link.with_mention()))
        scores = [m["score"] for m in truth.named(link) if m["score"] is not None]
        mean = sum(scores) / len(scores) if scores else None
        assert each.counts.mean_score == (mean if mean is None else pytest.approx(mean))


@few
@given(filters=FILTERS)
def test_numbers_over_time_add_up_and_are_of_their_days(
    reading: Reading, truth: Known, filters: Filters
):
    found = reading.over_time(filters)
    assert found == reading.analytics(filters).over_time
    assert sum(found.mentions) == len(truth.named(filters))
    for n, stretch in enumerate(found.stretches):
        named = truth.named(filters.between(stretch.first, stretch.last))
        assert found.mentions[n] == len(named)
        by_name = Counter(m["competitor"] for m in named)
        assert {c: counts[n] for c, counts in found.by_competitor.items() if counts[n]} == by_name
        by_stance = Counter(m["stance"] for m in named)
        assert {s.value: c[n] for s, c in found.by_stance.items() if c[n]} == by_stance
        shares = [found.share(name)[n] or 0 for name in found.by_competitor]
        assert sum(shares) == pytest.approx(1 if named else 0)


@few
@given(filters=FILTERS)
def test_the_answers_of_the_api_say_the_same(reading: Reading, truth: Known, filters: Filters):
    named = truth.named(filters)
    overview = reading.overview(filters)
    assert overview.total_jobs == len(truth.behind(filters))
    assert overview.total_competitors == len({m["competitor"] for m in named})
    distribution = {each.sentiment: each.count for each in overview.sentiment_distribution}
    assert distribution == Counter(m["stance"] for m in named)
    assert sum(each.percentage for each in overview.sentiment_distribution) == pytest.approx(
        100 if named else 0
    )
    trends = reading.sentiment_trends(filters)
    assert sum(each.count for each in trends) == len(named)


def test_a_competitor_is_found_in_any_case_and_only_where_it_is_named(
    reading: Reading, truth: Known
):
    detail = reading.competitor("vODAFONE", limit=10)
    assert detail and detail.competitor_name == "Vodafone"
    named = truth.named(Filters(competitors=("Vodafone",)))
    assert (detail.total_mentions, len(detail.segments)) == (len(named), 10)
    assert detail.unique_calls == len({m["call_id"] for m in named})
    assert all(each.competitor == "Vodafone" and each.segment_text for each in detail.segments)
    assert reading.competitor("Vodafon") is None
    assert reading.competitor_list()[0].name == "Vodafone"


def test_all_mentions_come_page_by_page(reading: Reading, truth: Known):
    wanted, found, after = Filters(competitors=("Sky",)), [], None
    while True:
        page = reading.mentions(wanted, limit=7, after=after)
        found += [(each.call_id, each.mention_id) for each in page.mentions]
        if not (after := page.after):
            break
    assert len(found) == len(set(found))
    assert set(found) == {(m["call_id"], m["mention_id"]) for m in truth.named(wanted)}


def test_what_can_be_chosen(reading: Reading, truth: Known):
    choices = reading.choices()
    assert choices.sources == ("archive", "branch", "recordings")
    agents = {c["agent"] for c in truth.calls.values() if c["state"] not in ("DUPLICATE", "ERASED")}
    assert set(choices.agents) == agents - {None}
    assert choices.competitors == ("EE", "Sky", "Three", "Virgin Media", "Vodafone")
