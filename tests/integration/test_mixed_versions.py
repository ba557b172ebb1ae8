"""Two versions on one database, as in a rolling upgrade: the earlier one loses nothing newer.

The earlier version is this one, which knows fewer kinds of events, rules and channels meanwhile.
"""

from dataclasses import replace
from enum import StrEnum

import pytest

from callpipeline.domain.notifications import (
    AlertKind,
    AlertRule,
    EventKind,
    NotificationChannel,
    NotificationEvent,
    NotificationPolicy,
    Routing,
    Severity,
)
from callpipeline.wiring import Storage
from tests.fakes.notifiers import DOWN
from tests.integration.databases import execute_sql
from tests.integration.notifying import NotificationDesk

EMAIL, SLACK, WEBHOOK = NotificationChannel
SEEN_BY_STORAGE = "callpipeline.storage.notifications"


class EarlierKinds(StrEnum):
    CUSTOM = "custom"
    CALL_FAILED = "call_failed"

    @property
    def is_opt_in(self) -> bool:
        return False


class EarlierRules(StrEnum):
    SPIKE = "spike"


class EarlierChannels(StrEnum):
    EMAIL = "email"


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def newer(storage: Storage) -> NotificationDesk:
    return NotificationDesk(storage)


@pytest.fixture
def earlier(newer: NotificationDesk) -> NotificationDesk:
    """The dispatcher of the earlier version, which has email only."""
    own = [each for each in newer.notifiers if each.channel is EMAIL]
    policy = NotificationPolicy(Routing(frozenset({EMAIL})))
    return NotificationDesk(newer.storage, own, policy=policy)


def dispatch(desk: NotificationDesk, *, times: int = 3) -> None:
    """Deliver as the earlier version."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{SEEN_BY_STORAGE}.EventKind", EarlierKinds)
        patch.setattr(f"{SEEN_BY_STORAGE}.NotificationChannel", EarlierChannels)
        desk.deliver(after_s=300, times=times)
        backlog = desk.storage.notifications.backlog()
    assert {each.channel for each in backlog} <= {None, EMAIL}


def enter(
    desk: NotificationDesk, kind: EventKind, title: str, *channels: NotificationChannel
) -> None:
    metadata = {"path": "/competitors", "moments": []}
    event = NotificationEvent(kind, Severity.WARNING, title, metadata=metadata)
    desk.storage.outbox.add(replace(event, channels=channels or None))


def received(desk: NotificationDesk) -> dict[NotificationChannel, list[str]]:
    return {each.channel: sorted(each.titles) for each in desk.notifiers}


def test_events_of_a_newer_kind_wait_for_the_newer_version(
    newer: NotificationDesk, earlier: NotificationDesk
):
    enter(newer, EventKind.CONTENT_ALERT, "spike")
    enter(newer, EventKind.CUSTOM, "known", EMAIL)
    dispatch(earlier)
    assert received(earlier) == {EMAIL: ["known"]}
    newer.deliver()
    assert received(newer) == {EMAIL: ["known", "spike"], SLACK: ["spike"], WEBHOOK: ["spike"]}
    assert newer.deliver(times=3) == []


def test_messages_of_a_newer_kind_do_not_stop_an_earlier_dispatcher(
    newer: NotificationDesk, earlier: NotificationDesk
):
    [email] = earlier.notifiers
    email.refusal = DOWN
    enter(newer, EventKind.CONTENT_ALERT, "spike", EMAIL)
    newer.deliver()
    email.refusal = None
    enter(newer, EventKind.CUSTOM, "known", EMAIL)
    dispatch(earlier)
    assert received(earlier) == {EMAIL: ["known"]}
    newer.deliver(after_s=1000)
    assert received(newer)[EMAIL] == ["known", "spike"]


def test_channels_of_a_newer_version_keep_their_messages(
    newer: NotificationDesk, earlier: NotificationDesk
):
    newer.webhook.refusal = DOWN
    enter(newer, EventKind.CUSTOM, "created", WEBHOOK)
    newer.deliver()
    newer.storage.outbox.unsubscribe(SLACK, "elsewhere", "410 gone", newer.now)
    enter(newer, EventKind.CUSTOM, "entered", EMAIL, WEBHOOK)
    dispatch(earlier)
    assert received(earlier) == {EMAIL: ["entered"]}
    newer.webhook.refusal = None
    newer.deliver(after_s=1000)
    assert received(newer) == {EMAIL: ["entered"], SLACK: [], WEBHOOK: ["created", "entered"]}


def test_rules_of_a_newer_kind_are_left_to_the_newer_version(newer: NotificationDesk):
    rules = newer.storage.alert_rules
    rules.save(AlertRule(AlertKind.SPIKE))
    rules.save(AlertRule(AlertKind.LEAVING))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{SEEN_BY_STORAGE}.AlertKind", EarlierRules)
        assert [rule.kind for rule in rules.list()] == ["spike"]
        assert [rule.kind for rule in rules.due(newer.now, 60)] == ["spike"]
    assert [rule.kind for rule in rules.due(newer.now, 60)] == [AlertKind.LEAVING]
    assert len(rules.list()) == 2
    assert execute_sql(newer.storage.database.url, "SELECT count(*) FROM alert_rules") == [(2,)]
