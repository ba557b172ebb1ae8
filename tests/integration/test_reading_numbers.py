"""Analytics are correct, and each number has the filter that lists exactly its calls."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings

from benchmarks.synthetic_calls import fill
from callpipeline.domain.calls.call import CallState
from callpipeline.domain.calls.filters import CallFilters, MentionSentiment
from callpipeline.storage.postgres.database import Database
from tests.integration.databases import new_database
from tests.integration.synthetic_calls import (
    FILTERS,
    NOW,
    SMALL,
    Readers,
    SyntheticCalls,
    read_synthetic_calls,
)

# The representation of a failed example is long: all synthetic calls.
pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")
few = settings(max_examples=60, deadline=None)


@pytest.fixture(scope="module")
def crowd_url(postgres: str, template: str) -> Iterator[str]:
    with new_database(postgres, template) as url:
        fill(url, SMALL, now=NOW)
        yield url


@pytest.fixture(scope="module")
def readers(crowd_url: str) -> Iterator[Readers]:
    with Database(crowd_url) as database:
        yield Readers.of(database)


@pytest.fixture(scope="module")
def truth(crowd_url: str) -> SyntheticCalls:
    return read_synthetic_calls(crowd_url)


def listed(readers: Readers, filters: CallFilters) -> set[str]:
    """Return the calls of all pages."""
    found, after = [], None
    while True:
        page = readers.calls.list(filters, limit=97, after=after)
        found += [call.call_id for call in page.calls]
        if not (after := page.after):
            assert len(found) == len(set(found))
            return set(found)


@few
@given(filters=FILTERS)
def test_lists_have_the_filtered_calls(
    readers: Readers, truth: SyntheticCalls, filters: CallFilters
):
    assert listed(readers, filters) == truth.matching_calls(filters)
    assert readers.calls.count(filters) == len(truth.matching_calls(filters))


@few
@given(filters=FILTERS)
def test_totals_match_the_calls_that_their_links_list(
    readers: Readers, truth: SyntheticCalls, filters: CallFilters
):
    totals = readers.analytics.totals(filters)
    assert totals == readers.analytics.analytics(filters).totals
    assert totals.calls == len(listed(readers, filters.counted()))
    assert totals.completed == len(listed(readers, filters.in_state(CallState.COMPLETED)))
    assert totals.failed == len(listed(readers, filters.in_state(CallState.FAILED)))
    assert totals.calls_with_mention == len(listed(readers, filters.mentioning_any()))
    assert totals.mentions == len(truth.matching_mentions(filters))


@few
@given(filters=FILTERS)
def test_competitors_match_the_calls_that_their_links_list(
    readers: Readers, truth: SyntheticCalls, filters: CallFilters
):
    found = readers.analytics.by_competitor(filters)
    assert found == readers.analytics.analytics(filters).by_competitor
    expected = Counter(m["competitor"] for m in truth.matching_mentions(filters))
    assert {each.name: each.counts.mentions for each in found} == expected
    for each in found:
        assert each.calls == len(listed(readers, filters.with_competitor(each.name)))
        assert each.share == pytest.approx(each.counts.mentions / sum(expected.values()))
        for stance in MentionSentiment:
            if filters.sentiment is None:
                mentions = truth.matching_mentions(
                    filters.with_competitor(each.name).with_sentiment(stance)
                )
                assert each.counts.of(stance) == len(mentions)


@few
@given(filters=FILTERS)
def test_agents_match_the_calls_that_their_links_list(
    readers: Readers, truth: SyntheticCalls, filters: CallFilters
):
    found = readers.analytics.by_agent(filters)
    assert found == readers.analytics.analytics(filters).by_agent
    assert sum(each.calls for each in found) == len(truth.matching_calls(filters.counted()))
    for each in found:
        link = filters.for_agent(each.key)
        assert each.calls == len(listed(readers, link))
        assert each.calls_with_mention == len(listed(readers, link.mentioning_any()))
        judged = [m for m in truth.matching_mentions(link) if m["score"] is not None]
        by_agent = [m["score"] for m in judged if m["speaker"] == "agent"]
        by_others = [m["score"] for m in judged if m["speaker"] != "agent"]
        assert each.counts.mean_score == mean(by_agent + by_others)
        assert each.counts.agent_score == mean(by_agent)
        assert each.counts.customer_score == mean(by_others)


def mean(scores: list[float]) -> Any:
    return pytest.approx(sum(scores) / len(scores)) if scores else None


@few
@given(filters=FILTERS)
def test_trends_add_up_and_match_their_days(
    readers: Readers, truth: SyntheticCalls, filters: CallFilters
):
    found = readers.analytics.over_time(filters)
    assert found == readers.analytics.analytics(filters).over_time
    assert sum(found.mentions) == len(truth.matching_mentions(filters))
    for n, bucket in enumerate(found.buckets):
        named = truth.matching_mentions(filters.between(bucket.first, bucket.last))
        assert found.mentions[n] == len(named)
        by_name = Counter(m["competitor"] for m in named)
        assert {c: counts[n] for c, counts in found.by_competitor.items() if counts[n]} == by_name
        by_stance = Counter(m["stance"] for m in named)
        assert {s.value: c[n] for s, c in found.by_sentiment.items() if c[n]} == by_stance
        shares = [found.share(name)[n] or 0 for name in found.by_competitor]
        assert sum(shares) == pytest.approx(1 if named else 0)


@few
@given(filters=FILTERS)
def test_the_documents_of_the_api_agree(
    readers: Readers, truth: SyntheticCalls, filters: CallFilters
):
    named = truth.matching_mentions(filters)
    overview = readers.api.overview(filters)
    assert overview.total_jobs == len(truth.matching_calls(filters))
    assert overview.total_competitors == len({m["competitor"] for m in named})
    distribution = {each.sentiment: each.count for each in overview.sentiment_distribution}
    assert distribution == Counter(m["stance"] for m in named)
    assert sum(each.percentage for each in overview.sentiment_distribution) == pytest.approx(
        100 if named else 0
    )
    trends = readers.api.sentiment_trends(filters)
    assert sum(each.count for each in trends) == len(named)


def test_a_competitor_is_found_by_its_case_insensitive_name(
    readers: Readers, truth: SyntheticCalls
):
    detail = readers.api.competitor("vODAFONE", limit=10)
    assert detail and detail.competitor_name == "Vodafone"
    named = truth.matching_mentions(CallFilters(competitors=("Vodafone",)))
    assert (detail.total_mentions, len(detail.segments)) == (len(named), 10)
    assert detail.unique_calls == len({m["call_id"] for m in named})
    assert all(
        each.mention.competitor == "Vodafone" and each.detail.segment_text
        for each in detail.segments
    )
    assert readers.api.competitor("Vodafon") is None
    assert readers.api.competitors()[0].name == "Vodafone"


def test_pages_have_all_mentions(readers: Readers, truth: SyntheticCalls):
    wanted, found, after = CallFilters(competitors=("Sky",)), [], None
    while True:
        page = readers.analytics.mentions(wanted, limit=7, after=after)
        found += [(each.call_id, each.detail.mention_id) for each in page.mentions]
        if not (after := page.after):
            break
    assert len(found) == len(set(found))
    assert set(found) == {(m["call_id"], m["mention_id"]) for m in truth.matching_mentions(wanted)}


def test_filter_choices(readers: Readers, truth: SyntheticCalls):
    choices = readers.analytics.filter_choices()
    assert choices.sources == ("archive", "branch", "recordings")
    agents = {c["agent"] for c in truth.calls.values() if c["state"] not in ("DUPLICATE", "ERASED")}
    assert set(choices.agents) == agents - {None}
    assert choices.competitors == ("EE", "Sky", "Three", "Virgin Media", "Vodafone")
