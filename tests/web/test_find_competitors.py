"""`/find-competitors`: a text and the competitors in it."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from callpipeline.config import Settings
from callpipeline.wiring import Storage
from tests.web.served import Served, served
from tests.web.uploads import WITH_KEY, sending, sending_to

LIST = """
competitors:
  - T-Mobile
  - name: Three
    ambiguous: true
  - name: EE
    ambiguous: true
"""


@pytest.fixture(scope="module")
def list_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("catalog") / "list.yaml"


@pytest.fixture(scope="module")
def app(module_url: str, list_path: Path) -> Iterator[Served]:
    with served(list_path.parent / "home", module_url, catalog=list_path, **WITH_KEY) as app:
        yield app


@pytest.fixture
def catalog(list_path: Path) -> Path:
    list_path.write_text(LIST)
    return list_path


@pytest.fixture
def client(empty_app: Served, catalog: Path) -> Iterator[httpx.Client]:
    with sending_to(empty_app) as sender:
        yield sender.client


def found(client: httpx.Client, text: str) -> httpx.Response:
    return client.post("/find-competitors", json={"transcript_text": text})


def test_mentions_have_their_position(client: httpx.Client) -> None:
    text = "I was with t mobile before. Three people said so.\nMy contract is with Three, and EE's."
    document = found(client, text).json()
    assert document["competitors_found"][0] == "T-Mobile"
    assert document["count"] == len(document["competitors_found"])
    assert "Three" in document["competitors_found"]
    for mention in document["mentions"]:
        assert text[mention["char_start"] : mention["char_end"]] == mention["said"]
        assert mention["reason"]
    counts = [m["status"] for m in document["mentions"] if m["said"] == "Three"]
    assert counts == ["dismissed", "counted"]


def test_a_text_without_mentions_is_valid(client: httpx.Client) -> None:
    for text in ("", "Nothing here.", "\n\n"):
        document = found(client, text).json()
        assert (document["competitors_found"], document["count"]) == ([], 0)
        assert document["mentions"] == []


def test_names_are_found_across_lines_and_in_long_lines(client: httpx.Client) -> None:
    text = "I like T-\nMobile. " + "word " * 199 + "at T Mobile " + "word " * 500
    document = found(client, text).json()
    assert [mention["said"] for mention in document["mentions"]] == ["T-\nMobile", "T Mobile"]


def test_too_long_texts_are_refused(client: httpx.Client) -> None:
    assert found(client, "word " * 200_000).status_code == 200
    assert found(client, "x" * 1_000_001).status_code == 422
    assert found(client, "x" * 7_000_000).status_code == 413
    reply = found(client, "three " * 2001)
    assert reply.status_code == 422
    assert "2,000 mentions" in reply.json()["detail"]
    assert client.post("/find-competitors", json={}).status_code == 422


def test_a_thousand_names_in_one_line_take_seconds_at_most(client: httpx.Client) -> None:
    started = time.process_time()
    assert found(client, "three-" * 1000).status_code == 200
    assert time.process_time() - started < 10


def test_a_changed_list_is_reloaded_unless_it_is_invalid(
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


def test_an_invalid_list_is_reported(settings: Settings, storage: Storage, catalog: Path) -> None:
    catalog.write_text("nothing: here")
    with sending(settings.model_copy(update={"catalog": catalog}), storage) as sender:
        reply = found(sender.client, "Vodafone")
    assert reply.status_code == 500
    assert "competitors" in reply.json()["detail"]
