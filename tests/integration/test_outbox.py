"""From what happens to what people are told: once each, together, in time, and until it is over."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from callpipeline.domain.call import CallState, Stage
from callpipeline.domain.notification import (
    EventKind,
    NotificationChannel,
    Occurrence,
    QuietHours,
    Severity,
)
from callpipeline.errors import ReceiverGone, UnsupportedAudio
from callpipeline.notify.message import Message
from callpipeline.pipeline.dispatch import WAITS_S
from callpipeline.storage.claims import Claims
from callpipeline.storage.tries import MAX_ATTEMPTS, MAX_GIVEN_BACK
from callpipeline.wiring import Storage
from tests.fakes.notifiers import DOWN as RECEIVER_DOWN
from tests.integration.calls import at_once, change, enter, erase, lose, store
from tests.integration.databases import asked
from tests.integration.telling import BROKEN, DOWN, Desk


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def desk(storage: Storage) -> Desk:
    return Desk(storage)


def outbox(desk: Desk) -> list[Any]:
    url = desk.storage.database.url
    return asked(url, "SELECT kind, call_id, stage, error_class FROM outbox ORDER BY occurred_at")


# What is entered


def test_a_call_that_fails_is_in_the_outbox_by_the_same_transaction(desk: Desk):
    [call_id] = desk.fail("a.wav")
    assert outbox(desk) == [("call_failed", call_id, "channel_audio", "UnsupportedAudio")]


def test_a_call_that_waits_for_its_next_try_is_not(desk: Desk):
    [call_id] = enter(desk.storage)
    desk.storage.claims.claim([call_id], "run-1")
    assert desk.storage.claims.fail(call_id, "run-1", "transcripts", DOWN)
    assert outbox(desk) == []


def poison(desk: Desk, call_id: str) -> None:
    lose(desk.storage, call_id, times=MAX_ATTEMPTS)


def give_up(desk: Desk, call_id: str) -> None:
    for number in range(MAX_GIVEN_BACK):
        desk.storage.claims.claim([call_id], f"run-{number}")
        desk.storage.claims.give_back(f"run-{number}")


def by_hand(desk: Desk, call_id: str) -> None:
    change(desk.storage, [call_id], state="'FAILED'", error_message="'by hand'")


@pytest.mark.parametrize("end", [poison, give_up, by_hand])
def test_whatever_lets_a_call_fail_tells_of_it(desk: Desk, end: Callable[[Desk, str], None]):
    [call_id] = enter(desk.storage)
    end(desk, call_id)
    assert [row[:2] for row in outbox(desk)] == [("call_failed", call_id)]


def test_a_write_that_is_refused_tells_nothing(desk: Desk):
    [call_id] = enter(desk.storage)
    claims = Claims(desk.storage.database)
    claims.claim([call_id], "run-1")
    claims.release(["run-1"])
    with pytest.raises(Exception, match="another run"):
        claims.fail(call_id, "run-1", "transcripts", BROKEN)
    assert outbox(desk) == []


def test_a_call_that_fails_again_is_told_again(desk: Desk):
    [call_id] = desk.fail("a.wav")
    desk.look()
    desk.storage.ledger.retry([call_id])
    desk.storage.claims.claim([call_id], "run-2")
    desk.storage.claims.fail(call_id, "run-2", "channel_audio", BROKEN)
    desk.look(after_s=601)
    assert len(desk.webhook.taken) == 2


def test_what_happened_once_is_entered_once(desk: Desk):
    lost = Occurrence(EventKind.RUN_FAILED, Severity.ERROR, "lost", subject="run_failed:r1")
    entered = at_once(8, lambda _: desk.storage.outbox.add(lost))
    assert sum(event_id is not None for event_id in entered) == 1


def test_what_is_wrong_is_reported_once_by_all_who_see_it(desk: Desk):
    down = Occurrence(EventKind.ENGINE_DOWN, Severity.CRITICAL, "down", group_key="engine_down:x")
    assert sum(at_once(8, lambda _: desk.storage.outbox.report(down))) == 1
    desk.look()
    assert not desk.storage.outbox.report(down)


# Whom it is told


def test_each_channel_is_told_once(desk: Desk):
    [call_id] = desk.fail("2026/a.wav")
    assert len(desk.look(times=3)) == 0
    for notifier in desk.notifiers:
        [message] = notifier.taken
        assert (message.calls[0].call_id, message.calls[0].filename) == (call_id, "a.wav")
        assert message.error_message == "a picture"
        assert message.severity is Severity.ERROR


def test_two_that_look_at_once_tell_it_once(desk: Desk):
    desk.fail(*(f"{n}.wav" for n in range(20)))
    for n in range(5):
        desk.custom(f"word {n}")
    at_once(6, lambda _: desk.dispatcher.dispatch())
    desk.look()
    for notifier in desk.notifiers:
        assert len(notifier.taken) == len({m.notification_id for m in notifier.taken}) == 6


def test_calls_that_went_well_are_told_where_a_rule_says_so(desk: Desk):
    desk.complete("a.wav")
    desk.look()
    assert desk.webhook.taken == []
    desk.rules(call_completed=[NotificationChannel.WEBHOOK])
    desk.complete("b.wav", tell=desk.policy.routing.tells_completed)
    desk.look()
    assert [len(notifier.taken) for notifier in desk.notifiers] == [0, 0, 1]
    assert desk.webhook.titles == ["A call completed"]
    assert desk.webhook.taken[0].type == "job_completed"


def test_a_rule_says_where_an_event_goes(desk: Desk):
    desk.rules(call_failed=[NotificationChannel.SLACK], custom=[])
    desk.fail("a.wav")
    desk.custom()
    desk.look()
    assert {n.channel: len(n.taken) for n in desk.notifiers} == {
        NotificationChannel.EMAIL: 0,
        NotificationChannel.SLACK: 1,
        NotificationChannel.WEBHOOK: 0,
    }


def test_who_asks_for_channels_goes_before_the_rules(desk: Desk):
    desk.rules(custom=[])
    word = Occurrence(EventKind.CUSTOM, Severity.INFO, "x", channels=(NotificationChannel.EMAIL,))
    desk.storage.outbox.add(word)
    desk.look()
    assert [len(notifier.taken) for notifier in desk.notifiers] == [1, 0, 0]


def test_a_channel_that_is_set_up_later_is_not_told_of_the_past(desk: Desk):
    slack = desk.notifiers.pop(1)
    desk.policy = Desk(desk.storage, desk.notifiers).policy
    desk.policy = type(desk.policy)(type(desk.policy.routing)(frozenset({desk.webhook.channel})))
    desk.fail("a.wav")
    desk.look()
    desk.notifiers.append(slack)
    desk.policy = Desk(desk.storage).policy
    desk.look(after_s=1000)
    assert slack.taken == []


# Together


def test_what_happens_at_once_is_one_message(desk: Desk):
    call_ids = desk.fail(*(f"{n:03}.wav" for n in range(50)))
    desk.look()
    [message] = desk.webhook.taken
    assert message.title == "50 calls failed at channel_audio (UnsupportedAudio)"
    assert {call.call_id for call in message.calls} == set(call_ids)


def test_more_of_it_is_told_when_the_window_has_passed(desk: Desk):
    desk.fail("a.wav")
    desk.look()
    desk.fail("b.wav")
    desk.look(after_s=100)
    desk.fail("c.wav")
    desk.look(after_s=100)
    assert len(desk.webhook.taken) == 1
    desk.look(after_s=401)
    opening, update = desk.webhook.taken
    assert update.title == "2 more calls failed at channel_audio (UnsupportedAudio)"
    assert update.first_receipt == "taken-1"
    assert update.first_id == opening.notification_id
    assert "3 in all" in update.context[0]


def test_another_stage_or_class_is_another_message(desk: Desk):
    desk.fail("a.wav")
    desk.fail("b.wav", error=UnsupportedAudio("x"), stage=Stage.TRANSCRIPTS)
    desk.fail("c.wav", error=DOWN)
    desk.look()
    assert len(desk.webhook.taken) == 3
    assert all(message.first_receipt is None for message in desk.webhook.taken)


def test_what_was_quiet_for_a_window_begins_anew(desk: Desk):
    desk.fail("a.wav")
    desk.look()
    desk.look(after_s=700)
    desk.look(after_s=700)
    desk.fail("b.wav")
    desk.look()
    assert [message.first_receipt for message in desk.webhook.taken] == [None, None]


def test_words_of_other_people_are_never_put_together(desk: Desk):
    for number in range(3):
        desk.custom(f"word {number}")
    desk.look()
    assert sorted(desk.webhook.titles) == ["word 0", "word 1", "word 2"]


def test_a_thousand_failures_at_once_are_three_messages_at_most(desk: Desk):
    """While the receivers are away for half an hour, too; nothing is lost (row 13)."""
    keys = [f"{number:04}.wav" for number in range(1000)]
    for notifier in desk.notifiers:
        notifier.refuses = RECEIVER_DOWN
    failed = desk.fail(*keys[:300], error=DOWN)
    desk.look()
    failed += desk.fail(*keys[300:], error=DOWN)
    desk.look(after_s=10, times=180)
    assert desk.webhook.taken == []
    for notifier in desk.notifiers:
        notifier.refuses = None
    desk.look(after_s=60, times=30)
    desk.complete("well.wav")
    change_to_past(desk)
    desk.look(after_s=60, times=20)
    for notifier in desk.notifiers:
        told = {c["job_id"] for m in notifier.taken for c in m.metadata["calls"]}
        print(f"{notifier.channel}: {len(notifier.taken)} messages of {len(told)} calls")
        assert told == set(failed)
        assert len(notifier.taken) <= 3
        assert [m.is_recovery for m in notifier.taken] == [False, False, True]


def change_to_past(desk: Desk, ahead: str = "1 hour") -> None:
    """What was stored just now was stored after the failures, also by the clock of the trial."""
    with desk.storage.database.transaction() as connection:
        later = f"UPDATE call_stages SET stored_at = now() + interval '{ahead}'"
        connection.execute(later.encode())


# Until it is over


def test_failures_that_may_pass_are_closed_when_the_stage_works_again(desk: Desk):
    failed = desk.fail("a.wav", "b.wav", error=DOWN, stage=Stage.TRANSCRIPTS)
    desk.look()
    desk.look(after_s=700)
    assert len(desk.webhook.taken) == 1
    desk.complete("well.wav")
    desk.look()
    opening, recovery = desk.webhook.taken
    assert recovery.is_recovery
    assert recovery.severity is Severity.INFO
    assert recovery.title == "transcripts works again"
    assert recovery.first_receipt == "taken-1"
    assert recovery.error_message is None
    assert "2 of its calls are still FAILED" in recovery.context[1]
    assert {c.call_id for c in recovery.calls} == set(failed)
    desk.look(after_s=700, times=3)
    assert len(desk.webhook.taken) == 2
    assert not opening.is_recovery


def test_while_failures_go_on_nobody_says_that_it_is_over(desk: Desk):
    desk.fail("a.wav", error=DOWN)
    desk.look()
    desk.complete("well.wav")
    desk.look(after_s=300)
    assert len(desk.webhook.taken) == 1


def test_what_cannot_pass_is_not_said_to_be_over(desk: Desk):
    desk.fail("a.wav", error=BROKEN)
    desk.look()
    desk.complete("well.wav")
    desk.look(after_s=700, times=3)
    assert len(desk.webhook.taken) == 1


def report(desk: Desk) -> bool:
    return desk.storage.outbox.report(
        Occurrence(
            EventKind.SENSOR_FAILING,
            Severity.ERROR,
            "The sensor x fails",
            group_key="sensor_failing:x",
            recovers=True,
            metadata={"over": "The sensor x works again"},
        ),
        desk.now,
    )


def test_what_was_reported_is_over_when_it_is_seen_to_be_well(desk: Desk):
    report(desk)
    desk.look()
    assert desk.storage.outbox.open_groups(EventKind.SENSOR_FAILING) == {"sensor_failing:x"}
    desk.storage.outbox.clear(["sensor_failing:x"], desk.now)
    desk.look()
    assert desk.webhook.titles == ["The sensor x fails", "The sensor x works again"]
    assert desk.storage.outbox.open_groups(EventKind.SENSOR_FAILING) == set()


def test_what_comes_and_goes_is_not_told_each_time(desk: Desk):
    for _ in range(40):
        report(desk)
        desk.look(after_s=30)
        desk.storage.outbox.clear(["sensor_failing:x"], desk.now)
        desk.look(after_s=30)
    told = [message.is_recovery for message in desk.webhook.taken]
    print(f"40 times in 40 minutes: {len(told)} messages")
    assert len(told) <= 10
    assert told.count(True) <= 5
    assert len({message.thread_id for message in desk.webhook.taken}) == 1


def test_what_begins_again_is_news(desk: Desk):
    report(desk)
    desk.look()
    desk.storage.outbox.clear(["sensor_failing:x"], desk.now)
    desk.look(after_s=5)
    report(desk)
    desk.look(after_s=5)
    desk.look(after_s=700)
    assert [(m.is_recovery, m.is_news) for m in desk.webhook.taken] == [
        (False, True),
        (True, True),
        (False, True),
    ]
    assert desk.webhook.taken[2].first_receipt == "taken-1"


def test_what_is_graver_than_all_before_does_not_wait(desk: Desk):
    desk.fail("a.wav", error=DOWN, stage=Stage.TRANSCRIPTS)
    desk.look()
    down(desk)
    desk.look(after_s=10)
    assert desk.webhook.titles[1] == "The recogniser is down"
    assert desk.webhook.taken[1].is_news
    assert desk.webhook.taken[1].first_receipt == "taken-1"


def down(desk: Desk) -> bool:
    return desk.storage.outbox.report(
        Occurrence(
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


def test_an_outage_is_one_thread_of_three_messages(desk: Desk):
    """Its engine, the calls that fail by it, and its end."""
    assert down(desk)
    desk.look()
    assert not down(desk)
    desk.fail(*(f"{n}.wav" for n in range(200)), error=DOWN, stage=Stage.TRANSCRIPTS)
    desk.look(after_s=60, times=11)
    desk.complete("well.wav")
    change_to_past(desk)
    desk.look(after_s=700)
    assert desk.webhook.titles == [
        "The recogniser is down",
        "200 calls failed at transcripts (EngineUnavailable)",
        "The recogniser works again",
    ]
    assert "200 of its calls are still FAILED" in desk.webhook.taken[2].context[1]


def test_an_engine_that_nobody_asks_for_days_is_still_seen_to_be_back(desk: Desk):
    down(desk)
    desk.look()
    desk.look(after_s=24 * 3600, times=3)
    assert len(desk.webhook.taken) == 1
    desk.complete("well.wav")
    change_to_past(desk, "4 days")
    desk.look()
    assert desk.webhook.titles[1] == "The recogniser works again"


def test_what_is_wrong_for_days_is_told_once_a_day(desk: Desk):
    for _ in range(3 * 24):
        report(desk)
        desk.look(after_s=3600)
    assert 3 <= len(desk.webhook.taken) <= 4


# Quiet hours


def at_night(desk: Desk) -> None:
    """It is night now, for another hour."""
    here = desk.now
    hours = [(here + timedelta(hours=h)).time().replace(microsecond=0) for h in (-1, 1)]
    quiet = QuietHours(hours[0], hours[1], ZoneInfo("UTC"))
    desk.policy = type(desk.policy)(desk.policy.routing, quiet=quiet)


def test_at_night_only_what_is_critical_is_told(desk: Desk):
    at_night(desk)
    desk.fail("a.wav", "b.wav")
    desk.custom("Fire", Severity.CRITICAL)
    desk.look()
    desk.look(after_s=1200)
    assert desk.webhook.titles == ["Fire"]
    desk.look(after_s=2500)
    assert desk.webhook.titles[1:] == ["2 calls failed at channel_audio (UnsupportedAudio)"]


def test_what_began_and_ended_at_night_is_told_as_over(desk: Desk):
    at_night(desk)
    report(desk)
    desk.look()
    desk.storage.outbox.clear(["sensor_failing:x"], desk.now)
    desk.look(after_s=60)
    assert desk.webhook.taken == []
    desk.look(after_s=3700)
    [message] = desk.webhook.taken
    assert "It was over by" in message.context[0]


def test_who_was_woken_hears_that_it_is_over_and_that_it_begins_again(desk: Desk):
    at_night(desk)
    down(desk)
    desk.look()
    desk.storage.outbox.clear(["call_failed:transcripts:EngineUnavailable"], desk.now)
    desk.look(after_s=60)
    assert [m.is_recovery for m in desk.webhook.taken] == [False, True]
    down(desk)
    desk.look(after_s=60)
    desk.look(after_s=700)
    assert [m.is_recovery for m in desk.webhook.taken] == [False, True, False]


def test_in_the_morning_nobody_says_that_it_is_over_when_it_is_not(desk: Desk):
    report(desk)
    desk.look()
    at_night(desk)
    desk.storage.outbox.clear(["sensor_failing:x"], desk.now)
    desk.look(after_s=60)
    report(desk)
    desk.look(after_s=60)
    desk.look(after_s=3700)
    desk.look(after_s=700)
    assert [m.is_recovery for m in desk.webhook.taken] == [False, False]


# Deliveries


def tries(desk: Desk, notification_id: str) -> list[Any]:
    return asked(
        desk.storage.database.url,
        "SELECT attempt, accepted, code, answer FROM deliveries "
        f"WHERE notification_id = '{notification_id}' ORDER BY attempt",
    )


def test_what_was_refused_is_tried_again_later_and_later(desk: Desk):
    desk.webhook.refuses = RECEIVER_DOWN
    desk.fail("a.wav")
    desk.look()
    desk.look(after_s=5)
    assert desk.webhook.tries == 1
    desk.look(after_s=6)
    desk.look(after_s=11)
    assert desk.webhook.tries == 2
    desk.look(after_s=20)
    desk.webhook.refuses = None
    [tried] = desk.look(after_s=61)
    assert tries(desk, tried.notification_id) == [
        (1, False, "503", "503 down for maintenance"),
        (2, False, "503", "503 down for maintenance"),
        (3, False, "503", "503 down for maintenance"),
        (4, True, "ok", "ok"),
    ]
    assert [n.tries for n in desk.notifiers] == [1, 1, 4]


def test_it_waits_as_long_as_the_receiver_asks(desk: Desk):
    desk.webhook.refuses = type(RECEIVER_DOWN)("429", "429 slow down", retry_after_s=90)
    desk.fail("a.wav")
    desk.look()
    desk.look(after_s=80)
    assert desk.webhook.tries == 1
    desk.look(after_s=11)
    assert desk.webhook.tries == 2


def test_after_a_day_it_is_given_up_and_a_person_can_send_it_again(desk: Desk):
    desk.webhook.refuses = RECEIVER_DOWN
    desk.fail("a.wav")
    desk.look(times=30, after_s=7 * 3600)
    assert desk.webhook.tries == len(WAITS_S) + 1
    url = desk.storage.database.url
    assert ("GAVE_UP",) in asked(url, "SELECT state FROM notifications")
    desk.webhook.refuses = None
    [again] = desk.storage.notifications.resend([], undelivered=True, now=desk.now)
    desk.look()
    assert [message.notification_id for message in desk.webhook.taken] == [again]


def test_a_channel_that_works_again_gets_at_once_what_waits(desk: Desk):
    desk.webhook.refuses = RECEIVER_DOWN
    desk.fail("a.wav")
    desk.custom("one")
    desk.look(times=9, after_s=601)
    desk.webhook.refuses = None
    desk.custom("two")
    desk.look()
    assert len(desk.webhook.taken) == 3


def test_one_that_wants_nothing_any_more_is_left_alone(desk: Desk):
    desk.webhook.refuses = ReceiverGone("410", "410 gone")
    desk.fail("a.wav")
    desk.look()
    desk.fail("b.wav", error=DOWN)
    for number in range(20):
        desk.custom(f"word {number}")
    desk.look(after_s=1000, times=5)
    assert desk.webhook.tries == 1
    assert desk.storage.outbox.off()[NotificationChannel.WEBHOOK]["answer"] == "410 gone"
    desk.webhook.refuses = None
    assert desk.storage.outbox.turn_on(NotificationChannel.WEBHOOK)
    desk.look()
    assert desk.webhook.taken == [], "what happened meanwhile does not come by itself"
    desk.custom("after")
    desk.look()
    assert desk.webhook.titles == ["after"]
    assert desk.storage.notifications.backlog()[1].given_up == 22
    desk.storage.notifications.resend([], undelivered=True, now=desk.now)
    desk.look()
    assert len(desk.webhook.taken) == 1 + 22, "and is there for who asks for it"


def test_what_waited_to_be_told_together_is_not_lost_by_a_410(desk: Desk):
    desk.fail("a.wav")
    desk.look()
    desk.fail(*(f"{n}.wav" for n in range(30)))
    desk.webhook.refuses = ReceiverGone("410", "410 gone")
    desk.custom("word")
    desk.look(after_s=10)
    desk.look(after_s=700)
    desk.webhook.refuses = None
    desk.storage.outbox.turn_on(NotificationChannel.WEBHOOK)
    desk.storage.notifications.resend([], undelivered=True, now=desk.now)
    desk.look()
    assert "30 more calls failed at channel_audio (UnsupportedAudio)" in desk.webhook.titles


def test_of_calls_made_for_show_nobody_is_told(desk: Desk):
    shown = desk.fail("show.wav")
    desk.storage.outbox.keep_quiet(shown)
    desk.look()
    assert desk.webhook.taken == []


def open_incidents(desk: Desk) -> int:
    url = desk.storage.database.url
    return asked(url, "SELECT count(*) FROM incidents WHERE closed_at IS NULL")[0][0]


def test_a_channel_that_was_taken_away_keeps_nothing_open(desk: Desk):
    desk.webhook.refuses = RECEIVER_DOWN
    desk.fail("a.wav")
    desk.look()
    desk.notifiers.remove(desk.webhook)
    desk.look(after_s=700, times=2)
    assert open_incidents(desk) == 0
    assert all(b.waiting == 0 for b in desk.storage.notifications.backlog())


def test_a_message_that_is_refused_for_its_own_sake_keeps_its_day(desk: Desk):
    """Others that arrive do not use up its tries."""
    webhook = desk.webhook
    desk.custom("poison")

    def refuse_poison(message: Message) -> None:
        if message.title == "poison":
            webhook.taken.remove(message)
            raise RECEIVER_DOWN

    webhook.after = refuse_poison
    desk.look()
    for number in range(40):
        desk.custom(f"word {number}")
        desk.look(after_s=10)
    [(attempts, state)] = asked(
        desk.storage.database.url,
        "SELECT attempts, state FROM notifications "
        "WHERE channel = 'webhook' AND state <> 'DELIVERED'",
    )
    assert (state, attempts < 8) == ("PENDING", True)
    assert len(webhook.taken) == 40


def test_nobody_is_hurried_who_asked_to_be_left_alone(desk: Desk):
    webhook = desk.webhook
    webhook.refuses = type(RECEIVER_DOWN)("429", "429", retry_after_s=3600)
    desk.custom("one")
    desk.look()
    webhook.refuses = None
    desk.custom("two")
    desk.look(after_s=60)
    desk.look(after_s=60)
    assert webhook.titles == ["two"]
    desk.look(after_s=3600)
    assert webhook.titles == ["two", "one"]


def test_messages_of_one_incident_come_in_their_order(desk: Desk):
    desk.webhook.refuses = RECEIVER_DOWN
    report(desk)
    desk.look()
    desk.storage.outbox.clear(["sensor_failing:x"], desk.now)
    desk.look(after_s=5)
    desk.webhook.refuses = None
    desk.look(after_s=60, times=2)
    assert [message.is_recovery for message in desk.webhook.taken] == [False, True]


def test_one_that_dies_between_delivery_and_record_delivers_it_again_under_its_id(desk: Desk):
    def die(message: object) -> None:
        desk.webhook.after = lambda _: None
        raise SystemExit

    desk.webhook.after = die
    desk.fail("a.wav")
    with pytest.raises(SystemExit):
        desk.look()
    desk.look(after_s=60)
    assert len(desk.webhook.taken) == 1
    desk.look(after_s=61)
    first, again = desk.webhook.taken
    assert first.notification_id == again.notification_id
    assert first.metadata["event_ids"] == again.metadata["event_ids"]
    desk.look(after_s=1000)
    assert len(desk.webhook.taken) == 2


def test_a_message_that_cannot_be_made_does_not_hold_up_the_others(desk: Desk):
    def stumble(message: object) -> None:
        desk.webhook.after = lambda _: None
        raise ValueError("a fault of ours")

    desk.webhook.after = stumble
    desk.custom("one")
    desk.custom("two")
    desk.look()
    desk.look(after_s=1)
    assert len(set(desk.webhook.titles)) == 2


def test_what_was_erased_is_not_told(desk: Desk):
    [call_id] = desk.fail("a.wav")
    desk.webhook.refuses = RECEIVER_DOWN
    desk.look()
    erase(desk.storage, call_id)
    asked(desk.storage.database.url, "DELETE FROM outbox")
    desk.webhook.refuses = None
    [tried] = desk.look(after_s=60)
    assert (tried.outcome.accepted, tried.outcome.code) == (True, "nothing")
    assert desk.webhook.taken == []


def test_calls_that_are_well_meanwhile_are_counted_so(desk: Desk):
    [call_id] = desk.fail("a.wav", error=DOWN, stage=Stage.TRANSCRIPTS)
    desk.look()
    desk.storage.ledger.retry([call_id])
    desk.storage.claims.claim([call_id], "run-3")
    store(desk.storage, call_id, *Stage, run_id="run-3")
    assert desk.storage.claims.complete(call_id, "run-3") is CallState.COMPLETED
    desk.look(after_s=700)
    assert "None of its calls is FAILED" in desk.webhook.taken[-1].context[1]
