"""Calls as people see them: pages while new ones arrive, one call whole, places in the queue."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from callpipeline.domain.audio import Channel
from callpipeline.domain.call import CallState, Lane, Stage
from callpipeline.domain.filters import Filters, Stance
from callpipeline.domain.mention import MentionStatus
from callpipeline.domain.sentiment import Sentiment
from callpipeline.errors import CursorInvalid
from callpipeline.storage.queue import Queue
from callpipeline.storage.reading.reader import Reading
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
from tests.integration.databases import asked


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def reading(storage: Storage) -> Reading:
    return Reading(storage.database)


@pytest.fixture
def whole(storage: Storage, tmp_path: Any) -> str:
    """A call with all its stages; of three mentions one is judged, one not, one does not count."""
    [call_id] = enter(storage, "in/whole.wav", metadata={"agent": "Ann"})
    storage.claims.claim([call_id], "run-1")
    split = a_split(flags=[a_flag(Channel.LEFT)])
    results = storage.results
    results.save_audio(a_write(call_id, Stage.CHANNEL_AUDIO), split, channel_files(split, tmp_path))
    results.save_metrics(a_write(call_id, Stage.CALL_METRICS), some_metrics())
    said = [
        a_transcript("how can i help", channel=Channel.LEFT),
        a_transcript("i like vodafone and sky", channel=Channel.RIGHT),
    ]
    results.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS), said)
    good, bad = a_mention("Vodafone"), a_mention("Sky", char_start=20)
    unsure = a_mention("Three", char_start=9, status=MentionStatus.UNSURE)
    results.save_mentions(a_write(call_id, Stage.COMPETITOR_MENTIONS), [bad, good, unsure])
    write = a_write(call_id, Stage.COMPETITOR_SENTIMENT)
    results.save_sentiment(write, [a_judgement(good, Sentiment.POSITIVE)], [an_unjudged(bad)])
    storage.claims.complete(call_id, "run-1")
    return call_id


# Pages


def pages(reading: Reading, limit: int, between: Any = lambda: None) -> list[str]:
    found, after = [], None
    while True:
        page = reading.calls(limit=limit, after=after)
        assert len(page.calls) <= limit
        found += [call.call_id for call in page.calls]
        if not (after := page.after):
            return found
        between()


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_no_call_comes_twice_or_is_missing_while_new_ones_arrive(
    storage: Storage, reading: Reading, limit: int
):
    dice, names = random.Random(limit), iter(range(10_000))
    known = enter(storage, *(f"{next(names)}.wav" for _ in range(25)))  # all of one moment
    for call_id in known[::2]:
        minutes = dice.randint(1, 9)
        change(storage, [call_id], created_at=f"now() - interval '{minutes} minutes'")

    def arrive() -> None:
        enter(storage, *(f"{next(names)}.wav" for _ in range(dice.randint(0, 3))))
        change(storage, [dice.choice(known)], state="'COMPLETED'", updated_at="now()")

    found = pages(reading, limit, arrive)
    assert len(found) == len(set(found))
    assert set(known) <= set(found)


def test_pages_are_newest_first_in_one_order(storage: Storage, reading: Reading):
    enter(storage, *(f"{n}.wav" for n in range(20)))
    assert pages(reading, 3) == pages(reading, 20)
    by_place = [c.call_id for n in range(0, 20, 6) for c in reading.calls(limit=6, skip=n).calls]
    assert by_place == pages(reading, 20)


def test_a_cursor_of_another_list_is_refused(storage: Storage, reading: Reading, whole: str):
    enter(storage, "b.wav")
    cursor = reading.calls(limit=1).after
    for ask in (reading.mentions, lambda **a: reading.search("vodafone", **a)):
        with pytest.raises(CursorInvalid):
            ask(after=cursor)
    with pytest.raises(CursorInvalid):
        reading.calls(after="x")


def test_a_row_has_what_a_list_shows(reading: Reading, whole: str):
    [row] = reading.calls().calls
    assert (row.call_id, row.file_name, row.agent) == (whole, "whole.wav", "Ann")
    assert (row.state, row.duration_s, row.progress.percentage) == ("COMPLETED", 20.0, 100)
    assert row.competitors_found == ("Vodafone", "Sky")
    assert [each.overall for each in row.competitors] == [Stance.POSITIVE, Stance.UNJUDGED]
    assert (row.total_competitors, row.completed_competitors) == (2, 1)
    left, right = row.channels
    assert left.object_key.endswith("left.flac")
    assert right.transcript_key and right.transcript_key.endswith("transcript.right.json")


def test_lists_read_no_segment(storage: Storage, reading: Reading, whole: str):
    asked(storage.database.url, "ALTER TABLE segments RENAME TO hidden")
    try:
        assert reading.calls().calls[0].call_id == whole
        assert reading.analytics().totals.mentions == 2
    finally:
        asked(storage.database.url, "ALTER TABLE hidden RENAME TO segments")


def test_what_was_erased_is_listed_only_when_asked_for(
    storage: Storage, reading: Reading, whole: str
):
    erase(storage, whole)
    assert reading.calls().calls == ()
    assert reading.calls(Filters(states=(CallState.ERASED,))).calls[0].call_id == whole
    assert reading.totals().mentions == 0


@pytest.mark.parametrize("name", ["%", "_", "\\", "\0", "'", "🙂" * 50, "\ud800"])
def test_any_name_can_be_looked_for(storage: Storage, reading: Reading, name: str):
    enter(storage, "a.wav")
    assert reading.count(Filters(name=name)) == 0
    assert reading.count(Filters(agent=name, source=name, competitors=(name,))) == 0


# What is read follows what is written


def test_a_judgement_that_comes_later_is_counted(storage: Storage, reading: Reading, whole: str):
    assert reading.totals(Filters(sentiment=Stance.UNJUDGED)).mentions == 1
    storage.claims.claim([whole], "run-2")
    counting = [m for m in storage.results.mentions(whole) if m.counts]
    verdicts = [a_judgement(mention, Sentiment.NEGATIVE) for mention in counting]
    storage.results.save_sentiment(a_write(whole, Stage.COMPETITOR_SENTIMENT, "run-2"), verdicts)
    assert reading.totals(Filters(sentiment=Stance.UNJUDGED)).mentions == 0
    assert reading.totals(Filters(sentiment=Stance.NEGATIVE)).mentions == 2


def test_a_mention_that_comes_to_count_or_vanishes_is_followed(
    storage: Storage, reading: Reading, whole: str
):
    asked(storage.database.url, "UPDATE mentions SET status = 'accepted'")
    assert reading.totals().mentions == 3
    asked(storage.database.url, "UPDATE mentions SET status = 'rejected' WHERE alias = 'Sky'")
    assert {each.name for each in reading.by_competitor()} == {"Vodafone", "Three"}
    asked(storage.database.url, "DELETE FROM mentions WHERE alias = 'Three'")
    assert {each.name for each in reading.by_competitor()} == {"Vodafone"}


def test_a_call_that_turns_out_to_be_of_another_day_or_agent_is_followed(
    storage: Storage, reading: Reading, whole: str
):
    change(storage, [whole], started_at="'2025-01-01T23:30-02'", metadata="""'{"agent": "Bob"}'""")
    assert [(a.key, a.counts.mentions) for a in reading.by_agent()] == [("bob", 2)]
    day = datetime(2025, 1, 2, tzinfo=UTC).date()
    assert reading.totals(Filters(from_day=day, to_day=day)).mentions == 2


def test_a_duplicate_is_not_counted_until_it_is_a_call_again(
    storage: Storage, reading: Reading, whole: str
):
    change(storage, [whole], state="'DUPLICATE'")
    assert (reading.count(), reading.totals().calls, reading.totals().mentions) == (1, 0, 0)
    change(storage, [whole], state="'PENDING'")
    assert (reading.totals().calls, reading.totals().mentions) == (1, 2)


def test_what_is_deleted_is_not_read_any_more(storage: Storage, reading: Reading, whole: str):
    asked(storage.database.url, "DELETE FROM recordings")
    assert reading.totals().hours == 0
    asked(storage.database.url, "DELETE FROM calls")
    assert reading.totals().calls == 0
    assert asked(storage.database.url, "SELECT FROM reading_mentions") == []


# One call


def test_a_call_whole(reading: Reading, whole: str):
    seen = reading.call(whole)
    assert seen
    assert [stage.stage for stage in seen.stages] == list(Stage)
    assert [(c.channel, c.speaker, c.engine) for c in seen.channels] == [
        ("left", "agent", "by hand"),
        ("right", "customer", "by hand"),
    ]
    assert seen.metrics == some_metrics()
    assert [flag.channel for flag in seen.flags] == [Channel.LEFT]
    good, unsure, bad = seen.mentions
    assert (good.sentiment, good.segment_text) == ("positive", "i like vodafone and sky")
    assert (unsure.counts, unsure.sentiment) == (False, None)
    assert bad.not_judged_because == "The judge did not answer."
    assert bad.judged_again_at is not None


def test_sentiment_results_have_the_shape_of_the_api(reading: Reading, whole: str):
    seen = reading.call(whole)
    assert seen
    [result] = seen.sentiment_results
    assert (result.job_id, result.competitor_name, result.context) == (
        whole,
        "Vodafone",
        "Vodafone",
    )
    assert result.segment_text == "i like vodafone and sky"
    assert (result.segment_id, result.start_time, result.end_time) == (0, 0.0, 2.4)
    assert (result.detection_method, result.detection_details) == ("by hand", "praise")
    assert result.created_at is not None
    assert reading.sentiment_results([whole]) == {whole: (result,)}


def test_a_call_of_which_nothing_is_stored_yet(storage: Storage, reading: Reading):
    [call_id] = enter(storage, "new.wav")
    seen = reading.call(call_id)
    assert seen and seen.call.progress.step == "waiting"
    assert (seen.metrics, seen.stages, seen.channels, seen.mentions) == (None, (), (), ())
    assert reading.call("2020-01-01-000000000000") is None


# The queue


def test_places_are_in_the_order_in_which_the_queue_takes_calls(storage: Storage, reading: Reading):
    dice = random.Random(3)
    known = enter(storage, *(f"{n}.wav" for n in range(12)))
    for call_id in known:
        age, urgent = dice.randint(1, 5), dice.choice("001")
        ago = f"now() - interval '{age} minutes'"
        change(storage, [call_id], created_at=ago, priority=urgent)
    outlooks = reading.outlooks(reading.calls().calls)
    by_place = sorted(known, key=lambda call_id: outlooks[call_id].place or 0)
    queue = Queue(storage.database)
    taken = [b.call_ids[0] for n in range(12) if (b := queue.assign_batch(f"b{n}", 1))]
    assert by_place == taken
    assert [outlooks[call_id].place for call_id in taken] == list(range(1, 13))


def test_each_lane_has_its_own_places_and_calls_in_a_batch_come_first(
    storage: Storage, reading: Reading
):
    first, second, bulk, later = (enter(storage, f"{n}.wav")[0] for n in range(4))
    change(storage, [second], batch_id="'b'", batched_at="now()")
    change(storage, [bulk], lane=f"'{Lane.BULK}'")
    change(storage, [later], not_before="now() + interval '1 hour'")
    outlooks = reading.outlooks(reading.calls().calls)
    assert {i: o.place for i, o in outlooks.items()} == {first: 2, second: 1, bulk: 1, later: None}


def test_estimates_come_from_recent_calls(storage: Storage, reading: Reading, whole: str):
    asked(storage.database.url, "UPDATE call_stages SET took_s = 10")
    waiting, later, working = (enter(storage, f"{n}.wav")[0] for n in range(3))
    storage.claims.claim([working], "run-2")
    store(storage, working, Stage.CHANNEL_AUDIO, Stage.CALL_METRICS, run_id="run-2")
    asked(storage.database.url, "UPDATE call_stages SET took_s = 10")
    change(storage, [later], not_before="now() + interval '1 hour'")
    outlooks = reading.outlooks(reading.calls().calls)
    assert whole not in outlooks
    assert outlooks[waiting].done_in_s == 50
    assert outlooks[working].done_in_s == 30
    assert outlooks[later].done_in_s == pytest.approx(3650, abs=30)


def test_nothing_is_estimated_before_any_call_was_made(storage: Storage, reading: Reading):
    [call_id] = enter(storage, "a.wav")
    outlook = reading.outlooks(reading.calls().calls)[call_id]
    assert (outlook.place, outlook.done_in_s) == (1, None)
    change(storage, [call_id], away_from="'x'", away_since="now()")
    assert reading.outlooks(reading.calls().calls)[call_id].place is None


def test_a_page_deep_in_the_list_is_as_complete(storage: Storage, reading: Reading):
    enter(storage, *(f"{n}.wav" for n in range(5)))
    assert [len(reading.calls(limit=2, skip=n).calls) for n in (0, 4, 5, 900)] == [2, 1, 0, 0]
    assert timedelta(0) <= datetime.now(UTC) - reading.calls().calls[0].created_at
