"""Mono calls in the pipeline: diarization beside transcription, and the roles of the voices."""

import asyncio
import logging
from pathlib import Path

import pytest

from callpipeline.domain.audio import Channel, ChannelAudio, Speaker
from callpipeline.domain.calls.call import Stage
from callpipeline.domain.transcripts import Segment, Transcript
from callpipeline.domain.voices import VoiceTurn
from callpipeline.errors import EngineUnavailable
from callpipeline.pipeline.processing.workspace import CallWorkspace
from tests.builders import a_channel, a_split, a_write, channel_files
from tests.fakes.engines import ScriptedDiarizer, ScriptedTranscriber
from tests.fakes.workplace import RUN, Workplace

TURNS = (VoiceTurn(0.0, 2.0, 1, 0.9), VoiceTurn(2.0, 5.0, 2, 0.8))
LINES = ("Thank you for calling. How can I help you?", "I want to leave Vodafone.")
AUDIO = "one mixed"


class LineTranscriber(ScriptedTranscriber):
    """Hears `LINES`, a segment each."""

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        await self._work_on(audio.read_text())
        segments = tuple(
            Segment(n, 2.0 * n, 2.0 * n + 2, about.channel, about.speaker, text)
            for n, text in enumerate(LINES)
        )
        return Transcript(about.channel, about.speaker, self.name, segments)


@pytest.fixture
def place() -> Workplace:
    return Workplace(transcriber=LineTranscriber(), diarizer=ScriptedDiarizer(*TURNS))


def transcribed(place: Workplace, folder: Path, *, channel: Channel = Channel.MIXED) -> Transcript:
    call = place.call()
    split = a_split(a_channel(channel, (0.0, 5.0)))
    files = channel_files(split, folder / "stored", "one")
    place.results.save_audio(a_write(call.call_id, Stage.CHANNEL_AUDIO), split, files)
    workspace = CallWorkspace(call, folder, place.results)
    asyncio.run(place.stages().run(Stage.TRANSCRIPTS, workspace, RUN))
    (transcript,) = place.results.transcripts(call.call_id)
    assert workspace.new_transcripts == (transcript,)
    return transcript


def speakers(transcript: Transcript) -> list[tuple[int | None, Speaker]]:
    return [(each.voice, each.speaker) for each in transcript.segments]


def test_segments_of_a_mono_call_have_voices_and_roles(place: Workplace, tmp_path: Path) -> None:
    transcript = transcribed(place, tmp_path)
    assert speakers(transcript) == [(1, Speaker.AGENT), (2, Speaker.CUSTOMER)]
    assert [each.voice_confidence for each in transcript.segments] == [0.9, 0.8]
    assert [(each.number, each.talk_s) for each in transcript.voices] == [(1, 2.0), (2, 3.0)]


def test_the_channel_is_diarized_while_it_is_transcribed(place: Workplace, tmp_path: Path) -> None:
    diarizer = place.diarizer = ScriptedDiarizer(*TURNS)

    class WaitingTranscriber(LineTranscriber):
        async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
            while not diarizer.asked:
                await asyncio.sleep(0.001)
            return await super().transcribe(audio, about)

    place.transcriber = WaitingTranscriber()
    assert speakers(transcribed(place, tmp_path))[0] == (1, Speaker.AGENT)


@pytest.mark.parametrize("error", [EngineUnavailable("no memory"), ValueError("secret words")])
def test_a_failing_diarizer_leaves_the_speakers_unknown(
    place: Workplace, tmp_path: Path, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    place.diarizer = ScriptedDiarizer(*TURNS, failures={AUDIO: error})
    with caplog.at_level(logging.WARNING):
        transcript = transcribed(place, tmp_path)
    assert speakers(transcript) == [(None, Speaker.UNKNOWN)] * 2
    assert [record.getMessage() for record in caplog.records] == [
        f"Diarization failed with {type(error).__name__}; the speakers stay unknown."
    ]


def test_a_failing_transcriber_fails_the_stage(place: Workplace, tmp_path: Path) -> None:
    place.transcriber = LineTranscriber({AUDIO: EngineUnavailable("crashed")})
    with pytest.raises(EngineUnavailable, match="crashed"):
        transcribed(place, tmp_path)


def test_one_voice_stays_unknown(place: Workplace, tmp_path: Path) -> None:
    place.diarizer = ScriptedDiarizer()
    assert speakers(transcribed(place, tmp_path)) == [(None, Speaker.UNKNOWN)] * 2


def test_without_a_diarizer_the_speakers_stay_unknown(place: Workplace, tmp_path: Path) -> None:
    place.diarizer = None
    assert speakers(transcribed(place, tmp_path)) == [(None, Speaker.UNKNOWN)] * 2


def test_a_channel_with_one_speaker_is_not_diarized(place: Workplace, tmp_path: Path) -> None:
    diarizer = place.diarizer = ScriptedDiarizer(*TURNS)
    transcribed(place, tmp_path, channel=Channel.LEFT)
    assert diarizer.asked == []


def test_the_setting_of_a_source_decides_before_what_is_said(
    place: Workplace, tmp_path: Path
) -> None:
    place.first_speakers = {"recordings": Speaker.CUSTOMER}
    assert speakers(transcribed(place, tmp_path)) == [(1, Speaker.CUSTOMER), (2, Speaker.AGENT)]


def test_a_mention_has_the_speaker_of_its_segment(place: Workplace, tmp_path: Path) -> None:
    call = place.call()
    split = a_split(a_channel(Channel.MIXED, (0.0, 5.0)))
    files = channel_files(split, tmp_path / "stored", "one")
    place.results.save_audio(a_write(call.call_id, Stage.CHANNEL_AUDIO), split, files)
    workspace = CallWorkspace(call, tmp_path, place.results)
    for stage in (Stage.TRANSCRIPTS, Stage.COMPETITOR_MENTIONS):
        asyncio.run(place.stages().run(stage, workspace, RUN))
    (mention,) = place.results.mentions(call.call_id)
    assert (mention.competitor, mention.speaker) == ("Vodafone", Speaker.CUSTOMER)


def test_supplied_transcripts_stay_as_they_are(place: Workplace, tmp_path: Path) -> None:
    place.recordings.put("one.srt", b"hello from the file")
    diarizer = place.diarizer = ScriptedDiarizer(*TURNS)
    call = place.call()
    split = a_split(a_channel(Channel.MIXED, (0.0, 5.0)))
    files = channel_files(split, tmp_path / "stored", "one")
    place.results.save_audio(a_write(call.call_id, Stage.CHANNEL_AUDIO), split, files)
    workspace = CallWorkspace(call, tmp_path, place.results)
    asyncio.run(place.stages().run(Stage.TRANSCRIPTS, workspace, RUN))
    assert diarizer.asked == []
    assert all(not each.voices for each in place.results.transcripts(call.call_id))
