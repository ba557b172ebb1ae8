"""The real recogniser on a call from samples/, from the recording to words."""

import asyncio
import os
import re
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from callpipeline.domain.audio import Channel, ChannelAudio, Interval, Speaker
from callpipeline.domain.transcripts import Transcript
from callpipeline.engines.speech import SileroSpeechDetector
from callpipeline.engines.split import LocalSplitter
from callpipeline.engines.transcribe.pocketsphinx import PocketsphinxTranscriber
from callpipeline.errors import EngineUnavailable, UnsupportedAudio

SAMPLES = Path(__file__).parents[2] / "samples"
SPOKEN = ("good", "morning", "how", "can", "i", "help", "you")


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ChannelAudio]:
    """Return the agent's channel of a sample call, and its speech."""
    into = tmp_path_factory.mktemp("split")
    (recording,) = (p for p in SAMPLES.glob("01-*") if not p.name.endswith(".json"))
    about = asyncio.run(LocalSplitter().split(recording, into, "left")).channels[0]
    speech = asyncio.run(SileroSpeechDetector().detect(into / "left.flac"))
    return into / "left.flac", replace(about, speech=speech)


@pytest.fixture(scope="module")
def transcript(left: tuple[Path, ChannelAudio]) -> Transcript:
    async def transcribe() -> Transcript:
        async with PocketsphinxTranscriber(2) as transcriber:
            return await transcriber.transcribe(*left)

    return asyncio.run(transcribe())


def test_the_detector_finds_the_turns_of_the_agent(left: tuple[Path, ChannelAudio]) -> None:
    speech = left[1].speech
    assert 4 <= len(speech) <= 10
    assert speech[0].start_s == pytest.approx(1.25, abs=0.4)


def test_most_words_are_recognised(transcript: Transcript) -> None:
    heard = " ".join(segment.text for segment in transcript.segments).split()
    assert sum(word in heard for word in SPOKEN) >= 6


def test_segments_lie_within_speech_and_are_made_of_their_words(
    transcript: Transcript, left: tuple[Path, ChannelAudio]
) -> None:
    for segment in transcript.segments:
        assert segment.text == " ".join(word.text for word in segment.words)
        assert segment.start_s == segment.words[0].start_s
        assert any(
            s.start_s <= segment.start_s and segment.end_s <= s.end_s + 0.1 for s in left[1].speech
        )
    assert [segment.index for segment in transcript.segments] == [*range(len(transcript.segments))]


def test_words_are_plain_and_have_confidences(transcript: Transcript) -> None:
    words = [word for segment in transcript.segments for word in segment.words]
    assert all(re.fullmatch(r"[a-z'.-]+", word.text) for word in words)
    assert all(0 <= (word.confidence or 0) <= 1 for word in words)
    assert transcript.is_reliable
    assert transcript.engine.startswith("pocketsphinx")


def test_the_same_audio_gives_the_same_words_regardless_of_order(
    transcript: Transcript, left: tuple[Path, ChannelAudio]
) -> None:
    audio, about = left

    async def backwards() -> list[Transcript]:
        async with PocketsphinxTranscriber(1) as transcriber:
            return [
                await transcriber.transcribe(audio, replace(about, speech=(speech,)))
                for speech in reversed(about.speech)
            ]

    alone = asyncio.run(backwards())
    texts = [segment.text for one in reversed(alone) for segment in one.segments]
    assert texts == [segment.text for segment in transcript.segments]


def test_a_channel_without_speech_is_a_transcript_without_segments(
    left: tuple[Path, ChannelAudio],
) -> None:
    audio, about = left

    async def transcribe() -> tuple[Transcript, tuple[int, ...]]:
        async with PocketsphinxTranscriber() as transcriber:
            silent = await transcriber.transcribe(audio, replace(about, speech=()))
            return silent, transcriber.pids

    silent, pids = asyncio.run(transcribe())
    assert (silent.segments, silent.word_count, silent.is_reliable) == ((), 0, True)
    assert pids == (), "no process is started for silence"


def test_speech_without_a_pause_is_cut_and_recognised_to_its_end(
    tmp_path: Path, left: tuple[Path, ChannelAudio]
) -> None:
    samples, rate_hz = soundfile.read(left[0], dtype="float32")
    first = left[1].speech[0]
    turn = samples[int(first.start_s * rate_hz) : int(first.end_s * rate_hz)]
    soundfile.write(tmp_path / "a.flac", np.tile(turn, 6), rate_hz)
    whole = Interval(0.0, 6 * len(turn) / rate_hz)
    assert whole.duration_s > 20

    async def transcribe() -> Transcript:
        async with PocketsphinxTranscriber(1) as transcriber:
            about = replace(left[1], speech=(whole,))
            return await transcriber.transcribe(tmp_path / "a.flac", about)

    text = " ".join(segment.text for segment in asyncio.run(transcribe()).segments)
    assert text.count("morning") >= 5


def test_audio_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(b"nonsense")
    about = ChannelAudio(Channel.MIXED, Speaker.UNKNOWN, 8000, 1.0, -20.0, 8, "", (Interval(0, 1),))

    async def transcribe() -> None:
        async with PocketsphinxTranscriber(1) as transcriber:
            await transcriber.transcribe(tmp_path / "a.flac", about)

    with pytest.raises(UnsupportedAudio, match="can't be read"):
        asyncio.run(transcribe())


def test_a_killed_process_fails_one_call_and_spares_the_others(
    transcript: Transcript, left: tuple[Path, ChannelAudio]
) -> None:
    audio, about = left
    two = [replace(about, speech=about.speech[:1]), replace(about, speech=about.speech[1:2])]

    async def kill_one() -> tuple[list[Transcript | BaseException], Transcript]:
        async with PocketsphinxTranscriber(2) as transcriber:
            calls = [asyncio.ensure_future(transcriber.transcribe(audio, a)) for a in two]
            while len(transcriber.pids) < 2:
                await asyncio.sleep(0.01)
            os.kill(transcriber.pids[0], signal.SIGKILL)
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            return outcomes, await transcriber.transcribe(audio, about)

    outcomes, afterwards = asyncio.run(kill_one())
    assert sorted(type(outcome).__name__ for outcome in outcomes) == [
        EngineUnavailable.__name__,
        Transcript.__name__,
    ]
    (error,) = (outcome for outcome in outcomes if isinstance(outcome, EngineUnavailable))
    assert str(error).startswith("the recogniser's process died")
    assert afterwards == transcript
