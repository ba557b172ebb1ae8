"""What people decide of mentions, on the page of a call and on that of all calls, as HTML."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from callpipeline.domain.audio import Channel
from callpipeline.domain.mention import MentionStatus
from callpipeline.wiring import Storage
from tests.builders import a_mention
from tests.web.heard_calls import SKY, Heard
from tests.web.served import Served, served

HTML = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def app(postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("app"), postgres, template) as app:
        yield app


@pytest.fixture
def client(app: Served) -> Iterator[httpx.Client]:
    with app.client(**HTML) as client:
        yield client


@pytest.fixture
def storage(app: Served, client: httpx.Client) -> Storage:
    return app.storage


def test_a_person_accepts_refuses_and_takes_it_back(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    call_id = Heard().store(storage, tmp_path)
    [sky] = [m for m in storage.results.mentions(call_id) if m.competitor == "Sky"]
    part = _decide(client, call_id, sky.mention_id, "accept")
    assert "To review" not in part.text
    assert "<html" not in part.text
    assert _status(storage, call_id) is MentionStatus.ACCEPTED
    [review] = re.findall(r'name="review_id" value="(\d+)"', part.text)
    part = _decide(client, call_id, sky.mention_id, "undo", review_id=review)
    assert "To review" in part.text
    assert _status(storage, call_id) is MentionStatus.UNSURE
    part = _decide(client, call_id, sky.mention_id, "refuse")
    assert "Not counted (1)" in part.text
    assert _status(storage, call_id) is MentionStatus.REJECTED
    late = _decide(client, call_id, sky.mention_id, "undo", review_id=review)
    assert "Somebody decided about the mention since" in late.text


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


def test_without_scripts_a_decision_leads_back_to_the_page(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    call_id = Heard().store(storage, tmp_path)
    form = {"mention_id": SKY.mention_id, "decision": "accept"}
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
        {"mention_id": "x" * 2000, "decision": "accept"},
    ],
)
def test_a_form_of_somebody_else_is_refused(
    client: httpx.Client, storage: Storage, tmp_path: Path, form: dict[str, str]
) -> None:
    call_id = Heard().store(storage, tmp_path)
    assert client.post(f"/calls/{call_id}/review", data=form).status_code == 422


def test_a_mention_that_is_gone_is_told_of(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    call_id = Heard().store(storage, tmp_path)
    assert "no such mention" in _decide(client, call_id, "x\0y", "accept").text
    assert "no such mention" in _decide(client, call_id, "x", "refuse", view="review").text


def test_the_review_page_lists_what_waits_in_all_calls_page_by_page(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    text = "and the sky and the sky " * 10
    at = [found.start() for found in re.finditer("sky", text)]
    mentions = [
        a_mention(
            "Sky",
            channel=Channel.LEFT,
            char_start=place,
            status=MentionStatus.UNSURE,
            reason="no cue",
        )
        for place in at
    ]
    for key in ("one.wav", "two.wav"):
        texts = {Channel.LEFT: [text.strip()], Channel.RIGHT: ["yes"]}
        heard = Heard(key=key, texts=texts, mentions=mentions, duration_s=60)
        heard.store(storage, tmp_path / key)
    first = client.get("/review").text
    assert "40 mentions" in first
    assert first.count('name="decision" value="accept"') == 30
    assert "<mark>sky</mark>" in first
    assert "of <bdi>one.wav</bdi></a>" in first
    assert "of <bdi>two.wav</bdi></a>" in first
    [more] = re.findall(r'href="(/review\?[^"]*)" rel="next"', first)
    second = client.get(more.replace("&amp;", "&")).text
    assert second.count('name="decision" value="accept"') == 10
    ids = re.findall(r'<li id="(w-[^"]+)"', first + second)
    assert len(set(ids)) == 40
    assert 'rel="next"' not in second
    assert client.get("/review", params={"competitor": "Three\0"}).status_code == 200
    assert "None of them" in client.get("/review", params={"competitor": "Three"}).text


def test_a_cursor_of_somebody_else_is_refused(client: httpx.Client) -> None:
    for cursor in ("x", "W10", "%00", "WyJhIl0"):
        assert client.get("/review", params={"after": cursor}).status_code == 422


def test_a_decision_on_the_review_page_answers_with_its_entry(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    call_id = Heard().store(storage, tmp_path)
    part = _decide(client, call_id, SKY.mention_id, "accept", view="review").text
    assert part.strip().startswith("<li")
    assert 'value="undo"' in part
    assert "Nothing waits" in client.get("/review").text
