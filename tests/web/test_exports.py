"""`/export/…`: streamed exports."""

import asyncio
import csv
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from xml.etree import ElementTree

import httpx
import pyarrow.parquet as pq
import pytest

from callpipeline.storage.reading.export import ExportTable
from callpipeline.web.services.exporter import (
    CHUNK_BYTES,
    MAX_CHUNKS_AHEAD,
    MAX_EXPORTS,
    ChunkPipe,
    ClientLeft,
)
from tests.integration.databases import execute_sql
from tests.processes import until
from tests.web.synthetic_app import serve, synthetic_database


@pytest.fixture(scope="module")
def database(postgres: str, template: str) -> Iterator[str]:
    with synthetic_database(postgres, template) as url:
        yield url


@pytest.fixture(scope="module")
def address(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(database, tmp_path_factory.mktemp("app")) as address:
        yield address


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=300) as client:
        yield client


@pytest.fixture(scope="module")
def much_text(database: str) -> None:
    """More data than fits between a server and a client that doesn't read.

    No words, which Postgres would index.
    """
    execute_sql(
        database,
        "INSERT INTO segments (call_id, channel, segment_index, speaker, start_s, end_s, text) "
        "SELECT (SELECT call_id FROM calls WHERE state = 'COMPLETED' LIMIT 1), 'left', n, 'agent',"
        " n, n + 1, repeat('. ', 1500) FROM generate_series(100000, 112000) n",
    )


def test_the_same_rows_come_in_each_format(client: httpx.Client, database: str) -> None:
    [(wanted,)] = execute_sql(
        database, "SELECT count(*) FROM analytics.mentions WHERE competitor = 'EE'"
    )
    lines = client.get("/export/mentions.json?competitor=ee").text.splitlines()
    table = pq.read_table(io.BytesIO(client.get("/export/mentions.parquet?competitor=ee").content))
    text = client.get("/export/mentions.csv?competitor=ee").text
    rows = list(csv.DictReader(io.StringIO(text)))
    accepted = sum(json.loads(line)["status"] == "counted" for line in lines)
    assert 0 < len(lines) == table.num_rows == len(rows) == accepted <= wanted
    assert {row["competitor"] for row in rows} == {"EE"}


def test_exports_have_a_name_and_are_not_cached(client: httpx.Client) -> None:
    reply = client.get("/export/segments.json?words=price&speaker=agent")
    assert reply.headers["content-disposition"] == 'attachment; filename="segments.jsonl"'
    assert "no-store" in reply.headers["cache-control"]
    found = [json.loads(line) for line in reply.text.splitlines()]
    assert found
    assert all("price" in each["text"] and each["speaker"] == "agent" for each in found)


def test_an_empty_export_has_a_header(client: httpx.Client) -> None:
    text = client.get("/export/calls.csv?agent=nobody").text
    assert text.startswith("call_id,")
    assert len(text.splitlines()) == 1
    assert client.get("/export/calls.json?agent=nobody").content == b""


def test_formulas_are_text_in_a_spreadsheet(client: httpx.Client, database: str) -> None:
    execute_sql(
        database, "UPDATE calls SET metadata = '{\"agent\": \"=1+1\"}' WHERE state = 'FAILED'"
    )
    rows = list(csv.DictReader(io.StringIO(client.get("/export/calls.csv?state=failed").text)))
    assert {row["agent"] for row in rows} == {"'=1+1"}


@pytest.mark.parametrize(
    "path", ["calls.docx", "agents.csv", "calls.csv?words=price", "calls.csv?from=1"]
)
def test_unknown_exports_are_refused(client: httpx.Client, path: str) -> None:
    assert client.get(f"/export/{path}").status_code == 422


@pytest.mark.usefixtures("much_text")
def test_a_disconnect_cancels_the_query(client: httpx.Client, database: str) -> None:
    """Unread data is in sockets, a few chunks and the database, not in the app."""
    reading = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
        "AND query LIKE '%export%' AND pid <> pg_backend_pid()"
    )
    with client.stream("GET", "/export/segments.csv") as reply:
        pieces = reply.iter_bytes()  # who forgets them has left
        assert next(pieces).startswith(b"call_id,")
        assert execute_sql(database, reading)
    until(lambda: not execute_sql(database, reading), "the end of the query", 10, every_s=0.05)
    for _ in range(MAX_EXPORTS):  # each had its place again
        assert client.get("/export/calls.csv?agent=nobody").status_code == 200


@pytest.mark.usefixtures("much_text")
def test_concurrent_exports_are_limited(client: httpx.Client) -> None:
    streams = [client.stream("GET", "/export/segments.csv") for _ in range(MAX_EXPORTS)]
    for stream in streams:
        stream.__enter__()
    try:
        refused = client.get("/export/calls.csv")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
    finally:
        for stream in streams:
            stream.__exit__(None, None, None)


def test_a_pipe_is_bounded_and_leaving_stops_the_writer() -> None:
    written, cut = list[int](), threading.Event()

    def write(pipe: ChunkPipe) -> str:
        rows = pipe.rows(ExportTable(["n"], ["int4"], iter((n,) for n in range(10_000)), cut.set))
        try:
            for (n,) in rows:
                pipe.write(b"x" * CHUNK_BYTES)
                written.append(n)
        except ClientLeft:
            return "left"
        return "wrote all"

    async def take_one() -> str:
        pipe = ChunkPipe()
        writing = asyncio.create_task(asyncio.to_thread(write, pipe))
        assert len(await pipe.next_chunk() or b"") == CHUNK_BYTES
        for _ in range(200):  # until it waits: no more is written
            before = len(written)
            await asyncio.sleep(0.005)
            if before == len(written) > MAX_CHUNKS_AHEAD:
                break
        pipe.leave()
        return await writing

    assert asyncio.run(take_one()) == "left"
    assert cut.is_set()
    assert len(written) <= MAX_CHUNKS_AHEAD + 3


def test_leaving_cancels_a_running_query() -> None:
    cut = threading.Event()

    def rows() -> Iterator[tuple[int]]:
        yield (1,)
        assert cut.wait(60)
        raise RuntimeError("the query was cut")

    async def leave() -> None:
        pipe = ChunkPipe()
        table = ExportTable(["n"], ["int4"], rows(), cut.set)
        reading = asyncio.create_task(asyncio.to_thread(list, pipe.rows(table)))
        await asyncio.sleep(0.05)
        pipe.leave()
        with pytest.raises(RuntimeError, match="was cut"):
            await reading

    asyncio.run(leave())


def _sheet(content: bytes) -> list[dict[str, str]]:
    """Return the cells of the first sheet of an Excel file that are not empty, by column."""
    space = {"m": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        root = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    rows: list[dict[str, str]] = []
    for row in root.findall(".//m:sheetData/m:row", space):
        cells = row.findall("m:c", space)
        rows.append(
            {cell.attrib["r"].rstrip("0123456789"): "".join(cell.itertext()) for cell in cells}
        )
    return rows


def test_a_spreadsheet_has_the_same_rows(client: httpx.Client, database: str) -> None:
    header, *rows = _sheet(client.get("/export/mentions.xlsx?competitor=ee").content)
    text = client.get("/export/mentions.csv?competitor=ee").text
    named, *lines = list(csv.reader(text.splitlines()))
    assert list(header.values()) == named
    assert len(rows) == len(lines) > 0
    [column] = [column for column, name in header.items() if name == "said"]
    at = named.index("said")
    assert [row[column] for row in rows] == [line[at] for line in lines]


def test_rows_lead_to_their_words_and_numbers_are_round(
    client: httpx.Client, database: str
) -> None:
    execute_sql(database, "UPDATE callpipeline.sentiment SET score = 0.1 + 0.2 - 0.73")
    [first, *_] = csv.DictReader(client.get("/export/mentions.csv?competitor=ee").text.splitlines())
    assert first["score"] == "-0.43"
    assert first["file_name"] and "/" not in first["file_name"]
    assert first["link"].startswith("http://") and f"/calls/{first['call_id']}?t=" in first["link"]
    assert client.get(first["link"]).status_code == 200
