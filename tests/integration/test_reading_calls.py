"""Lists of calls while new ones arrive, single calls, and queue positions."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from callpipeline.domain.audio import Channel, Flag, QualityFlag
from callpipeline.domain.calls.call import CallState, Lane, Stage
from callpipeline.domain.calls.filters import CallFilters, MentionSentiment
from callpipeline.domain.competitors.mentions import MentionStatus
from callpipeline.domain.sentiment import Sentiment
from callpipeline.errors import CursorInvalid
from callpipeline.storage.calls.queue import CallQueue
from callpipeline.storage.reading.calls import CallTracker
from callpipeline.wiring import Storage
from tests.builders import (
    a_flag,
    a_judgement,
    a_mention,
    a_split,
    a_transcript,
    a_write,
    an_unjudged,
    channel_files,
    some_metrics,
)
from tests.integration.calls import change, enter, erase, store
from tests.integration.databases import execute_sql


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


REPAIRED = QualityFlag(Flag.REPAIRED_TRANSCRIPT, "repaired: a missing time")


@pytest.fixture
def whole(storage: Storage, tmp_path: Any) -> str:
    """A call with all stages; of three mentions one is judged, one not, one does not count."""
    [call_id] = enter(storage, "in/whole.wav", metadata={"agent": "Ann"})
    storage.claims.claim([call_id], "run-1")
    split = a_split(flags=[a_flag(Channel.LEFT)])
    results = storage.results
    results.save_audio(a_write(call_id, Stage.CHANNEL_AUDIO), split, channel_files(split, tmp_path))
    results.save_metrics(a_write(call_id, Stage.CALL_METRICS), some_metrics())
    transcripts = [
        a_transcript("how can i help", channel=Channel.LEFT),
        a_transcript("i like vodafone and sky", channel=Channel.RIGHT),
    ]
    transcripts[0] = replace(transcripts[0], flags=(REPAIRED,))
    results.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS), transcripts)
    good, bad = a_mention("Vodafone"), a_mention("Sky", char_start=20)
    pending = a_mention("Three", char_start=9, status=MentionStatus.NEEDS_REVIEW)
    results.save_mentions(a_write(call_id, Stage.COMPETITOR_MENTIONS), [bad, good, pending])
    write = a_write(call_id, Stage.COMPETITOR_SENTIMENT)
    results.save_sentiment(write, [a_judgement(good, Sentiment.POSITIVE)], [an_unjudged(bad)])
    storage.claims.complete(call_id, "run-1")
    return call_id


# Pages


def pages(storage: Storage, limit: int, between: Any = lambda: None) -> list[str]:
    found, after = [], None
    while True:
        page = storage.calls.list(limit=limit, after=after)
        assert len(page.calls) <= limit
        found += [call.call_id for call in page.calls]
        if not (after := page.after):
            return found
        between()


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_pages_neither_repeat_nor_miss_calls_while_new_ones_arrive(storage: Storage, limit: int):
    dice, names = random.Random(limit), iter(range(10_000))
    known = enter(storage, *(f"{next(names)}.wav" for _ in range(25)))  # all at the same time
    for call_id in known[::2]:
        minutes = dice.randint(1, 9)
        change(storage, [call_id], created_at=f"now() - interval '{minutes} minutes'")

    def arrive() -> None:
        enter(storage, *(f"{next(names)}.wav" for _ in range(dice.randint(0, 3))))
        change(storage, [dice.choice(known)], state="'COMPLETED'", updated_at="now()")

    found = pages(storage, limit, arrive)
    assert len(found) == len(set(found))
    assert set(known) <= set(found)


def test_pages_are_in_one_order_newest_first(storage: Storage):
    enter(storage, *(f"{n}.wav" for n in range(20)))
    assert pages(storage, 3) == pages(storage, 20)
    by_position = [
        c.call_id for n in range(0, 20, 6) for c in storage.calls.list(limit=6, skip=n).calls
    ]
    assert by_position == pages(storage, 20)


def test_the_cursor_of_another_list_is_rejected(storage: Storage, whole: str):
    enter(storage, "b.wav")
    cursor = storage.calls.list(limit=1).after
    for ask in (storage.analytics.mentions, lambda **a: storage.search.list("vodafone", **a)):
        with pytest.raises(CursorInvalid):
            ask(after=cursor)
    with pytest.raises(CursorInvalid):
        storage.calls.list(after="x")


def test_a_summary_has_everything_that_lists_show(storage: Storage, whole: str):
    [row] = storage.calls.list().calls
    assert (row.call_id, row.file_name, row.agent) == (whole, "whole.wav", "Ann")
    assert (row.state, row.duration_s, row.progress.percentage) == ("COMPLETED", 20.0, 100)
    assert row.competitors_found == ("Vodafone", "Sky")
    assert [each.overall_sentiment for each in row.competitors] == [
        MentionSentiment.POSITIVE,
        MentionSentiment.UNJUDGED,
    ]
    assert (row.total_competitors, row.completed_competitors) == (2, 1)
    left, right = row.channels
    assert left.object_key.endswith("left.flac")
    assert right.transcript_key and right.transcript_key.endswith("transcript.right.json")


def test_lists_read_no_segment(storage: Storage, whole: str):
    execute_sql(storage.database.url, "ALTER TABLE segments RENAME TO hidden")
    try:
        assert storage.calls.list().calls[0].call_id == whole
        assert storage.analytics.analytics().totals.mentions == 2
    finally:
        execute_sql(storage.database.url, "ALTER TABLE hidden RENAME TO segments")


def test_erased_calls_are_listed_only_on_request(storage: Storage, whole: str):
    erase(storage, whole)
    assert storage.calls.list().calls == ()
    assert storage.calls.list(CallFilters(states=(CallState.ERASED,))).calls[0].call_id == whole
    assert storage.analytics.totals().mentions == 0


@pytest.mark.parametrize("name", ["%", "_", "\\", "\0", "'", "🙂" * 50, "\ud800"])
def test_any_text_can_be_a_filter(storage: Storage, name: str):
    enter(storage, "a.wav")
    assert storage.calls.count(CallFilters(name=name)) == 0
    assert storage.calls.count(CallFilters(agent=name, source=name, competitors=(name,))) == 0


# Reading tables follow changes


def test_later_judgements_are_counted(storage: Storage, whole: str):
    assert storage.analytics.totals(CallFilters(sentiment=MentionSentiment.UNJUDGED)).mentions == 1
    storage.claims.claim([whole], "run-2")
    counting = [m for m in storage.results.mentions(whole) if m.counts]
    verdicts = [a_judgement(mention, Sentiment.NEGATIVE) for mention in counting]
    storage.results.save_sentiment(a_write(whole, Stage.COMPETITOR_SENTIMENT, "run-2"), verdicts)
    assert storage.analytics.totals(CallFilters(sentiment=MentionSentiment.UNJUDGED)).mentions == 0
    assert storage.analytics.totals(CallFilters(sentiment=MentionSentiment.NEGATIVE)).mentions == 2


def test_changed_and_deleted_mentions_are_followed(storage: Storage, whole: str):
    execute_sql(storage.database.url, "UPDATE mentions SET status = 'counted'")
    assert storage.analytics.totals().mentions == 3
    execute_sql(
        storage.database.url, "UPDATE mentions SET status = 'dismissed' WHERE alias = 'Sky'"
    )
    assert {each.name for each in storage.analytics.by_competitor()} == {"Vodafone", "Three"}
    execute_sql(storage.database.url, "DELETE FROM mentions WHERE alias = 'Three'")
    assert {each.name for each in storage.analytics.by_competitor()} == {"Vodafone"}


def test_changes_of_day_and_agent_are_followed(storage: Storage, whole: str):
    change(storage, [whole], started_at="'2025-01-01T23:30-02'", metadata="""'{"agent": "Bob"}'""")
    assert [(a.key, a.counts.mentions) for a in storage.analytics.by_agent()] == [("bob", 2)]
    day = datetime(2025, 1, 2, tzinfo=UTC).date()
    assert storage.analytics.totals(CallFilters(from_day=day, to_day=day)).mentions == 2


def test_a_duplicate_is_not_counted_until_it_is_processed(storage: Storage, whole: str):
    change(storage, [whole], state="'DUPLICATE'")
    assert (
        storage.calls.count(),
        storage.analytics.totals().calls,
        storage.analytics.totals().mentions,
    ) == (1, 0, 0)
    change(storage, [whole], state="'PENDING'")
    assert (storage.analytics.totals().calls, storage.analytics.totals().mentions) == (1, 2)


def test_mentions_follow_the_state_and_the_time_of_their_call(storage: Storage, whole: str):
    completed = CallFilters(states=(CallState.COMPLETED,))
    change(storage, [whole], state="'COMPLETED'", started_at="timestamptz '2026-03-02 10:00Z'")
    assert len(storage.analytics.mentions(completed).mentions) == 2
    change(storage, [whole], state="'PENDING'")
    assert storage.analytics.mentions(completed).mentions == ()
    change(storage, [whole], started_at="timestamptz '2026-03-02 11:00Z'")
    times = {each.took_place_at.hour for each in storage.analytics.mentions().mentions}
    assert times == {11}
    change(storage, [whole], state="'COMPLETED'")
    assert storage.analytics.rates(completed).with_mention == 1


def test_deleted_rows_are_not_read(storage: Storage, whole: str):
    execute_sql(storage.database.url, "DELETE FROM recordings")
    assert storage.analytics.totals().hours == 0
    execute_sql(storage.database.url, "DELETE FROM calls")
    assert storage.analytics.totals().calls == 0
    assert execute_sql(storage.database.url, "SELECT FROM reading_mentions") == []


# One call


def test_the_details_of_a_call(storage: Storage, whole: str):
    detail = storage.calls.find(whole)
    assert detail
    assert [stage.stage for stage in detail.stage_records] == list(Stage)
    assert [(c.channel, c.speaker, c.engine) for c in detail.channels] == [
        ("left", "agent", "by hand"),
        ("right", "customer", "by hand"),
    ]
    assert detail.metrics == some_metrics()
    assert [flag.channel for flag in detail.flags] == [Channel.LEFT, None]
    assert detail.flags[1] == REPAIRED
    good, pending, bad = detail.mentions
    assert (good.sentiment, good.segment_text) == ("positive", "i like vodafone and sky")
    assert (pending.mention.counts, pending.sentiment) == (False, None)
    assert bad.not_judged_because == "The judge did not answer."
    assert bad.next_attempt_at is not None


def test_sentiment_results_have_the_shape_of_the_api(storage: Storage, whole: str):
    detail = storage.calls.find(whole)
    assert detail
    [result] = detail.sentiment_results
    assert (result.job_id, result.competitor_name, result.context) == (
        whole,
        "Vodafone",
        "Vodafone",
    )
    assert result.segment_text == "i like vodafone and sky"
    assert (result.segment_id, result.start_time, result.end_time) == (0, 0.0, 2.4)
    assert (result.detection_method, result.detection_details) == ("by hand", "praise")
    assert result.created_at is not None
    assert storage.calls.sentiment_results([whole]) == {whole: (result,)}


def test_a_call_without_results(storage: Storage):
    [call_id] = enter(storage, "new.wav")
    detail = storage.calls.find(call_id)
    assert detail and detail.progress.step == "waiting"
    assert (detail.metrics, detail.stage_records) == (None, ())
    assert (detail.channels, detail.mentions) == ((), ())
    assert storage.calls.find("2020-01-01-000000000000") is None


# The queue


def test_positions_follow_the_order_of_the_queue(storage: Storage):
    dice = random.Random(3)
    known = enter(storage, *(f"{n}.wav" for n in range(12)))
    for call_id in known:
        age, urgent = dice.randint(1, 5), dice.choice("001")
        ago = f"now() - interval '{age} minutes'"
        change(storage, [call_id], created_at=ago, priority=urgent)
    estimates = CallTracker(storage.database).estimates(storage.calls.list().calls)
    by_position = sorted(known, key=lambda call_id: estimates[call_id].position or 0)
    queue = CallQueue(storage.database)
    taken = [b.call_ids[0] for n in range(12) if (b := queue.assign_batch(f"b{n}", 1))]
    assert by_position == taken
    assert [estimates[call_id].position for call_id in taken] == list(range(1, 13))


def test_each_lane_has_its_own_positions_and_assigned_calls_come_first(storage: Storage):
    first, second, bulk, later = (enter(storage, f"{n}.wav")[0] for n in range(4))
    change(storage, [second], batch_id="'b'", batched_at="now()")
    change(storage, [bulk], lane=f"'{Lane.BULK}'")
    change(storage, [later], next_attempt_at="now() + interval '1 hour'")
    estimates = CallTracker(storage.database).estimates(storage.calls.list().calls)
    assert {i: e.position for i, e in estimates.items()} == {
        first: 2,
        second: 1,
        bulk: 1,
        later: None,
    }


def test_estimates_come_from_recent_calls(storage: Storage, whole: str):
    execute_sql(storage.database.url, "UPDATE call_stages SET took_s = 10")
    waiting, later, working = (enter(storage, f"{n}.wav")[0] for n in range(3))
    storage.claims.claim([working], "run-2")
    store(storage, working, Stage.CHANNEL_AUDIO, Stage.CALL_METRICS, run_id="run-2")
    execute_sql(storage.database.url, "UPDATE call_stages SET took_s = 10")
    change(storage, [later], next_attempt_at="now() + interval '1 hour'")
    estimates = CallTracker(storage.database).estimates(storage.calls.list().calls)
    assert whole not in estimates
    assert estimates[waiting].done_in_s == 50
    assert estimates[working].done_in_s == 30
    assert estimates[later].done_in_s == pytest.approx(3650, abs=30)


def test_nothing_is_estimated_before_the_first_completed_call(storage: Storage):
    [call_id] = enter(storage, "a.wav")
    estimate = CallTracker(storage.database).estimates(storage.calls.list().calls)[call_id]
    assert (estimate.position, estimate.done_in_s) == (1, None)
    change(storage, [call_id], unavailable_service="'x'", unavailable_since="now()")
    assert (
        CallTracker(storage.database).estimates(storage.calls.list().calls)[call_id].position
        is None
    )


def test_pages_by_offset_are_complete(storage: Storage):
    enter(storage, *(f"{n}.wav" for n in range(5)))
    assert [len(storage.calls.list(limit=2, skip=n).calls) for n in (0, 4, 5, 900)] == [2, 1, 0, 0]
    assert timedelta(0) <= datetime.now(UTC) - storage.calls.list().calls[0].created_at
