"""Names of the competitor list that are never heard: of which list, how long, in how many calls."""

from dataclasses import replace
from pathlib import Path

import pytest

from callpipeline.domain.catalog import Catalog, Competitor
from callpipeline.domain.mention import MentionStatus
from callpipeline.wiring import Storage
from tests.builders import a_mention, a_transcript
from tests.integration.calls import change
from tests.integration.checked import Day, listed
from tests.integration.databases import asked


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def day(storage: Storage, tmp_path: Path) -> Day:
    return Day(storage, tmp_path / "channels")


SKY, BT, EE = Competitor("Sky"), Competitor("BT", aliases=("british telecom",)), Competitor("EE")


def month_of_calls(day: Day, catalog: Catalog, *, count: int = 100) -> str:
    """Completed calls judged by a list that is 31 days old; the id of one of them."""
    [judged, *_] = day.complete(count)
    change(day.storage, [judged], state="'PENDING'", completed_at="NULL")
    day.storage.claims.claim([judged], "run-1")
    day.hear(judged, a_transcript("good morning"))
    day.judge(judged, catalog, a_mention("Sky", status=MentionStatus.ACCEPTED))
    day.storage.claims.give_back("run-1")
    change(day.storage, [judged], state="'COMPLETED'", completed_at="now()")
    age_lists(day)
    return judged


def age_lists(day: Day) -> None:
    url = day.storage.database.url
    asked(url, "UPDATE catalog_versions SET created_at = created_at - interval '31 days'")


def names(day: Day) -> list[object]:
    finding = day.check("every_competitor_is_named_now_and_then")
    return [] if finding.passed else listed(finding, "names_by_last_time")


def test_names_that_no_call_of_a_month_holds_are_found(day: Day) -> None:
    month_of_calls(day, Catalog((SKY, BT, EE)))
    assert names(day) == ["BT", "EE"]


def test_of_few_calls_no_name_is_missed(day: Day) -> None:
    month_of_calls(day, Catalog((SKY, BT)), count=99)
    finding = day.check("every_competitor_is_named_now_and_then")
    assert finding.passed
    assert "days: 99 calls." in finding.description


def test_a_name_that_was_heard_long_ago_comes_first_with_its_day(day: Day) -> None:
    judged = month_of_calls(day, Catalog((BT, EE, SKY)))
    change(day.storage, [judged], created_at="'2026-01-05T10:00Z'")
    day.complete(101)
    finding = day.check("every_competitor_is_named_now_and_then")
    assert listed(finding, "names_by_last_time") == ["Sky", "BT", "EE"]
    assert "2026-01-05" in str(finding.facts)


def test_a_mention_that_was_not_accepted_is_none(day: Day) -> None:
    judged = month_of_calls(day, Catalog((SKY, BT)))
    asked(
        day.storage.database.url,
        f"UPDATE mentions SET status = 'unsure' WHERE call_id = '{judged}'",
    )
    assert names(day) == ["BT", "Sky"]


def test_a_new_or_mended_entry_has_a_month_to_be_heard(day: Day) -> None:
    judged = month_of_calls(day, Catalog((SKY, BT)))
    assert names(day) == ["BT"]
    mended = Catalog((SKY, replace(BT, aliases=("bee tee",)), EE))
    day.storage.results.remember_catalog(mended)
    used = f"UPDATE call_stages SET catalog_version = '{mended.version}'"
    assert names(day) == ["BT"], "until a call was judged by it the old list counts"
    asked(
        day.storage.database.url,
        f"{used} WHERE call_id = '{judged}' AND stage = 'competitor_mentions'",
    )
    assert names(day) == []
    age_lists(day)
    assert names(day) == ["BT", "EE"]


def test_a_name_that_was_taken_out_is_not_missed(day: Day) -> None:
    day.storage.results.remember_catalog(Catalog((SKY, EE)))
    month_of_calls(day, Catalog((SKY,)))
    assert names(day) == []
