"""Daily marts: they agree with the views, day by day, and with the numbers in Dagster's UI."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)

from callpipeline.config import Settings
from callpipeline.definitions import build
from callpipeline.defs.marts import PARENTS, REFRESH_JOB
from callpipeline.domain.competitors.mentions import Decision
from callpipeline.storage.reading.analytics import DailyMarts
from tests.orchestration.lab import Lab
from tests.orchestration.sample_calls import SampleCall, SampleMention, insert_calls, random_calls

DAY = date(2026, 3, 2)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
GOOD = SampleMention("Vodafone", "customer", "counted", "positive", 0.5)
BAD = SampleMention("Vodafone", "agent", "counted", "negative", -0.25)
OTHER = SampleMention("Three", "customer", "counted", "mixed", 0.0)
DISMISSED = SampleMention("Three", "customer", "dismissed", None)


def refresh(lab: Lab, first: date, last: date | None = None) -> dg.ExecuteInProcessResult:
    """Execute the job over a range of days, as the sensor or a backfill does."""
    tags = {
        ASSET_PARTITION_RANGE_START_TAG: first.isoformat(),
        ASSET_PARTITION_RANGE_END_TAG: (last or first).isoformat(),
    }
    job = lab.definitions.resolve_job_def(REFRESH_JOB)
    return job.execute_in_process(instance=lab.instance, tags=tags, raise_on_error=False)


def rows(lab: Lab, statement: str, *values: object) -> list[dict[str, Any]]:
    with lab.storage.database.transaction() as connection:
        return connection.execute(statement.encode(), values).fetchall()


def change(lab: Lab, statement: str, *values: object) -> None:
    with lab.storage.database.transaction() as connection:
        connection.execute(statement.encode(), values)


# Totals


def test_a_day_with_sample_calls(lab: Lab) -> None:
    insert_calls(
        lab.storage.database,
        [
            SampleCall(1, NOON, mentions=[GOOD, BAD, DISMISSED], took_s=1),
            SampleCall(2, NOON, mentions=[OTHER], took_s=3, agent=None),
            SampleCall(3, NOON, "FAILED"),
            SampleCall(4, NOON, "ERASED", mentions=[GOOD]),
            SampleCall(5, NOON, "DUPLICATE"),
            SampleCall(6, NOON - timedelta(days=1), mentions=[GOOD]),
        ],
    )
    assert refresh(lab, DAY).success
    [day] = rows(lab, "SELECT * FROM analytics.daily_calls")
    assert day.pop("made_at") is not None
    stages = ("channel_audio", "transcripts", "competitor_sentiment")
    times = {f"{s}_p50_s": 2.0 for s in stages} | {f"{s}_p95_s": 2.9 for s in stages}
    assert day == pytest.approx(
        {
            **{"day": DAY, "calls": 3, "completed": 2, "failed": 1, "mentions": 3},
            **{"audio_h": 200 / 3600, "agent_talk_h": 60 / 3600},
            **{"customer_talk_h": 100 / 3600, "silence_h": 40 / 3600, **times},
        }
    )
    three, vodafone = rows(lab, "SELECT * FROM analytics.daily_competitors ORDER BY competitor")
    assert three["mixed"] == 1 and three["share_of_mentions"] == pytest.approx(1 / 3)
    assert vodafone == pytest.approx(
        {
            **{"day": DAY, "competitor": "Vodafone", "calls": 1, "mentions": 2},
            **{"by_customer": 1, "by_agent": 1, "positive": 1, "neutral": 0, "negative": 1},
            **{"mixed": 0, "mean_score": 0.125, "share_of_mentions": 2 / 3, "share_of_calls": 0.5},
            **{"customer_score": 0.5, "agent_score": -0.25},
        }
    )
    [ann] = rows(lab, "SELECT * FROM analytics.daily_agents")
    assert (ann["agent"], ann["competitor"], ann["mentions"]) == ("ann", "Vodafone", 2)


def test_reviews_are_counted_at_the_next_refresh(lab: Lab) -> None:
    doubt = SampleMention("Three", "customer", "needs_review", None)
    call = SampleCall(1, NOON, mentions=[GOOD, doubt, BAD])
    insert_calls(lab.storage.database, [call])
    assert refresh(lab, DAY).success
    change(lab, "UPDATE daily_calls SET made_at = made_at - interval '10 minutes'")
    marts, hour = DailyMarts(lab.storage.database), datetime.now(UTC) - timedelta(minutes=30)
    assert marts.stale_days(DAY, hour)[0] == []

    lab.storage.reviews.decide(call.call_id, "m1", Decision.CONFIRMED)
    lab.storage.reviews.decide(call.call_id, "m2", Decision.DISMISSED)
    [stale], _ = marts.stale_days(DAY, hour)
    assert refresh(lab, stale.day).success
    columns = "competitor, mentions, positive, negative"
    counted = rows(lab, f"SELECT {columns} FROM daily_competitors ORDER BY competitor")
    assert [tuple(row.values()) for row in counted] == [("Three", 1, 0, 0), ("Vodafone", 1, 1, 0)]


COUNTED = "calls, mentions, by_customer, by_agent, positive, negative"
COMPETITORS_BY_VIEWS = f"""
    SELECT day, competitor, {COUNTED}, d.neutral, d.mixed, d.mean_score, customer_score,
           agent_score, share_of_mentions, share_of_calls
    FROM analytics.competitor_daily d
    JOIN (SELECT day, competitor, share_of_mentions, share_of_calls FROM analytics.share_of_voice) v
    USING (day, competitor)
    ORDER BY day, competitor
"""
AGENTS_BY_VIEWS = """
    SELECT agent, competitor, calls, mentions, by_agent, by_customer, positive, negative,
           mean_score, customer_score, agent_score
    FROM analytics.agent_competitor ORDER BY agent, competitor
"""


def test_over_days_with_calls_of_every_kind_they_agree_with_the_views(lab: Lab) -> None:
    insert_calls(lab.storage.database, random_calls(300, DAY, 5))
    assert refresh(lab, DAY, DAY + timedelta(days=4)).success
    mart = rows(
        lab,
        f"SELECT day, competitor, {COUNTED}, neutral, mixed, mean_score, customer_score, "
        "agent_score, share_of_mentions, share_of_calls FROM daily_competitors "
        "ORDER BY day, competitor",
    )
    assert len(mart) > 10
    assert [pytest.approx(row) for row in mart] == rows(lab, COMPETITORS_BY_VIEWS)
    by_view = rows(lab, "SELECT day, count(*) AS calls FROM analytics.calls GROUP BY 1 ORDER BY 1")
    assert rows(lab, "SELECT day, calls FROM daily_calls ORDER BY day") == by_view


def test_the_agents_of_a_day_are_those_of_the_view(lab: Lab) -> None:
    insert_calls(lab.storage.database, random_calls(100, DAY, 1))
    assert refresh(lab, DAY).success
    columns = AGENTS_BY_VIEWS.split("FROM", maxsplit=1)[0]
    mart = rows(lab, f"{columns} FROM daily_agents ORDER BY agent, competitor")
    assert len(mart) == 6
    assert [pytest.approx(row) for row in mart] == rows(lab, AGENTS_BY_VIEWS)


def test_a_day_without_calls_is_one_row_of_zeros(lab: Lab) -> None:
    assert refresh(lab, DAY).success
    [day] = rows(lab, "SELECT * FROM daily_calls")
    del day["made_at"]
    assert day.pop("day") == DAY
    assert set(day.values()) == {0, None}
    assert rows(lab, "SELECT FROM daily_competitors UNION ALL SELECT FROM daily_agents") == []


def test_a_day_with_failures_only_is_counted(lab: Lab) -> None:
    insert_calls(
        lab.storage.database, [SampleCall(1, NOON, "FAILED"), SampleCall(2, NOON, "FAILED")]
    )
    assert refresh(lab, DAY).success
    [day] = rows(lab, "SELECT calls, failed, audio_h, transcripts_p95_s FROM daily_calls")
    assert day == {"calls": 2, "failed": 2, "audio_h": 0.0, "transcripts_p95_s": None}


def test_a_refresh_includes_late_calls_and_drops_erased_ones(lab: Lab) -> None:
    insert_calls(
        lab.storage.database,
        [SampleCall(1, NOON, mentions=[GOOD]), SampleCall(2, NOON, mentions=[OTHER])],
    )
    refresh(lab, DAY)
    insert_calls(lab.storage.database, [SampleCall(3, NOON, mentions=[GOOD])])
    change(lab, "UPDATE calls SET state = 'ERASED' WHERE key = '2.wav'")
    assert refresh(lab, DAY).success
    found = rows(lab, "SELECT competitor, mentions FROM daily_competitors")
    assert found == [{"competitor": "Vodafone", "mentions": 2}]
    assert rows(lab, "SELECT calls FROM daily_calls") == [{"calls": 2}]


def test_a_processed_call_is_counted(lab: Lab) -> None:
    call_id = lab.add_call("call")
    lab.run([call_id])
    [found] = rows(lab, "SELECT day FROM analytics.calls")
    assert refresh(lab, found["day"]).success
    [day] = rows(lab, "SELECT * FROM daily_calls")
    assert (day["completed"], day["mentions"]) == (1, 1)
    assert day["audio_h"] == pytest.approx(2 / 3600) and day["transcripts_p95_s"] > 0


def test_a_day_is_dated_before_its_calls_were_read(lab: Lab) -> None:
    [before] = rows(lab, "SELECT now() AS at")
    refresh(lab, DAY)
    [made] = rows(lab, "SELECT made_at, now() AS at FROM daily_calls")
    assert before["at"] < made["made_at"] < made["at"]


# Rejected runs


def test_a_day_that_is_no_partition_is_rejected(lab: Lab) -> None:
    job = lab.definitions.resolve_job_def(REFRESH_JOB)
    with pytest.raises(dg.DagsterUnknownPartitionError, match="2019-12-31"):
        job.execute_in_process(instance=lab.instance, partition_key="2019-12-31")
    after_tomorrow = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()
    with pytest.raises(dg.DagsterUnknownPartitionError, match=after_tomorrow):
        job.execute_in_process(instance=lab.instance, partition_key=after_tomorrow)


def test_today_is_a_partition(lab: Lab) -> None:
    assert refresh(lab, datetime.now(UTC).date()).success


def test_a_reversed_range_fails(lab: Lab) -> None:
    rejected = refresh(lab, DAY, DAY - timedelta(days=2))
    assert not rejected.success
    assert rows(lab, "SELECT FROM daily_calls") == []


def test_a_day_whose_results_were_deleted_keeps_its_marts(lab: Lab) -> None:
    insert_calls(lab.storage.database, [SampleCall(1, NOON, mentions=[GOOD])])
    refresh(lab, DAY)
    change(lab, f"UPDATE calls SET completed_at = '{NOON}'")
    lab.storage.erasures.begin(
        [SampleCall(1, NOON).call_id], keep_recording=True, ended_before=datetime.now(UTC)
    )
    rejected = refresh(lab, DAY)
    [failed] = [event for event in rejected.all_events if event.is_step_failure]
    failure = failed.step_failure_data.user_failure_data
    assert failure and failure.description and "were deleted" in failure.description
    assert rows(lab, "SELECT calls FROM daily_calls") == [{"calls": 1}]


# In Dagster's UI


def test_the_parents_of_the_marts_are_the_assets_of_a_call(lab: Lab) -> None:
    graph = lab.definitions.resolve_asset_graph()
    for name, parents in PARENTS.items():
        node = graph.get(dg.AssetKey(name))
        assert {key.to_user_string() for key in node.parent_keys} == set(map(str, parents))
        assert node.group_name == "marts" and node.description
    assert set(PARENTS["daily_competitors"]) >= {"competitor_mentions", "competitor_sentiment"}


def metadata(lab: Lab, asset: str) -> dict[str, dict[str, Any]]:
    """Return the metadata of the newest materialization of each day."""
    records = lab.instance.fetch_materializations(dg.AssetKey(asset), limit=100).records
    return {
        str(record.partition_key): {
            name: value.value for name, value in record.asset_materialization.metadata.items()
        }
        for record in reversed(records)
        if record.asset_materialization
    }


def test_each_day_of_a_run_has_its_own_numbers(lab: Lab) -> None:
    insert_calls(
        lab.storage.database,
        [
            SampleCall(1, NOON, mentions=[GOOD, BAD], took_s=2),
            SampleCall(2, NOON, "FAILED"),
            SampleCall(3, NOON, "FAILED", error_class="EmptyRecording"),
            SampleCall(4, NOON, "FAILED"),
            SampleCall(5, NOON + timedelta(days=1), took_s=4),
        ],
    )
    refresh(lab, DAY, DAY + timedelta(days=2))
    days = metadata(lab, "daily_calls")
    first, second, empty = (days[str(DAY + timedelta(days=n))] for n in range(3))
    assert (first["calls"], first["completed"], first["failed"], first["mentions"]) == (4, 1, 3, 2)
    assert (first["failed: UnsupportedAudio"], first["failed: EmptyRecording"]) == (2, 1)
    assert first["transcripts_p95_s"] == 2.0
    assert (second["calls"], second["transcripts_p95_s"]) == (1, 4.0)
    assert "failed: UnsupportedAudio" not in second
    assert empty["calls"] == 0 and "transcripts_p95_s" not in empty
    competitors = metadata(lab, "daily_competitors")
    assert [competitors[str(DAY + timedelta(days=n))]["mentions"] for n in range(2)] == [2, 0]


def test_definitions_load_without_pandas() -> None:
    """It would slow down the start of every Dagster process by a second."""
    code = "import sys, callpipeline.definitions; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_first_day_is_a_setting(settings: Settings) -> None:
    chosen = settings.model_copy(update={"marts_from": DAY})
    graph = build(chosen).resolve_asset_graph()
    days = graph.get(dg.AssetKey("daily_calls")).partitions_def
    assert days and days.get_first_partition_key() == DAY.isoformat()


# In notebooks


def test_a_calls_recording_and_a_day_load_as_dataframes(lab: Lab) -> None:
    insert_calls(lab.storage.database, [SampleCall(1, NOON, mentions=[GOOD])])
    refresh(lab, DAY)
    load = lab.definitions.load_asset_value
    call_id = SampleCall(1, NOON).call_id
    recording = load("recordings", instance=lab.instance, partition_key=call_id)
    assert isinstance(recording, pd.DataFrame)
    assert recording["agent"].tolist() == ["ann"]
    day = load("daily_competitors", instance=lab.instance, partition_key=DAY.isoformat())
    assert isinstance(day, pd.DataFrame)
    assert day["day"].tolist() == [DAY]
    assert day["mentions"].tolist() == [1]
