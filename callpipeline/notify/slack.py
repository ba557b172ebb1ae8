"""Slack, by bot token or incoming webhook: blocks, colours, buttons and threads."""

import logging
import re
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.webhook import WebhookClient

from callpipeline.domain.egress import parse_retry_after
from callpipeline.domain.notifications import NotificationChannel
from callpipeline.errors import DeliveryRefused
from callpipeline.notify.ports import (
    COLOURS,
    MAX_ERROR_CHARS,
    DeliveryReceipt,
    NotificationMessage,
    hash_address,
    truncate,
)

LIMIT_S = 15
SLACK_API = "https://slack.com/api/"
MAX_HEADER_CHARS = 150
MAX_SECTION_CHARS = 3000
MAX_CALLS = 10

# slack_sdk logs its requests and responses; the outbox records what matters of them.
logging.getLogger("slack_sdk").setLevel(logging.CRITICAL)


def web_client(token: str, api_url: str | None = None) -> WebClient:
    """Return a client without retries: the outbox retries, and records deliveries."""
    return WebClient(token, base_url=api_url or SLACK_API, timeout=LIMIT_S, retry_handlers=[])


class SlackBotNotifier:
    """Posts by Slack's Web API, with one thread per incident."""

    channel = NotificationChannel.SLACK

    def __init__(self, client: WebClient, slack_channel: str) -> None:
        self._client = client
        self._slack_channel = slack_channel
        self.destination = f"Slack channel {slack_channel}"
        self.destination_hash = hash_address(f"{client.base_url} {slack_channel}")

    def send(self, message: NotificationMessage) -> DeliveryReceipt:
        """Post the message; `remote_id` of the receipt is Slack's `ts`."""
        thread = message.first_receipt
        try:
            answer = self._client.chat_postMessage(
                channel=self._slack_channel,
                thread_ts=thread,
                # Recoveries and relapses also show up outside the thread.
                reply_broadcast=bool(thread and message.is_news),
                **payload(message),
            )
        except SlackApiError as error:
            raise _refused_by_api(error) from None
        except (OSError, HTTPException, ValueError) as error:
            raise _unreachable(error) from None
        return DeliveryReceipt("ok", "ok", remote_id=str(answer["ts"]))


class SlackWebhookNotifier:
    """Posts to an incoming webhook, which doesn't support threads."""

    channel = NotificationChannel.SLACK
    destination = "a Slack incoming webhook"

    def __init__(self, url: str) -> None:
        self._client = WebhookClient(url, timeout=LIMIT_S, retry_handlers=[])
        self.destination_hash = hash_address(url)

    def send(self, message: NotificationMessage) -> DeliveryReceipt:
        """Post the message; Slack answers `ok`."""
        try:
            answer = self._client.send_dict(payload(message))
        except (OSError, HTTPException, ValueError) as error:
            raise _unreachable(error) from None
        text = truncate(str(answer.body), 200)
        if answer.status_code == 200:
            return DeliveryReceipt("ok", text)
        wait_s = _retry_after(answer.headers)
        raise DeliveryRefused(str(answer.status_code), f"{answer.status_code} {text}", wait_s)


def payload(message: NotificationMessage) -> dict[str, Any]:
    """Build the message as Block Kit: coloured blocks, and the fallback for phones.

    Source: https://docs.slack.dev/reference/block-kit
    """
    blocks = [
        {"type": "header", "text": _plain(truncate(message.title, MAX_HEADER_CHARS))},
        *_section(message.message),
        {"type": "context", "elements": [_mrkdwn(line) for line in message.context]},
        *_error(message),
        *_calls(message),
        *_buttons(message),
    ]
    non_empty = [block for block in blocks if block.get("elements") != []]
    return {
        # A top-level text would be shown above the blocks, as another headline.
        "attachments": [
            {
                "color": COLOURS[message.severity],
                "fallback": f"[{message.severity.upper()}] {_escaped(message.title)}",
                "blocks": non_empty,
            }
        ],
        "unfurl_links": False,
    }


def _section(text: str) -> list[dict[str, Any]]:
    return [{"type": "section", "text": _mrkdwn(text)}] if text else []


def _error(message: NotificationMessage) -> list[dict[str, Any]]:
    if not message.error_message:
        return []
    # Backticks would end the code block.
    error = _fitting(truncate(message.error_message, MAX_ERROR_CHARS)).replace("```", "'''")
    return [{"type": "section", "text": {"type": "mrkdwn", "text": f"```{error}```"}}]


def _calls(message: NotificationMessage) -> list[dict[str, Any]]:
    if not message.calls:
        return []
    shown = message.calls[:MAX_CALLS]
    lines = [f"<{call.link}|{call.call_id}>  {_escaped(call.filename)}" for call in shown]
    if message.call_count > len(shown):
        lines.append(f"and {message.call_count - len(shown):,} more")
    text = truncate("\n".join(lines), MAX_SECTION_CHARS)
    return [{"type": "section", "text": {"type": "mrkdwn", "text": text}}]


def _buttons(message: NotificationMessage) -> list[dict[str, Any]]:
    links = {"Open call": message.call_link, "Open run": message.run_link}
    buttons = [
        {"type": "button", "text": _plain(text), "url": url, "action_id": f"open_{number}"}
        for number, (text, url) in enumerate(links.items())
        if url
    ]
    return [{"type": "actions", "elements": buttons}] if buttons else []


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text or "–", "emoji": False}


def _mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": _fitting(text)}


def _fitting(text: str, limit: int = MAX_SECTION_CHARS - 10) -> str:
    """Escape the text and truncate it to fit; escaping grows it up to fivefold."""
    escaped = _escaped(text)
    if len(escaped) <= limit:
        return escaped
    pieces, length = list[str](), 0
    for piece in map(_escaped, text):
        length += len(piece)
        if length >= limit:
            break
        pieces.append(piece)
    return f"{''.join(pieces)}…"


def _escaped(text: str) -> str:
    """Escape the text by Slack's rules, so that it contains no mentions (`<!channel>`) or links."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _refused_by_api(error: SlackApiError) -> DeliveryRefused:
    """Use Slack's error code, such as `invalid_auth`, or the status of a proxy's answer."""
    answer = error.response
    reason = str(answer.get("error"))
    code = reason if re.fullmatch("[a-z_]+", reason) else str(answer.status_code)
    text = f"{answer.status_code} {truncate(reason, 200)}"
    return DeliveryRefused(code, text, _retry_after(answer.headers))


def _retry_after(headers: Any) -> float | None:
    lowered = {str(name).lower(): value for name, value in dict(headers).items()}
    values = lowered.get("retry-after")
    value = values[0] if isinstance(values, list) and values else values
    return parse_retry_after(value, datetime.now(UTC)) if isinstance(value, str) else None


def _unreachable(error: Exception) -> DeliveryRefused:
    """Name the kind of error only: its message contains the URL, which may be a secret."""
    reason = getattr(error, "reason", error)
    why = (isinstance(reason, OSError) and reason.strerror) or type(reason).__name__
    return DeliveryRefused("unreachable", f"Slack did not respond ({why}).")
