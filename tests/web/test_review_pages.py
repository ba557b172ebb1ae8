"""Decisions on mentions, on the call page and on the review page, as HTML."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from callpipeline.domain.audio import Channel
from callpipeline.domain.competitors.mentions import MentionStatus
from callpipeline.domain.sentiment import Sentiment
from callpipeline.wiring import Storage
from tests.builders import a_mention
from tests.web.processed_calls import SKY, ProcessedCall
from tests.web.served import Served

HTML = {"Accept": "text/html"}


@pytest.fixture
def client(empty_app: Served) -> Iterator[httpx.Client]:
    with empty_app.client(**HTML) as client:
        yield client


@pytest.fixture
def storage(empty_app: Served) -> Storage:
    return empty_app.storage


def test_a_mention_is_confirmed_undone_and_dismissed(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    call_id = ProcessedCall().store(storage, tmp_path)
    [sky] = [m for m in storage.results.mentions(call_id) if m.competitor == "Sky"]
    part = _decide(client, call_id, sky.mention_id, "confirm")
    assert "Needs review" not in part.text
    assert "<html" not in part.text
    assert _status(storage, call_id) is MentionStatus.COUNTED
    [review] = re.findall(r'name="review_id" value="(\d+)"', part.text)
    part = _decide(client, call_id, sky.mention_id, "undo", review_id=review)
    assert "Needs review" in part.text
    assert _status(storage, call_id) is MentionStatus.NEEDS_REVIEW
    part = _decide(client, call_id, sky.mention_id, "dismiss")
    assert "Dismissed (1)" in part.text
    assert _status(storage, call_id) is MentionStatus.DISMISSED
    late = _decide(client, call_id, sky.mention_id, "undo", review_id=review)
    assert "Someone else reviewed this mention" in late.text


def _decide(
    client: httpx.Client, call_id: str, mention_id: str, decision: str, **more: str
) -> httpx.Response:
    form = {"mention_id": mention_id, "decision": decision, **more}
    reply = client.post(f"/calls/{call_id}/review", data=form, headers={"HX-Request": "true"})
    assert reply.status_code == 200
    assert reply.headers["cache-control"] == "no-store"
    return reply


def _status(storage: Storage, call_id: str) -> MentionStatus:
    [sky] = [m for m in storage.results.mentions(call_id) if m.competitor == "Sky"]
    return sky.status


def test_without_scripts_a_decision_redirects_to_its_page(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    call_id = ProcessedCall().store(storage, tmp_path)
    form = {"mention_id": SKY.mention_id, "decision": "confirm"}
    reply = client.post(f"/calls/{call_id}/review", data=form)
    assert (reply.status_code, reply.headers["location"]) == (303, f"/calls/{call_id}#mentions")
    reply = client.post(f"/calls/{call_id}/review", data=form | {"view": "review"})
    assert reply.headers["location"] == "/review"


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"mention_id": "x"},
        {"mention_id": "x", "decision": "maybe"},
        {"mention_id": "x", "decision": "undo", "review_id": "9" * 30},
        {"mention_id": "x" * 2000, "decision": "confirm"},
    ],
)
def test_an_invalid_form_is_rejected(
    client: httpx.Client, storage: Storage, tmp_path: Path, form: dict[str, str]
) -> None:
    call_id = ProcessedCall().store(storage, tmp_path)
    assert client.post(f"/calls/{call_id}/review", data=form).status_code == 422


def test_an_unknown_mention_is_reported(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    call_id = ProcessedCall().store(storage, tmp_path)
    assert "no such mention" in _decide(client, call_id, "x\0y", "confirm").text
    assert "no such mention" in _decide(client, call_id, "x", "dismiss", view="review").text


def test_the_review_page_lists_mentions_of_all_calls_in_pages(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    text = "and the sky and the sky " * 10
    at = [found.start() for found in re.finditer("sky", text)]
    mentions = [
        replace(
            a_mention(
                "Sky",
                channel=Channel.LEFT,
                char_start=place,
                status=MentionStatus.NEEDS_REVIEW,
                reason="no cue",
            ),
            competitor=f"Sky {number}",
        )
        for number, place in enumerate(at)
    ]
    for key in ("one.wav", "two.wav"):
        texts = {Channel.LEFT: [text.strip()], Channel.RIGHT: ["yes"]}
        heard = ProcessedCall(key=key, texts=texts, mentions=mentions, duration_s=60)
        heard.store(storage, tmp_path / key)
    first = client.get("/review").text
    assert "40 possible mentions to check" in first
    assert first.count('name="decision" value="confirm"') == 30
    assert "<mark>sky</mark>" in first
    assert "in <bdi>one.wav</bdi></a>" in first
    assert "in <bdi>two.wav</bdi></a>" in first
    [more] = re.findall(r'href="(/review\?[^"]*)" rel="next"', first)
    second = client.get(more.replace("&amp;", "&")).text
    assert second.count('name="decision" value="confirm"') == 10
    ids = re.findall(r'<li id="(w-[^"]+)"', first + second)
    assert len(set(ids)) == 40
    assert 'rel="next"' not in second
    assert client.get("/review", params={"competitor": "Three\0"}).status_code == 200
    assert (
        "These have all been reviewed" in client.get("/review", params={"competitor": "Three"}).text
    )


def test_an_invalid_cursor_is_rejected(client: httpx.Client) -> None:
    for cursor in ("x", "W10", "%00", "WyJhIl0"):
        assert client.get("/review", params={"after": cursor}).status_code == 422


def test_a_decision_on_the_review_page_returns_its_entry(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    call_id = ProcessedCall().store(storage, tmp_path)
    part = _decide(client, call_id, SKY.mention_id, "confirm", view="review").text
    assert part.strip().startswith("<li")
    assert 'value="undo"' in part
    assert "All caught up" in client.get("/review").text


def test_sentiment_is_corrected_on_the_page_and_by_the_api(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    call_id = ProcessedCall().store(storage, tmp_path)
    mention_id, before = next(iter(_sentiments(storage, call_id).items()))
    form = {"mention_id": mention_id, "sentiment": "mixed", "seen": str(before)}
    part = client.post(f"/calls/{call_id}/sentiment", data=form, headers={"HX-Request": "true"})
    assert part.status_code == 200
    assert "Before the correction" in part.text and 'value="judge"' in part.text
    assert _sentiments(storage, call_id)[mention_id] is Sentiment.MIXED
    late = client.post(f"/calls/{call_id}/sentiment", data=form, headers={"HX-Request": "true"})
    assert "corrected it to mixed" in late.text
    path = f"/calls/{call_id}/mentions/{quote(mention_id, safe='')}/sentiment"
    answer = client.put(path, json={"sentiment": None}).json()
    assert (answer["sentiment"], answer["judged_sentiment"]) == (str(before), None)
    refused = client.put(path, json={"sentiment": "negative", "seen": "mixed"})
    assert refused.status_code == 409
    assert (
        client.put(
            path.replace(quote(mention_id, safe=""), "x"), json={"sentiment": "negative"}
        ).status_code
        == 404
    )
    assert client.put(path, json={"sentiment": "great"}).status_code == 422


def _sentiments(storage: Storage, call_id: str) -> dict[str, Sentiment]:
    return {each.mention_id: each.sentiment for each in storage.results.judgements(call_id)}


def test_a_counted_mention_is_dismissed_and_a_dismissed_one_confirmed(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    call_id = ProcessedCall().store(storage, tmp_path)
    counted = next(m for m in storage.results.mentions(call_id) if m.counts)
    part = _decide(client, call_id, counted.mention_id, "dismiss", seen="counted")
    assert "Dismissed (1)" in part.text
    late = _decide(client, call_id, counted.mention_id, "dismiss", seen="counted")
    assert "dismissed this mention a minute ago" in late.text
    [review] = re.findall(r'name="review_id" value="(\d+)"', part.text)
    _decide(client, call_id, counted.mention_id, "undo", review_id=review)
    assert counted in storage.results.mentions(call_id)
