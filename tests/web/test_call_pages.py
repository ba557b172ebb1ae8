"""The HTML of the call page in each state of a call."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from callpipeline.domain.audio import Channel, Flag, QualityFlag
from callpipeline.domain.calls.call import Stage
from callpipeline.domain.transcripts import MAX_UNHEARD_S
from callpipeline.errors import UnsupportedAudio
from callpipeline.wiring import Storage
from tests.builders import a_mention
from tests.integration.calls import enter
from tests.integration.databases import execute_sql as asked_of_database
from tests.web.processed_calls import VODAFONE, ProcessedCall
from tests.web.served import Served

HTML = {"Accept": "text/html"}


@pytest.fixture
def client(empty_app: Served) -> Iterator[httpx.Client]:
    with empty_app.client(**HTML) as client:
        yield client


@pytest.fixture
def storage(empty_app: Served) -> Storage:
    return empty_app.storage


def test_a_completed_call_shows_player_transcript_and_mentions(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    call_id = ProcessedCall().store(storage, tmp_path)
    reply = client.get(f"/calls/{call_id}")
    assert reply.status_code == 200
    assert reply.headers["cache-control"] == "no-store"
    page = reply.text
    assert f'src="/calls/{call_id}/audio.wav?v=' in page
    assert page.count("<li class=") >= 4
    assert 'class="mention positive" href="?t=6.5"' in page
    assert 'class="mention review"' in page
    assert '<a href="/competitor?name=Vodafone"' in page
    assert "Anna &lt;Smith&gt;" in page
    for ending in ("call.json", "segments.csv", "transcript.srt", "transcript.vtt"):
        assert f"/calls/{call_id}/{ending}" in page


def test_pages_have_no_inline_scripts_or_styles(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    call_id = ProcessedCall().store(storage, tmp_path)
    for url in (f"/calls/{call_id}", "/review"):
        page = client.get(url).text
        assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=", page), url
        assert not re.search(r'(?:src|action)="(?:https?:)?//', page), url


@pytest.mark.parametrize("t", ["83.5", "0", "-1", "nan", "inf", "x", "1e9", "", "<script>"])
def test_the_url_sets_the_start_of_the_audio(
    client: httpx.Client, storage: Storage, tmp_path: Path, t: str
) -> None:
    call_id = ProcessedCall().store(storage, tmp_path)
    page = client.get(f"/calls/{call_id}", params={"t": t}).text
    found = re.search(r"audio\.wav\?v=\d+(#t=[\d.]+)?\"", page)
    assert found
    assert found[1] == ("#t=83.5" if t == "83.5" else None)


def test_transcript_and_file_name_are_escaped(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    said = "<script>alert(1)</script> vodafone \"'& x"
    mention = a_mention("Vodafone", channel=Channel.LEFT, char_start=said.index("vodafone"))
    texts = {Channel.LEFT: [said], Channel.RIGHT: ["yes"]}
    heard = ProcessedCall(key="<b>\u202e.wav", texts=texts, mentions=[mention])
    page = client.get(f"/calls/{heard.store(storage, tmp_path)}").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; <a" in page
    assert "<b>\u202e" not in page
    assert "\u202e" not in page.split("<h1>")[1].split("</h1>")[0]


def test_a_queued_call_shows_no_player(client: httpx.Client, storage: Storage) -> None:
    [call_id] = enter(storage, "waiting.wav")
    page = client.get(f"/calls/{call_id}").text
    assert "waiting.wav" in page
    assert "<audio" not in page
    assert 'id="transcript"' not in page


def test_a_failed_call_shows_the_results_of_earlier_stages(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    call_id = ProcessedCall(until=Stage.TRANSCRIPTS).store(storage, tmp_path)
    storage.claims.fail(call_id, "run-1", Stage.COMPETITOR_MENTIONS, UnsupportedAudio("No."))
    page = client.get(f"/calls/{call_id}").text
    assert "<audio" in page
    assert "vodafone" in page
    assert "Not checked for competitors yet." in page


def test_deletion_by_retention_is_shown_with_its_day(
    client: httpx.Client, storage: Storage, app: Served, tmp_path: Path
) -> None:
    call_id = ProcessedCall().store(storage, tmp_path)
    _delete(app.storage.database.url, call_id, "channel_audio")
    page = client.get(f"/calls/{call_id}").text
    assert "<audio" not in page
    assert re.search(r"Audio deleted on \d{4}-\d\d-\d\d under your retention policy", page)
    assert "vodafone" in page
    _delete(app.storage.database.url, call_id, "transcripts")
    asked_of_database(app.storage.database.url, "DELETE FROM segments")
    page = client.get(f"/calls/{call_id}").text
    assert re.search(r"Transcript deleted on \d{4}-\d\d-\d\d under your retention policy", page)
    assert "Vodafone" in page  # the results are kept


def _delete(database_url: str, call_id: str, what: str) -> None:
    row = f"'{what}', 'retention', '{call_id}', 1"
    asked_of_database(
        database_url, f"INSERT INTO deletions (what, why, call_id, items) VALUES ({row})"
    )


def test_a_mono_call_has_one_lane_and_unknown_speakers(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    heard = ProcessedCall(texts={Channel.MIXED: ["hello vodafone"]}, mentions=[])
    page = client.get(f"/calls/{heard.store(storage, tmp_path)}").text
    assert 'data-lanes="unknown"' in page
    assert "Agent channel" not in page
    assert "Overlap" not in page


def test_silence_and_recording_issues_are_shown(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    flags = [QualityFlag(Flag.SILENT, "The right channel is silent", Channel.RIGHT)]
    silence = {Channel.LEFT: [], Channel.RIGHT: []}
    heard = ProcessedCall(texts=silence, mentions=[], flags=flags)
    page = client.get(f"/calls/{heard.store(storage, tmp_path)}").text
    assert "No speech detected." in page
    assert "No competitor mentions." in page
    assert "Silent (right): The right channel is silent" in page


def test_a_transcript_with_low_confidence_has_a_warning(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    unreliable = ProcessedCall(confidence=0.3).store(storage, tmp_path)
    assert "may be unreliable" in client.get(f"/calls/{unreliable}").text
    reliable = ProcessedCall(key="reliable.wav").store(storage, tmp_path)
    assert "may be unreliable" not in client.get(f"/calls/{reliable}").text


def test_speech_without_words_has_a_warning(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    lost = ProcessedCall(unheard_s=12.4).store(storage, tmp_path)
    page = client.get(f"/calls/{lost}").text
    assert "12 s of speech on the customer&#39;s channel have no words" in page
    assert "12 s of speech on the agent&#39;s channel have no words" in page
    assert "12.4 s of speech without words" in page
    assert client.get(f"/calls/{lost}/call.json").json()["transcripts"][0]["unheard_s"] == 12.4
    texts = {Channel.MIXED: ["hello vodafone"]}
    mono = ProcessedCall("mono.wav", texts, mentions=[], unheard_s=12.4).store(storage, tmp_path)
    assert "12 s of speech have no words" in client.get(f"/calls/{mono}").text
    cough = ProcessedCall("cough.wav", unheard_s=MAX_UNHEARD_S).store(storage, tmp_path)
    assert "have no words" not in client.get(f"/calls/{cough}").text


def test_lost_speech_is_no_silence(client: httpx.Client, storage: Storage, tmp_path: Path) -> None:
    empty = {Channel.LEFT: [], Channel.RIGHT: []}
    lost = ProcessedCall(texts=empty, mentions=[], unheard_s=12.4).store(storage, tmp_path)
    page = client.get(f"/calls/{lost}").text
    assert "No words recognised." in page
    assert "No speech detected." not in page


def test_the_reason_for_a_missing_sentiment_is_shown(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    more = a_mention("O2", channel=Channel.LEFT, segment_index=1, char_start=3)
    call_id = ProcessedCall(mentions=[more, VODAFONE]).store(storage, tmp_path)
    page = client.get(f"/calls/{call_id}").text
    assert "The judge did not answer." in page
    assert "Not judged yet" in page


@pytest.mark.parametrize("call_id", ["2026-03-02-000000000000", "x", "%00"])
def test_an_unknown_call_is_not_found(client: httpx.Client, call_id: str) -> None:
    reply = client.get(f"/calls/{call_id}")
    assert reply.status_code == 404
    assert "Call not found" in reply.text
