"""Files that are sent while they are read: in constant memory, and no longer than somebody waits.

A thread reads the rows and hands the bytes over one piece at a time; it waits while the client
takes its time, and its query is cut when the client has left.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import IO, cast

from fastapi import HTTPException, Request
from fastapi.responses import StreamingResponse

from callpipeline.domain.filters import Filters
from callpipeline.storage import export
from callpipeline.storage.database import Database
from callpipeline.storage.export import Format, Row, Table, What

PIECE_BYTES = 64 * 1024
AHEAD = 4
"""Pieces that are read before the client has taken those before."""

AT_ONCE = 4
"""Files; each is a thread, and a connection of its own."""

PATIENCE_S = 10
MEDIA_TYPES = {
    Format.CSV: "text/csv; charset=utf-8; header=present",
    Format.JSON: "application/x-ndjson",
    Format.PARQUET: "application/vnd.apache.parquet",
}
ENDINGS = {Format.CSV: "csv", Format.JSON: "jsonl", Format.PARQUET: "parquet"}


class Left(Exception):
    """The client has gone: nothing more is to be read."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be in the file, and how it is written."""

    what: What
    kind: Format
    filters: Filters
    words: str | None = None


class Pipe:
    """From a thread that writes to a loop that sends: a few pieces, and no more, lie between."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(AHEAD)
        self._begun: list[bytes] = []
        self._size = 0
        self._table: Table | None = None
        self._has_left = False

    def rows(self, table: Table) -> Iterator[Row]:
        """Of the table, whose query is cut when the client leaves. Raises Left."""
        self._table = table
        self._check()
        for row in table.rows:
            yield row
            self._check()

    def write(self, content: bytes) -> int:
        self._begun.append(content)
        self._size += len(content)
        if self._size >= PIECE_BYTES:
            self.flush()
        return len(content)

    def flush(self) -> None:
        """Hand over what was written; waits while the client takes its time. Raises Left."""
        self._put(b"".join(self._begun))
        self._begun, self._size = [], 0

    def end(self) -> None:
        """There is nothing more, also after an error."""
        self._put(None)

    def leave(self) -> None:
        """Called where it is sent: whoever writes stops at once, whatever he waits for."""
        if self._has_left:
            return
        self._has_left = True
        if self._table:
            self._loop.run_in_executor(None, self._table.cut)
        while not self._pieces.empty():
            self._pieces.get_nowait()
        self._pieces.put_nowait(None)

    async def taken(self) -> bytes | None:
        """The next piece; None behind the last."""
        return await self._pieces.get()

    def _check(self) -> None:
        if self._has_left:
            raise Left

    def _put(self, piece: bytes | None) -> None:
        self._check()
        asyncio.run_coroutine_threadsafe(self._pieces.put(piece), self._loop).result()


class Exports:
    """Files on their way to people: some at once, and no more."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._threads = ThreadPoolExecutor(AT_ONCE, "export")
        self.under_way = 0

    def close(self) -> None:
        self._threads.shutdown(wait=True)

    async def sent(self, request: Request, wish: Wish) -> StreamingResponse:
        """The answer, when its first bytes are there.

        Raises what reading the first rows raises, and HTTPException where too many are under way.
        """
        if self.under_way >= AT_ONCE:
            said = f"{AT_ONCE} files are being made already: try again in a minute."
            raise HTTPException(503, said, {"Retry-After": "30"})
        self.under_way += 1
        pipe = Pipe()
        reading = asyncio.wrap_future(self._begin(pipe, wish))
        watching = asyncio.create_task(_leave_with(request, pipe))
        reading.add_done_callback(lambda _: self._end(watching, reading))
        first = await pipe.taken()
        if first is None:
            await reading
        headers = {
            "Content-Disposition": f'attachment; filename="{wish.what}.{ENDINGS[wish.kind]}"',
            "Cache-Control": "private, no-store",
        }
        return StreamingResponse(
            _pieces(pipe, first, reading), media_type=MEDIA_TYPES[wish.kind], headers=headers
        )

    def _begin(self, pipe: Pipe, wish: Wish) -> "Future[None]":
        return self._threads.submit(_read, self._database, pipe, wish)

    def _end(self, watching: "asyncio.Task[None]", reading: "asyncio.Future[None]") -> None:
        self.under_way -= 1
        watching.cancel()
        if not reading.cancelled():
            reading.exception()  # of a query that was cut: it is no news to anybody


async def _leave_with(request: Request, pipe: Pipe) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    pipe.leave()


async def _pieces(
    pipe: Pipe, first: bytes | None, reading: "asyncio.Future[None]"
) -> AsyncIterator[bytes]:
    """What is read, as it comes. An error breaks it off, so that nobody takes it for all."""
    try:
        piece = first
        while piece is not None:
            yield piece
            piece = await pipe.taken()
        await reading
    finally:
        if not reading.done():
            pipe.leave()


def _read(database: Database, pipe: Pipe, wish: Wish) -> None:
    """On a connection apart: files that are read for minutes leave those of pages alone."""
    try:
        with (
            database.apart(patience_s=PATIENCE_S) as own,
            export.opened(own, wish.what, filters=wish.filters, words=wish.words) as table,
        ):
            watched = replace(table, rows=pipe.rows(table))
            if wish.kind is Format.PARQUET:
                _write_by_file(watched, pipe)
            else:
                export.write(watched, wish.kind, cast(IO[bytes], pipe))
            pipe.flush()
        pipe.end()
    except Left:
        return
    except BaseException:
        pipe.end()
        raise


def _write_by_file(table: Table, pipe: Pipe) -> None:
    """A Parquet file is sent when all of it is made: its end tells of its beginning."""
    with tempfile.TemporaryFile() as file:
        export.write(table, Format.PARQUET, file)
        file.seek(0)
        while piece := file.read(PIECE_BYTES):
            pipe.write(piece)
