"""Which objects are recordings, when they are taken, and how they are entered."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from callpipeline.domain.call import Recording
from callpipeline.pipeline.discovery import (
    PAGE,
    is_recording_name,
    recordings_below,
    register_new,
    settled,
)
from tests.builders import A_MONDAY, a_recording
from tests.fakes.storage import InMemoryRegistry


@pytest.mark.parametrize(
    "key", ["a.wav", "A.MP3", "deep/er/a.opus", "without-ending", "a.unheard-of", "a.json.wav", "ü"]
)
def test_anything_that_may_be_a_recording_is_taken(key: str):
    assert is_recording_name(key)


@pytest.mark.parametrize(
    "key",
    ["a.transcript.json", "a.SRT", "a.vtt", "a.wav.part", "a.wav.crdownload", ".hidden.wav",
     ".trash/a.wav", "deep/.DS_Store"],
)  # fmt: skip
def test_sidecars_unfinished_and_hidden_files_are_not(key: str):
    assert not is_recording_name(key)


def test_a_recording_is_taken_when_nobody_wrote_to_it_for_a_while():
    ages_s = [0.0, 2.9, 3.0, 100.0]
    found = [
        a_recording(f"{age}.wav", last_modified=A_MONDAY - timedelta(seconds=age)) for age in ages_s
    ]
    taken = settled(found, settle_s=3.0, now=A_MONDAY)
    assert [recording.key for recording in taken] == ["3.0.wav", "100.0.wav"]


def test_each_recording_is_entered_once_however_often_it_is_found():
    registry = InMemoryRegistry()
    found = [a_recording("a.wav"), a_recording("b.wav"), a_recording("notes.txt")]
    first = register_new(registry, found, settle_s=3.0, agent_channel="right")
    again = register_new(registry, found, settle_s=3.0, agent_channel="right")
    assert first == [found[0].call_id, found[1].call_id]
    assert again == []
    assert set(registry.agent_channels.values()) == {"right"}


def test_what_is_still_being_written_is_found_again_later():
    registry = InMemoryRegistry()
    growing = a_recording(last_modified=datetime.now(UTC))
    assert register_new(registry, [growing], settle_s=60.0, agent_channel="left") == []
    assert register_new(registry, [growing], settle_s=0.0, agent_channel="left") != []


def test_many_recordings_are_entered_a_page_at_a_time():
    pages: list[int] = []

    class Counting(InMemoryRegistry):
        def unknown(self, recordings: list[Recording]) -> list[Recording]:
            pages.append(len(recordings))
            return super().unknown(recordings)

    found = (a_recording(f"{number}.wav") for number in range(PAGE + 5))
    new = register_new(Counting(), found, settle_s=0.0, agent_channel="left")
    assert pages == [PAGE, 5]
    assert len(set(new)) == PAGE + 5


def test_a_folder_gives_its_recordings_and_a_file_is_taken_whatever_its_name(tmp_path: Path):
    for name in ["b.wav", "a.mp3", "a.srt", ".hidden.wav", "deep/c.ogg", ".git/d.wav"]:
        (tmp_path / "calls" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "calls" / name).touch()
    (tmp_path / "call.csv").touch()
    found = recordings_below([tmp_path / "calls", tmp_path / "call.csv"])
    names = [path.relative_to(tmp_path).as_posix() for path in found]
    assert names == ["calls/a.mp3", "calls/b.wav", "calls/deep/c.ogg", "call.csv"]


def test_a_hidden_folder_that_is_named_is_looked_into(tmp_path: Path):
    (tmp_path / ".calls").mkdir()
    (tmp_path / ".calls" / "a.wav").touch()
    assert list(recordings_below([tmp_path / ".calls"])) == [tmp_path / ".calls" / "a.wav"]
