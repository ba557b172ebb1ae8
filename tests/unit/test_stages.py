"""Each stage: what it makes from what came before, what it stores, and what it tells."""

import asyncio
import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from callpipeline.domain.audio import Channel, Interval
from callpipeline.domain.call import Call, Stage
from callpipeline.domain.sentiment import Sentiment
from callpipeline.errors import (
    EngineUnavailable,
    MissingObject,
    SameRecording,
    UnsupportedAudio,
)
from callpipeline.pipeline.facts import Facts
from callpipeline.pipeline.stages import with_silent_channels
from callpipeline.pipeline.workbench import Workbench
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
def place() -> Workplace:
    return Workplace(transcriber=ScriptedTranscriber(hears={"one right": SAID}))


class Bench:
    """One call, its bench, and stages made one by one."""

    def __init__(self, place: Workplace, folder: Path, call: Call | None = None) -> None:
        self.place = place
        self.call = call or place.call()
        self.bench = Workbench(self.call, folder, place.results)

    def make(self, *stages: Stage) -> Facts:
        """The facts of the last of the stages."""

        async def make_all() -> Facts:
            facts: Facts = {}
            for stage in stages:
                facts = await self.place.stages().run(stage, self.bench, RUN)
            return facts

        return asyncio.run(make_all())

    def store_audio(self) -> None:
        files = channel_files(a_split(), self.bench.folder / "kept", "one")
        write = a_write(self.call.call_id, Stage.CHANNEL_AUDIO)
        self.place.results.save_audio(write, a_split(), files)

    def store_transcripts(self, *texts: str) -> None:
        said = [a_transcript(*texts, channel=Channel.RIGHT)]
        write = a_write(self.call.call_id, Stage.TRANSCRIPTS)
        self.place.results.save_transcripts(write, said)


@pytest.fixture
def bench(place: Workplace, tmp_path: Path) -> Bench:
    return Bench(place, tmp_path)


def test_audio_is_split_listened_to_and_stored(bench: Bench):
    bench.place.detector = ScriptedSpeechDetector(hears={"one left": (Interval(2.0, 3.0),)})
    facts = bench.make(Stage.CHANNEL_AUDIO)
    stored = bench.place.results.audio(bench.call.call_id)
    assert [(c.channel, c.speech) for c in stored.channels] == [
        ("left", (Interval(2.0, 3.0),)),
        ("right", (Interval(0.0, 1.0),)),
    ]
    bench.place.results.fetch_channel(bench.call.call_id, Channel.LEFT, bench.bench.folder / "back")
    assert (bench.bench.folder / "back").read_text() == "one left"
    assert facts["channels"] == "left (agent), right (customer)"
    assert facts["flags"] == "none"


def test_a_waveform_is_made_of_what_any_splitter_leaves(bench: Bench):
    class WritesSound(ScriptedSplitter):
        async def split(self, recording: Path, into: Path, *_: object, **__: object):
            for channel in (Channel.LEFT, Channel.RIGHT):
                soundfile.write(into / f"{channel}.flac", np.full(8000, 0.5), 8000)
            return a_split()

    bench.place.splitter = WritesSound()
    bench.place.detector = ScriptedSpeechDetector()
    bench.make(Stage.CHANNEL_AUDIO)
    kept = bench.place.results.peaks[bench.call.call_id]
    assert {channel: found.maxima for channel, found in kept.items()} == dict.fromkeys(
        (Channel.LEFT, Channel.RIGHT), bytes([128] * 20)
    )
    assert {found.sha256 for found in kept.values()} == {"ab" * 32}


def test_the_recording_itself_does_not_stay_on_the_disk(bench: Bench):
    bench.make(Stage.CHANNEL_AUDIO)
    assert sorted(p.name for p in bench.bench.folder.iterdir()) == ["left.flac", "right.flac"]


def test_a_recording_that_was_deleted_is_missing(bench: Bench):
    bench.place.recordings.delete("one.wav")
    with pytest.raises(MissingObject):
        bench.make(Stage.CHANNEL_AUDIO)


def test_bytes_are_noted_before_anything_is_done_with_them(bench: Bench):
    sha256 = hashlib.sha256(b"one").hexdigest()
    bench.place.splitter = ScriptedSplitter({"one": UnsupportedAudio("a picture")})
    with pytest.raises(UnsupportedAudio):
        bench.make(Stage.CHANNEL_AUDIO)
    assert bench.place.states.contents == {sha256: bench.call.call_id}


def test_bytes_of_another_call_are_not_split(bench: Bench):
    sha256 = hashlib.sha256(b"one").hexdigest()
    bench.place.states.contents[sha256] = "2026-03-02-000000000000"
    with pytest.raises(SameRecording):
        bench.make(Stage.CHANNEL_AUDIO)
    assert bench.place.splitter.asked == []
    assert bench.place.results.writes == []


def test_metrics_come_from_the_audio_of_an_earlier_run(bench: Bench):
    bench.store_audio()
    facts = bench.make(Stage.CALL_METRICS)
    metrics = bench.place.results.metrics(bench.call.call_id)
    assert metrics
    assert (metrics["agent_talk_s"], metrics["customer_talk_s"]) == (4.0, 4.5)
    assert facts["agent_talk_s"] == 4.0
    assert bench.place.results.writes[-1].engine == "scripted-speech-detector"


def test_every_channel_is_transcribed_and_stored(bench: Bench):
    facts = bench.make(Stage.CHANNEL_AUDIO, Stage.TRANSCRIPTS)
    left, right = bench.place.results.transcripts(bench.call.call_id)
    assert (left.channel, left.segments) == ("left", ())
    assert right.segments[0].text == SAID
    assert facts == {
        "words": 10,
        "engine": "scripted-transcriber",
        "reliable": True,
        "lowest_confidence": 0.9,
    }


def test_audio_of_an_earlier_run_is_fetched_to_be_transcribed(bench: Bench):
    bench.store_audio()
    bench.make(Stage.TRANSCRIPTS)
    assert sorted(bench.place.transcriber.finished) == ["one left", "one right"]
    assert bench.place.splitter.asked == []


def test_a_channel_that_fails_does_not_cancel_the_other(bench: Bench):
    refused = EngineUnavailable("the recogniser crashed")
    transcriber = ScriptedTranscriber({"one left": refused}, meets=2)
    bench.place.transcriber = transcriber
    bench.store_audio()
    with pytest.raises(EngineUnavailable):
        bench.make(Stage.TRANSCRIPTS)
    assert transcriber.finished == ["one right"]


def test_a_supplied_transcript_makes_transcribing_unnecessary(bench: Bench):
    bench.place.recordings.put("one.srt", b"hello from the file")
    bench.store_audio()
    facts = bench.make(Stage.TRANSCRIPTS)
    assert bench.place.transcriber.asked == []
    silent, told = bench.place.results.transcripts(bench.call.call_id)
    assert (silent.channel, silent.speaker, silent.segments) == ("left", "agent", ())
    assert told.segments[0].text == "hello from the file"
    assert facts["engine"] == "supplied"


def test_a_supplied_transcript_that_says_nothing_is_believed(bench: Bench):
    bench.place.recordings.put("one.srt", b"")
    bench.store_audio()
    assert bench.make(Stage.TRANSCRIPTS)["words"] == 0
    assert [t.channel for t in bench.place.results.transcripts(bench.call.call_id)] == [
        "left",
        "right",
    ]


def test_a_supplied_transcript_may_tell_the_speakers_of_a_mono_recording_apart():
    told = (a_transcript("hi"), a_transcript("hello", channel=Channel.RIGHT))
    mono = a_split(a_channel(Channel.MIXED))
    assert with_silent_channels(told, mono) == told
    (silent,) = with_silent_channels((), mono)
    assert (silent.channel, silent.segments) == (Channel.MIXED, ())


def test_mentions_that_do_not_count_are_stored_and_told_apart(bench: Bench):
    bench.store_transcripts(SAID)
    facts = bench.make(Stage.COMPETITOR_MENTIONS)
    stored = {m.competitor: m.counts for m in bench.place.results.mentions(bench.call.call_id)}
    assert stored == {"Vodafone": True, "Sky": False}
    assert facts == {
        "mentions": 1,
        "competitors": "Vodafone",
        "not_counted": 1,
        "catalog_version": CATALOG.version,
    }


def store_with_speech(bench: Bench, *speech: tuple[float, float], engine: str = "by hand") -> None:
    """An earlier run's audio with speech at these times, and "with EE Vodafone" from 0 to 1.4 s."""
    split = a_split(a_channel(Channel.LEFT), a_channel(Channel.RIGHT, *speech))
    files = channel_files(split, bench.bench.folder / "kept", "one")
    call_id = bench.call.call_id
    bench.place.results.save_audio(a_write(call_id, Stage.CHANNEL_AUDIO), split, files)
    said = [a_transcript("with EE Vodafone", channel=Channel.RIGHT, engine=engine)]
    bench.place.results.save_transcripts(a_write(call_id, Stage.TRANSCRIPTS), said)


def test_a_name_that_a_recogniser_invents_over_silence_does_not_count(bench: Bench):
    store_with_speech(bench, (5.0, 9.0))
    facts = bench.make(Stage.COMPETITOR_MENTIONS, Stage.COMPETITOR_SENTIMENT)
    (mention,) = bench.place.results.mentions(bench.call.call_id)
    assert (mention.counts, "no speech was detected" in mention.reason) == (False, True)
    assert bench.place.judge.asked == []
    assert facts == {}


def test_where_speech_was_is_known_without_the_audio_itself(bench: Bench):
    store_with_speech(bench, (0.5, 4.0))
    (bench.bench.folder / "kept" / "right.flac").unlink()
    assert bench.make(Stage.COMPETITOR_MENTIONS)["competitors"] == "Vodafone"
    assert not (bench.bench.folder / "right.flac").exists()


def test_a_supplied_transcript_is_believed_whatever_its_times(bench: Bench):
    store_with_speech(bench, (15.0, 19.0), engine="supplied")
    assert bench.make(Stage.COMPETITOR_MENTIONS)["competitors"] == "Vodafone"


def test_only_what_counts_is_judged(bench: Bench):
    bench.place.judge = ScriptedJudge(thinks={"Vodafone": Sentiment.POSITIVE})
    bench.store_transcripts(SAID)
    facts = bench.make(Stage.COMPETITOR_MENTIONS, Stage.COMPETITOR_SENTIMENT)
    assert bench.place.judge.asked == ["Vodafone"]
    (judged,) = bench.place.results.judgements(bench.call.call_id)
    assert (judged.competitor, judged.sentiment) == ("Vodafone", Sentiment.POSITIVE)
    assert facts == {"Vodafone": "positive"}


def test_mentions_of_an_earlier_run_can_be_judged_anew(bench: Bench):
    bench.store_transcripts(SAID)
    write = a_write(bench.call.call_id, Stage.COMPETITOR_MENTIONS)
    bench.place.results.save_mentions(write, [a_mention()])
    assert bench.make(Stage.COMPETITOR_SENTIMENT) == {"Vodafone": "neutral"}


def test_a_call_without_mentions_asks_no_judge_and_is_stored_all_the_same(bench: Bench):
    bench.store_transcripts("nothing of interest")
    facts = bench.make(Stage.COMPETITOR_MENTIONS, Stage.COMPETITOR_SENTIMENT)
    assert bench.place.judge.asked == []
    assert facts == {}
    assert Stage.COMPETITOR_SENTIMENT in bench.place.states.stages[bench.call.call_id]


def test_every_write_says_who_made_it_and_with_which_list(bench: Bench):
    bench.make(*Stage)
    writes = bench.place.results.writes
    assert [(w.stage, w.run_id, w.engine, w.catalog_version) for w in writes] == [
        (Stage.CHANNEL_AUDIO, RUN, "scripted-splitter", None),
        (Stage.CALL_METRICS, RUN, "scripted-speech-detector", None),
        (Stage.TRANSCRIPTS, RUN, "scripted-transcriber", None),
        (Stage.COMPETITOR_MENTIONS, RUN, None, CATALOG.version),
        (Stage.COMPETITOR_SENTIMENT, RUN, "scripted-judge", CATALOG.version),
    ]
    assert all(write.took_s >= 0 for write in writes)


@pytest.mark.parametrize("last", list(Stage))
def test_facts_hold_no_word_of_what_was_said(bench: Bench, last: Stage):
    facts = bench.make(
        *[stage for stage in Stage if list(Stage).index(stage) <= list(Stage).index(last)]
    )
    told = str(dict(facts)).lower()
    assert not any(word in told for word in ("secret", "cheaper", "blue"))
