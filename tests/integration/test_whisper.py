"""The real faster-whisper on real speech, with a model that returns fixed words for any audio."""

import asyncio
import os
import re
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
from callpipeline.domain.calls.call import Lane
from callpipeline.domain.competitors.find_mentions import find_mentions
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.domain.transcripts import Transcript, Word
from callpipeline.engines.ports import SupportsHints
from callpipeline.engines.speech import SileroSpeechDetector
from callpipeline.engines.split import LocalSplitter
from callpipeline.engines.transcribe import whisper
from callpipeline.engines.transcribe.chunks import AudioPiece
from callpipeline.engines.transcribe.whisper import WhisperTask, WhisperTranscriber
from callpipeline.engines.transcribe.whisper_windows import WhisperModelConfig, decode_windows
from callpipeline.errors import EngineUnavailable, SettingsInvalid, UnsupportedAudio
from tests.builders import CATALOG, a_channel
from tests.fakes.tiny_whisper import a_tiny_whisper

SAMPLES = Path(__file__).parents[2] / "samples"
SPOKEN = ["we", "are", "with", "Vodafone", "now."]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_tiny_whisper(tmp_path_factory.mktemp("models") / "tiny", tuple(SPOKEN))


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ChannelAudio]:
    """Return the agent's channel of a sample call, and its speech."""
    into = tmp_path_factory.mktemp("split")
    (recording,) = (p for p in SAMPLES.glob("01-*") if not p.name.endswith(".json"))
    about = asyncio.run(LocalSplitter().split(recording, into, "left")).channels[0]
    speech = asyncio.run(SileroSpeechDetector().detect(into / "left.flac"))
    return into / "left.flac", replace(about, speech=speech)


def transcribe_with(
    model: Path, *calls: tuple[Path, ChannelAudio], hints: Sequence[str] = ()
) -> list[Transcript]:
    async def transcribe() -> list[Transcript]:
        async with WhisperTranscriber(WhisperModelConfig(model), 1, hints=hints) as transcriber:
            return [await transcriber.transcribe(audio, about) for audio, about in calls]

    return asyncio.run(transcribe())


def a_noise(
    folder: Path, *speech: tuple[float, float], duration_s: float
) -> tuple[Path, ChannelAudio]:
    """Write noise at 8 kHz, and return its channel with speech at these times."""
    noise = np.random.default_rng(3).normal(0, 0.1, round(duration_s * 8000))
    soundfile.write(folder / "noise.flac", noise.astype(np.float32), 8000)
    return folder / "noise.flac", a_channel(Channel.LEFT, *speech, duration_s=duration_s)


@pytest.fixture(scope="module")
def transcript(model: Path, left: tuple[Path, ChannelAudio]) -> Transcript:
    return transcribe_with(model, left)[0]


def test_the_words_of_the_model_are_the_transcript(transcript: Transcript):
    words = [word for segment in transcript.segments for word in segment.words]
    assert [word.text for word in words] == SPOKEN
    assert all(0.9 < (word.confidence or 0) <= 1 for word in words)
    assert transcript.engine.startswith("faster-whisper 1.")
    assert re.search(r" tiny@[0-9a-f]{12} int8$", transcript.engine)
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


def test_a_recognised_name_becomes_a_mention(
    transcript: Transcript, left: tuple[Path, ChannelAudio]
):
    speech = {Channel.LEFT: left[1].speech}
    (mention,) = find_mentions([transcript], Matcher(CATALOG), speech)
    assert (mention.competitor, mention.speaker, mention.counts) == ("Vodafone", "agent", True)


def test_the_same_audio_gives_the_same_words(
    model: Path, transcript: Transcript, left: tuple[Path, ChannelAudio]
):
    assert transcribe_with(model, left, left) == [transcript, transcript]


def test_the_same_words_in_every_window_are_kept_once(model: Path, tmp_path: Path):
    (transcript,) = transcribe_with(model, a_noise(tmp_path, (0.0, 95.0), duration_s=95.0))
    assert [w.text for s in transcript.segments for w in s.words] == SPOKEN


def test_long_calls_are_sent_to_the_process_in_batches(model: Path, tmp_path: Path):
    turns = [(20.0 * i, 20.0 * i + 19.0) for i in range(10)]
    (transcript,) = transcribe_with(model, a_noise(tmp_path, *turns, duration_s=200.0))
    words = [w.text for s in transcript.segments for w in s.words]
    assert words == SPOKEN * 4  # ten windows; repeats are removed from each decode of four
    assert all(0 <= s.start_s <= s.end_s <= 200 for s in transcript.segments)


def test_a_channel_without_speech_starts_no_process(model: Path, left: tuple[Path, ChannelAudio]):
    async def transcribe() -> tuple[Transcript, tuple[int, ...]]:
        async with WhisperTranscriber(WhisperModelConfig(model)) as transcriber:
            silent = await transcriber.transcribe(left[0], replace(left[1], speech=()))
            return silent, transcriber.pids

    silent, pids = asyncio.run(transcribe())
    assert (silent.segments, silent.is_reliable, pids) == ((), True, ())


@pytest.mark.parametrize("speech", [(0.0, 0.05), (0.99, 1.0), (0.5, 9.0)])
def test_tiny_intervals_and_those_after_the_end_are_harmless(
    model: Path, tmp_path: Path, speech: tuple[float, float]
):
    (transcript,) = transcribe_with(model, a_noise(tmp_path, speech, duration_s=1.0))
    assert all(segment.end_s <= 1.0 for segment in transcript.segments)


def test_audio_that_cannot_be_read_is_refused(model: Path, tmp_path: Path):
    (tmp_path / "a.flac").write_bytes(b"nonsense")
    with pytest.raises(UnsupportedAudio, match="can't be read"):
        transcribe_with(model, (tmp_path / "a.flac", a_channel(Channel.LEFT, (0.0, 1.0))))


def test_a_killed_process_fails_its_call_and_the_next_is_served(
    model: Path, transcript: Transcript, left: tuple[Path, ChannelAudio]
):
    async def kill() -> Transcript:
        async with WhisperTranscriber(WhisperModelConfig(model), 1) as transcriber:
            call = asyncio.ensure_future(transcriber.transcribe(*left))
            while not transcriber.pids:
                await asyncio.sleep(0.01)
            os.kill(transcriber.pids[0], signal.SIGKILL)
            with pytest.raises(EngineUnavailable, match="the recogniser's process died"):
                await call
            return await transcriber.transcribe(*left)

    assert asyncio.run(kill()) == transcript


def test_a_model_deleted_after_verification_is_a_transient_error(
    model: Path, tmp_path: Path, left: tuple[Path, ChannelAudio]
):
    copy = tmp_path / "tiny"
    shutil.copytree(model, copy)

    async def transcribe() -> None:
        async with WhisperTranscriber(WhisperModelConfig(copy), 1) as transcriber:
            shutil.rmtree(copy)
            await transcriber.transcribe(*left)

    with pytest.raises(EngineUnavailable, match="can't be loaded"):
        asyncio.run(transcribe())


def test_a_damaged_model_is_reported_when_the_engines_are_opened(model: Path, settings: Settings):
    folder = wiring.model_shelf(settings).copy("fake", model, allow_unverified=True)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(SettingsInvalid, match="is damaged"), wiring.open_engines(settings):
        pass


class Spy:
    """Replaces faster-whisper's pipeline: records its arguments and returns nothing."""

    asked: dict[str, object]

    def __init__(self, model: object) -> None: ...

    def transcribe(self, samples: object, **asked: object) -> tuple[list[object], None]:
        Spy.asked = asked
        return [], None


def arguments_of_whisper(
    model: Path, hints: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> dict[str, object]:
    monkeypatch.setattr("faster_whisper.BatchedInferencePipeline", Spy)
    piece = AudioPiece(5.0, np.zeros(32_000, np.float32))
    assert decode_windows(WhisperModelConfig(model), "en", [(piece,)], hints) == [()]
    return Spy.asked


def test_nothing_is_conditioned_or_detected_again(model: Path, monkeypatch: pytest.MonkeyPatch):
    asked = arguments_of_whisper(model, ("Vodafone", "BT"), monkeypatch)
    assert asked["hotwords"] == "Vodafone, BT."
    assert asked["clip_timestamps"] == [{"start": 0.0, "end": 2.0}]
    assert asked["word_timestamps"] is True
    assert asked["condition_on_previous_text"] is False
    assert asked["vad_filter"] is False
    assert arguments_of_whisper(model, (), monkeypatch)["hotwords"] is None


def test_hints_over_the_context_of_the_model_are_cut_at_a_name(
    model: Path, monkeypatch: pytest.MonkeyPatch
):
    names = tuple(f"Name{i:03}" for i in range(100))  # of seven tokens each to this tokenizer
    hotwords = str(arguments_of_whisper(model, names, monkeypatch)["hotwords"])
    assert hotwords.removesuffix(".").split(", ") == [*names[:24]]
    assert len(f" {hotwords}") <= 223


def test_hints_do_not_change_the_words_of_a_model_that_ignores_them(
    model: Path, transcript: Transcript, left: tuple[Path, ChannelAudio]
):
    assert transcribe_with(model, left, hints=[f"Name{i}" for i in range(100)]) == [transcript]


def test_words_like_a_name_are_decoded_again_with_it_as_a_hint(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked: list[tuple[str, ...]] = []

    def spied(
        config: WhisperModelConfig, language: str, windows: object, hints: Sequence[str] = ()
    ) -> list[tuple[Word, ...]]:
        asked.append(tuple(hints))
        return [(Word("Lebara" if hints else "Labarra", 0.5, 1.0, 0.3),)]

    monkeypatch.setattr(whisper, "decode_windows", spied)
    audio, _ = a_noise(tmp_path, duration_s=3.0)
    task = WhisperTask(WhisperModelConfig(model), "en", ("BT", "Lebara"))
    heard = whisper.recognise(task, audio, (Interval(0.0, 2.0),))
    assert asked == [(), ("Lebara",)]
    assert [word.text for words in heard for word in words] == ["Lebara"]


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


def test_other_hints_share_the_processes(model: Path):
    with closing(
        WhisperTranscriber(WhisperModelConfig(model), 1, hints=("Vodafone",))
    ) as transcriber:
        other = transcriber.with_hints(["Sky"])
        assert isinstance(transcriber, SupportsHints)
        assert (transcriber._task.hints, other._task.hints) == (("Vodafone",), ("Sky",))
        assert other._processes is transcriber._processes
