"""The commands below `notifications`, as a person runs them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from callpipeline.errors import ReceiverGone
from callpipeline.wiring import Storage
from tests.fakes.notifiers import DOWN as RECEIVER_DOWN
from tests.fakes.receivers import Answer, HttpReceiver
from tests.integration.command_line import Installation
from tests.integration.notifying import NotificationDesk


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def installation(tmp_path: Path, database_url: str) -> Installation:
    return Installation(tmp_path / "data", database_url)


@pytest.fixture
def desk(storage: Storage) -> NotificationDesk:
    return NotificationDesk(storage)


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with HttpReceiver().running() as running:
        yield running


def webhook(receiver: HttpReceiver) -> dict[str, Any]:
    return {"CALLPIPELINE_NOTIFY_WEBHOOK_URL": f"{receiver.url}/hook?token=planted"}


def test_nothing_was_told_and_nobody_would_be(installation: Installation) -> None:
    said = installation.run("notifications", "list").stdout
    assert "No notifications yet." in said
    assert "No channel is configured" in said


def test_messages_are_listed_with_their_last_answer(
    installation: Installation, desk: NotificationDesk
) -> None:
    desk.webhook.refusal = RECEIVER_DOWN
    desk.fail("a.wav", "b.wav")
    desk.deliver()
    desk.custom("A word of mine")
    listed = installation.run("notifications", "list").stdout
    assert "call failed at channel_audio (UnsupportedAudio), 2 events" in listed
    assert "503 down for maintenance" in listed
    assert "1 event is waiting for the sensor `outbox`" in listed
    none = installation.run("notifications", "list", "--state", "gave_up").stdout
    assert "No matching messages." in none
    document = json.loads(installation.run("notifications", "list", "--json").stdout)
    assert [row["state"] for row in document].count("PENDING") == 1
    assert {try_["answer"] for row in document for try_ in row["deliveries"]} == {
        "503 down for maintenance",
        "ok",
    }
    pending = installation.run("notifications", "list", "--state", "pending", "--json").stdout
    assert [row["channel"] for row in json.loads(pending)] == ["webhook"]


def test_a_message_can_be_sent_again_by_the_beginning_of_its_id(
    installation: Installation, desk: NotificationDesk
) -> None:
    desk.fail("a.wav")
    desk.deliver()
    [message] = desk.webhook.accepted
    said = installation.run("notifications", "resend", message.notification_id[:8]).stdout
    assert message.notification_id in said
    assert "Queued. `callpipeline up` sends them." in said
    desk.deliver(after_s=1)
    assert [m.notification_id for m in desk.webhook.accepted] == [message.notification_id] * 2
    [event_id] = message.metadata["event_ids"]
    by_event = installation.run("notifications", "resend", event_id).stdout
    assert by_event.count("will be sent again") == len(desk.notifiers)


def test_what_did_not_arrive_can_be_sent_again(
    installation: Installation, desk: NotificationDesk
) -> None:
    desk.webhook.refusal = ReceiverGone("410", "410 gone")
    desk.fail("a.wav")
    desk.deliver()
    resent = installation.run("notifications", "resend", "--undelivered")
    assert resent.stdout.count("will be sent again") == 1
    assert "webhook is turned off since it answered '410 gone'" in " ".join(resent.stderr.split())
    none = installation.run("notifications", "resend", "ffff", exit_code=1)
    assert "Notification 'ffff' not found" in none.stderr
    assert installation.run("notifications", "resend", exit_code=2).stderr


def test_a_word_of_ones_own_is_in_the_outbox(
    installation: Installation, receiver: HttpReceiver, desk: NotificationDesk
) -> None:
    words = ("notifications", "send", "Recorder 3 is off", "--severity", "critical")
    installation.run(*words, "--message", "since 9:00", "--channel", "webhook", **webhook(receiver))
    desk.deliver()
    [message] = desk.webhook.accepted
    assert (message.title, message.message) == ("Recorder 3 is off", "since 9:00")
    assert message.severity == "critical"
    assert [len(notifier.accepted) for notifier in desk.notifiers] == [0, 0, 1]


def test_a_word_to_nobody_is_refused(installation: Installation, receiver: HttpReceiver) -> None:
    refused = installation.run("notifications", "send", "x", exit_code=1)
    assert "No channel is configured" in refused.stderr
    words = ("notifications", "send", "x", "--channel", "slack")
    refused = installation.run(*words, exit_code=1, **webhook(receiver))
    assert "Not configured: slack." in refused.stderr


def test_the_channels_are_tried_at_once_and_the_answers_printed(
    installation: Installation, receiver: HttpReceiver, desk: NotificationDesk
) -> None:
    tried = installation.run("notifications", "test", **webhook(receiver)).stdout
    assert "ok" in tried
    assert "200 ok" in tried
    assert "planted" not in tried
    assert receiver.requests[0].json["title"] == "callpipeline can reach you here"
    receiver.answers = [Answer(500, b"out of order")]
    refused = installation.run("notifications", "test", "--json", exit_code=1, **webhook(receiver))
    [answer] = json.loads(refused.stdout)
    assert (answer["delivered"], answer["answer"]) == (False, "500 out of order")


def test_a_trial_that_is_taken_turns_a_receiver_on_again(
    installation: Installation, receiver: HttpReceiver, desk: NotificationDesk
) -> None:
    desk.webhook.refusal = ReceiverGone("410", "410 gone")
    desk.fail("a.wav")
    desk.deliver()
    assert desk.storage.outbox.unsubscribed()
    installation.run("notifications", "test", **webhook(receiver))
    assert not desk.storage.outbox.unsubscribed()


def test_half_a_channel_is_told_by_every_command_that_needs_it(installation: Installation) -> None:
    half: dict[str, Any] = {"CALLPIPELINE_SMTP_HOST": "mail.example.com"}
    refused = installation.run("notifications", "test", exit_code=1, **half)
    assert "CALLPIPELINE_EMAIL_FROM is not: set both" in refused.stderr
    sick = installation.run("doctor", "--json", exit_code=1, **half)
    found = {f["name"]: f for f in json.loads(sick.stdout)}
    assert found["notifications"]["level"] == "bad"
