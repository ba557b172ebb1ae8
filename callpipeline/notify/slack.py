"""Slack, by a bot's token or by an incoming webhook: blocks, a colour, buttons, and threads."""

import logging
import re
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.webhook import WebhookClient

from callpipeline.domain.notification import NotificationChannel
from callpipeline.domain.retry_after import wait_asked_for
from callpipeline.errors import DeliveryRefused
from callpipeline.notify.message import COLOURS, LONGEST_ERROR, Message, hashed, shortened
from callpipeline.notify.ports import Receipt

LIMIT_S = 15
SLACK_API = "https://slack.com/api/"
LONGEST_HEADER = 150
LONGEST_SECTION = 3000
MOST_CALLS = 10

# It logs what it sends and is answered; the outbox notes what is to be known of that.
logging.getLogger("slack_sdk").setLevel(logging.CRITICAL)


def web_client(token: str, api_url: str | None = None) -> WebClient:
    """A client that tries once: the outbox tries again, and knows what was delivered."""
    return WebClient(token, base_url=api_url or SLACK_API, timeout=LIMIT_S, retry_handlers=[])


class SlackBotNotifier:
    """Posts by Slack's Web API; what belongs together is a thread."""

    channel = NotificationChannel.SLACK

    def __init__(self, client: WebClient, slack_channel: str) -> None:
        self._client = client
        self._slack_channel = slack_channel
        self.where = f"Slack channel {slack_channel}"
        self.address = hashed(f"{client.base_url} {slack_channel}")

    def send(self, message: Message) -> Receipt:
        """Post it; the receipt's name is Slack's `ts`."""
        thread = message.first_receipt
        try:
            answer = self._client.chat_postMessage(
                channel=self._slack_channel,
                thread_ts=thread,
                # Who looks no more into the thread is to see that it is over, or begins again.
                reply_broadcast=bool(thread and message.is_news),
                **payload(message),
            )
        except SlackApiError as error:
            raise _refused_by_api(error) from None
        except (OSError, HTTPException, ValueError) as error:
            raise _unreachable(error) from None
        return Receipt("ok", "ok", name=str(answer["ts"]))


class SlackWebhookNotifier:
    """Posts to an incoming webhook, which knows no threads."""

    channel = NotificationChannel.SLACK
    where = "a Slack incoming webhook"

    def __init__(self, url: str) -> None:
        self._client = WebhookClient(url, timeout=LIMIT_S, retry_handlers=[])
        self.address = hashed(url)

    def send(self, message: Message) -> Receipt:
        """Post it; Slack answers `ok`."""
        try:
            answer = self._client.send_dict(payload(message))
        except (OSError, HTTPException, ValueError) as error:
            raise _unreachable(error) from None
        said = shortened(str(answer.body), 200)
        if answer.status_code == 200:
            return Receipt("ok", said)
        wait_s = _retry_after(answer.headers)
        raise DeliveryRefused(str(answer.status_code), f"{answer.status_code} {said}", wait_s)


def payload(message: Message) -> dict[str, Any]:
    """The message as Block Kit: what phones show of it, and coloured blocks.

    Source: https://docs.slack.dev/reference/block-kit
    """
    blocks = [
        {"type": "header", "text": _plain(shortened(message.title, LONGEST_HEADER))},
        *_section(message.message),
        {"type": "context", "elements": [_mrkdwn(line) for line in message.context]},
        *_error(message),
        *_calls(message),
        *_buttons(message),
    ]
    used = [block for block in blocks if block.get("elements") != []]
    return {
        # A text beside them would be shown above the blocks, as one more headline.
        "attachments": [
            {
                "color": COLOURS[message.severity],
                "fallback": f"[{message.severity.upper()}] {_escaped(message.title)}",
                "blocks": used,
            }
        ],
        "unfurl_links": False,
    }


def _section(text: str) -> list[dict[str, Any]]:
    return [{"type": "section", "text": _mrkdwn(text)}] if text else []


def _error(message: Message) -> list[dict[str, Any]]:
    if not message.error_message:
        return []
    # A run of backticks would end the block of code in the middle.
    said = _fitting(shortened(message.error_message, LONGEST_ERROR)).replace("```", "'''")
    return [{"type": "section", "text": {"type": "mrkdwn", "text": f"```{said}```"}}]


def _calls(message: Message) -> list[dict[str, Any]]:
    if not message.calls:
        return []
    shown = message.calls[:MOST_CALLS]
    lines = [f"<{call.link}|{call.call_id}>  {_escaped(call.filename)}" for call in shown]
    if message.call_count > len(shown):
        lines.append(f"and {message.call_count - len(shown):,} more")
    text = shortened("\n".join(lines), LONGEST_SECTION)
    return [{"type": "section", "text": {"type": "mrkdwn", "text": text}}]


def _buttons(message: Message) -> list[dict[str, Any]]:
    links = {"Open the call": message.call_link, "Open the run": message.run_link}
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


def _fitting(text: str, limit: int = LONGEST_SECTION - 10) -> str:
    """Escaped, and cut so that it fits: what is escaped grows, up to fivefold."""
    whole = _escaped(text)
    if len(whole) <= limit:
        return whole
    pieces, length = list[str](), 0
    for piece in map(_escaped, text):
        length += len(piece)
        if length >= limit:
            break
        pieces.append(piece)
    return f"{''.join(pieces)}…"


def _escaped(text: str) -> str:
    """Slack's own rule: nobody is called (`<!channel>`), nothing is a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _refused_by_api(error: SlackApiError) -> DeliveryRefused:
    """By Slack's own word, such as `invalid_auth`; a proxy that answers has a status only."""
    answer = error.response
    said = str(answer.get("error"))
    code = said if re.fullmatch("[a-z_]+", said) else str(answer.status_code)
    told = f"{answer.status_code} {shortened(said, 200)}"
    return DeliveryRefused(code, told, _retry_after(answer.headers))


def _retry_after(headers: Any) -> float | None:
    found = {str(name).lower(): value for name, value in dict(headers).items()}.get("retry-after")
    value = found[0] if isinstance(found, list) and found else found
    return wait_asked_for(value, datetime.now(UTC)) if isinstance(value, str) else None


def _unreachable(error: Exception) -> DeliveryRefused:
    """Only its kind: the text of such errors has the address in it, which may be a secret."""
    reason = getattr(error, "reason", error)
    why = (isinstance(reason, OSError) and reason.strerror) or type(reason).__name__
    return DeliveryRefused("unreachable", f"Slack did not answer ({why}).")
