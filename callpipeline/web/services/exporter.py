"""Exports streamed to the client in constant memory.

A thread reads the rows and passes the bytes on in chunks. It waits for slow clients, and its query
is cancelled when the client disconnects.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import IO, cast

from fastapi import HTTPException, Request
from fastapi.responses import StreamingResponse

from callpipeline.domain.calls.filters import CallFilters
from callpipeline.storage.postgres.database import Database
from callpipeline.storage.reading import export
from callpipeline.storage.reading.export import Dataset, ExportFormat, ExportRow, ExportTable

CHUNK_BYTES = 64 * 1024
MAX_CHUNKS_AHEAD = 4
"""Chunks that are read before the client has received the previous ones."""
MAX_EXPORTS = 4
"""Concurrent exports; each has a thread and a database connection."""
CONNECT_TIMEOUT_S = 10
MEDIA_TYPES = {
    ExportFormat.CSV: "text/csv; charset=utf-8; header=present",
    ExportFormat.JSON: "application/x-ndjson",
    ExportFormat.PARQUET: "application/vnd.apache.parquet",
    ExportFormat.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
EXTENSIONS = {ExportFormat.JSON: "jsonl"}
"""Extensions of files that are not the format's name."""
NEEDS_FILE = (ExportFormat.PARQUET, ExportFormat.XLSX)
"""Formats whose writers need a file that they can seek in."""


class ClientLeft(Exception):
    """The client has disconnected, so the export stops."""


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """Content and format of an export."""

    dataset: Dataset
    format: ExportFormat
    filters: CallFilters
    words: str | None = None
    base_url: str = ""


class ChunkPipe:
    """Bounded queue of chunks from a thread that writes to the event loop that sends."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_CHUNKS_AHEAD)
        self._buffer: list[bytes] = []
        self._buffered_bytes = 0
        self._table: ExportTable | None = None
        self._has_left = False

    def rows(self, table: ExportTable) -> Iterator[ExportRow]:
        """Iterate over a table, whose query is cancelled if the client leaves.

        Raises ClientLeft.
        """
        self._table = table
        self._check()
        for row in table.rows:
            yield row
            self._check()

    def write(self, content: bytes) -> int:
        self._buffer.append(content)
        self._buffered_bytes += len(content)
        if self._buffered_bytes >= CHUNK_BYTES:
            self.flush()
        return len(content)

    def flush(self) -> None:
        """Pass the buffer on; wait for a slow client. Raises ClientLeft."""
        self._put(b"".join(self._buffer))
        self._buffer, self._buffered_bytes = [], 0

    def end(self) -> None:
        """Signal the end, also after an error."""
        self._put(None)

    def leave(self) -> None:
        """Stop the writing thread at once, from the event loop."""
        if self._has_left:
            return
        self._has_left = True
        if self._table:
            self._loop.run_in_executor(None, self._table.cancel)
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def next_chunk(self) -> bytes | None:
        """Return the next chunk, or None at the end."""
        return await self._queue.get()

    def _check(self) -> None:
        if self._has_left:
            raise ClientLeft

    def _put(self, chunk: bytes | None) -> None:
        self._check()
        asyncio.run_coroutine_threadsafe(self._queue.put(chunk), self._loop).result()


class Exporter:
    """Streams exports, a limited number at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._threads = ThreadPoolExecutor(MAX_EXPORTS, "export")
        self._running = 0

    def close(self) -> None:
        self._threads.shutdown(wait=True)

    async def stream(self, request: Request, export_request: ExportRequest) -> StreamingResponse:
        """Return the response once the first bytes are read.

        Raises what reading the first rows raises, and HTTPException if too many exports run.
        """
        if self._running >= MAX_EXPORTS:
            detail = f"{MAX_EXPORTS} exports are running already. Try again in a minute."
            raise HTTPException(503, detail, {"Retry-After": "30"})
        self._running += 1
        pipe = ChunkPipe()
        reading = asyncio.wrap_future(self._start(pipe, export_request))
        watching = asyncio.create_task(_leave_on_disconnect(request, pipe))
        reading.add_done_callback(lambda _: self._end(watching, reading))
        first = await pipe.next_chunk()
        if first is None:
            await reading
        format = export_request.format
        name = f"{export_request.dataset}.{EXTENSIONS.get(format, format)}"
        headers = {
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "private, no-store",
        }
        media_type = MEDIA_TYPES[format]
        return StreamingResponse(
            _chunks(pipe, first, reading), media_type=media_type, headers=headers
        )

    def _start(self, pipe: ChunkPipe, export_request: ExportRequest) -> "Future[None]":
        return self._threads.submit(_read, self._database, pipe, export_request)

    def _end(self, watching: "asyncio.Task[None]", reading: "asyncio.Future[None]") -> None:
        self._running -= 1
        watching.cancel()
        if not reading.cancelled():
            reading.exception()  # marks the error of a cancelled query as retrieved


async def _leave_on_disconnect(request: Request, pipe: ChunkPipe) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    pipe.leave()


async def _chunks(
    pipe: ChunkPipe, first: bytes | None, reading: "asyncio.Future[None]"
) -> AsyncIterator[bytes]:
    """Iterate over the chunks. An error breaks the connection, so the file can't seem complete."""
    try:
        chunk = first
        while chunk is not None:
            yield chunk
            chunk = await pipe.next_chunk()
        await reading
    finally:
        if not reading.done():
            pipe.leave()


def _read(database: Database, pipe: ChunkPipe, export_request: ExportRequest) -> None:
    """Read an export on its own connection: it may take minutes, and pages need the pool."""
    try:
        with (
            database.dedicated_connection(timeout_s=CONNECT_TIMEOUT_S) as own,
            export.open_export(
                own,
                export_request.dataset,
                filters=export_request.filters,
                words=export_request.words,
                base_url=export_request.base_url,
            ) as table,
        ):
            watched = replace(table, rows=pipe.rows(table))
            if export_request.format in NEEDS_FILE:
                _write_by_file(watched, export_request.format, pipe)
            else:
                export.write_export(watched, export_request.format, cast(IO[bytes], pipe))
            pipe.flush()
        pipe.end()
    except ClientLeft:
        return
    except BaseException:
        pipe.end()
        raise


def _write_by_file(table: ExportTable, format: ExportFormat, pipe: ChunkPipe) -> None:
    """Write to a temporary file first: these writers need a seekable file."""
    with tempfile.TemporaryFile() as file:
        export.write_export(table, format, file)
        file.seek(0)
        while chunk := file.read(CHUNK_BYTES):
            pipe.write(chunk)
