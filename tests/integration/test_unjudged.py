"""Mentions that could not be judged: in the database, in what analysts read, and in a terminal."""

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from callpipeline.cli import overview
from callpipeline.cli.retry import Answer, try_calls
from callpipeline.domain.call import CallState, Stage
from callpipeline.domain.notification import EventKind, NotificationChannel, Policy, Routing
from callpipeline.domain.retention import Kept, Periods
from callpipeline.domain.sentiment import Sentiment, Unjudged
from callpipeline.engines.sentiment.apart import unjudged_by
from callpipeline.errors import EngineAway
from callpipeline.pipeline.retention import Retention
from callpipeline.storage.export import Format, What, opened, write
from callpipeline.storage.objects import S3Access, open_store
from callpipeline.storage.results import Results
from callpipeline.storage.retention import Retained
from callpipeline.wiring import Storage
from tests.builders import a_judgement, a_mention, a_transcript, a_write, an_unjudged
from tests.integration.calls import at_once, change, enter, store
from tests.integration.test_cli import Installation
from tests.unit.test_cli import page

SAID = "vodafone and sky and three"
GOOD, LOST, BROKEN = (
    a_mention(name, channel=a_transcript(SAID).channel, char_start=at)
    for name, at in (("Vodafone", 0), ("Sky", 13), ("Three", 21))
)
AGAIN = Stage.COMPETITOR_SENTIMENT


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def here(tmp_path: Path, database_url: str) -> Installation:
    return Installation(tmp_path / "home", database_url)


@pytest.fixture
def call_id(storage: Storage, here: Installation) -> str:
    """A complete call: one mention judged, one tried again by itself, one not."""
    kept = Results(storage.database, open_store(str(here.home / "storage"), S3Access()))
    (call_id,) = enter(storage, "call.wav")
    storage.claims.claim([call_id], "run-1")
    store(storage, call_id, Stage.CHANNEL_AUDIO, Stage.CALL_METRICS)
    kept.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS), [a_transcript(SAID)])
    kept.save_mentions(a_write(call_id, Stage.COMPETITOR_MENTIONS), [GOOD, LOST, BROKEN])
    missing = [an_unjudged(LOST), an_unjudged(BROKEN, transient=False)]
    kept.save_sentiment(a_write(call_id, AGAIN), [a_judgement(GOOD)], missing)
    assert storage.claims.complete(call_id, "run-1") is CallState.COMPLETED
    return call_id


def asked(storage: Storage, statement: str) -> list[dict[str, Any]]:
    with storage.database.transaction() as connection:
        return connection.execute(statement.encode()).fetchall()


def let_wait_pass(storage: Storage) -> None:
    past = "UPDATE unjudged SET not_before = now() WHERE not_before > now() RETURNING 1"
    asked(storage, past)


def test_the_first_wait_is_two_minutes(storage: Storage, call_id: str):
    lost, broken = storage.unjudged.of_calls([call_id])
    assert lost.not_before
    assert 90 < (lost.not_before - datetime.now(UTC)).total_seconds() < 150
    assert broken.not_before is None
    assert storage.unjudged.due(9) == []


def test_those_that_a_person_asked_for_go_first(storage: Storage, call_id: str):
    (other,) = enter(storage, "other.wav")
    storage.claims.claim([other], "run-1")
    store(storage, other, *Stage)
    storage.results.save_mentions(a_write(other, Stage.COMPETITOR_MENTIONS), [LOST])
    storage.results.save_sentiment(a_write(other, AGAIN), [], [an_unjudged(LOST)])
    storage.claims.complete(other, "run-1")
    let_wait_pass(storage)
    assert storage.ledger.retry([other]) == {other}
    assert storage.unjudged.due(9) == [other, call_id]
    assert storage.unjudged.due(1) == [other]


def test_of_runs_that_take_the_same_at_once_one_has_it(storage: Storage, call_id: str):
    let_wait_pass(storage)
    taken = at_once(8, lambda number: storage.unjudged.take(call_id, f"run-{number}"))
    assert sorted(map(len, taken)) == [0] * 7 + [1]
    assert storage.unjudged.of_calls([call_id])[0].tries == 2


def test_a_mention_that_does_not_count_any_more_is_not_asked_for(storage: Storage, call_id: str):
    let_wait_pass(storage)
    asked(storage, "UPDATE mentions SET status = 'rejected' RETURNING 1")
    assert storage.unjudged.due(9) == []
    assert storage.unjudged.take(call_id, "run-2") == frozenset()
    assert storage.unjudged.of_calls([call_id]) == []
    assert storage.unjudged.count().waiting == 0


@pytest.mark.parametrize(
    ("state", "reason"), [("FAILED", "'broken'"), ("PENDING", "NULL"), ("ERASED", "NULL")]
)
def test_only_complete_calls_are_asked_for(storage: Storage, call_id: str, state: str, reason: str):
    let_wait_pass(storage)
    change(storage, [call_id], state=f"'{state}'", error_message=reason)
    assert storage.unjudged.due(9) == []
    assert storage.unjudged.take(call_id, "run-2") == frozenset()


def test_what_was_judged_after_all_is_work_of_its_stage_and_makes_its_day_stale(
    storage: Storage, call_id: str
):
    change(storage, [call_id], updated_at="now() - interval '1 day'")
    let_wait_pass(storage)
    storage.unjudged.enter_run("run-2")
    storage.unjudged.take(call_id, "run-2")
    write_ = a_write(call_id, AGAIN, "run-2")
    storage.unjudged.save(write_, [a_judgement(LOST, Sentiment.NEGATIVE)])
    # Twice, as when the connection was cut after it was committed.
    storage.unjudged.save(write_, [a_judgement(LOST, Sentiment.NEGATIVE)])
    [stage] = asked(storage, f"SELECT run_id, took_s FROM call_stages WHERE stage = '{AGAIN}'")
    assert (stage["run_id"], stage["took_s"]) == ("run-2", 0.5)
    [call] = asked(storage, "SELECT updated_at, state FROM calls")
    assert datetime.now(UTC) - call["updated_at"] < timedelta(minutes=1)
    assert len(storage.results.judgements(call_id)) == 2


def test_a_reason_may_hold_what_a_database_cannot(storage: Storage, call_id: str):
    storage.claims.claim([call_id], "run-1")
    strange = Unjudged(LOST.mention_id, "Sky", "it sent \x00\ud800", "EngineUnavailable", True)
    storage.results.save_sentiment(a_write(call_id, AGAIN), [], [strange])
    assert storage.unjudged.of_calls([call_id])[0].reason == "it sent ??"


def test_what_is_given_up_is_one_message_of_a_call(storage: Storage, call_id: str):
    routing = Routing(frozenset({NotificationChannel.WEBHOOK}))
    now = datetime.now(UTC)
    storage.outbox.gather(Policy(routing), now, [NotificationChannel.WEBHOOK])
    lease = storage.outbox.lease(NotificationChannel.WEBHOOK, now)
    assert lease
    (event,) = storage.outbox.content(lease.notification_id).events
    assert (event.kind, event.call_id) == (EventKind.MENTIONS_UNJUDGED, call_id)
    assert event.message == "They are of Three. The call is complete without them."
    assert f"callpipeline retry {call_id}" in event.metadata["advice"]


def test_with_the_words_goes_what_they_could_be_judged_by(storage: Storage, call_id: str):
    let_wait_pass(storage)
    change(storage, [call_id], first_ended_at="now() - interval '99 days'")
    asked(storage, "UPDATE call_stages SET stored_at = now() - interval '99 days' RETURNING 1")
    periods = Periods({kept: 90 if kept is Kept.TRANSCRIPTS else None for kept in Kept})
    at_hand = Retention(
        Retained(storage.database),
        storage.erasures,
        storage.recordings,
        storage.store,
        periods,
        storage.announcements,
    )
    at_hand.apply(datetime.now(UTC))
    assert storage.unjudged.due(9) == []
    missing = storage.unjudged.of_calls([call_id])
    assert {one.reason for one in missing} == {"What was said was deleted, when its time was over."}
    assert {one.not_before for one in missing} == {None}
    assert storage.ledger.retry([call_id]) == set()


def test_with_a_call_goes_why_it_lacks_judgements(storage: Storage, call_id: str):
    storage.erasures.begin([call_id], keep_recording=True)
    assert asked(storage, "SELECT * FROM unjudged") == []
    assert asked(storage, "SELECT * FROM outbox") == []


# What analysts read


def test_a_view_and_a_trend_know_what_is_not_judged(storage: Storage, call_id: str):
    rows = asked(
        storage,
        "SELECT competitor, sentiment, score, sentiment_status, not_judged_because "
        "FROM analytics.sentiment ORDER BY start_s",
    )
    assert [tuple(row.values()) for row in rows] == [
        ("Vodafone", "positive", 0.7, "judged", None),
        ("Sky", None, None, "waiting", "The judge did not answer."),
        ("Three", None, None, "failed", "The judge did not answer."),
    ]
    [trend] = asked(storage, "SELECT competitor, judged FROM analytics.sentiment_trend")
    assert trend == {"competitor": "Vodafone", "judged": 1}
    named = asked(storage, "SELECT competitor, mentions FROM analytics.competitor_daily")
    assert {row["competitor"]: row["mentions"] for row in named} == dict.fromkeys(
        ("Vodafone", "Sky", "Three"), 1
    )


@pytest.mark.parametrize("format", list(Format))
def test_an_export_has_what_is_not_judged(storage: Storage, call_id: str, format: Format):
    file = io.BytesIO()
    with opened(storage.database, What.MENTIONS, None, None) as table:
        assert write(table, format, file) == 3
    if format is Format.CSV:
        assert b",waiting,The judge did not answer." in file.getvalue()
        return
    rows = (
        pq.read_table(file).to_pylist()
        if format is Format.PARQUET
        else [json.loads(line) for line in file.getvalue().splitlines()]
    )
    found = {row["competitor"]: (row["sentiment"], row["sentiment_status"]) for row in rows}
    assert found["Sky"] == (None, "waiting")
    assert found["Three"] == (None, "failed")


# In a terminal


def test_status_and_show_say_what_is_not_judged_and_until_when(here: Installation, call_id: str):
    status = here.run("status").stdout
    assert "1 mention of 1 call to be judged again, the first at " in status
    assert "1 mention of 1 call could not be judged: `callpipeline retry CALL`" in status
    assert "2 mentions not judged: The judge did not answer." in status
    document = here.json("show", call_id)
    shown = page(document)
    assert "not judged" in shown and "Next try: " in shown and "Not tried again by itself" in shown
    good, lost, broken = document["mentions"]
    assert good["not_judged"] is None
    assert (lost["sentiment"], lost["not_judged"]["tries"]) == (None, 1)
    assert lost["not_judged"]["next_try_at"] and not broken["not_judged"]["next_try_at"]


def test_monitors_are_told_how_many_are_not_judged(storage: Storage, call_id: str):
    counts = overview.unjudged_as_json(storage.unjudged.count())
    assert (counts["waiting"], counts["waiting_calls"]) == (1, 1)
    assert (counts["given_up"], counts["given_up_calls"]) == (1, 1)
    assert datetime.fromisoformat(counts["next_try_at"]) > datetime.now(UTC)
    json.dumps(counts)


def test_where_all_is_judged_nothing_is_said_of_it(storage: Storage):
    assert overview.unjudged_line(storage.unjudged.count()) is None
    assert overview.unjudged_as_json(storage.unjudged.count())["next_try_at"] is None


def test_a_person_can_have_what_is_missing_judged_now(storage: Storage, call_id: str):
    said = "it is COMPLETED; its mentions that could not be judged are tried again"
    assert list(try_calls(storage.ledger, [call_id])) == [Answer(call_id, True, said)]
    assert storage.unjudged.due(9) == [call_id]
    assert storage.unjudged.take(call_id, "run-2") == {LOST.mention_id, BROKEN.mention_id}
    assert [one.tries for one in storage.unjudged.of_calls([call_id])] == [1, 1]
    assert storage.ledger.find(call_id).state is CallState.COMPLETED


JUDGE = "sentiment http://judge"


def turned_away(storage: Storage, call_id: str, run_id: str) -> datetime | None:
    storage.unjudged.enter_run(run_id)
    assert storage.unjudged.take(call_id, run_id)
    away = unjudged_by(EngineAway("it answered 503", 60.0, JUDGE), [LOST])
    return storage.unjudged.save(a_write(call_id, AGAIN, run_id), away)


def test_a_service_that_is_away_costs_a_mention_no_try(storage: Storage, call_id: str):
    storage.outages.begin(JUDGE, "503", 0, 0.0)
    let_wait_pass(storage)
    for number in range(20):
        storage.outages.begin(JUDGE, "503", 0, 0.0)
        assert turned_away(storage, call_id, f"away-{number}")
    lost, _ = storage.unjudged.of_calls([call_id])
    assert (lost.tries, lost.error_class) == (1, "EngineAway")
    storage.outages.begin(JUDGE, "503", 5, 300.0)
    assert storage.unjudged.due(9) == [], "until it is tried"
    assert storage.outages.all()[0].calls == 1
    storage.outages.end(JUDGE)
    assert storage.unjudged.due(9) == [call_id], "at once when it is back, not six hours later"


def test_after_patience_its_tries_count_again(storage: Storage, call_id: str):
    storage.outages.begin(JUDGE, "503", 0, 0.0)
    let_wait_pass(storage)
    turned_away(storage, call_id, "away-1")
    asked(storage, "UPDATE unjudged SET away_since = now() - interval '25 hours' RETURNING 1")
    turned_away(storage, call_id, "away-2")
    lost, _ = storage.unjudged.of_calls([call_id])
    assert lost.tries == 2
