"""A webhook of the users' own: the contract's JSON, signed by Standard Webhooks."""

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

from callpipeline.domain.notification import NotificationChannel
from callpipeline.domain.retry_after import wait_asked_for
from callpipeline.errors import DeliveryRefused, ReceiverGone, SettingsInvalid
from callpipeline.notify.message import Message, hashed, one_line, shortened
from callpipeline.notify.ports import Receipt

LIMIT_S = 15.0
"""For a whole try, from the name's look-up to the last byte of the answer."""
READ_S = 3.0
MOST_BYTES = 2_000
LONGEST_ANSWER = 200
SHORTEST_KEY = 16

for _logger in ("httpx", "httpcore"):  # they log the whole address, which may hold a token
    logging.getLogger(_logger).setLevel(logging.WARNING)


class WebhookNotifier:
    """Posts to one URL. Each of the `keys` signs: two of them while receivers change over."""

    channel = NotificationChannel.WEBHOOK

    def __init__(self, url: str, keys: Sequence[bytes] = (), *, limit_s: float = LIMIT_S) -> None:
        scheme, host, port = _parts(url)
        if scheme not in ("http", "https") or not host:
            raise SettingsInvalid("CALLPIPELINE_NOTIFY_WEBHOOK_URL is not like https://host/path.")
        self._url, self._keys, self._limit_s = url, tuple(keys), limit_s
        self.where = f"{scheme}://{host}{f':{port}' if port else ''}/…"
        self.address = hashed(url)

    def send(self, message: Message) -> Receipt:
        """Post it. Only 2xx is taken for an answer; 410 says that nothing is wanted any more."""
        body = json.dumps(message.as_contract()).encode()
        headers = signature_headers(message.notification_id, datetime.now(UTC), body, self._keys)
        try:
            return asyncio.run(self._post(body, headers))
        except TimeoutError:
            raise DeliveryRefused("timeout", f"No answer in {self._limit_s:g} s.") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise DeliveryRefused("unreachable", f"No answer ({_why(error)}).") from None

    async def _post(self, body: bytes, headers: dict[str, str]) -> Receipt:
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
    """The reason of the operating system where there is one, else the kind of error.

    The error's own text has the address in it, which may hold a token.
    """
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


async def _beginning(response: httpx.Response) -> str:
    """The first bytes of an answer; the rest is not read."""
    read = b""
    # The status has decided: an answer that breaks off, or never ends, is one all the same.
    with suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(READ_S):
            async for chunk in response.aiter_bytes():
                read += chunk
                if len(read) >= MOST_BYTES:
                    break
    return shortened(one_line(read[:MOST_BYTES].decode(errors="replace")), LONGEST_ANSWER)


def _receipt(response: httpx.Response, said: str) -> Receipt:
    code = str(response.status_code)
    answer = f"{code} {said}".strip()
    if response.is_success:
        return Receipt(code, answer)
    if response.status_code == httpx.codes.GONE:
        raise ReceiverGone(code, answer)
    wait_s = wait_asked_for(response.headers.get("retry-after"), datetime.now(UTC))
    raise DeliveryRefused(code, answer, wait_s)


def signature_headers(
    message_id: str, at: datetime, body: bytes, keys: Sequence[bytes]
) -> dict[str, str]:
    """The headers of a message; without keys it is not signed.

    Source: the Standard Webhooks specification, https://www.standardwebhooks.com
    """
    stamp = str(int(at.timestamp()))
    headers = {
        "content-type": "application/json",
        "user-agent": "callpipeline",
        "webhook-id": message_id,
        "webhook-timestamp": stamp,
    }
    signed = f"{message_id}.{stamp}.".encode() + body
    digests = (hmac.new(key, signed, hashlib.sha256).digest() for key in keys)
    signatures = " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
    return headers | ({"webhook-signature": signatures} if signatures else {})


def signing_keys(text: str) -> list[bytes]:
    """The keys in a setting: `whsec_…` with base64, two of them with a comma between."""
    return [_key(part.strip()) for part in text.split(",") if part.strip()]


def _key(text: str) -> bytes:
    digits = text.removeprefix("whsec_").rstrip("=")
    is_base64 = re.fullmatch(r"[A-Za-z0-9+/]+", digits) and len(digits) % 4 != 1
    key = base64.b64decode(digits + "==") if is_base64 else b""
    if len(key) < SHORTEST_KEY:
        raise SettingsInvalid(
            "CALLPIPELINE_NOTIFY_WEBHOOK_SECRET is no signing secret: make one of 24 to 64 random "
            "bytes in base64, as `echo whsec_$(openssl rand -base64 32)` does."
        )
    return key
