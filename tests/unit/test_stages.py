"""The stages: their input, what they store, and their summaries."""

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from callpipeline.domain.audio import Channel, ChannelAudio, Flag, Interval, Speaker
from callpipeline.domain.calls.call import Call, Stage
from callpipeline.domain.competitors.find_mentions import RULE_VERSION
from callpipeline.domain.sentiment import Sentiment
from callpipeline.domain.transcripts import Segment, Transcript
from callpipeline.errors import (
    EngineUnavailable,
    MissingObject,
    SameRecording,
    TranscriptIgnored,
    UnsupportedAudio,
)
from callpipeline.pipeline.processing.stages import add_silent_channels
from callpipeline.pipeline.processing.summaries import StageSummary
from callpipeline.pipeline.processing.workspace import CallWorkspace
from tests.builders import (
    CATALOG,
    a_channel,
    a_mention,
    a_split,
    a_transcript,
    a_write,
    channel_files,
)
from tests.fakes.engines import (
    ScriptedJudge,
    ScriptedSpeechDetector,
    ScriptedSplitter,
    ScriptedTranscriber,
)
from tests.fakes.workplace import RUN, Workplace

SAID = "one secret: Vodafone is cheaper and the sky is blue"


@pytest.fixture
def workplace() -> Workplace:
    return Workplace(transcriber=ScriptedTranscriber(hears={"one right": SAID}))


class StageRunner:
    """A call with its workspace, whose stages are run one by one."""

    def __init__(self, workplace: Workplace, folder: Path, call: Call | None = None) -> None:
        self.workplace = workplace
        self.call = call or workplace.call()
        self.workspace = CallWorkspace(self.call, folder, workplace.results)

    def run(self, *stages: Stage) -> StageSummary:
        """Run stages and return the summary of the last."""

        async def run_all() -> StageSummary:
            summary: StageSummary = {}
            for stage in stages:
                summary = await self.workplace.stages().run(stage, self.workspace, RUN)
            return summary

        return asyncio.run(run_all())

    def store_audio(self) -> None:
        files = channel_files(a_split(), self.workspace.folder / "stored", "one")
        write = a_write(self.call.call_id, Stage.CHANNEL_AUDIO)
        self.workplace.results.save_audio(write, a_split(), files)

    def store_transcripts(self, *texts: str) -> None:
        transcripts = [a_transcript(*texts, channel=Channel.RIGHT)]
        write = a_write(self.call.call_id, Stage.TRANSCRIPTS)
        self.workplace.results.save_transcripts(write, transcripts)


class FragmentingTranscriber(ScriptedTranscriber):
    """Returns one sentence in two segments, with a pause between them."""

    async def transcribe(self, audio: Path, about: ChannelAudio) -> Transcript:
        texts = [(1.0, "we are with"), (3.0, "GoDaddy.")]
        segments = [
            Segment(i, at_s, at_s + 1.0, about.channel, about.speaker, text)
            for i, (at_s, text) in enumerate(texts)
        ]
        return Transcript(about.channel, about.speaker, self.name, tuple(segments))


@pytest.fixture
def runner(workplace: Workplace, tmp_path: Path) -> StageRunner:
    return StageRunner(workplace, tmp_path)


def test_audio_is_split_with_speech_detection_and_stored(runner: StageRunner):
    runner.workplace.detector = ScriptedSpeechDetector(hears={"one left": (Interval(2.0, 3.0),)})
    summary = runner.run(Stage.CHANNEL_AUDIO)
    stored = runner.workplace.results.audio(runner.call.call_id)
    assert [(c.channel, c.speech) for c in stored.channels] == [
        ("left", (Interval(2.0, 3.0),)),
        ("right", (Interval(0.0, 1.0),)),
    ]
    runner.workplace.results.fetch_channel(
        runner.call.call_id, Channel.LEFT, runner.workspace.folder / "back"
    )
    assert (runner.workspace.folder / "back").read_text() == "one left"
    assert summary["channels"] == "left (agent), right (customer)"
    assert summary["flags"] == "none"


def test_the_waveform_is_measured_from_the_files_of_any_splitter(runner: StageRunner):
    class WritesAudio(ScriptedSplitter):
        async def split(self, recording: Path, into: Path, *_: object, **__: object):
            for channel in (Channel.LEFT, Channel.RIGHT):
                soundfile.write(into / f"{channel}.flac", np.full(8000, 0.5), 8000)
            return a_split()

    runner.workplace.splitter = WritesAudio()
    runner.workplace.detector = ScriptedSpeechDetector()
    runner.run(Stage.CHANNEL_AUDIO)
    peaks = runner.workplace.results.peaks[runner.call.call_id]
    assert {channel: found.maxima for channel, found in peaks.items()} == dict.fromkeys(
        (Channel.LEFT, Channel.RIGHT), bytes([128] * 20)
    )
    assert {found.sha256 for found in peaks.values()} == {"ab" * 32}


def test_the_recording_does_not_stay_in_the_workspace(runner: StageRunner):
    runner.run(Stage.CHANNEL_AUDIO)
    assert sorted(p.name for p in runner.workspace.folder.iterdir()) == ["left.flac", "right.flac"]


def test_a_recording_that_was_deleted_is_missing(runner: StageRunner):
    runner.workplace.recordings.delete("one.wav")
    with pytest.raises(MissingObject):
        runner.run(Stage.CHANNEL_AUDIO)


def test_the_content_is_recorded_before_it_is_processed(runner: StageRunner):
    sha256 = hashlib.sha256(b"one").hexdigest()
    runner.workplace.splitter = ScriptedSplitter({"one": UnsupportedAudio("a picture")})
    with pytest.raises(UnsupportedAudio):
        runner.run(Stage.CHANNEL_AUDIO)
    assert runner.workplace.states.contents == {sha256: runner.call.call_id}


def test_content_of_another_call_is_not_split(runner: StageRunner):
    sha256 = hashlib.sha256(b"one").hexdigest()
    runner.workplace.states.contents[sha256] = "2026-03-02-000000000000"
    with pytest.raises(SameRecording):
        runner.run(Stage.CHANNEL_AUDIO)
    assert runner.workplace.splitter.asked == []
    assert runner.workplace.results.writes == []


def test_metrics_come_from_the_audio_of_an_earlier_run(runner: StageRunner):
    runner.store_audio()
    summary = runner.run(Stage.CALL_METRICS)
    metrics = runner.workplace.results.metrics(runner.call.call_id)
    assert metrics
    assert (metrics["agent_talk_s"], metrics["customer_talk_s"]) == (4.0, 4.5)
    assert summary["agent_talk_s"] == 4.0
    assert runner.workplace.results.writes[-1].engine == "scripted-speech-detector"


def test_every_channel_is_transcribed_and_stored(runner: StageRunner):
    summary = runner.run(Stage.CHANNEL_AUDIO, Stage.TRANSCRIPTS)
    left, right = runner.workplace.results.transcripts(runner.call.call_id)
    assert (left.channel, left.segments) == ("left", ())
    assert right.segments[0].text == SAID
    assert summary == {
        "words": 10,
        "engine": "scripted-transcriber",
        "reliable": True,
        "lowest_confidence": 0.9,
        "unheard_s": 1.0,
    }


def test_segments_are_utterances_and_unheard_speech_is_measured(runner: StageRunner):
    runner.workplace.transcriber = FragmentingTranscriber()
    runner.run(Stage.CHANNEL_AUDIO, Stage.TRANSCRIPTS)
    _, right = runner.workplace.results.transcripts(runner.call.call_id)
    assert [segment.text for segment in right.segments] == ["we are with GoDaddy."]
    assert right.unheard_s == 0.0


def test_audio_of_an_earlier_run_is_fetched_and_transcribed(runner: StageRunner):
    runner.store_audio()
    runner.run(Stage.TRANSCRIPTS)
    assert sorted(runner.workplace.transcriber.finished) == ["one left", "one right"]
    assert runner.workplace.splitter.asked == []


def test_a_channel_that_fails_does_not_cancel_the_other(runner: StageRunner):
    refused = EngineUnavailable("the recogniser crashed")
    transcriber = ScriptedTranscriber({"one left": refused}, meets=2)
    runner.workplace.transcriber = transcriber
    runner.store_audio()
    with pytest.raises(EngineUnavailable):
        runner.run(Stage.TRANSCRIPTS)
    assert transcriber.finished == ["one right"]


def test_a_supplied_transcript_replaces_transcription(runner: StageRunner):
    runner.workplace.recordings.put("one.srt", b"hello from the file")
    runner.store_audio()
    summary = runner.run(Stage.TRANSCRIPTS)
    assert runner.workplace.transcriber.asked == []
    silent, supplied = runner.workplace.results.transcripts(runner.call.call_id)
    assert (silent.channel, silent.speaker, silent.segments) == ("left", "agent", ())
    assert supplied.segments[0].text == "hello from the file"
    assert summary["engine"] == "supplied"


class IgnoredTranscripts:
    """Transcripts that can't be read, of a source that wants the recordings transcribed."""

    def find(self, call: Call) -> None:
        raise TranscriptIgnored("call.srt: line 1 of the transcript has no times")


def test_an_unreadable_transcript_may_be_replaced_by_the_recogniser(runner: StageRunner):
    runner.workplace.supplied = IgnoredTranscripts()
    runner.store_audio()
    assert runner.run(Stage.TRANSCRIPTS)["engine"] != "supplied"
    heard, *others = runner.workplace.results.transcripts(runner.call.call_id)
    (flag,) = heard.flags
    assert flag.flag is Flag.UNREADABLE_TRANSCRIPT
    assert flag.detail == "transcribed instead: call.srt: line 1 of the transcript has no times"
    assert all(not other.flags for other in others)


def test_an_empty_supplied_transcript_is_accepted(runner: StageRunner):
    runner.workplace.recordings.put("one.srt", b"")
    runner.store_audio()
    assert runner.run(Stage.TRANSCRIPTS)["words"] == 0
    assert [t.channel for t in runner.workplace.results.transcripts(runner.call.call_id)] == [
        "left",
        "right",
    ]


def test_a_supplied_transcript_may_separate_the_speakers_of_a_mono_recording():
    supplied = (a_transcript("hi"), a_transcript("hello", channel=Channel.RIGHT))
    mono = a_split(a_channel(Channel.MIXED))
    assert add_silent_channels(supplied, mono) == supplied
    (silent,) = add_silent_channels((), mono)
    assert (silent.channel, silent.segments) == (Channel.MIXED, ())


def test_dismissed_mentions_are_stored_and_counted_separately(runner: StageRunner):
    runner.store_transcripts(SAID)
    summary = runner.run(Stage.COMPETITOR_MENTIONS)
    stored = {
        m.competitor: m.counts for m in runner.workplace.results.mentions(runner.call.call_id)
    }
    assert stored == {"Vodafone": True, "Sky": False}
    assert summary == {
        "mentions": 1,
        "competitors": "Vodafone",
        "not_counted": 1,
        "catalog_version": CATALOG.version,
        "rule_version": RULE_VERSION,
    }


def store_with_speech(
    runner: StageRunner, *speech: tuple[float, float], engine: str = "by hand"
) -> None:
    """Store audio with speech at these times, and "with EE Vodafone" from 0 to 1.4 s."""
    split = a_split(a_channel(Channel.LEFT), a_channel(Channel.RIGHT, *speech))
    files = channel_files(split, runner.workspace.folder / "stored", "one")
    call_id = runner.call.call_id
    runner.workplace.results.save_audio(a_write(call_id, Stage.CHANNEL_AUDIO), split, files)
    transcripts = [a_transcript("with EE Vodafone", channel=Channel.RIGHT, engine=engine)]
    runner.workplace.results.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS), transcripts)


def test_a_name_hallucinated_over_silence_does_not_count(runner: StageRunner):
    store_with_speech(runner, (5.0, 9.0))
    summary = runner.run(Stage.COMPETITOR_MENTIONS, Stage.COMPETITOR_SENTIMENT)
    (mention,) = runner.workplace.results.mentions(runner.call.call_id)
    assert (mention.counts, "no speech detected" in mention.reason) == (False, True)
    assert runner.workplace.judge.asked == []
    assert summary == {}


def test_speech_intervals_are_available_without_the_audio(runner: StageRunner):
    store_with_speech(runner, (0.5, 4.0))
    (runner.workspace.folder / "stored" / "right.flac").unlink()
    assert runner.run(Stage.COMPETITOR_MENTIONS)["competitors"] == "Vodafone"
    assert not (runner.workspace.folder / "right.flac").exists()


def test_supplied_transcripts_are_not_checked_against_detected_speech(runner: StageRunner):
    store_with_speech(runner, (15.0, 19.0), engine="supplied")
    assert runner.run(Stage.COMPETITOR_MENTIONS)["competitors"] == "Vodafone"


def test_only_counted_mentions_are_judged(runner: StageRunner):
    runner.workplace.judge = ScriptedJudge(thinks={"Vodafone": Sentiment.POSITIVE})
    runner.store_transcripts(SAID)
    summary = runner.run(Stage.COMPETITOR_MENTIONS, Stage.COMPETITOR_SENTIMENT)
    assert runner.workplace.judge.asked == ["Vodafone"]
    (judged,) = runner.workplace.results.judgements(runner.call.call_id)
    assert (judged.competitor, judged.sentiment) == ("Vodafone", Sentiment.POSITIVE)
    assert summary == {"Vodafone": "positive"}


def test_mentions_of_an_earlier_run_can_be_judged_again(runner: StageRunner):
    runner.store_transcripts(SAID)
    write = a_write(runner.call.call_id, Stage.COMPETITOR_MENTIONS)
    runner.workplace.results.save_mentions(write, [a_mention()])
    assert runner.run(Stage.COMPETITOR_SENTIMENT) == {"Vodafone": "neutral"}


def test_a_call_without_mentions_is_stored_without_judging(runner: StageRunner):
    runner.store_transcripts("nothing of interest")
    summary = runner.run(Stage.COMPETITOR_MENTIONS, Stage.COMPETITOR_SENTIMENT)
    assert runner.workplace.judge.asked == []
    assert summary == {}
    assert Stage.COMPETITOR_SENTIMENT in runner.workplace.states.stages[runner.call.call_id]


def test_every_write_has_its_run_engine_and_catalog_version(runner: StageRunner):
    runner.run(*Stage)
    writes = runner.workplace.results.writes
    assert [(w.stage, w.run_id, w.engine, w.catalog_version) for w in writes] == [
        (Stage.CHANNEL_AUDIO, RUN, "scripted-splitter", None),
        (Stage.CALL_METRICS, RUN, "scripted-speech-detector", None),
        (Stage.TRANSCRIPTS, RUN, "scripted-transcriber", None),
        (Stage.COMPETITOR_MENTIONS, RUN, None, CATALOG.version),
        (Stage.COMPETITOR_SENTIMENT, RUN, "scripted-judge", CATALOG.version),
    ]
    assert all(write.took_s >= 0 for write in writes)


@pytest.mark.parametrize("last", list(Stage))
def test_summaries_contain_nothing_of_what_was_said(runner: StageRunner, last: Stage):
    summary = runner.run(
        *[stage for stage in Stage if list(Stage).index(stage) <= list(Stage).index(last)]
    )
    text = str(dict(summary)).lower()
    assert not any(word in text for word in ("secret", "cheaper", "blue"))


def test_a_supplied_transcript_meets_a_recording_of_more_than_two_channels():
    """The roles are the recording's; a tool that names two sides means the first two."""
    split = a_split(
        a_channel(Channel("1")),
        a_channel(Channel("2")),
        replace(a_channel(Channel("3")), speaker=Speaker.CUSTOMER),
    )
    third = a_transcript("bye", channel=Channel("3"))
    sides = (a_transcript("hi", channel=Channel.LEFT), third)
    found = add_silent_channels(sides, split)
    assert [(each.channel, each.word_count) for each in found] == [
        (Channel("1"), 1),
        (Channel("3"), 1),
        (Channel("2"), 0),
    ]
    assert found[1].speaker is Speaker.CUSTOMER
    assert {s.channel for each in found for s in each.segments} == {Channel("1"), Channel("3")}
