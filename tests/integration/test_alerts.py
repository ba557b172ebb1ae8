"""Alerts on what is said: what is found, that it is sent once, and which words leave."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.domain.audio import Channel
from callpipeline.domain.calls.call import CallState
from callpipeline.domain.calls.filters import CallFilters
from callpipeline.domain.calls.rates import Rate
from callpipeline.domain.competitors.mentions import Decision
from callpipeline.domain.notifications import (
    AlertKind,
    AlertRule,
    NotificationChannel,
    NotificationEvent,
)
from callpipeline.domain.sentiment import Sentiment
from callpipeline.domain.switching import SwitchingIntent
from callpipeline.errors import AlertRuleOutdated
from callpipeline.notify.ports import NotificationMessage
from callpipeline.pipeline.notifications.alerts import EVERY_S, AlertMonitor
from callpipeline.pipeline.notifications.monitor import PipelineMonitor
from callpipeline.storage.ports.analytics import CompetitorRates, PeriodRates
from callpipeline.storage.postgres import tables
from callpipeline.storage.results import serialization
from callpipeline.wiring import Storage
from tests.builders import a_judgement, a_mention
from tests.fakes.notifiers import DOWN
from tests.integration.calls import change, enter, run_concurrently
from tests.integration.databases import execute_sql
from tests.integration.notifying import NotificationDesk

SLACK, EMAIL, WEBHOOK = (
    NotificationChannel.SLACK,
    NotificationChannel.EMAIL,
    NotificationChannel.WEBHOOK,
)
RULE = AlertRule(AlertKind.SPIKE, threshold=20, days=7, min_calls=10)
LEAVING = replace(RULE, kind=AlertKind.LEAVING, threshold=0, min_calls=1)
WORDS = "we are going over to vodafone"


@dataclass(frozen=True)
class Said:
    """A mention by a customer."""

    competitor: str = "Vodafone"
    sentiment: Sentiment = Sentiment.NEUTRAL
    switching: SwitchingIntent | None = None


LEAVES = Said(switching=SwitchingIntent.LEAVING_TO)


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def desk(storage: Storage) -> NotificationDesk:
    return NotificationDesk(storage)


def talk(
    desk: NotificationDesk,
    *,
    days_ago: int,
    calls: int,
    mentioning: int = 0,
    said: Said = Said(),
    state: CallState = CallState.COMPLETED,
) -> list[str]:
    """Store calls of a day, of which some have a mention by the customer; return their ids."""
    (number,) = execute_sql(desk.storage.database.url, "SELECT count(*) FROM calls")[0]
    ids = enter(desk.storage, *(f"{number + n}.wav" for n in range(calls)))
    at = datetime.now(UTC) - timedelta(days=days_ago)
    change(desk.storage, ids, state=f"'{state}'", started_at=f"timestamptz '{at.isoformat()}'")
    mention = a_mention(said.competitor, channel=Channel.RIGHT)
    judgement = replace(
        a_judgement(mention, said.sentiment),
        quote="",
        switching=said.switching,
        switching_quote=WORDS if said.switching else "",
    )
    with desk.storage.database.transaction() as connection:
        key = ("call_id", "mention_id")
        mentions = [serialization.mention_row(each, mention) for each in ids[:mentioning]]
        judged = [serialization.judgement_row(each, judgement) for each in ids[:mentioning]]
        tables.upsert(connection, "mentions", key, mentions)
        tables.upsert(connection, "sentiment", key, judged)
    return ids


def monitor(desk: NotificationDesk) -> AlertMonitor:
    storage = desk.storage
    return AlertMonitor(storage.alert_rules, storage.analytics, storage.insights)


def check(desk: NotificationDesk, *, after_s: float = EVERY_S) -> list[str]:
    """Let time pass and check all rules; return the titles of new alerts."""
    desk.passed += timedelta(seconds=after_s)
    return monitor(desk).check(desk.now)


def sent(desk: NotificationDesk, channel: NotificationChannel) -> list[NotificationMessage]:
    return next(each.accepted for each in desk.notifiers if each.channel is channel)


# What is found


def test_a_spike_beyond_chance_and_threshold_is_found(desk: NotificationDesk) -> None:
    talk(desk, days_ago=10, calls=40, mentioning=4)
    talk(desk, days_ago=2, calls=40, mentioning=20)
    desk.storage.alert_rules.save(RULE)
    assert check(desk) == ["Vodafone: more mentions"]
    desk.deliver()
    [message] = sent(desk, WEBHOOK)
    assert "50.0 mentions per 100 completed calls in the last 7 days (20 in 40;" in message.message
    assert "10.0 before (4 in 40)." in message.message


@pytest.mark.parametrize(
    "rule",
    [
        replace(RULE, threshold=41),
        replace(RULE, min_calls=41),
        replace(RULE, competitor="Sky"),
        replace(RULE, is_enabled=False),
        replace(RULE, kind=AlertKind.SENTIMENT),
        replace(RULE, days=28),
    ],
)
def test_a_rise_that_the_rule_does_not_ask_for_is_not_found(
    desk: NotificationDesk, rule: AlertRule
) -> None:
    talk(desk, days_ago=10, calls=40, mentioning=4)
    talk(desk, days_ago=2, calls=40, mentioning=20)
    desk.storage.alert_rules.save(rule)
    assert check(desk) == []


def test_calls_that_wait_change_no_rate(desk: NotificationDesk) -> None:
    """A backlog is in no denominator: neither a false decline, nor enough calls for a rule."""
    talk(desk, days_ago=10, calls=40, mentioning=4)
    talk(desk, days_ago=2, calls=9, mentioning=9)
    talk(desk, days_ago=2, calls=500, state=CallState.PENDING)
    desk.storage.alert_rules.save(RULE)
    assert check(desk) == []
    talk(desk, days_ago=1, calls=1, mentioning=1)
    assert check(desk) == ["Vodafone: more mentions"]


def test_worse_sentiment_of_customers_is_found(desk: NotificationDesk) -> None:
    talk(desk, days_ago=10, calls=40, mentioning=20, said=Said(sentiment=Sentiment.POSITIVE))
    talk(desk, days_ago=2, calls=40, mentioning=20, said=Said(sentiment=Sentiment.NEGATIVE))
    desk.storage.alert_rules.save(RULE)
    desk.storage.alert_rules.save(replace(RULE, kind=AlertKind.SENTIMENT))
    assert check(desk) == ["Vodafone: more negative mentions by customers"]


def test_a_competitor_heard_for_the_first_time_is_found_once(desk: NotificationDesk) -> None:
    talk(desk, days_ago=300, calls=1, mentioning=1, said=Said("Sky"))
    talk(desk, days_ago=10, calls=40)
    talk(desk, days_ago=2, calls=40, mentioning=2, said=Said("Sky"))
    talk(desk, days_ago=2, calls=40, mentioning=2)
    desk.storage.alert_rules.save(replace(RULE, kind=AlertKind.NEW_COMPETITOR, threshold=2))
    assert check(desk) == ["Vodafone is mentioned for the first time"]
    assert check(desk) == []
    assert check(desk, after_s=5 * 86_400) == []


def test_each_call_of_a_customer_who_leaves_is_found_once(desk: NotificationDesk) -> None:
    talk(desk, days_ago=2, calls=3, mentioning=2, said=LEAVES)
    talk(desk, days_ago=2, calls=3, mentioning=2, said=Said(switching=SwitchingIntent.STAYING))
    desk.storage.alert_rules.save(LEAVING)
    assert check(desk) == ["A customer says that they leave for Vodafone"] * 2
    assert check(desk) == []
    talk(desk, days_ago=1, calls=1, mentioning=1, said=LEAVES)
    assert check(desk) == ["A customer says that they leave for Vodafone"]


class OnlyRates:
    """Analytics that know nothing but the rates of two periods."""

    def __init__(self, today: datetime, now: Rate, before: Rate) -> None:
        self._today, self._now, self._before = today.date(), now, before

    def rates(self, filters: CallFilters) -> PeriodRates:
        rate = self._now if filters.to_day == self._today else self._before
        found = {"EE": CompetitorRates(rate, rate, rate)} if rate.events else {}
        return PeriodRates(rate.of, rate.calls, found)


COUNTS = st.tuples(st.integers(0, 200), st.integers(0, 400))


@given(COUNTS, COUNTS, st.floats(0, 60), st.integers(1, 300))
def test_no_spike_is_found_below_the_threshold_or_of_too_few_calls(
    now: tuple[int, int], before: tuple[int, int], threshold: float, min_calls: int
) -> None:
    of_now, of_before = (Rate(min(n, of), min(n, of), of) for n, of in (now, before))
    today = datetime.now(UTC)
    reading = OnlyRates(today, of_now, of_before)
    watch = AlertMonitor(None, reading, None)  # pyright: ignore[reportArgumentType]
    rule = replace(RULE, threshold=threshold, min_calls=min_calls)
    if list(watch.find(rule, today.date())):
        assert min(of_now.of, of_before.of) >= min_calls
        assert (of_now.per_100 or 0) - (of_before.per_100 or 0) >= threshold


# Once, to whom, and grouped


def test_a_spike_is_sent_once_in_its_period_and_again_in_the_next(desk: NotificationDesk) -> None:
    talk(desk, days_ago=10, calls=40, mentioning=4)
    talk(desk, days_ago=0, calls=40, mentioning=20)
    desk.storage.alert_rules.save(replace(RULE, days=3))
    talk(desk, days_ago=4, calls=40, mentioning=4)
    assert check(desk) == ["Vodafone: more mentions"]
    again = [title for _ in range(6) for title in check(desk)]
    assert again == []
    desk.deliver(times=2)
    assert [len(sent(desk, channel)) for channel in NotificationChannel] == [1, 1, 1]


def test_a_lasting_rise_is_sent_again_when_as_many_days_are_over(desk: NotificationDesk) -> None:
    """From any first day: periods are no weeks of the calendar."""
    rules = desk.storage.alert_rules
    for first in range(3):
        rules.save(replace(RULE, days=3))
        [rule] = rules.list()
        event = next(iter(a_rise(rule)))
        at = [datetime(2026, 12, 5 + first + day, 12, tzinfo=UTC) for day in range(8)]
        told = [day for day, now in enumerate(at) if rules.report(rule, event, now)]
        assert told == [0, 3, 6]
        rules.delete(rule.rule_id or 0)


def a_rise(rule: AlertRule) -> list[NotificationEvent]:
    reading = OnlyRates(datetime.now(UTC), Rate(20, 20, 40), Rate(4, 4, 40))
    watch = AlertMonitor(None, reading, None)  # pyright: ignore[reportArgumentType]
    return list(watch.find(replace(rule, has_quotes=False), datetime.now(UTC).date()))


def test_what_is_sent_once_is_not_repeated_after_its_event_was_deleted(
    desk: NotificationDesk,
) -> None:
    talk(desk, days_ago=2, calls=3, mentioning=1, said=LEAVES)
    desk.storage.alert_rules.save(replace(LEAVING, days=366))
    assert len(check(desk)) == 1
    execute_sql(desk.storage.database.url, "DELETE FROM outbox")
    assert check(desk, after_s=91 * 86_400) == []


def test_a_deleted_rule_reports_nothing_more(desk: NotificationDesk) -> None:
    desk.storage.alert_rules.save(RULE)
    [rule] = desk.storage.alert_rules.list()
    desk.storage.alert_rules.delete(rule.rule_id or 0)
    assert not desk.storage.alert_rules.report(rule, a_rise(rule)[0], desk.now)


def test_a_rule_is_checked_by_one_of_several_processes(desk: NotificationDesk) -> None:
    talk(desk, days_ago=2, calls=3, mentioning=3, said=LEAVES)
    desk.storage.alert_rules.save(LEAVING)
    now = desk.now
    found = run_concurrently(6, lambda _: monitor(desk).check(now))
    assert sorted(map(len, found)) == [0, 0, 0, 0, 0, 3]


def test_findings_of_a_rule_are_one_message_to_the_channels_of_the_rule(
    desk: NotificationDesk,
) -> None:
    talk(desk, days_ago=2, calls=3, mentioning=3, said=LEAVES)
    desk.storage.alert_rules.save(replace(LEAVING, channels=(EMAIL,)))
    check(desk)
    desk.deliver()
    [message] = sent(desk, EMAIL)
    assert message.title == "3 alerts: A customer says that they leave for Vodafone, …"
    assert message.call_count == 3
    assert message.message.count("http://app/moments?moment=") == 3
    assert sent(desk, SLACK) == sent(desk, WEBHOOK) == []


def test_a_channel_that_is_down_gets_the_alert_later(desk: NotificationDesk) -> None:
    talk(desk, days_ago=2, calls=1, mentioning=1, said=LEAVES)
    desk.storage.alert_rules.save(LEAVING)
    desk.webhook.refusal = DOWN
    check(desk)
    desk.deliver()
    assert len(sent(desk, SLACK)) == 1 and not sent(desk, WEBHOOK)
    desk.webhook.refusal = None
    desk.deliver(after_s=60)
    assert len(sent(desk, SLACK)) == len(sent(desk, WEBHOOK)) == 1


def test_the_monitor_of_the_pipeline_checks_alerts(desk: NotificationDesk) -> None:
    talk(desk, days_ago=2, calls=1, mentioning=1, said=LEAVES)
    desk.storage.alert_rules.save(LEAVING)
    storage = desk.storage
    whole = PipelineMonitor(storage.database, storage.outbox, None, monitor(desk))
    assert whole.check(desk.policy, desk.now) == ["A customer says that they leave for Vodafone"]


# Words of calls


def texts(desk: NotificationDesk) -> dict[NotificationChannel, str]:
    """Return all that each channel has received, as it is sent by webhook."""
    return {
        each.channel: " ".join(str(message.to_contract()) for message in each.accepted)
        for each in desk.notifiers
    }


@pytest.mark.parametrize(
    ("has_quotes", "allowed", "receiving"),
    [(False, (SLACK, EMAIL), []), (True, (), []), (True, (SLACK,), [SLACK])],
)
def test_words_go_only_where_the_rule_and_the_operator_allow_them(
    desk: NotificationDesk,
    has_quotes: bool,
    allowed: Sequence[NotificationChannel],
    receiving: Sequence[NotificationChannel],
) -> None:
    talk(desk, days_ago=2, calls=1, mentioning=1, said=LEAVES)
    desk.storage.alert_rules.save(replace(LEAVING, has_quotes=has_quotes))
    desk.policy = replace(desk.policy, quote_channels=frozenset(allowed))
    check(desk)
    desk.deliver()
    received = texts(desk)
    assert all("A customer says that they leave" in text for text in received.values())
    assert [channel for channel, text in received.items() if WORDS in text] == receiving
    stored = execute_sql(desk.storage.database.url, "SELECT outbox::text FROM outbox")
    assert WORDS not in str(stored), "the outbox outlives calls"


def test_words_that_were_dismissed_or_erased_before_sending_are_not_sent(
    desk: NotificationDesk,
) -> None:
    talk(desk, days_ago=10, calls=40)
    ids = talk(desk, days_ago=2, calls=12, mentioning=12, said=LEAVES)
    desk.storage.alert_rules.save(replace(RULE, has_quotes=True))
    desk.policy = replace(desk.policy, quote_channels=frozenset(NotificationChannel))
    assert check(desk) == ["Vodafone: more mentions"]
    mention_id = a_mention(channel=Channel.RIGHT).mention_id
    for call_id in ids[1:]:
        desk.storage.reviews.decide(call_id, mention_id, Decision.DISMISSED)
    desk.storage.erasures.begin(ids[:1], keep_recording=False)
    desk.deliver()
    assert all("more mentions" in text and WORDS not in text for text in texts(desk).values())


def test_words_of_calls_that_are_processed_again_are_not_sent(desk: NotificationDesk) -> None:
    """Numbers in their quotes may be masked in the transcript already."""
    talk(desk, days_ago=10, calls=40)
    ids = talk(desk, days_ago=2, calls=12, mentioning=12, said=LEAVES)
    desk.storage.alert_rules.save(replace(RULE, has_quotes=True))
    desk.policy = replace(desk.policy, quote_channels=frozenset(NotificationChannel))
    assert check(desk) == ["Vodafone: more mentions"]
    desk.storage.claims.claim(ids, "redact-1")
    desk.deliver()
    assert all("more mentions" in text and WORDS not in text for text in texts(desk).values())


def test_calls_that_are_processed_again_are_in_no_alert(desk: NotificationDesk) -> None:
    ids = talk(desk, days_ago=2, calls=3, mentioning=3, said=LEAVES)
    desk.storage.claims.claim(ids[:2], "redact-1")
    desk.storage.alert_rules.save(replace(LEAVING, has_quotes=True))
    assert len(check(desk)) == 1
    [(call_id, moments)] = execute_sql(
        desk.storage.database.url, "SELECT call_id, metadata ->> 'moments' FROM outbox"
    )
    assert call_id == ids[2] and ids[2] in moments


def test_an_alert_about_an_erased_call_is_not_sent(desk: NotificationDesk) -> None:
    [call_id] = talk(desk, days_ago=2, calls=1, mentioning=1, said=LEAVES)
    desk.storage.alert_rules.save(LEAVING)
    check(desk)
    desk.storage.erasures.begin([call_id], keep_recording=False)
    desk.deliver()
    assert "customer" not in str(texts(desk))


# Rules


def test_rules_are_kept_changed_and_deleted(desk: NotificationDesk) -> None:
    rules = desk.storage.alert_rules
    rules.save(replace(RULE, channels=(SLACK, EMAIL), competitor="EE", made_by="ann"))
    [first] = rules.list()
    assert first == replace(
        RULE,
        channels=(SLACK, EMAIL),
        competitor="EE",
        made_by="ann",
        rule_id=first.rule_id,
        made_at=first.made_at,
    )
    rules.save(replace(first, days=28, made_by="bob"), first.made_at)
    [second] = rules.list()
    assert (second.rule_id, second.days, second.made_by) == (first.rule_id, 28, "bob")
    with pytest.raises(AlertRuleOutdated):
        rules.save(replace(first, days=14, made_by="ann"), first.made_at)
    assert rules.list() == [second]
    assert second.rule_id and rules.delete(second.rule_id)
    assert not rules.delete(second.rule_id)
    with pytest.raises(AlertRuleOutdated):
        rules.save(second, second.made_at)
