"""From events to notifications: once each, grouped, in time, and until the incident is over."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from callpipeline.domain.calls.call import CallState, Stage
from callpipeline.domain.notifications import (
    EventKind,
    NotificationChannel,
    NotificationEvent,
    QuietHours,
    Severity,
)
from callpipeline.errors import ReceiverGone, UnsupportedAudio
from callpipeline.notify.ports import NotificationMessage
from callpipeline.pipeline.notifications.dispatch import RETRY_WAITS_S
from callpipeline.storage.calls.claims import MAX_ATTEMPTS, MAX_RELEASES, Claims
from callpipeline.wiring import Storage
from tests.fakes.notifiers import DOWN as RECEIVER_DOWN
from tests.integration.calls import change, enter, erase, lose_runs, run_concurrently, store
from tests.integration.databases import execute_sql
from tests.integration.notifying import BROKEN, DOWN, NotificationDesk


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def desk(storage: Storage) -> NotificationDesk:
    return NotificationDesk(storage)


def outbox(desk: NotificationDesk) -> list[Any]:
    url = desk.storage.database.url
    return execute_sql(
        url, "SELECT kind, call_id, stage, error_class FROM outbox ORDER BY occurred_at"
    )


# Events


def test_a_failure_is_added_to_the_outbox_in_the_same_transaction(desk: NotificationDesk):
    [call_id] = desk.fail("a.wav")
    assert outbox(desk) == [("call_failed", call_id, "channel_audio", "UnsupportedAudio")]


def test_a_delayed_call_is_not_added(desk: NotificationDesk):
    [call_id] = enter(desk.storage)
    desk.storage.claims.claim([call_id], "run-1")
    assert desk.storage.claims.fail(call_id, "run-1", "transcripts", DOWN)
    assert outbox(desk) == []


def poison(desk: NotificationDesk, call_id: str) -> None:
    lose_runs(desk.storage, call_id, times=MAX_ATTEMPTS)


def give_up(desk: NotificationDesk, call_id: str) -> None:
    for number in range(MAX_RELEASES):
        desk.storage.claims.claim([call_id], f"run-{number}")
        desk.storage.claims.release(f"run-{number}")


def by_hand(desk: NotificationDesk, call_id: str) -> None:
    change(desk.storage, [call_id], state="'FAILED'", error_message="'by hand'")


@pytest.mark.parametrize("end", [poison, give_up, by_hand])
def test_every_way_to_fail_adds_an_event(
    desk: NotificationDesk, end: Callable[[NotificationDesk, str], None]
):
    [call_id] = enter(desk.storage)
    end(desk, call_id)
    assert [row[:2] for row in outbox(desk)] == [("call_failed", call_id)]


def test_a_rejected_write_adds_no_event(desk: NotificationDesk):
    [call_id] = enter(desk.storage)
    claims = Claims(desk.storage.database)
    claims.claim([call_id], "run-1")
    claims.reclaim(["run-1"])
    with pytest.raises(Exception, match="another run"):
        claims.fail(call_id, "run-1", "transcripts", BROKEN)
    assert outbox(desk) == []


def test_another_failure_of_a_call_is_another_event(desk: NotificationDesk):
    [call_id] = desk.fail("a.wav")
    desk.deliver()
    desk.storage.ledger.retry([call_id])
    desk.storage.claims.claim([call_id], "run-2")
    desk.storage.claims.fail(call_id, "run-2", "channel_audio", BROKEN)
    desk.deliver(after_s=601)
    assert len(desk.webhook.accepted) == 2


def test_events_with_the_same_subject_are_added_once(desk: NotificationDesk):
    lost = NotificationEvent(EventKind.RUN_FAILED, Severity.ERROR, "lost", subject="run_failed:r1")
    entered = run_concurrently(8, lambda _: desk.storage.outbox.add(lost))
    assert sum(event_id is not None for event_id in entered) == 1


def test_a_condition_is_reported_once_by_concurrent_processes(desk: NotificationDesk):
    down = NotificationEvent(
        EventKind.ENGINE_DOWN, Severity.CRITICAL, "down", group_key="engine_down:x"
    )
    assert sum(run_concurrently(8, lambda _: desk.storage.outbox.report(down))) == 1
    desk.deliver()
    assert not desk.storage.outbox.report(down)


# Routing


def test_each_channel_is_notified_once(desk: NotificationDesk):
    [call_id] = desk.fail("2026/a.wav")
    assert len(desk.deliver(times=3)) == 0
    for notifier in desk.notifiers:
        [message] = notifier.accepted
        assert (message.calls[0].call_id, message.calls[0].filename) == (call_id, "a.wav")
        assert message.error_message == "a picture"
        assert message.severity is Severity.ERROR


def test_two_concurrent_dispatchers_notify_once(desk: NotificationDesk):
    desk.fail(*(f"{n}.wav" for n in range(20)))
    for n in range(5):
        desk.custom(f"word {n}")
    run_concurrently(6, lambda _: desk.dispatcher.dispatch())
    desk.deliver()
    for notifier in desk.notifiers:
        assert len(notifier.accepted) == len({m.notification_id for m in notifier.accepted}) == 6


def test_completed_calls_are_notified_if_a_rule_says_so(desk: NotificationDesk):
    desk.complete("a.wav")
    desk.deliver()
    assert desk.webhook.accepted == []
    desk.route(call_completed=[NotificationChannel.WEBHOOK])
    desk.complete("b.wav", notify=desk.policy.routing.notifies_completed)
    desk.deliver()
    assert [len(notifier.accepted) for notifier in desk.notifiers] == [0, 0, 1]
    assert desk.webhook.titles == ["A call completed"]
    assert desk.webhook.accepted[0].type == "job_completed"


def test_rules_route_events(desk: NotificationDesk):
    desk.route(call_failed=[NotificationChannel.SLACK], custom=[])
    desk.fail("a.wav")
    desk.custom()
    desk.deliver()
    assert {n.channel: len(n.accepted) for n in desk.notifiers} == {
        NotificationChannel.EMAIL: 0,
        NotificationChannel.SLACK: 1,
        NotificationChannel.WEBHOOK: 0,
    }


def test_requested_channels_override_rules(desk: NotificationDesk):
    desk.route(custom=[])
    word = NotificationEvent(
        EventKind.CUSTOM, Severity.INFO, "x", channels=(NotificationChannel.EMAIL,)
    )
    desk.storage.outbox.add(word)
    desk.deliver()
    assert [len(notifier.accepted) for notifier in desk.notifiers] == [1, 0, 0]


def test_a_new_channel_is_not_notified_of_earlier_events(desk: NotificationDesk):
    slack = desk.notifiers.pop(1)
    desk.policy = NotificationDesk(desk.storage, desk.notifiers).policy
    desk.policy = type(desk.policy)(type(desk.policy.routing)(frozenset({desk.webhook.channel})))
    desk.fail("a.wav")
    desk.deliver()
    desk.notifiers.append(slack)
    desk.policy = NotificationDesk(desk.storage).policy
    desk.deliver(after_s=1000)
    assert slack.accepted == []


# Grouping


def test_simultaneous_events_are_one_message(desk: NotificationDesk):
    call_ids = desk.fail(*(f"{n:03}.wav" for n in range(50)))
    desk.deliver()
    [message] = desk.webhook.accepted
    assert message.title == "50 calls failed at channel_audio (UnsupportedAudio)"
    assert {call.call_id for call in message.calls} == set(call_ids)


def test_further_events_are_notified_after_the_window(desk: NotificationDesk):
    desk.fail("a.wav")
    desk.deliver()
    desk.fail("b.wav")
    desk.deliver(after_s=100)
    desk.fail("c.wav")
    desk.deliver(after_s=100)
    assert len(desk.webhook.accepted) == 1
    desk.deliver(after_s=401)
    opening, update = desk.webhook.accepted
    assert update.title == "2 more calls failed at channel_audio (UnsupportedAudio)"
    assert update.first_receipt == "accepted-1"
    assert update.first_id == opening.notification_id
    assert "3 in total" in update.context[0]


def test_other_stages_and_classes_are_separate_messages(desk: NotificationDesk):
    desk.fail("a.wav")
    desk.fail("b.wav", error=UnsupportedAudio("x"), stage=Stage.TRANSCRIPTS)
    desk.fail("c.wav", error=DOWN)
    desk.deliver()
    assert len(desk.webhook.accepted) == 3
    assert all(message.first_receipt is None for message in desk.webhook.accepted)


def test_an_incident_starts_again_after_a_quiet_window(desk: NotificationDesk):
    desk.fail("a.wav")
    desk.deliver()
    desk.deliver(after_s=700)
    desk.deliver(after_s=700)
    desk.fail("b.wav")
    desk.deliver()
    assert [message.first_receipt for message in desk.webhook.accepted] == [None, None]


def test_custom_events_are_never_grouped(desk: NotificationDesk):
    for number in range(3):
        desk.custom(f"word {number}")
    desk.deliver()
    assert sorted(desk.webhook.titles) == ["word 0", "word 1", "word 2"]


def test_a_thousand_failures_are_at_most_three_messages(desk: NotificationDesk):
    """Even if receivers are unavailable for half an hour, nothing is lost (row 13)."""
    keys = [f"{number:04}.wav" for number in range(1000)]
    for notifier in desk.notifiers:
        notifier.refusal = RECEIVER_DOWN
    failed = desk.fail(*keys[:300], error=DOWN)
    desk.deliver()
    failed += desk.fail(*keys[300:], error=DOWN)
    desk.deliver(after_s=10, times=180)
    assert desk.webhook.accepted == []
    for notifier in desk.notifiers:
        notifier.refusal = None
    desk.deliver(after_s=60, times=30)
    desk.complete("well.wav")
    move_stages_to_past(desk)
    desk.deliver(after_s=60, times=20)
    for notifier in desk.notifiers:
        reported = {c["job_id"] for m in notifier.accepted for c in m.metadata["calls"]}
        print(f"{notifier.channel}: {len(notifier.accepted)} messages of {len(reported)} calls")
        assert reported == set(failed)
        assert len(notifier.accepted) <= 3
        assert [m.is_recovery for m in notifier.accepted] == [False, False, True]


def move_stages_to_past(desk: NotificationDesk, ahead: str = "1 hour") -> None:
    """Move stored stages after the failures by the simulated clock."""
    with desk.storage.database.transaction() as connection:
        later = f"UPDATE call_stages SET stored_at = now() + interval '{ahead}'"
        connection.execute(later.encode())


# Recovery


def test_transient_failures_recover_when_the_stage_works_again(desk: NotificationDesk):
    failed = desk.fail("a.wav", "b.wav", error=DOWN, stage=Stage.TRANSCRIPTS)
    desk.deliver()
    desk.deliver(after_s=700)
    assert len(desk.webhook.accepted) == 1
    desk.complete("well.wav")
    desk.deliver()
    opening, recovery = desk.webhook.accepted
    assert recovery.is_recovery
    assert recovery.severity is Severity.INFO
    assert recovery.title == "transcripts works again"
    assert recovery.first_receipt == "accepted-1"
    assert recovery.error_message is None
    assert "2 calls are still FAILED" in recovery.context[1]
    assert {c.call_id for c in recovery.calls} == set(failed)
    desk.deliver(after_s=700, times=3)
    assert len(desk.webhook.accepted) == 2
    assert not opening.is_recovery


def test_no_recovery_is_sent_while_failures_continue(desk: NotificationDesk):
    desk.fail("a.wav", error=DOWN)
    desk.deliver()
    desk.complete("well.wav")
    desk.deliver(after_s=300)
    assert len(desk.webhook.accepted) == 1


def test_permanent_failures_do_not_recover(desk: NotificationDesk):
    desk.fail("a.wav", error=BROKEN)
    desk.deliver()
    desk.complete("well.wav")
    desk.deliver(after_s=700, times=3)
    assert len(desk.webhook.accepted) == 1


def report(desk: NotificationDesk) -> bool:
    return desk.storage.outbox.report(
        NotificationEvent(
            EventKind.SENSOR_FAILING,
            Severity.ERROR,
            "The sensor x fails",
            group_key="sensor_failing:x",
            recovers=True,
            metadata={"over": "The sensor x works again"},
        ),
        desk.now,
    )


def test_a_cleared_condition_recovers(desk: NotificationDesk):
    report(desk)
    desk.deliver()
    assert desk.storage.outbox.open_groups(EventKind.SENSOR_FAILING) == {"sensor_failing:x"}
    desk.storage.outbox.clear(["sensor_failing:x"], desk.now)
    desk.deliver()
    assert desk.webhook.titles == ["The sensor x fails", "The sensor x works again"]
    assert desk.storage.outbox.open_groups(EventKind.SENSOR_FAILING) == set()


def test_a_flapping_condition_is_not_notified_each_time(desk: NotificationDesk):
    for _ in range(40):
        report(desk)
        desk.deliver(after_s=30)
        desk.storage.outbox.clear(["sensor_failing:x"], desk.now)
        desk.deliver(after_s=30)
    recoveries = [message.is_recovery for message in desk.webhook.accepted]
    print(f"40 times in 40 minutes: {len(recoveries)} messages")
    assert len(recoveries) <= 10
    assert recoveries.count(True) <= 5
    assert len({message.thread_id for message in desk.webhook.accepted}) == 1


def test_a_condition_that_returns_is_news(desk: NotificationDesk):
    report(desk)
    desk.deliver()
    desk.storage.outbox.clear(["sensor_failing:x"], desk.now)
    desk.deliver(after_s=5)
    report(desk)
    desk.deliver(after_s=5)
    desk.deliver(after_s=700)
    assert [(m.is_recovery, m.is_news) for m in desk.webhook.accepted] == [
        (False, True),
        (True, True),
        (False, True),
    ]
    assert desk.webhook.accepted[2].first_receipt == "accepted-1"


def test_a_more_severe_event_is_notified_at_once(desk: NotificationDesk):
    desk.fail("a.wav", error=DOWN, stage=Stage.TRANSCRIPTS)
    desk.deliver()
    down(desk)
    desk.deliver(after_s=10)
    assert desk.webhook.titles[1] == "The recogniser is down"
    assert desk.webhook.accepted[1].is_news
    assert desk.webhook.accepted[1].first_receipt == "accepted-1"


def down(desk: NotificationDesk) -> bool:
    return desk.storage.outbox.report(
        NotificationEvent(
            EventKind.ENGINE_DOWN,
            Severity.CRITICAL,
            "The recogniser is down",
            group_key="call_failed:transcripts:EngineUnavailable",
            recovers=True,
            stage="transcripts",
            metadata={"over": "The recogniser works again"},
        ),
        desk.now,
    )


def test_an_outage_is_a_thread_of_three_messages(desk: NotificationDesk):
    """The engine, the calls that fail because of it, and the recovery."""
    assert down(desk)
    desk.deliver()
    assert not down(desk)
    desk.fail(*(f"{n}.wav" for n in range(200)), error=DOWN, stage=Stage.TRANSCRIPTS)
    desk.deliver(after_s=60, times=11)
    desk.complete("well.wav")
    move_stages_to_past(desk)
    desk.deliver(after_s=700)
    assert desk.webhook.titles == [
        "The recogniser is down",
        "200 calls failed at transcripts (EngineUnavailable)",
        "The recogniser works again",
    ]
    assert "200 calls are still FAILED" in desk.webhook.accepted[2].context[1]


def test_an_engine_recovers_even_after_days_without_calls(desk: NotificationDesk):
    down(desk)
    desk.deliver()
    desk.deliver(after_s=24 * 3600, times=3)
    assert len(desk.webhook.accepted) == 1
    desk.complete("well.wav")
    move_stages_to_past(desk, "4 days")
    desk.deliver()
    assert desk.webhook.titles[1] == "The recogniser works again"


def test_a_lasting_condition_is_notified_once_a_day(desk: NotificationDesk):
    for _ in range(3 * 24):
        report(desk)
        desk.deliver(after_s=3600)
    assert 3 <= len(desk.webhook.accepted) <= 4


# Quiet hours


def start_quiet_hours(desk: NotificationDesk) -> None:
    """Start quiet hours, which last for another hour."""
    here = desk.now
    hours = [(here + timedelta(hours=h)).time().replace(microsecond=0) for h in (-1, 1)]
    quiet = QuietHours(hours[0], hours[1], ZoneInfo("UTC"))
    desk.policy = type(desk.policy)(desk.policy.routing, quiet=quiet)


def test_in_quiet_hours_only_critical_events_are_notified(desk: NotificationDesk):
    start_quiet_hours(desk)
    desk.fail("a.wav", "b.wav")
    desk.custom("Fire", Severity.CRITICAL)
    desk.deliver()
    desk.deliver(after_s=1200)
    assert desk.webhook.titles == ["Fire"]
    desk.deliver(after_s=2500)
    assert desk.webhook.titles[1:] == ["2 calls failed at channel_audio (UnsupportedAudio)"]


def test_an_incident_within_quiet_hours_is_notified_as_resolved(desk: NotificationDesk):
    start_quiet_hours(desk)
    report(desk)
    desk.deliver()
    desk.storage.outbox.clear(["sensor_failing:x"], desk.now)
    desk.deliver(after_s=60)
    assert desk.webhook.accepted == []
    desk.deliver(after_s=3700)
    [message] = desk.webhook.accepted
    assert "Resolved by" in message.context[0]


def test_a_critical_incident_is_followed_in_quiet_hours(desk: NotificationDesk):
    start_quiet_hours(desk)
    down(desk)
    desk.deliver()
    desk.storage.outbox.clear(["call_failed:transcripts:EngineUnavailable"], desk.now)
    desk.deliver(after_s=60)
    assert [m.is_recovery for m in desk.webhook.accepted] == [False, True]
    down(desk)
    desk.deliver(after_s=60)
    desk.deliver(after_s=700)
    assert [m.is_recovery for m in desk.webhook.accepted] == [False, True, False]


def test_no_recovery_is_sent_after_quiet_hours_if_the_condition_returned(desk: NotificationDesk):
    report(desk)
    desk.deliver()
    start_quiet_hours(desk)
    desk.storage.outbox.clear(["sensor_failing:x"], desk.now)
    desk.deliver(after_s=60)
    report(desk)
    desk.deliver(after_s=60)
    desk.deliver(after_s=3700)
    desk.deliver(after_s=700)
    assert [m.is_recovery for m in desk.webhook.accepted] == [False, False]


# Deliveries


def attempts(desk: NotificationDesk, notification_id: str) -> list[Any]:
    return execute_sql(
        desk.storage.database.url,
        "SELECT attempt, accepted, code, answer FROM deliveries "
        f"WHERE notification_id = '{notification_id}' ORDER BY attempt",
    )


def test_rejected_messages_are_retried_with_a_backoff(desk: NotificationDesk):
    desk.webhook.refusal = RECEIVER_DOWN
    desk.fail("a.wav")
    desk.deliver()
    desk.deliver(after_s=5)
    assert desk.webhook.attempts == 1
    desk.deliver(after_s=6)
    desk.deliver(after_s=11)
    assert desk.webhook.attempts == 2
    desk.deliver(after_s=20)
    desk.webhook.refusal = None
    [tried] = desk.deliver(after_s=61)
    assert attempts(desk, tried.notification_id) == [
        (1, False, "503", "503 down for maintenance"),
        (2, False, "503", "503 down for maintenance"),
        (3, False, "503", "503 down for maintenance"),
        (4, True, "ok", "ok"),
    ]
    assert [n.attempts for n in desk.notifiers] == [1, 1, 4]


def test_retries_respect_the_retry_after_of_the_receiver(desk: NotificationDesk):
    desk.webhook.refusal = type(RECEIVER_DOWN)("429", "429 slow down", retry_after_s=90)
    desk.fail("a.wav")
    desk.deliver()
    desk.deliver(after_s=80)
    assert desk.webhook.attempts == 1
    desk.deliver(after_s=11)
    assert desk.webhook.attempts == 2


def test_a_message_is_given_up_after_a_day_and_can_be_resent(desk: NotificationDesk):
    desk.webhook.refusal = RECEIVER_DOWN
    desk.fail("a.wav")
    desk.deliver(times=30, after_s=7 * 3600)
    assert desk.webhook.attempts == len(RETRY_WAITS_S) + 1
    url = desk.storage.database.url
    assert ("GAVE_UP",) in execute_sql(url, "SELECT state FROM notifications")
    desk.webhook.refusal = None
    [again] = desk.storage.notifications.resend([], undelivered=True, now=desk.now)
    desk.deliver()
    assert [message.notification_id for message in desk.webhook.accepted] == [again]


def test_delayed_messages_are_sent_once_a_channel_works_again(desk: NotificationDesk):
    desk.webhook.refusal = RECEIVER_DOWN
    desk.fail("a.wav")
    desk.custom("one")
    desk.deliver(times=9, after_s=601)
    desk.webhook.refusal = None
    desk.custom("two")
    desk.deliver()
    assert len(desk.webhook.accepted) == 3


def test_an_unsubscribed_receiver_gets_no_messages(desk: NotificationDesk):
    desk.webhook.refusal = ReceiverGone("410", "410 gone")
    desk.fail("a.wav")
    desk.deliver()
    desk.fail("b.wav", error=DOWN)
    for number in range(20):
        desk.custom(f"word {number}")
    desk.deliver(after_s=1000, times=5)
    assert desk.webhook.attempts == 1
    assert desk.storage.outbox.unsubscribed()[NotificationChannel.WEBHOOK]["answer"] == "410 gone"
    desk.webhook.refusal = None
    assert desk.storage.outbox.resubscribe(NotificationChannel.WEBHOOK)
    desk.deliver()
    assert desk.webhook.accepted == [], "what happened meanwhile does not come by itself"
    desk.custom("after")
    desk.deliver()
    assert desk.webhook.titles == ["after"]
    assert desk.storage.notifications.backlog()[1].given_up == 22
    desk.storage.notifications.resend([], undelivered=True, now=desk.now)
    desk.deliver()
    assert len(desk.webhook.accepted) == 1 + 22, "and is there for who asks for it"


def test_grouped_events_are_not_lost_by_a_410(desk: NotificationDesk):
    desk.fail("a.wav")
    desk.deliver()
    desk.fail(*(f"{n}.wav" for n in range(30)))
    desk.webhook.refusal = ReceiverGone("410", "410 gone")
    desk.custom("word")
    desk.deliver(after_s=10)
    desk.deliver(after_s=700)
    desk.webhook.refusal = None
    desk.storage.outbox.resubscribe(NotificationChannel.WEBHOOK)
    desk.storage.notifications.resend([], undelivered=True, now=desk.now)
    desk.deliver()
    assert "30 more calls failed at channel_audio (UnsupportedAudio)" in desk.webhook.titles


def test_demo_calls_are_not_notified(desk: NotificationDesk):
    shown = desk.fail("show.wav")
    desk.storage.outbox.suppress(shown)
    desk.deliver()
    assert desk.webhook.accepted == []


def open_incidents(desk: NotificationDesk) -> int:
    url = desk.storage.database.url
    return execute_sql(url, "SELECT count(*) FROM incidents WHERE closed_at IS NULL")[0][0]


def test_a_removed_channel_keeps_no_incident_open(desk: NotificationDesk):
    desk.webhook.refusal = RECEIVER_DOWN
    desk.fail("a.wav")
    desk.deliver()
    desk.notifiers.remove(desk.webhook)
    desk.deliver(after_s=700, times=2)
    assert open_incidents(desk) == 0
    assert all(b.waiting == 0 for b in desk.storage.notifications.backlog())


def test_a_message_rejected_for_its_content_is_retried_for_a_day(desk: NotificationDesk):
    """Others that arrive do not use up its attempts."""
    webhook = desk.webhook
    desk.custom("poison")

    def refuse_poison(message: NotificationMessage) -> None:
        if message.title == "poison":
            webhook.accepted.remove(message)
            raise RECEIVER_DOWN

    webhook.on_accept = refuse_poison
    desk.deliver()
    for number in range(40):
        desk.custom(f"word {number}")
        desk.deliver(after_s=10)
    [(attempts, state)] = execute_sql(
        desk.storage.database.url,
        "SELECT attempts, state FROM notifications "
        "WHERE channel = 'webhook' AND state <> 'DELIVERED'",
    )
    assert (state, attempts < 8) == ("PENDING", True)
    assert len(webhook.accepted) == 40


def test_a_requested_delay_is_not_cut_short(desk: NotificationDesk):
    webhook = desk.webhook
    webhook.refusal = type(RECEIVER_DOWN)("429", "429", retry_after_s=3600)
    desk.custom("one")
    desk.deliver()
    webhook.refusal = None
    desk.custom("two")
    desk.deliver(after_s=60)
    desk.deliver(after_s=60)
    assert webhook.titles == ["two"]
    desk.deliver(after_s=3600)
    assert webhook.titles == ["two", "one"]


def test_messages_of_an_incident_are_delivered_in_order(desk: NotificationDesk):
    desk.webhook.refusal = RECEIVER_DOWN
    report(desk)
    desk.deliver()
    desk.storage.outbox.clear(["sensor_failing:x"], desk.now)
    desk.deliver(after_s=5)
    desk.webhook.refusal = None
    desk.deliver(after_s=60, times=2)
    assert [message.is_recovery for message in desk.webhook.accepted] == [False, True]


def test_a_delivery_that_was_not_recorded_is_repeated_with_the_same_id(desk: NotificationDesk):
    def die(message: object) -> None:
        desk.webhook.on_accept = lambda _: None
        raise SystemExit

    desk.webhook.on_accept = die
    desk.fail("a.wav")
    with pytest.raises(SystemExit):
        desk.deliver()
    desk.deliver(after_s=60)
    assert len(desk.webhook.accepted) == 1
    desk.deliver(after_s=61)
    first, again = desk.webhook.accepted
    assert first.notification_id == again.notification_id
    assert first.metadata["event_ids"] == again.metadata["event_ids"]
    desk.deliver(after_s=1000)
    assert len(desk.webhook.accepted) == 2


def test_a_message_that_cannot_be_composed_does_not_delay_others(desk: NotificationDesk):
    def stumble(message: object) -> None:
        desk.webhook.on_accept = lambda _: None
        raise ValueError("a fault of ours")

    desk.webhook.on_accept = stumble
    desk.custom("one")
    desk.custom("two")
    desk.deliver()
    desk.deliver(after_s=1)
    assert len(set(desk.webhook.titles)) == 2


def test_erased_calls_are_not_notified(desk: NotificationDesk):
    [call_id] = desk.fail("a.wav")
    desk.webhook.refusal = RECEIVER_DOWN
    desk.deliver()
    erase(desk.storage, call_id)
    execute_sql(desk.storage.database.url, "DELETE FROM outbox")
    desk.webhook.refusal = None
    [tried] = desk.deliver(after_s=60)
    assert (tried.outcome.accepted, tried.outcome.code) == (True, "nothing")
    assert desk.webhook.accepted == []


def test_recovered_calls_are_counted(desk: NotificationDesk):
    [call_id] = desk.fail("a.wav", error=DOWN, stage=Stage.TRANSCRIPTS)
    desk.deliver()
    desk.storage.ledger.retry([call_id])
    desk.storage.claims.claim([call_id], "run-3")
    store(desk.storage, call_id, *Stage, run_id="run-3")
    assert desk.storage.claims.complete(call_id, "run-3") is CallState.COMPLETED
    desk.deliver(after_s=700)
    assert "No calls are failing any more" in desk.webhook.accepted[-1].context[1]
