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
from tests.integration.telling import Desk
from tests.integration.test_cli import Installation


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def installation(tmp_path: Path, database_url: str) -> Installation:
    return Installation(tmp_path / "data", database_url)


@pytest.fixture
def desk(storage: Storage) -> Desk:
    return Desk(storage)


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with HttpReceiver().running() as running:
        yield running


def webhook(receiver: HttpReceiver) -> dict[str, Any]:
    return {"CALLPIPELINE_NOTIFY_WEBHOOK_URL": f"{receiver.url}/hook?token=planted"}


def test_nothing_was_told_and_nobody_would_be(installation: Installation) -> None:
    said = installation.run("notifications", "list").stdout
    assert "Nobody was told anything yet." in said
    assert "No channel is set up" in said


def test_messages_are_listed_with_their_last_answer(installation: Installation, desk: Desk) -> None:
    desk.webhook.refuses = RECEIVER_DOWN
    desk.fail("a.wav", "b.wav")
    desk.look()
    desk.custom("A word of mine")
    listed = installation.run("notifications", "list").stdout
    assert "call failed at channel_audio (UnsupportedAudio), 2 events" in listed
    assert "503 down for maintenance" in listed
    assert "1 event waits for the sensor `outbox`" in listed
    none = installation.run("notifications", "list", "--state", "gave_up").stdout
    assert "There is no such message." in none
    document = json.loads(installation.run("notifications", "list", "--json").stdout)
    assert [row["state"] for row in document].count("PENDING") == 1
    assert {try_["answer"] for row in document for try_ in row["deliveries"]} == {
        "503 down for maintenance",
        "ok",
    }
    pending = installation.run("notifications", "list", "--state", "pending", "--json").stdout
    assert [row["channel"] for row in json.loads(pending)] == ["webhook"]


def test_a_message_can_be_sent_again_by_the_beginning_of_its_id(
    installation: Installation, desk: Desk
) -> None:
    desk.fail("a.wav")
    desk.look()
    [message] = desk.webhook.taken
    said = installation.run("notifications", "resend", message.notification_id[:8]).stdout
    assert message.notification_id in said
    assert "They wait for `callpipeline up`." in said
    desk.look(after_s=1)
    assert [m.notification_id for m in desk.webhook.taken] == [message.notification_id] * 2
    [event_id] = message.metadata["event_ids"]
    by_event = installation.run("notifications", "resend", event_id).stdout
    assert by_event.count("will be tried again") == len(desk.notifiers)


def test_what_did_not_arrive_can_be_sent_again(installation: Installation, desk: Desk) -> None:
    desk.webhook.refuses = ReceiverGone("410", "410 gone")
    desk.fail("a.wav")
    desk.look()
    resent = installation.run("notifications", "resend", "--undelivered")
    assert resent.stdout.count("will be tried again") == 1
    assert "webhook is told nothing since it answered '410 gone'" in " ".join(resent.stderr.split())
    none = installation.run("notifications", "resend", "ffff", exit_code=1)
    assert "There is no notification 'ffff'" in none.stderr
    assert installation.run("notifications", "resend", exit_code=2).stderr


def test_a_word_of_ones_own_is_in_the_outbox(
    installation: Installation, receiver: HttpReceiver, desk: Desk
) -> None:
    words = ("notifications", "send", "Recorder 3 is off", "--severity", "critical")
    installation.run(*words, "--message", "since 9:00", "--channel", "webhook", **webhook(receiver))
    desk.look()
    [message] = desk.webhook.taken
    assert (message.title, message.message) == ("Recorder 3 is off", "since 9:00")
    assert message.severity == "critical"
    assert [len(notifier.taken) for notifier in desk.notifiers] == [0, 0, 1]


def test_a_word_to_nobody_is_refused(installation: Installation, receiver: HttpReceiver) -> None:
    refused = installation.run("notifications", "send", "x", exit_code=1)
    assert "No channel is set up" in refused.stderr
    words = ("notifications", "send", "x", "--channel", "slack")
    refused = installation.run(*words, exit_code=1, **webhook(receiver))
    assert "Not set up: slack." in refused.stderr


def test_the_channels_are_tried_at_once_and_the_answers_printed(
    installation: Installation, receiver: HttpReceiver, desk: Desk
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
    installation: Installation, receiver: HttpReceiver, desk: Desk
) -> None:
    desk.webhook.refuses = ReceiverGone("410", "410 gone")
    desk.fail("a.wav")
    desk.look()
    assert desk.storage.outbox.off()
    installation.run("notifications", "test", **webhook(receiver))
    assert not desk.storage.outbox.off()


def test_half_a_channel_is_told_by_every_command_that_needs_it(installation: Installation) -> None:
    half: dict[str, Any] = {"CALLPIPELINE_SMTP_HOST": "mail.example.com"}
    refused = installation.run("notifications", "test", exit_code=1, **half)
    assert "CALLPIPELINE_EMAIL_FROM is not: they go together" in refused.stderr
    sick = installation.run("doctor", "--json", exit_code=1, **half)
    found = {f["name"]: f for f in json.loads(sick.stdout)}
    assert found["notifications"]["level"] == "bad"
