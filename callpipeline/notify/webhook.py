"""A webhook of the operator's: the contract's JSON, signed by Standard Webhooks."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx

from callpipeline.domain.egress import parse_retry_after
from callpipeline.domain.notifications import NotificationChannel
from callpipeline.errors import DeliveryRefused, ReceiverGone, SettingsInvalid
from callpipeline.notify.ports import (
    DeliveryReceipt,
    NotificationMessage,
    hash_address,
    single_line,
    truncate,
)

LIMIT_S = 15.0
"""Limit of a delivery attempt, from DNS lookup to the end of the response."""
READ_S = 3.0
MAX_ANSWER_BYTES = 2_000
MAX_ANSWER_CHARS = 200
MIN_KEY_BYTES = 16

for _logger in ("httpx", "httpcore"):  # they log the whole URL, which may contain a token
    logging.getLogger(_logger).setLevel(logging.WARNING)


class WebhookNotifier:
    """Posts to one URL, signed with each of the `keys` (two during a key rotation)."""

    channel = NotificationChannel.WEBHOOK

    def __init__(self, url: str, keys: Sequence[bytes] = (), *, limit_s: float = LIMIT_S) -> None:
        scheme, host, port = _parts(url)
        if scheme not in ("http", "https") or not host:
            raise SettingsInvalid(
                "CALLPIPELINE_NOTIFY_WEBHOOK_URL is not of the form https://host/path."
            )
        self._url, self._keys, self._limit_s = url, tuple(keys), limit_s
        self.destination = f"{scheme}://{host}{f':{port}' if port else ''}/…"
        self.destination_hash = hash_address(url)

    def send(self, message: NotificationMessage) -> DeliveryReceipt:
        """Post the message. Only 2xx is success; 410 means that the receiver is gone."""
        body = json.dumps(message.to_contract()).encode()
        headers = signature_headers(message.notification_id, datetime.now(UTC), body, self._keys)
        try:
            return asyncio.run(self._post(body, headers))
        except TimeoutError:
            raise DeliveryRefused("timeout", f"No response in {self._limit_s:g} s.") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise DeliveryRefused("unreachable", f"No response ({_why(error)}).") from None

    async def _post(self, body: bytes, headers: dict[str, str]) -> DeliveryReceipt:
        async with (
            asyncio.timeout(self._limit_s),
            httpx.AsyncClient(timeout=self._limit_s, follow_redirects=False) as client,
            client.stream("POST", self._url, content=body, headers=headers) as response,
        ):
            return _receipt(response, await _beginning(response))


def _parts(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port
    except ValueError:
        return "", None, None


def _why(error: BaseException) -> str:
    """Return the operating system's reason, or the kind of error.

    The error's message is not used: it contains the URL, which may hold a token.
    """
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


async def _beginning(response: httpx.Response) -> str:
    """Read the first bytes of the response only."""
    read = b""
    # The status has decided already: a body that breaks off or never ends doesn't matter.
    with suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(READ_S):
            async for chunk in response.aiter_bytes():
                read += chunk
                if len(read) >= MAX_ANSWER_BYTES:
                    break
    return truncate(single_line(read[:MAX_ANSWER_BYTES].decode(errors="replace")), MAX_ANSWER_CHARS)


def _receipt(response: httpx.Response, body: str) -> DeliveryReceipt:
    code = str(response.status_code)
    answer = f"{code} {body}".strip()
    if response.is_success:
        return DeliveryReceipt(code, answer)
    if response.status_code == httpx.codes.GONE:
        raise ReceiverGone(code, answer)
    wait_s = parse_retry_after(response.headers.get("retry-after"), datetime.now(UTC))
    raise DeliveryRefused(code, answer, wait_s)


def signature_headers(
    message_id: str, at: datetime, body: bytes, keys: Sequence[bytes]
) -> dict[str, str]:
    """Return the headers of a message; without keys it isn't signed.

    Source: the Standard Webhooks specification, https://www.standardwebhooks.com
    """
    timestamp = str(int(at.timestamp()))
    headers = {
        "content-type": "application/json",
        "user-agent": "callpipeline",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
    }
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.new(key, signed, hashlib.sha256).digest() for key in keys)
    signatures = " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
    return headers | ({"webhook-signature": signatures} if signatures else {})


def signing_keys(text: str) -> list[bytes]:
    """Parse the keys in a setting: `whsec_` and base64, separated by a comma if two."""
    return [_key(part.strip()) for part in text.split(",") if part.strip()]


def _key(text: str) -> bytes:
    digits = text.removeprefix("whsec_").rstrip("=")
    is_base64 = re.fullmatch(r"[A-Za-z0-9+/]+", digits) and len(digits) % 4 != 1
    key = base64.b64decode(digits + "==") if is_base64 else b""
    if len(key) < MIN_KEY_BYTES:
        raise SettingsInvalid(
            "CALLPIPELINE_NOTIFY_WEBHOOK_SECRET is not a signing secret: use 24 to 64 random "
            "bytes in base64, such as from `echo whsec_$(openssl rand -base64 32)`."
        )
    return key
