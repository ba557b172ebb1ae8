"""Speakers of a mono call: shown on its page, assigned there and through the API."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from callpipeline.domain.audio import Speaker
from callpipeline.domain.transcripts import Transcript
from callpipeline.wiring import Storage
from tests.integration.calls import enter
from tests.integration.test_speakers import AGENT, CUSTOMER, UNKNOWN, a_mono_transcript, process
from tests.web.processed_calls import ProcessedCall
from tests.web.served import Served

HTML = {"Accept": "text/html"}


@pytest.fixture
def client(empty_app: Served) -> Iterator[httpx.Client]:
    with empty_app.client() as client:
        yield client


@pytest.fixture
def storage(empty_app: Served) -> Storage:
    return empty_app.storage


def a_mono_call(storage: Storage, folder: Path, transcript: Transcript | None = None) -> str:
    [call_id] = enter(storage, "mono.wav")
    process(storage, call_id, folder, transcript or a_mono_transcript())
    return call_id


def page_of(client: httpx.Client, call_id: str) -> str:
    return client.get(f"/calls/{call_id}", headers=HTML).text


def roles(storage: Storage, call_id: str) -> list[Speaker]:
    return [voice.speaker for voice in storage.speakers.voices(call_id)]


def test_undecided_voices_are_shown_and_one_is_made_the_agent(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    call_id = a_mono_call(storage, tmp_path)
    page = page_of(client, call_id)
    assert "<b>Speaker 1</b>" in page
    assert "<b>Speaker 2</b>" in page
    assert "Speaker 2 is the agent</button>" in page
    answer = client.post(f"/calls/{call_id}/speakers", data={"agent_voice": "2"}, headers=HTML)
    assert (answer.status_code, answer.headers["Location"]) == (
        303,
        f"/calls/{call_id}#transcript",
    )
    page = page_of(client, call_id)
    assert "<b>Customer</b>" in page
    assert "<b>Agent</b>" in page
    assert "is the agent</button>" not in page


def test_speakers_are_swapped(client: httpx.Client, storage: Storage, tmp_path: Path) -> None:
    call_id = a_mono_call(storage, tmp_path, a_mono_transcript(AGENT, CUSTOMER))
    assert 'value="2" class="subtle">Swap speakers</button>' in page_of(client, call_id)
    client.post(f"/calls/{call_id}/speakers", data={"agent_voice": "2"}, headers=HTML)
    assert roles(storage, call_id) == [CUSTOMER, AGENT]
    assert 'value="1" class="subtle">Swap speakers</button>' in page_of(client, call_id)


def test_a_call_with_a_channel_per_speaker_has_nothing_to_swap(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    call_id = ProcessedCall().store(storage, tmp_path)
    assert "/speakers" not in page_of(client, call_id)
    answer = client.post(f"/calls/{call_id}/speakers", data={"agent_voice": "2"}, headers=HTML)
    assert answer.status_code == 303
    refused = client.put(f"/calls/{call_id}/voices", json={"agent_voice": 1})
    assert refused.status_code == 409
    none = {"voices": [], "decided_at": None, "version": 0}
    assert client.get(f"/calls/{call_id}/voices").json() == none


def test_the_api_assigns_the_agent(client: httpx.Client, storage: Storage, tmp_path: Path) -> None:
    call_id = a_mono_call(storage, tmp_path)
    before = client.get(f"/calls/{call_id}/voices").json()
    assert before["voices"][0] == {"voice": 1, "speaker": "unknown", "talk_s": 2.0}
    assert before["decided_at"] is None
    after = client.put(f"/calls/{call_id}/voices", json={"agent_voice": 1}).json()
    assert [each["speaker"] for each in after["voices"]] == ["agent", "customer"]
    assert after["decided_at"]
    assert after == client.get(f"/calls/{call_id}/voices").json()


@pytest.mark.parametrize("voice", [0, 3, "x", None])
def test_only_voices_1_and_2_are_accepted(
    client: httpx.Client, storage: Storage, tmp_path: Path, voice: object
) -> None:
    call_id = a_mono_call(storage, tmp_path)
    answer = client.put(f"/calls/{call_id}/voices", json={"agent_voice": voice})
    assert answer.status_code == 422
    assert roles(storage, call_id) == [UNKNOWN, UNKNOWN]


def test_downloads_have_voices(client: httpx.Client, storage: Storage, tmp_path: Path) -> None:
    call_id = a_mono_call(storage, tmp_path)
    assert "Speaker 2: we left vodafone" in client.get(f"/calls/{call_id}/transcript.srt").text
    assert "<v Speaker 1>hello" in client.get(f"/calls/{call_id}/transcript.vtt").text
    table = list(csv.DictReader(io.StringIO(client.get(f"/calls/{call_id}/segments.csv").text)))
    assert [row["voice"] for row in table] == ["1", "2", ""]
    document = client.get(f"/calls/{call_id}/call.json").json()
    assert [each["voice"] for each in document["segments"]] == [1, 2, None]
    assert [each["talk_s"] for each in document["voices"]] == [2.0, 2.5]
    storage.speakers.decide(call_id, 2)
    assert "Agent: we left vodafone" in client.get(f"/calls/{call_id}/transcript.srt").text


def test_talk_time_is_shown_by_role(client: httpx.Client, storage: Storage, tmp_path: Path) -> None:
    call_id = a_mono_call(storage, tmp_path, a_mono_transcript(AGENT, CUSTOMER))
    shown = page_of(client, call_id).partition("Talk time")[2].partition("</table>")[0]
    assert [name for name in ("Agent", "Customer", "Speakers", "Overlap") if name in shown] == [
        "Agent",
        "Customer",
        "Speakers",
    ]


def test_of_two_people_who_assign_speakers_the_second_looks_again(
    client: httpx.Client, storage: Storage, tmp_path: Path
) -> None:
    call_id = a_mono_call(storage, tmp_path, a_mono_transcript(AGENT, CUSTOMER))
    path = f"/calls/{call_id}/voices"
    first = client.put(path, json={"agent_voice": 2, "seen": client.get(path).json()["version"]})
    assert first.status_code == 200 and first.json()["version"] > 0
    late = client.put(path, json={"agent_voice": 1, "seen": 0})
    assert late.status_code == 409 and "assigned the speakers a minute ago" in late.text
    form = {"agent_voice": "1", "seen": "0"}
    assert client.post(f"/calls/{call_id}/speakers", data=form, headers=HTML).status_code == 409
    assert roles(storage, call_id) == [CUSTOMER, AGENT]
    again = client.put(path, json={"agent_voice": 1, "seen": first.json()["version"]})
    assert again.status_code == 200 and roles(storage, call_id) == [AGENT, CUSTOMER]
