"""Slack: blocks within its limits, nobody called by accident, buttons, threads, and refusals."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from callpipeline.domain.notification import Severity
from callpipeline.errors import DeliveryRefused
from callpipeline.notify.slack import (
    SlackBotNotifier,
    SlackWebhookNotifier,
    payload,
    web_client,
)
from tests.builders import a_message
from tests.fakes.receivers import Answer, HttpReceiver, SlackApi


@pytest.fixture
def api() -> Iterator[SlackApi]:
    slack = SlackApi()
    with slack.running():
        yield slack


def bot(api: SlackApi, token: str | None = None) -> SlackBotNotifier:
    return SlackBotNotifier(web_client(token or api.token, api.api_url), "#calls")


def blocks(message: Any) -> list[dict[str, Any]]:
    return payload(message)["attachments"][0]["blocks"]


def test_a_headline_two_lines_an_error_and_buttons() -> None:
    message = a_message(error_message="the recogniser is away", run_link="http://d/runs/1")
    kinds = [block["type"] for block in blocks(message)]
    assert kinds == ["header", "context", "section", "section", "actions"]
    assert len(blocks(message)[1]["elements"]) == 2
    buttons = blocks(message)[-1]["elements"]
    assert [(b["text"]["text"], b["url"]) for b in buttons] == [
        ("Open the call", "http://d/0"),
        ("Open the run", "http://d/runs/1"),
    ]


@pytest.mark.parametrize(
    ("severity", "colour"),
    [
        (Severity.INFO, "#17a2b8"),
        (Severity.WARNING, "#ffc107"),
        (Severity.ERROR, "#dc3545"),
        (Severity.CRITICAL, "#721c24"),
    ],
)
def test_the_colour_is_the_severitys(severity: Severity, colour: str) -> None:
    assert payload(a_message(severity=severity))["attachments"][0]["color"] == colour


def test_of_an_error_the_first_500_characters_are_shown() -> None:
    shown = blocks(a_message(error_message="e" * 501))[2]["text"]["text"]
    assert shown.count("e") == 499
    assert shown.endswith("…```")


def test_nobody_is_called_and_no_block_of_code_is_broken() -> None:
    text = json.dumps(payload(a_message(title="<!channel>", error_message="``` <@U1> & ```")))
    assert "<!channel>" not in text.replace('"plain_text", "text": "<!channel>"', "")
    assert "<@U1>" not in text
    assert text.count("```") == 2


@pytest.mark.parametrize("text", ["m" * 9000, "&" * 9000, "<>&x" * 2000], ids=["m", "&", "<>&x"])
def test_it_stays_within_slacks_limits(text: str) -> None:
    long = {"title": "t" * 900, "message": text, "error_message": text, "context": (text, text)}
    message = a_message(calls=1000, **long)
    for block in blocks(message):
        limit = 150 if block["type"] == "header" else 3000
        texts = [block.get("text", {}), *block.get("elements", [])]
        assert all(len(t["text"]) <= limit for t in texts if isinstance(t.get("text"), str)), block[
            "type"
        ]
        assert not any(
            str(t.get("text", "")).rstrip("…`").endswith(("&am", "&l", "&g")) for t in texts
        )
    assert "and 990 more" in json.dumps(blocks(message))


def test_what_belongs_together_is_a_thread(api: SlackApi) -> None:
    first = bot(api).send(a_message())
    bot(api).send(a_message(first_receipt=first.name, is_news=False))
    bot(api).send(a_message(first_receipt=first.name, is_recovery=True))
    opening, update, recovery = api.posts
    assert "thread_ts" not in opening
    assert update["thread_ts"] == recovery["thread_ts"] == first.name
    assert str(recovery["reply_broadcast"]).lower() in ("1", "true")
    assert str(update.get("reply_broadcast", "0")).lower() in ("0", "false")


def test_a_wrong_token_is_told_in_slacks_word(api: SlackApi) -> None:
    with pytest.raises(DeliveryRefused) as refused:
        bot(api, "xoxb-planted-wrong").send(a_message())
    assert refused.value.code == "invalid_auth"
    assert "planted" not in str(refused.value)


def test_a_limit_on_the_rate_is_heard_and_tried_once(api: SlackApi) -> None:
    limit = json.dumps({"ok": False, "error": "ratelimited"}).encode()
    api.answers = [Answer(429, limit, {"Retry-After": "30"})]
    with pytest.raises(DeliveryRefused) as refused:
        bot(api).send(a_message())
    assert (refused.value.code, refused.value.retry_after_s) == ("ratelimited", 30)
    assert len(api.requests) == 1


def test_an_incoming_webhook_is_heard_too() -> None:
    with HttpReceiver().running() as receiver:
        receiver.answers = [
            Answer(429, b"rate_limited", {"Retry-After": "7"}),
            Answer(404, b"no_service"),
        ]
        notifier = SlackWebhookNotifier(f"{receiver.url}/services/planted")
        for code, wait_s in (("429", 7), ("404", None)):
            with pytest.raises(DeliveryRefused) as refused:
                notifier.send(a_message())
            assert (refused.value.code, refused.value.retry_after_s) == (code, wait_s)
        assert notifier.send(a_message()).code == "ok"
        assert receiver.requests[-1].json["attachments"]
