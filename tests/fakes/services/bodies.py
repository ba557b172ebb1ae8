"""Responses with 200 whose body is not what was asked for: broken, endless, of the wrong shape."""

import asyncio
import json
import random
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any

from tests.fakes.services.exchange import BLOCK_BYTES, Exchange, Reply
from tests.fakes.services.faults import Fault, answering

JSON = {"Content-Type": "application/json"}
MEGABYTE = 1 << 20
PAGE = b"<!doctype html><html><body><h1>It works!</h1></body></html>"


def changed(name: str, change: Callable[[Any], Any]) -> Fault:
    """The proper answer, once `change` has been at its document (NaN is written as `NaN`)."""

    async def act(exchange: Exchange) -> None:
        reply = await exchange.proper()
        document = change(json.loads(reply.body))
        await exchange.reply(replace(reply, body=json.dumps(document).encode()))

    return Fault(name, act)


def dressed(name: str, change: Callable[[Reply], Reply]) -> Fault:
    """The proper answer with other headers or another encoding."""

    async def act(exchange: Exchange) -> None:
        await exchange.reply(change(await exchange.proper()))

    return Fault(name, act)


async def _endless(exchange: Exchange, blank: bytes) -> None:
    """Goes on until the client hangs up; `sent_bytes` of the arrival is what it took."""
    reply = await exchange.proper()
    await exchange.start(200, {"Content-Type": reply.headers.get("Content-Type", "text/plain")})
    block = blank * BLOCK_BYTES
    while True:
        await exchange.send(block)
        await asyncio.sleep(0)


async def _huge_promise(exchange: Exchange) -> None:
    """Ten gigabytes are announced, and one byte comes."""
    reply = await exchange.proper()
    await exchange.start(200, {**reply.headers, "Content-Length": str(10 << 30)})
    await exchange.send(b" ")
    await exchange.until_gone()


async def _more_than_promised(exchange: Exchange) -> None:
    reply = await exchange.proper()
    await exchange.start(200, {**reply.headers, "Content-Length": str(len(reply.body) // 2)})
    await exchange.send(reply.body + reply.body)


async def _gzip_bomb(exchange: Exchange, megabytes: int) -> None:
    """A proper answer behind so many megabytes of blanks: who has no limit finds it in order."""
    reply = await exchange.proper()
    packed = await asyncio.to_thread(_packed_blanks, megabytes)
    body = packed + _packed_end(megabytes, reply.body)
    await exchange.reply(Reply(200, body, {**reply.headers, "Content-Encoding": "gzip"}))


@cache
def _packed_blanks(megabytes: int) -> bytes:
    """The head of a gzip stream and its blanks: one flushed block stands for itself, repeated."""
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
    return answering("gzip-garbage", Reply(200, garbage, {**JSON, "Content-Encoding": "gzip"}))


MALFORMED_JSON = answering("malformed-json", Reply(200, b'{"data": {"segments": [', JSON))
HTML = answering("html-with-200", Reply(200, PAGE, {"Content-Type": "text/html"}))
EMPTY_200 = answering("empty-200", Reply(200, b"", JSON))
NO_CONTENT = answering("204", Reply(204))
NOT_UTF8 = answering("not-utf8", Reply(200, b'{"text": "caf\xe9"}', JSON))
UNKNOWN_CHARSET = dressed("unknown-charset", _typed("application/json; charset=no-such-thing"))
GZIP_GARBAGE = _gzip_garbage()
GZIP_BOMB = gzip_bomb(256)
ENDLESS = Fault("endless-body", partial(_endless, blank=b" "))
HUGE_PROMISE = Fault("promises-ten-gigabytes", _huge_promise)
MORE_THAN_PROMISED = Fault("more-than-promised", _more_than_promised)
DEEP_JSON = answering("deeply-nested-json", Reply(200, b"[" * 100_000 + b"]" * 100_000, JSON))

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
"""Of every service that answers in JSON. The contract does not say whether to try again."""
OVERSIZED = (ENDLESS, GZIP_BOMB, HUGE_PROMISE)
"""Where only a limit of the client's own ends it."""

LIST_OF_ONE = changed("list-of-one", lambda answer: [answer])
WRONG_TYPE = dressed("json-as-text", _typed("text/plain"))
ODD_BUT_RIGHT = (LIST_OF_ONE, WRONG_TYPE, UNKNOWN_CHARSET)
"""Must be taken as proper answers (the unknown charset: the contract does not say)."""

CHANNEL_NOT_FOUND = answering("channel-404", Reply(404, b'{"detail":"Not Found"}', JSON), False)
CHANNEL_EMPTY = answering("channel-empty", Reply(200, b"", {"Content-Type": "audio/flac"}))
CHANNEL_NOT_AUDIO = answering(
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
"""Of `channel`, besides those of the connection."""
