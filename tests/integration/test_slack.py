"""Slack: blocks within its limits, escaping, buttons, threads and refusals."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from callpipeline.domain.notifications import Severity
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
        ("Open call", "http://d/0"),
        ("Open run", "http://d/runs/1"),
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
def test_the_colour_shows_the_severity(severity: Severity, colour: str) -> None:
    assert payload(a_message(severity=severity))["attachments"][0]["color"] == colour


def test_an_error_is_truncated_to_500_characters() -> None:
    shown = blocks(a_message(error_message="e" * 501))[2]["text"]["text"]
    assert shown.count("e") == 499
    assert shown.endswith("…```")


def test_mentions_are_escaped_and_code_blocks_stay_intact() -> None:
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


def test_related_messages_are_a_thread(api: SlackApi) -> None:
    first = bot(api).send(a_message())
    bot(api).send(a_message(first_receipt=first.remote_id, is_news=False))
    bot(api).send(a_message(first_receipt=first.remote_id, is_recovery=True))
    opening, update, recovery = api.posts
    assert "thread_ts" not in opening
    assert update["thread_ts"] == recovery["thread_ts"] == first.remote_id
    assert str(recovery["reply_broadcast"]).lower() in ("1", "true")
    assert str(update.get("reply_broadcast", "0")).lower() in ("0", "false")


def test_a_wrong_token_has_slacks_error_code(api: SlackApi) -> None:
    with pytest.raises(DeliveryRefused) as refused:
        bot(api, "xoxb-planted-wrong").send(a_message())
    assert refused.value.code == "invalid_auth"
    assert "planted" not in str(refused.value)


def test_a_rate_limit_is_respected_without_retrying(api: SlackApi) -> None:
    limit = json.dumps({"ok": False, "error": "ratelimited"}).encode()
    api.answers = [Answer(429, limit, {"Retry-After": "30"})]
    with pytest.raises(DeliveryRefused) as refused:
        bot(api).send(a_message())
    assert (refused.value.code, refused.value.retry_after_s) == ("ratelimited", 30)
    assert len(api.requests) == 1


def test_an_incoming_webhook_has_rate_limits_and_errors_too() -> None:
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
