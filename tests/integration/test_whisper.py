"""The real faster-whisper on real speech, with a model that says the same words to any sound."""

import asyncio
import os
import shutil
import signal
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from callpipeline import wiring
from callpipeline.config import Settings
from callpipeline.domain.audio import Channel, ChannelAudio, Interval
from callpipeline.domain.call import Lane
from callpipeline.domain.matching import Matcher
from callpipeline.domain.mentions import find_mentions
from callpipeline.domain.transcript import Transcript
from callpipeline.engines.ports import ListensForNames
from callpipeline.engines.speech import SileroSpeechDetector
from callpipeline.engines.split.local import LocalSplitter
from callpipeline.engines.transcribe import whisper
from callpipeline.engines.transcribe.whisper import Loading, Task, WhisperTranscriber
from callpipeline.errors import EngineUnavailable, SettingsInvalid, UnsupportedAudio
from tests.builders import CATALOG, a_channel
from tests.fakes.tiny_whisper import a_tiny_whisper

SAMPLES = Path(__file__).parents[2] / "samples"
SAID = ["we", "are", "with", "Vodafone", "now."]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_tiny_whisper(tmp_path_factory.mktemp("models") / "tiny", tuple(SAID))


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ChannelAudio]:
    """The agent's channel of a sample call, with where speech is in it."""
    into = tmp_path_factory.mktemp("split")
    (recording,) = (p for p in SAMPLES.glob("01-*") if not p.name.endswith(".json"))
    about = asyncio.run(LocalSplitter().split(recording, into, "left")).channels[0]
    speech = asyncio.run(SileroSpeechDetector().detect(into / "left.flac"))
    return into / "left.flac", replace(about, speech=speech)


def heard(
    model: Path, *calls: tuple[Path, ChannelAudio], hints: Sequence[str] = ()
) -> list[Transcript]:
    async def transcribe() -> list[Transcript]:
        async with WhisperTranscriber(Loading(model), 1, hints=hints) as transcriber:
            return [await transcriber.transcribe(audio, about) for audio, about in calls]

    return asyncio.run(transcribe())


def a_noise(
    folder: Path, *speech: tuple[float, float], duration_s: float
) -> tuple[Path, ChannelAudio]:
    """A file of noise at 8 kHz, and a channel with speech at these times."""
    noise = np.random.default_rng(3).normal(0, 0.1, round(duration_s * 8000))
    soundfile.write(folder / "noise.flac", noise.astype(np.float32), 8000)
    return folder / "noise.flac", a_channel(Channel.LEFT, *speech, duration_s=duration_s)


@pytest.fixture(scope="module")
def transcript(model: Path, left: tuple[Path, ChannelAudio]) -> Transcript:
    return heard(model, left)[0]


def test_what_the_model_says_is_the_transcript(transcript: Transcript):
    words = [word for segment in transcript.segments for word in segment.words]
    assert [word.text for word in words] == SAID
    assert all(0.9 < (word.confidence or 0) <= 1 for word in words)
    assert transcript.engine.startswith("faster-whisper 1.")
    assert transcript.engine.endswith(" tiny int8")
    assert (transcript.channel, transcript.speaker, transcript.language) == ("left", "agent", "en")


def test_segments_lie_within_speech_and_are_made_of_their_words(
    transcript: Transcript, left: tuple[Path, ChannelAudio]
):
    assert len(transcript.segments) > 1
    for segment in transcript.segments:
        assert segment.text == " ".join(word.text for word in segment.words)
        assert (segment.start_s, segment.end_s) == (
            segment.words[0].start_s,
            segment.words[-1].end_s,
        )
        assert any(
            s.start_s - 0.001 < segment.start_s and segment.end_s < s.end_s + 0.001
            for s in left[1].speech
        )
    assert [segment.index for segment in transcript.segments] == [*range(len(transcript.segments))]


def test_a_name_it_hears_becomes_a_mention(transcript: Transcript, left: tuple[Path, ChannelAudio]):
    speech = {Channel.LEFT: left[1].speech}
    (mention,) = find_mentions([transcript], Matcher(CATALOG), speech)
    assert (mention.competitor, mention.speaker, mention.counts) == ("Vodafone", "agent", True)


def test_the_same_audio_gives_the_same_words(
    model: Path, transcript: Transcript, left: tuple[Path, ChannelAudio]
):
    assert heard(model, left, left) == [transcript, transcript]


def test_a_model_that_says_the_same_in_every_window_is_believed_once(model: Path, tmp_path: Path):
    (transcript,) = heard(model, a_noise(tmp_path, (0.0, 95.0), duration_s=95.0))
    assert [w.text for s in transcript.segments for w in s.words] == SAID


def test_long_calls_go_to_the_process_in_parts(model: Path, tmp_path: Path):
    turns = [(20.0 * i, 20.0 * i + 19.0) for i in range(10)]
    (transcript,) = heard(model, a_noise(tmp_path, *turns, duration_s=200.0))
    assert [w.text for s in transcript.segments for w in s.words] == [*SAID, *SAID]
    assert all(0 <= s.start_s <= s.end_s <= 200 for s in transcript.segments)


def test_a_channel_without_speech_starts_no_process(model: Path, left: tuple[Path, ChannelAudio]):
    async def transcribe() -> tuple[Transcript, tuple[int, ...]]:
        async with WhisperTranscriber(Loading(model)) as transcriber:
            silent = await transcriber.transcribe(left[0], replace(left[1], speech=()))
            return silent, transcriber.pids

    silent, pids = asyncio.run(transcribe())
    assert (silent.segments, silent.is_reliable, pids) == ((), True, ())


@pytest.mark.parametrize("speech", [(0.0, 0.05), (0.99, 1.0), (0.5, 9.0)])
def test_stretches_that_are_tiny_or_beyond_the_end_do_no_harm(
    model: Path, tmp_path: Path, speech: tuple[float, float]
):
    (transcript,) = heard(model, a_noise(tmp_path, speech, duration_s=1.0))
    assert all(segment.end_s <= 1.0 for segment in transcript.segments)


def test_audio_that_cannot_be_read_is_refused(model: Path, tmp_path: Path):
    (tmp_path / "a.flac").write_bytes(b"nonsense")
    with pytest.raises(UnsupportedAudio, match="cannot be read"):
        heard(model, (tmp_path / "a.flac", a_channel(Channel.LEFT, (0.0, 1.0))))


def test_a_killed_process_fails_its_call_and_the_next_is_served(
    model: Path, transcript: Transcript, left: tuple[Path, ChannelAudio]
):
    async def kill() -> Transcript:
        async with WhisperTranscriber(Loading(model), 1) as transcriber:
            call = asyncio.ensure_future(transcriber.transcribe(*left))
            while not transcriber.pids:
                await asyncio.sleep(0.01)
            os.kill(transcriber.pids[0], signal.SIGKILL)
            with pytest.raises(EngineUnavailable, match="the recogniser's process died"):
                await call
            return await transcriber.transcribe(*left)

    assert asyncio.run(kill()) == transcript


def test_a_model_that_goes_after_it_was_looked_at_can_be_tried_again(
    model: Path, tmp_path: Path, left: tuple[Path, ChannelAudio]
):
    copy = tmp_path / "tiny"
    shutil.copytree(model, copy)

    async def transcribe() -> None:
        async with WhisperTranscriber(Loading(copy), 1) as transcriber:
            shutil.rmtree(copy)
            await transcriber.transcribe(*left)

    with pytest.raises(EngineUnavailable, match="cannot be loaded"):
        asyncio.run(transcribe())


def test_a_damaged_model_is_told_when_the_engines_are_opened(model: Path, settings: Settings):
    folder = wiring.model_shelf(settings).copy("tiny", model)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(SettingsInvalid, match="is damaged"), wiring.open_engines(settings):
        pass


class Spy:
    """In the place of faster-whisper's pipeline: notes what it is asked, and says nothing."""

    asked: dict[str, object]

    def __init__(self, model: object) -> None: ...

    def transcribe(self, samples: object, **asked: object) -> tuple[list[object], None]:
        Spy.asked = asked
        return [], None


def asked_of_whisper(
    model: Path, audio: Path, hints: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> dict[str, object]:
    monkeypatch.setattr("faster_whisper.BatchedInferencePipeline", Spy)
    whisper.recognise(Task(Loading(model), "en", hints), audio, (Interval(0.0, 2.0),))
    return Spy.asked


def test_hints_get_through_and_nothing_is_conditioned_or_detected_again(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    audio, _ = a_noise(tmp_path, duration_s=3.0)
    asked = asked_of_whisper(model, audio, ("Vodafone", "BT"), monkeypatch)
    assert asked["hotwords"] == "Vodafone, BT"
    assert asked["clip_timestamps"] == [{"start": 0.0, "end": 2.0}]
    assert asked["word_timestamps"] is True
    assert asked["condition_on_previous_text"] is False
    assert asked["vad_filter"] is False
    assert asked_of_whisper(model, audio, (), monkeypatch)["hotwords"] is None


def test_more_hints_than_the_model_looks_back_on_are_cut_at_a_name(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    audio, _ = a_noise(tmp_path, duration_s=3.0)
    names = tuple(f"Name{i:03}" for i in range(100))  # of seven tokens each to this tokenizer
    asked = asked_of_whisper(model, audio, names, monkeypatch)
    hotwords = str(asked["hotwords"])
    assert hotwords.split(", ") == [*names[:24]]
    assert len(f" {hotwords}") <= 223


def test_hints_do_not_change_what_is_heard_by_a_model_that_does_not_care(
    model: Path, transcript: Transcript, left: tuple[Path, ChannelAudio]
):
    assert heard(model, left, hints=[f"Name{i}" for i in range(100)]) == [transcript]


def test_an_echo_of_the_hints_is_no_speech(tmp_path: Path):
    names = ("Vodafone,", "BT,", "Plusnet,", "Voxi.")
    parrot = a_tiny_whisper(tmp_path / "parrot", names)
    call = a_noise(tmp_path, (0.0, 5.0), duration_s=6.0)
    assert heard(parrot, call, hints=("Vodafone", "BT", "Plusnet", "Voxi"))[0].segments == ()
    assert heard(parrot, call)[0].word_count == 4


def test_the_names_of_the_competitor_list_reach_the_recogniser(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, storage: wiring.Storage
):
    given: list[Sequence[str]] = []
    open_engines = wiring.open_engines

    def spied(options: Settings, lane: Lane, *, hints: Sequence[str], outages: object) -> object:
        given.append(hints)
        return open_engines(options, lane, hints=hints)

    monkeypatch.setattr(wiring, "open_engines", spied)
    with wiring.open_stages(settings, storage):
        pass
    assert given[0][:3] == ("Vodafone", "iD Mobile", "BT")


def test_it_can_be_told_of_other_names_and_keeps_its_processes(model: Path):
    with closing(WhisperTranscriber(Loading(model), 1, hints=("Vodafone",))) as transcriber:
        other = transcriber.listening_for(["Sky"])
        assert isinstance(transcriber, ListensForNames)
        assert (transcriber._task.hints, other._task.hints) == (("Vodafone",), ("Sky",))
        assert other._processes is transcriber._processes
