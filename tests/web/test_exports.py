"""`/export/…`: what is shown as a file, sent while it is read and no longer than anybody waits."""

import asyncio
import csv
import io
import json
import threading
import time
from collections.abc import Iterator

import httpx
import pyarrow.parquet as pq
import pytest

from callpipeline.config import Settings
from callpipeline.storage.export import Table
from callpipeline.web.exporting import AHEAD, AT_ONCE, PIECE_BYTES, Left, Pipe
from tests.integration.databases import asked
from tests.processes import until
from tests.web.crowded import crowd, served


@pytest.fixture(scope="module")
def database(postgres: str, template: str) -> Iterator[str]:
    with crowd(postgres, template) as url:
        yield url


@pytest.fixture
def client(database: str, settings: Settings) -> Iterator[httpx.Client]:
    with (
        served(database, settings.home) as address,
        httpx.Client(base_url=address, timeout=30) as client,
    ):
        yield client


def say_much(database: str) -> None:
    """More than lies between a server and a client that does not read."""
    asked(database, "DROP INDEX IF EXISTS segments_by_words")
    asked(
        database,
        "INSERT INTO segments (call_id, channel, segment_index, speaker, start_s, end_s, text) "
        "SELECT (SELECT call_id FROM calls WHERE state = 'COMPLETED' LIMIT 1), 'left', n, 'agent',"
        " n, n + 1, repeat('long ', 60) FROM generate_series(100000, 220000) n "
        "ON CONFLICT DO NOTHING",
    )


def test_the_same_rows_come_in_each_format(client: httpx.Client, database: str) -> None:
    [(wanted,)] = asked(database, "SELECT count(*) FROM analytics.mentions WHERE competitor = 'EE'")
    lines = client.get("/export/mentions.json?competitor=ee").text.splitlines()
    table = pq.read_table(io.BytesIO(client.get("/export/mentions.parquet?competitor=ee").content))
    text = client.get("/export/mentions.csv?competitor=ee").text
    rows = list(csv.DictReader(io.StringIO(text)))
    accepted = sum(json.loads(line)["status"] == "accepted" for line in lines)
    assert 0 < len(lines) == table.num_rows == len(rows) == accepted <= wanted
    assert {row["competitor"] for row in rows} == {"EE"}


def test_a_file_has_a_name_and_is_kept_by_nobody(client: httpx.Client) -> None:
    reply = client.get("/export/segments.json?words=price&speaker=agent")
    assert reply.headers["content-disposition"] == 'attachment; filename="segments.jsonl"'
    assert "no-store" in reply.headers["cache-control"]
    found = [json.loads(line) for line in reply.text.splitlines()]
    assert found
    assert all("price" in each["text"] and each["speaker"] == "agent" for each in found)


def test_nothing_is_a_file_with_a_header(client: httpx.Client) -> None:
    text = client.get("/export/calls.csv?agent=nobody").text
    assert text.startswith("call_id,")
    assert len(text.splitlines()) == 1
    assert client.get("/export/calls.json?agent=nobody").content == b""


def test_formulas_are_text_in_a_spreadsheet(client: httpx.Client, database: str) -> None:
    asked(database, "UPDATE calls SET metadata = '{\"agent\": \"=1+1\"}' WHERE state = 'FAILED'")
    rows = list(csv.DictReader(io.StringIO(client.get("/export/calls.csv?state=failed").text)))
    assert {row["agent"] for row in rows} == {"'=1+1"}


@pytest.mark.parametrize(
    "path", ["calls.xlsx", "agents.csv", "calls.csv?words=price", "calls.csv?from=1"]
)
def test_what_there_is_not_is_told(client: httpx.Client, path: str) -> None:
    assert client.get(f"/export/{path}").status_code == 422


def test_who_leaves_ends_the_query(client: httpx.Client, database: str) -> None:
    """What is not read lies in the sockets, a few pieces, and the database; not in the app."""
    say_much(database)
    reading = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
        "AND query LIKE '%export%' AND pid <> pg_backend_pid()"
    )
    with client.stream("GET", "/export/segments.csv") as reply:
        pieces = reply.iter_bytes()  # who forgets them has left
        assert next(pieces).startswith(b"call_id,")
        assert asked(database, reading)
    until(lambda: not asked(database, reading), "the end of the query", 10, every_s=0.05)
    for _ in range(AT_ONCE):  # each had its place again
        assert client.get("/export/calls.csv?agent=nobody").status_code == 200


def test_more_than_some_at_once_are_sent_away(client: httpx.Client, database: str) -> None:
    say_much(database)
    streams = [client.stream("GET", "/export/segments.csv") for _ in range(AT_ONCE)]
    for stream in streams:
        stream.__enter__()
    try:
        refused = client.get("/export/calls.csv")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
    finally:
        for stream in streams:
            stream.__exit__(None, None, None)


def test_a_pipe_holds_a_few_pieces_and_its_end_stops_the_writer() -> None:
    written, cut = list[int](), threading.Event()

    def write(pipe: Pipe) -> str:
        rows = pipe.rows(Table(["n"], ["int4"], iter((n,) for n in range(10_000)), cut.set))
        try:
            for (n,) in rows:
                pipe.write(b"x" * PIECE_BYTES)
                written.append(n)
        except Left:
            return "left"
        return "wrote all"

    async def take_one() -> str:
        pipe = Pipe()
        writing = asyncio.create_task(asyncio.to_thread(write, pipe))
        assert len(await pipe.taken() or b"") == PIECE_BYTES
        for _ in range(200):  # until it waits: no more is written
            before = len(written)
            await asyncio.sleep(0.005)
            if before == len(written) > AHEAD:
                break
        pipe.leave()
        return await writing

    assert asyncio.run(take_one()) == "left"
    assert cut.is_set()
    assert len(written) <= AHEAD + 3


def test_a_query_that_is_at_work_is_cut_when_the_client_leaves() -> None:
    cut = threading.Event()

    def rows() -> Iterator[tuple[int]]:
        yield (1,)
        assert cut.wait(10)
        raise RuntimeError("the query was cut")

    async def leave() -> float:
        pipe = Pipe()
        table = Table(["n"], ["int4"], rows(), cut.set)
        reading = asyncio.create_task(asyncio.to_thread(list, pipe.rows(table)))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        pipe.leave()
        with pytest.raises(RuntimeError, match="was cut"):
            await reading
        return time.monotonic() - began

    assert asyncio.run(leave()) < 5
