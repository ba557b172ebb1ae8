"""The check for competitors that are never mentioned."""

from dataclasses import replace
from pathlib import Path

import pytest

from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.mentions import MentionStatus
from callpipeline.wiring import Storage
from tests.builders import a_mention, a_transcript
from tests.integration.calls import change
from tests.integration.databases import execute_sql
from tests.integration.day_of_calls import DayOfCalls, listed


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def day(storage: Storage, tmp_path: Path) -> DayOfCalls:
    return DayOfCalls(storage, tmp_path / "channels")


SKY, BT, EE = Competitor("Sky"), Competitor("BT", aliases=("british telecom",)), Competitor("EE")


def month_of_calls(day: DayOfCalls, catalog: Catalog, *, count: int = 100) -> str:
    """Complete calls with a catalog that is 31 days old; return the id of one."""
    [call_id, *_] = day.complete(count)
    change(day.storage, [call_id], state="'PENDING'", completed_at="NULL")
    day.storage.claims.claim([call_id], "run-1")
    day.store_transcripts(call_id, a_transcript("good morning"))
    day.store_mentions(call_id, catalog, a_mention("Sky", status=MentionStatus.COUNTED))
    day.storage.claims.release("run-1")
    change(day.storage, [call_id], state="'COMPLETED'", completed_at="now()")
    age_catalogs(day)
    return call_id


def age_catalogs(day: DayOfCalls) -> None:
    url = day.storage.database.url
    execute_sql(url, "UPDATE catalog_versions SET created_at = created_at - interval '31 days'")


def names(day: DayOfCalls) -> list[object]:
    result = day.check("every_competitor_is_named_now_and_then")
    return [] if result.passed else listed(result, "names_by_last_time")


def test_competitors_without_a_mention_for_a_month_are_found(day: DayOfCalls) -> None:
    month_of_calls(day, Catalog((SKY, BT, EE)))
    assert names(day) == ["BT", "EE"]


def test_too_few_calls_pass(day: DayOfCalls) -> None:
    month_of_calls(day, Catalog((SKY, BT)), count=99)
    result = day.check("every_competitor_is_named_now_and_then")
    assert result.passed
    assert "99 calls completed" in result.description


def test_a_competitor_mentioned_long_ago_comes_first_with_its_day(day: DayOfCalls) -> None:
    call_id = month_of_calls(day, Catalog((BT, EE, SKY)))
    change(day.storage, [call_id], created_at="'2026-01-05T10:00Z'")
    day.complete(101)
    result = day.check("every_competitor_is_named_now_and_then")
    assert listed(result, "names_by_last_time") == ["Sky", "BT", "EE"]
    assert "2026-01-05" in str(result.metadata)


def test_an_unreviewed_mention_does_not_count(day: DayOfCalls) -> None:
    call_id = month_of_calls(day, Catalog((SKY, BT)))
    execute_sql(
        day.storage.database.url,
        f"UPDATE mentions SET status = 'needs_review' WHERE call_id = '{call_id}'",
    )
    assert names(day) == ["BT", "Sky"]


def test_a_new_or_changed_entry_has_a_month_to_be_mentioned(day: DayOfCalls) -> None:
    call_id = month_of_calls(day, Catalog((SKY, BT)))
    assert names(day) == ["BT"]
    changed = Catalog((SKY, replace(BT, aliases=("bee tee",)), EE))
    day.storage.results.save_catalog(changed)
    used = f"UPDATE call_stages SET catalog_version = '{changed.version}'"
    assert names(day) == ["BT"], "the old catalog counts until a call used the new one"
    execute_sql(
        day.storage.database.url,
        f"{used} WHERE call_id = '{call_id}' AND stage = 'competitor_mentions'",
    )
    assert names(day) == []
    age_catalogs(day)
    assert names(day) == ["BT", "EE"]


def test_a_removed_name_is_not_missed(day: DayOfCalls) -> None:
    day.storage.results.save_catalog(Catalog((SKY, EE)))
    month_of_calls(day, Catalog((SKY,)))
    assert names(day) == []
