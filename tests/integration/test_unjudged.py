"""Mentions that could not be judged: in the database, in what analysts read, and in a terminal."""

import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from callpipeline.cli.calls import status as overview
from callpipeline.cli.calls.processing import RetryOutcome, retry_calls
from callpipeline.domain.calls.call import CallState, RetentionClass, RetentionPeriods, Stage
from callpipeline.domain.notifications import (
    EventKind,
    NotificationChannel,
    NotificationPolicy,
    Routing,
)
from callpipeline.domain.sentiment import Sentiment, UnjudgedMention, mark_unjudged
from callpipeline.errors import ServiceUnavailable
from callpipeline.pipeline.erasure import Retention
from callpipeline.storage.erasure import RetentionStore
from callpipeline.storage.objects.urls import S3Access, open_store
from callpipeline.storage.reading.export import Dataset, ExportFormat, open_export, write_export
from callpipeline.storage.results.results import Results
from callpipeline.wiring import Storage
from tests.builders import a_judgement, a_mention, a_transcript, a_write, an_unjudged
from tests.integration.calls import change, enter, run_concurrently, store
from tests.integration.command_line import Installation
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
    """A completed call: one mention judged, one retried automatically, one not."""
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


def skip_wait(storage: Storage) -> None:
    past = "UPDATE unjudged SET next_attempt_at = now() WHERE next_attempt_at > now() RETURNING 1"
    asked(storage, past)


def test_the_first_wait_is_two_minutes(storage: Storage, call_id: str):
    lost, broken = storage.unjudged.of_calls([call_id])
    assert lost.next_attempt_at
    assert 90 < (lost.next_attempt_at - datetime.now(UTC)).total_seconds() < 150
    assert broken.next_attempt_at is None
    assert storage.unjudged.due(9) == []


def test_requested_retries_come_first(storage: Storage, call_id: str):
    (other,) = enter(storage, "other.wav")
    storage.claims.claim([other], "run-1")
    store(storage, other, *Stage)
    storage.results.save_mentions(a_write(other, Stage.COMPETITOR_MENTIONS), [LOST])
    storage.results.save_sentiment(a_write(other, AGAIN), [], [an_unjudged(LOST)])
    storage.claims.complete(other, "run-1")
    skip_wait(storage)
    assert storage.ledger.retry([other]) == {other}
    assert storage.unjudged.due(9) == [other, call_id]
    assert storage.unjudged.due(1) == [other]


def test_of_concurrent_claims_one_succeeds(storage: Storage, call_id: str):
    skip_wait(storage)
    taken = run_concurrently(8, lambda number: storage.unjudged.claim(call_id, f"run-{number}"))
    assert sorted(map(len, taken)) == [0] * 7 + [1]
    assert storage.unjudged.of_calls([call_id])[0].tries == 2


def test_a_mention_that_no_longer_counts_is_not_judged(storage: Storage, call_id: str):
    skip_wait(storage)
    asked(storage, "UPDATE mentions SET status = 'dismissed' RETURNING 1")
    assert storage.unjudged.due(9) == []
    assert storage.unjudged.claim(call_id, "run-2") == frozenset()
    assert storage.unjudged.of_calls([call_id]) == []
    assert storage.unjudged.count().waiting == 0


@pytest.mark.parametrize(
    ("state", "reason"), [("FAILED", "'broken'"), ("PENDING", "NULL"), ("ERASED", "NULL")]
)
def test_only_completed_calls_are_due(storage: Storage, call_id: str, state: str, reason: str):
    skip_wait(storage)
    change(storage, [call_id], state=f"'{state}'", error_message=reason)
    assert storage.unjudged.due(9) == []
    assert storage.unjudged.claim(call_id, "run-2") == frozenset()


def test_a_late_judgement_adds_work_to_its_stage_and_makes_its_day_stale(
    storage: Storage, call_id: str
):
    change(storage, [call_id], updated_at="now() - interval '1 day'")
    skip_wait(storage)
    storage.unjudged.register_run("run-2")
    storage.unjudged.claim(call_id, "run-2")
    write_ = a_write(call_id, AGAIN, "run-2")
    storage.unjudged.save(write_, [a_judgement(LOST, Sentiment.NEGATIVE)])
    # Twice, as if the connection was cut after the commit.
    storage.unjudged.save(write_, [a_judgement(LOST, Sentiment.NEGATIVE)])
    [stage] = asked(storage, f"SELECT run_id, took_s FROM call_stages WHERE stage = '{AGAIN}'")
    assert (stage["run_id"], stage["took_s"]) == ("run-2", 0.5)
    [call] = asked(storage, "SELECT updated_at, state FROM calls")
    assert datetime.now(UTC) - call["updated_at"] < timedelta(minutes=1)
    assert len(storage.results.judgements(call_id)) == 2


def test_a_reason_may_contain_characters_that_postgres_rejects(storage: Storage, call_id: str):
    storage.claims.claim([call_id], "run-1")
    strange = UnjudgedMention(
        LOST.mention_id, "Sky", "it sent \x00\ud800", "EngineUnavailable", True
    )
    storage.results.save_sentiment(a_write(call_id, AGAIN), [], [strange])
    assert storage.unjudged.of_calls([call_id])[0].reason == "it sent ??"


def test_mentions_that_are_given_up_are_one_event_per_call(storage: Storage, call_id: str):
    routing = Routing(frozenset({NotificationChannel.WEBHOOK}))
    now = datetime.now(UTC)
    storage.outbox.create_notifications(
        NotificationPolicy(routing), now, [NotificationChannel.WEBHOOK]
    )
    lease = storage.outbox.lease(NotificationChannel.WEBHOOK, now)
    assert lease
    (event,) = storage.outbox.content(lease.notification_id).events
    assert (event.kind, event.call_id) == (EventKind.MENTIONS_UNJUDGED, call_id)
    assert event.message == "Competitors: Three. The call is complete without them."
    assert f"callpipeline retry {call_id}" in event.metadata["advice"]


def test_mentions_cannot_be_judged_after_their_transcript_is_deleted(
    storage: Storage, call_id: str
):
    skip_wait(storage)
    change(storage, [call_id], first_ended_at="now() - interval '99 days'")
    asked(storage, "UPDATE call_stages SET stored_at = now() - interval '99 days' RETURNING 1")
    periods = RetentionPeriods(
        {kept: 90 if kept is RetentionClass.TRANSCRIPTS else None for kept in RetentionClass}
    )
    at_hand = Retention(
        RetentionStore(storage.database),
        storage.erasures,
        storage.recordings,
        storage.store,
        periods,
        storage.announcements,
    )
    at_hand.apply(datetime.now(UTC))
    assert storage.unjudged.due(9) == []
    missing = storage.unjudged.of_calls([call_id])
    assert {one.reason for one in missing} == {
        "The transcript was deleted under your retention policy."
    }
    assert {one.next_attempt_at for one in missing} == {None}
    assert storage.ledger.retry([call_id]) == set()


def test_unjudged_rows_are_deleted_with_their_call(storage: Storage, call_id: str):
    storage.erasures.begin([call_id], keep_recording=True)
    assert asked(storage, "SELECT * FROM unjudged") == []
    assert asked(storage, "SELECT * FROM outbox") == []


# Views and exports


def test_views_include_unjudged_mentions(storage: Storage, call_id: str):
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


@pytest.mark.parametrize("format", list(ExportFormat))
def test_exports_include_unjudged_mentions(storage: Storage, call_id: str, format: ExportFormat):
    file = io.BytesIO()
    with open_export(storage.database, Dataset.MENTIONS, None, None) as table:
        assert write_export(table, format, file) == 3
    if format is ExportFormat.XLSX:
        with zipfile.ZipFile(file) as book:
            sheet = book.read("xl/worksheets/sheet1.xml")
        assert b"<t>waiting</t>" in sheet and b"<t>The judge did not answer.</t>" in sheet
        return
    if format is ExportFormat.CSV:
        assert b",waiting,The judge did not answer." in file.getvalue()
        return
    rows = (
        pq.read_table(file).to_pylist()
        if format is ExportFormat.PARQUET
        else [json.loads(line) for line in file.getvalue().splitlines()]
    )
    found = {row["competitor"]: (row["sentiment"], row["sentiment_status"]) for row in rows}
    assert found["Sky"] == (None, "waiting")
    assert found["Three"] == (None, "failed")


# Commands


def test_status_and_show_report_unjudged_mentions(here: Installation, call_id: str):
    status = here.run("status").stdout
    assert "1 mention in 1 call waiting for another judgement, the first at " in status
    assert "1 mention in 1 call couldn't be judged; run `callpipeline retry CALL`" in status
    assert "2 mentions not judged: The judge did not answer." in status
    document = here.json("show", call_id)
    shown = page(document)
    assert (
        "not judged" in shown and "Next attempt: " in shown and "No more automatic retries" in shown
    )
    good, lost, broken = document["mentions"]
    assert good["not_judged"] is None
    assert (lost["sentiment"], lost["not_judged"]["tries"]) == (None, 1)
    assert lost["not_judged"]["next_try_at"] and not broken["not_judged"]["next_try_at"]


def test_metrics_count_unjudged_mentions(storage: Storage, call_id: str):
    counts = overview.unjudged_as_json(storage.unjudged.count())
    assert (counts["waiting"], counts["waiting_calls"]) == (1, 1)
    assert (counts["given_up"], counts["given_up_calls"]) == (1, 1)
    assert datetime.fromisoformat(counts["next_try_at"]) > datetime.now(UTC)
    json.dumps(counts)


def test_nothing_is_reported_when_all_mentions_are_judged(storage: Storage):
    assert overview.unjudged_line(storage.unjudged.count()) is None
    assert overview.unjudged_as_json(storage.unjudged.count())["next_try_at"] is None


def test_unjudged_mentions_can_be_retried_now(storage: Storage, call_id: str):
    reason = "completed; judging its unjudged mentions again"
    assert list(retry_calls(storage.ledger, [call_id])) == [RetryOutcome(call_id, True, reason)]
    assert storage.unjudged.due(9) == [call_id]
    assert storage.unjudged.claim(call_id, "run-2") == {LOST.mention_id, BROKEN.mention_id}
    assert [one.tries for one in storage.unjudged.of_calls([call_id])] == [1, 1]
    assert storage.ledger.find(call_id).state is CallState.COMPLETED


JUDGE = "sentiment http://judge"


def service_unavailable(storage: Storage, call_id: str, run_id: str) -> datetime | None:
    storage.unjudged.register_run(run_id)
    assert storage.unjudged.claim(call_id, run_id)
    away = mark_unjudged(ServiceUnavailable("it answered 503", 60.0, JUDGE), [LOST])
    return storage.unjudged.save(a_write(call_id, AGAIN, run_id), away)


def test_an_unavailable_service_uses_up_no_attempt(storage: Storage, call_id: str):
    storage.outages.begin(JUDGE, "503", 0, 0.0)
    skip_wait(storage)
    for number in range(20):
        storage.outages.begin(JUDGE, "503", 0, 0.0)
        assert service_unavailable(storage, call_id, f"away-{number}")
    lost, _ = storage.unjudged.of_calls([call_id])
    assert (lost.tries, lost.error_class) == (1, "ServiceUnavailable")
    storage.outages.begin(JUDGE, "503", 5, 300.0)
    assert storage.unjudged.due(9) == [], "until it is tried"
    assert storage.outages.all()[0].calls == 1
    storage.outages.end(JUDGE)
    assert storage.unjudged.due(9) == [call_id], "at once when it is back, not six hours later"


def test_attempts_count_again_after_patience_runs_out(storage: Storage, call_id: str):
    storage.outages.begin(JUDGE, "503", 0, 0.0)
    skip_wait(storage)
    service_unavailable(storage, call_id, "away-1")
    asked(
        storage, "UPDATE unjudged SET unavailable_since = now() - interval '25 hours' RETURNING 1"
    )
    service_unavailable(storage, call_id, "away-2")
    lost, _ = storage.unjudged.of_calls([call_id])
    assert lost.tries == 2
