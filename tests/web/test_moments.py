"""Moments: the mentions behind a number, with their clips, decisions and exports."""

import csv
import io
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import httpx
import pytest
import soundfile

from callpipeline.domain.calls.filters import MomentId
from callpipeline.domain.sentiment import Sentiment
from callpipeline.domain.switching import SwitchingIntent
from callpipeline.wiring import Storage
from tests.integration.databases import execute_sql
from tests.web.processed_calls import RATE_HZ, VODAFONE, ProcessedCall
from tests.web.served import Served

HTML = {"Accept": "text/html"}


@pytest.fixture
def client(empty_app: Served) -> Iterator[httpx.Client]:
    with empty_app.client(**HTML) as client:
        yield client


@pytest.fixture
def storage(empty_app: Served) -> Storage:
    return empty_app.storage


@pytest.fixture
def call_id(storage: Storage, tmp_path: Path) -> str:
    return ProcessedCall().store(storage, tmp_path / "sound")


def test_a_moment_has_its_words_and_plays(client: httpx.Client, call_id: str) -> None:
    html = client.get("/moments").text
    assert "<strong>1</strong> moment in <strong>1</strong> call" in html
    assert "i saw that <mark>vodafone</mark> is cheaper" in html
    [clip] = re.findall(r'<a class="play-clip" href="([^"]+)"', html)
    reply = client.get(unescape(clip))
    samples, rate = soundfile.read(io.BytesIO(reply.content))
    assert (reply.headers["content-type"], rate) == ("audio/wav", RATE_HZ)
    [end_s] = re.findall(r"start=0.0&end=([\d.]+)", unescape(clip))  # it is said at 6.5 s
    assert samples.shape == (round(float(end_s) * RATE_HZ), 2)
    assert 14 < float(end_s) < 16


def test_a_clip_is_a_part_of_the_audio(client: httpx.Client, call_id: str) -> None:
    whole, _ = soundfile.read(
        io.BytesIO(client.get(f"/calls/{call_id}/audio.wav").content), dtype="int16"
    )
    url = f"/calls/{call_id}/clip.wav?start=5&end=9.5"
    reply = client.get(url)
    part, _ = soundfile.read(io.BytesIO(reply.content), dtype="int16")
    assert (part == whole[5 * RATE_HZ : round(9.5 * RATE_HZ)]).all()
    ranged = client.get(url, headers={"Range": "bytes=40-99"})
    assert (ranged.status_code, ranged.content) == (206, reply.content[40:100])
    assert client.get(url, headers={"If-None-Match": reply.headers["etag"]}).status_code == 304
    assert client.get(url, headers={"Range": "bytes=99999999-"}).status_code == 416


def test_a_clip_is_downloaded_as_mp3(client: httpx.Client, call_id: str) -> None:
    reply = client.get(f"/calls/{call_id}/clip.mp3?start=5&end=9.5&download=true")
    assert reply.headers["content-type"] == "audio/mpeg"
    assert 'filename="call at 5 s.mp3"' in reply.headers["content-disposition"]
    samples, rate = soundfile.read(io.BytesIO(reply.content))
    assert rate == RATE_HZ
    assert len(samples) / rate == pytest.approx(4.5, abs=0.3)


@pytest.mark.parametrize(
    ("times", "status"),
    [("start=9&end=5", 422), ("start=0&end=500", 422), ("start=-1&end=2", 422), ("start=1", 422),
     ("start=nan&end=2", 422), ("start=60&end=70", 404)],
)  # fmt: skip
def test_impossible_clips_are_refused(
    client: httpx.Client, call_id: str, times: str, status: int
) -> None:
    assert client.get(f"/calls/{call_id}/clip.wav?{times}").status_code == status


def test_a_moment_is_dismissed_confirmed_and_relabelled(
    client: httpx.Client, storage: Storage, call_id: str
) -> None:
    sent = {"mention_id": VODAFONE.mention_id, "view": "moment"}
    scripted = {"HX-Request": "true"}
    label = sent | {"sentiment": "negative"}
    part = client.post(f"/calls/{call_id}/sentiment", data=label, headers=scripted).text
    assert part.strip().startswith("<li")
    assert "Negative" in part
    assert "1</strong> moment" in client.get("/moments?sentiment=negative").text
    assert storage.results.judgements(call_id)[0].sentiment is Sentiment.NEGATIVE
    url = f"/calls/{call_id}/review"
    part = client.post(url, data=sent | {"decision": "dismiss"}, headers=scripted).text
    assert "Dismissed" in part
    assert "No moments match" in client.get("/moments").text
    [review] = re.findall(r'name="review_id" value="(\d+)"', part)
    undone = sent | {"decision": "undo", "review_id": review}
    assert 'value="dismiss"' in client.post(url, data=undone, headers=scripted).text
    late = client.post(url, data=undone, headers=scripted).text
    assert "Someone else reviewed this mention" in late


def test_without_scripts_a_decision_shows_the_same_list(client: httpx.Client, call_id: str) -> None:
    sent = {"mention_id": VODAFONE.mention_id, "view": "moment", "decision": "dismiss"}
    back = "/moments?competitor=Vodafone"
    reply = client.post(f"/calls/{call_id}/review", data=sent | {"back": back})
    assert (reply.status_code, reply.headers["location"]) == (303, back)
    away = client.post(f"/calls/{call_id}/review", data=sent | {"back": "//evil.example"})
    assert away.headers["location"] == "/"


def test_selected_moments_are_a_link_and_an_export(
    client: httpx.Client, storage: Storage, call_id: str, tmp_path: Path
) -> None:
    other = ProcessedCall(key="other.wav").store(storage, tmp_path / "other")
    chosen = {"moment": str(MomentId(other, VODAFONE.mention_id)), "named": "yes"}
    html = client.get("/moments", params=chosen).text
    assert "This list is a selection" in html
    assert html.count("data-moment") == 1
    assert f"/calls/{other}?t=" in html
    export = client.get("/export/mentions.csv", params=chosen).text
    [row] = csv.DictReader(io.StringIO(export))
    assert row["call_id"] == other
    assert client.get("/export/mentions.xlsx", params=chosen).content.startswith(b"PK")
    assert client.get("/moments?moment=nonsense").status_code == 422


def test_moments_are_filtered_by_switching_intent(
    client: httpx.Client, empty_app: Served, call_id: str
) -> None:
    url = empty_app.settings.database_url
    assert url
    assert client.get("/search/moments?switching=leaving_to").json()["moments"] == []
    execute_sql(url.get_secret_value(), "UPDATE sentiment SET switching = 'leaving_to'")
    html = client.get("/moments?switching=leaving_to&switching=considering").text
    assert "Leaving for it" in html
    [moment] = client.get("/search/moments?switching=leaving_to").json()["moments"]
    assert moment["switching"] == SwitchingIntent.LEAVING_TO
    assert moment["text"] == "i saw that vodafone is cheaper"
    assert client.get(moment["clip"]).status_code == 200
    assert len(client.get("/moments", params={"moment": moment["id"]}).text) > 0
    assert client.get("/moments?switching=dancing").status_code == 422


def test_an_empty_installation_says_how_to_begin(client: httpx.Client) -> None:
    assert "No calls yet" in client.get("/moments").text
