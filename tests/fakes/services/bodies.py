"""Faults with status 200: broken, endless or unexpected bodies."""

import asyncio
import json
import random
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any

from tests.fakes.services.exchange import BLOCK_BYTES, Exchange, Reply
from tests.fakes.services.faults import Fault, fixed_reply

JSON = {"Content-Type": "application/json"}
MEGABYTE = 1 << 20
PAGE = b"<!doctype html><html><body><h1>It works!</h1></body></html>"


def with_change(name: str, change: Callable[[Any], Any]) -> Fault:
    """Return a fault that changes the document of the regular response."""

    async def act(exchange: Exchange) -> None:
        reply = await exchange.regular_reply()
        document = change(json.loads(reply.body))
        await exchange.reply(replace(reply, body=json.dumps(document).encode()))

    return Fault(name, act)


def with_reply_change(name: str, change: Callable[[Reply], Reply]) -> Fault:
    """Return a fault that changes the headers or encoding of the regular response."""

    async def act(exchange: Exchange) -> None:
        await exchange.reply(change(await exchange.regular_reply()))

    return Fault(name, act)


async def _endless(exchange: Exchange, blank: bytes) -> None:
    """Send until the client disconnects; `sent_bytes` counts what it read."""
    reply = await exchange.regular_reply()
    await exchange.start(200, {"Content-Type": reply.headers.get("Content-Type", "text/plain")})
    block = blank * BLOCK_BYTES
    while True:
        await exchange.send(block)
        await asyncio.sleep(0)


async def _huge_promise(exchange: Exchange) -> None:
    """Announce ten gigabytes and send one byte."""
    reply = await exchange.regular_reply()
    await exchange.start(200, {**reply.headers, "Content-Length": str(10 << 30)})
    await exchange.send(b" ")
    await exchange.until_gone()


async def _more_than_promised(exchange: Exchange) -> None:
    reply = await exchange.regular_reply()
    await exchange.start(200, {**reply.headers, "Content-Length": str(len(reply.body) // 2)})
    await exchange.send(reply.body + reply.body)


async def _gzip_bomb(exchange: Exchange, megabytes: int) -> None:
    """Send the regular response after megabytes of spaces: valid for a client without limit."""
    reply = await exchange.regular_reply()
    packed = await asyncio.to_thread(_packed_blanks, megabytes)
    body = packed + _packed_end(megabytes, reply.body)
    await exchange.reply(Reply(200, body, {**reply.headers, "Content-Encoding": "gzip"}))


@cache
def _packed_blanks(megabytes: int) -> bytes:
    """Return the head of a gzip stream with megabytes of spaces, from one repeated block."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(b" " * MEGABYTE) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block * megabytes


@cache
def _checksum_of_blanks(megabytes: int) -> int:
    checksum, blanks = 0, b" " * MEGABYTE
    for _ in range(megabytes):
        checksum = zlib.crc32(blanks, checksum)
    return checksum


def _packed_end(megabytes: int, tail: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    checksum = zlib.crc32(tail, _checksum_of_blanks(megabytes))
    size = (megabytes * MEGABYTE + len(tail)) & 0xFFFFFFFF
    trailer = checksum.to_bytes(4, "little") + size.to_bytes(4, "little")
    return packer.compress(tail) + packer.flush() + trailer


def gzip_bomb(megabytes: int) -> Fault:
    return Fault(f"gzip-bomb-of-{megabytes}-mb", partial(_gzip_bomb, megabytes=megabytes))


def _typed(content_type: str) -> Callable[[Reply], Reply]:
    return lambda reply: replace(reply, headers={**reply.headers, "Content-Type": content_type})


def _gzip_garbage() -> Fault:
    garbage = b"\x1f\x8b\x08\0" + random.Random(7).randbytes(400)
    return fixed_reply("gzip-garbage", Reply(200, garbage, {**JSON, "Content-Encoding": "gzip"}))


MALFORMED_JSON = fixed_reply("malformed-json", Reply(200, b'{"data": {"segments": [', JSON))
HTML = fixed_reply("html-with-200", Reply(200, PAGE, {"Content-Type": "text/html"}))
EMPTY_200 = fixed_reply("empty-200", Reply(200, b"", JSON))
NO_CONTENT = fixed_reply("204", Reply(204))
NOT_UTF8 = fixed_reply("not-utf8", Reply(200, b'{"text": "caf\xe9"}', JSON))
UNKNOWN_CHARSET = with_reply_change(
    "unknown-charset", _typed("application/json; charset=no-such-thing")
)
GZIP_GARBAGE = _gzip_garbage()
GZIP_BOMB = gzip_bomb(256)
ENDLESS = Fault("endless-body", partial(_endless, blank=b" "))
HUGE_PROMISE = Fault("promises-ten-gigabytes", _huge_promise)
MORE_THAN_PROMISED = Fault("more-than-promised", _more_than_promised)
DEEP_JSON = fixed_reply("deeply-nested-json", Reply(200, b"[" * 100_000 + b"]" * 100_000, JSON))

BROKEN_BODIES = (
    MALFORMED_JSON,
    HTML,
    EMPTY_200,
    NO_CONTENT,
    NOT_UTF8,
    GZIP_GARBAGE,
    MORE_THAN_PROMISED,
    DEEP_JSON,
)
"""For all services that respond with JSON. The contract doesn't say whether to retry."""
OVERSIZED = (ENDLESS, GZIP_BOMB, HUGE_PROMISE)
"""End only with a limit of the client."""

LIST_OF_ONE = with_change("list-of-one", lambda answer: [answer])
WRONG_TYPE = with_reply_change("json-as-text", _typed("text/plain"))
UNUSUAL_BUT_VALID = (LIST_OF_ONE, WRONG_TYPE, UNKNOWN_CHARSET)
"""Must be accepted (the contract doesn't mention the unknown charset)."""

CHANNEL_NOT_FOUND = fixed_reply("channel-404", Reply(404, b'{"detail":"Not Found"}', JSON), False)
CHANNEL_EMPTY = fixed_reply("channel-empty", Reply(200, b"", {"Content-Type": "audio/flac"}))
CHANNEL_NOT_AUDIO = fixed_reply(
    "channel-not-audio", Reply(200, PAGE * 50, {"Content-Type": "audio/flac"})
)
CHANNEL_FILES = (
    CHANNEL_NOT_FOUND,
    CHANNEL_EMPTY,
    CHANNEL_NOT_AUDIO,
    HTML,
    ENDLESS,
    HUGE_PROMISE,
    MORE_THAN_PROMISED,
)
"""For `channel`, besides faults of the connection."""
