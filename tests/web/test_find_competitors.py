"""`/find-competitors`: a text and the competitors in it."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from callpipeline.config import Settings
from callpipeline.wiring import Storage
from tests.web.uploads import sending

LIST = """
competitors:
  - T-Mobile
  - name: Three
    ambiguous: true
  - name: EE
    ambiguous: true
"""


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    path = tmp_path / "list.yaml"
    path.write_text(LIST)
    return path


@pytest.fixture
def client(settings: Settings, storage: Storage, catalog: Path) -> Iterator[httpx.Client]:
    with sending(settings.model_copy(update={"catalog": catalog}), storage) as sender:
        yield sender.client


def found(client: httpx.Client, text: str) -> httpx.Response:
    return client.post("/find-competitors", json={"transcript_text": text})


def test_names_are_found_where_they_are_said(client: httpx.Client) -> None:
    text = "I was with t mobile before. Three people said so.\nMy contract is with Three, and EE's."
    document = found(client, text).json()
    assert document["competitors_found"][0] == "T-Mobile"
    assert document["count"] == len(document["competitors_found"])
    assert "Three" in document["competitors_found"]
    for mention in document["mentions"]:
        assert text[mention["char_start"] : mention["char_end"]] == mention["said"]
        assert mention["reason"]
    counts = [m["status"] for m in document["mentions"] if m["said"] == "Three"]
    assert counts == ["rejected", "accepted"]


def test_a_text_without_any_is_no_error(client: httpx.Client) -> None:
    for text in ("", "Nothing here.", "\n\n"):
        document = found(client, text).json()
        assert (document["competitors_found"], document["count"]) == ([], 0)
        assert document["mentions"] == []


def test_a_name_on_two_lines_and_in_a_long_line_is_found(client: httpx.Client) -> None:
    text = "I like T-\nMobile. " + "word " * 199 + "at T Mobile " + "word " * 500
    document = found(client, text).json()
    assert [mention["said"] for mention in document["mentions"]] == ["T-\nMobile", "T Mobile"]


def test_what_is_too_long_is_refused(client: httpx.Client) -> None:
    assert found(client, "word " * 200_000).status_code == 200
    assert found(client, "x" * 1_000_001).status_code == 422
    assert found(client, "x" * 7_000_000).status_code == 413
    reply = found(client, "three " * 2001)
    assert reply.status_code == 422
    assert "2,000 times" in reply.json()["detail"]
    assert client.post("/find-competitors", json={}).status_code == 422


def test_a_thousand_names_in_one_line_take_seconds_at_most(client: httpx.Client) -> None:
    started = time.process_time()
    assert found(client, "three-" * 1000).status_code == 200
    assert time.process_time() - started < 10


def test_a_list_that_was_changed_counts_and_one_that_is_broken_does_not(
    client: httpx.Client, catalog: Path
) -> None:
    before = found(client, "Vodafone").json()
    assert before["count"] == 0
    catalog.write_text("competitors: [Vodafone]")
    after = found(client, "Vodafone").json()
    assert after["competitors_found"] == ["Vodafone"]
    assert after["catalog_version"] != before["catalog_version"]
    catalog.write_text("competitors: {")
    os.utime(catalog, (1, 1))
    assert found(client, "Vodafone").json() == after


def test_a_list_that_cannot_be_read_is_told_of(
    settings: Settings, storage: Storage, catalog: Path
) -> None:
    catalog.write_text("nothing: here")
    with sending(settings.model_copy(update={"catalog": catalog}), storage) as sender:
        reply = found(sender.client, "Vodafone")
    assert reply.status_code == 500
    assert "competitors" in reply.json()["detail"]
