"""The page of one call, as HTML: what it tells in each state of a call."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from callpipeline.domain.audio import Channel, Flag, QualityFlag
from callpipeline.domain.call import Stage
from callpipeline.errors import UnsupportedAudio
from callpipeline.wiring import Storage
from tests.builders import a_mention
from tests.integration.calls import enter
from tests.integration.databases import asked as asked_of_database
from tests.web.heard_calls import VODAFONE, Heard
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


def test_a_complete_call_is_heard_read_and_judged_on_its_page(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    call_id = Heard().store(storage, tmp_path)
    reply = client.get(f"/calls/{call_id}")
    assert reply.status_code == 200
    assert reply.headers["cache-control"] == "no-store"
    page = reply.text
    assert f'src="/calls/{call_id}/audio.wav?v=' in page
    assert page.count("<li class=") >= 4
    assert 'class="named positive" href="?t=6.5"' in page
    assert 'class="named review"' in page
    assert '<a href="/analytics?competitor=Vodafone"' in page
    assert "Anna &lt;Smith&gt;" in page
    for ending in ("call.json", "segments.csv", "transcript.srt", "transcript.vtt"):
        assert f"/calls/{call_id}/{ending}" in page


def test_no_script_or_style_stands_in_a_page(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    call_id = Heard().store(storage, tmp_path)
    for url in (f"/calls/{call_id}", "/review"):
        page = client.get(url).text
        assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=", page), url
        assert not re.search(r'(?:src|action)="(?:https?:)?//', page), url


@pytest.mark.parametrize("t", ["83.5", "0", "-1", "nan", "inf", "x", "1e9", "", "<script>"])
def test_the_sound_begins_where_the_address_says(
    client: httpx.Client, storage: Storage, tmp_path: Path, t: str
) -> None:
    call_id = Heard().store(storage, tmp_path)
    page = client.get(f"/calls/{call_id}", params={"t": t}).text
    found = re.search(r"audio\.wav\?v=\d+(#t=[\d.]+)?\"", page)
    assert found
    assert found[1] == ("#t=83.5" if t == "83.5" else None)


def test_what_is_said_cannot_become_markup(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    said = "<script>alert(1)</script> vodafone \"'& x"
    mention = a_mention("Vodafone", channel=Channel.LEFT, char_start=said.index("vodafone"))
    texts = {Channel.LEFT: [said], Channel.RIGHT: ["yes"]}
    heard = Heard(key="<b>\u202e.wav", texts=texts, mentions=[mention])
    page = client.get(f"/calls/{heard.store(storage, tmp_path)}").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; <a" in page
    assert "<b>\u202e" not in page
    assert "\u202e" not in page.split("<h1>")[1].split("</h1>")[0]


def test_a_call_that_waits_shows_no_player(client: httpx.Client, storage: Storage) -> None:
    [call_id] = enter(storage, "waiting.wav")
    page = client.get(f"/calls/{call_id}").text
    assert "waiting.wav" in page
    assert "<audio" not in page
    assert 'id="said"' not in page


def test_a_call_that_failed_shows_what_there_is(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    call_id = Heard(until=Stage.TRANSCRIPTS).store(storage, tmp_path)
    storage.claims.fail(call_id, "run-1", Stage.COMPETITOR_MENTIONS, UnsupportedAudio("No."))
    page = client.get(f"/calls/{call_id}").text
    assert "<audio" in page
    assert "vodafone" in page
    assert "The call was not searched for competitors." in page


def test_what_retention_deleted_is_told_with_its_day(
    client: httpx.Client, storage: Storage, app: Served, tmp_path: Path
) -> None:
    call_id = Heard().store(storage, tmp_path)
    _delete(app.database_url, call_id, "channel_audio")
    page = client.get(f"/calls/{call_id}").text
    assert "<audio" not in page
    assert re.search(r"The sound was deleted on \d{4}-\d\d-\d\d", page)
    assert "vodafone" in page
    _delete(app.database_url, call_id, "transcripts")
    asked_of_database(app.database_url, "DELETE FROM segments")
    page = client.get(f"/calls/{call_id}").text
    assert re.search(r"What was said was deleted on \d{4}-\d\d-\d\d", page)
    assert "Vodafone" in page  # what was found is kept


def _delete(database_url: str, call_id: str, what: str) -> None:
    row = f"'{what}', 'retention', '{call_id}', 1"
    asked_of_database(
        database_url, f"INSERT INTO deletions (what, why, call_id, items) VALUES ({row})"
    )


def test_a_mono_call_has_one_lane_and_nobody_is_told_apart(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    heard = Heard(texts={Channel.MIXED: ["hello vodafone"]}, mentions=[])
    page = client.get(f"/calls/{heard.store(storage, tmp_path)}").text
    assert 'data-lanes="unknown"' in page
    assert "Agent channel" not in page
    assert "Both at once" not in page


def test_nothing_said_is_told_and_so_is_what_is_wrong_with_a_recording(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    flags = [QualityFlag(Flag.SILENT, "nothing is heard", Channel.RIGHT)]
    silence = {Channel.LEFT: [], Channel.RIGHT: []}
    heard = Heard(texts=silence, mentions=[], flags=flags)
    page = client.get(f"/calls/{heard.store(storage, tmp_path)}").text
    assert "Nobody says anything in this call." in page
    assert "No competitor is named." in page
    assert "Silent (right): nothing is heard" in page


def test_words_that_are_not_sure_are_not_shown_without_a_warning(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    unsure = Heard(confidence=0.3).store(storage, tmp_path)
    assert "not reliable" in client.get(f"/calls/{unsure}").text
    sure = Heard(key="sure.wav").store(storage, tmp_path)
    assert "not reliable" not in client.get(f"/calls/{sure}").text


def test_why_a_mention_is_not_judged_is_told(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    more = a_mention("O2", channel=Channel.LEFT, segment_index=1, char_start=3)
    call_id = Heard(mentions=[more, VODAFONE]).store(storage, tmp_path)
    page = client.get(f"/calls/{call_id}").text
    assert "The judge did not answer." in page
    assert "not judged" in page


@pytest.mark.parametrize("call_id", ["2026-03-02-000000000000", "x", "%00"])
def test_a_page_of_no_call_says_so(client: httpx.Client, call_id: str) -> None:
    reply = client.get(f"/calls/{call_id}")
    assert reply.status_code == 404
    assert "There is no" in reply.text
