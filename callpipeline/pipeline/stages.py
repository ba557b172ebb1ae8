"""The stages of a call: each makes one thing from what came before it, stores it, and tells facts.

Facts are what a person wants to see at a glance; see `facts`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeVar

from callpipeline.domain.audio import Channel, ChannelAudio, SplitRecording
from callpipeline.domain.call import Call, Stage
from callpipeline.domain.catalog import Catalog
from callpipeline.domain.matching import Matcher
from callpipeline.domain.mention import Mention
from callpipeline.domain.mentions import find_mentions
from callpipeline.domain.metrics import measure
from callpipeline.domain.sentiment import Verdict, judged, unjudged
from callpipeline.domain.transcript import SUPPLIED, Transcript, interleave
from callpipeline.engines.ports import (
    Conversation,
    SentimentJudge,
    SpeechDetector,
    Splitter,
    Transcriber,
)
from callpipeline.errors import MissingObject
from callpipeline.pipeline.facts import Facts, audio_facts, sentiment_facts, transcript_facts
from callpipeline.pipeline.ingest import sha256_of
from callpipeline.pipeline.links import Links
from callpipeline.pipeline.threads import on_its_own_thread
from callpipeline.pipeline.waveform import peaks_of
from callpipeline.pipeline.workbench import Workbench
from callpipeline.storage.ports import CallStates, RecordingSource, ResultStore, StageWrite

Made = TypeVar("Made")


class SuppliedTranscripts(Protocol):
    """Transcripts that lie beside a recording; None where there are none."""

    def find(self, call: Call) -> tuple[Transcript, ...] | None: ...


@dataclass(frozen=True, slots=True)
class Engines:
    """The engines chosen by the settings."""

    splitter: Splitter
    speech_detector: SpeechDetector
    transcriber: Transcriber
    judge: SentimentJudge


@dataclass(frozen=True, slots=True)
class Stages:
    """Everything the stages work with; the same for all calls of a run.

    `workspace` is the folder for files of calls under way, the system's own by default;
    `stage_timeout_s` is how long one stage of a call may take. `links` lead to what people
    see of a call.
    """

    engines: Engines
    recordings: RecordingSource
    supplied: SuppliedTranscripts
    states: CallStates
    results: ResultStore
    catalog: Catalog
    matcher: Matcher
    workspace: Path | None = None
    stage_timeout_s: float = 14_400.0
    links: Links | None = None

    async def run(self, stage: Stage, bench: Workbench, run_id: str) -> Facts:
        """Make and store one stage of the call on the bench."""
        make: Mapping[Stage, Callable[[Workbench, _Clock], Awaitable[Facts]]] = {
            Stage.CHANNEL_AUDIO: self._channel_audio,
            Stage.CALL_METRICS: self._call_metrics,
            Stage.TRANSCRIPTS: self._transcripts,
            Stage.COMPETITOR_MENTIONS: self._competitor_mentions,
            Stage.COMPETITOR_SENTIMENT: self._competitor_sentiment,
        }
        return await make[stage](bench, _Clock(bench.call.call_id, run_id, stage))

    async def _channel_audio(self, bench: Workbench, clock: "_Clock") -> Facts:
        recording = bench.folder / "recording"
        await on_its_own_thread(self.recordings.fetch, bench.call.recording, recording)
        sha256 = await asyncio.to_thread(sha256_of, recording)
        # Before anything that costs: bytes that a call is made of already are not worked on twice.
        await asyncio.to_thread(self.states.own_content, bench.call, clock.run_id, sha256)
        splitter = self.engines.splitter
        call = bench.call
        name = PurePosixPath(call.recording.key).name
        split = await splitter.split(recording, bench.folder, call.agent_channel, file_name=name)
        recording.unlink()
        peaks = await asyncio.to_thread(peaks_of, split, bench.folder)
        split = await self._with_speech(split, bench.folder)
        write = clock.write(engine=splitter.name)
        await asyncio.to_thread(self.results.save_audio, write, split, bench.folder, peaks)
        bench.made_audio = split
        return audio_facts(split)

    async def _with_speech(self, split: SplitRecording, folder: Path) -> SplitRecording:
        async def heard(channel: ChannelAudio) -> ChannelAudio:
            detect = self.engines.speech_detector.detect
            return replace(channel, speech=await detect(folder / f"{channel.channel}.flac"))

        channels = await _all(map(heard, split.channels))
        return replace(split, channels=channels)

    async def _call_metrics(self, bench: Workbench, clock: "_Clock") -> Facts:
        split = await bench.audio()
        detector = self.engines.speech_detector.name
        metrics = measure(split.format.duration_s, split.channels, detector)
        await asyncio.to_thread(self.results.save_metrics, clock.write(engine=detector), metrics)
        return {
            "agent_talk_s": round(metrics.agent_talk_s, 1),
            "customer_talk_s": round(metrics.customer_talk_s, 1),
            "silence_s": round(metrics.silence_s, 1),
            "overlap_s": round(metrics.overlap_s, 1),
        }

    async def _transcripts(self, bench: Workbench, clock: "_Clock") -> Facts:
        split = await bench.audio()
        supplied = await asyncio.to_thread(self.supplied.find, bench.call)
        if supplied is None:
            transcripts = await self._heard(bench, split)
        else:
            transcripts = with_silent_channels(supplied, split)
        engine = transcripts[0].engine
        write = clock.write(engine=engine)
        await asyncio.to_thread(self.results.save_transcripts, write, transcripts)
        bench.made_transcripts = transcripts
        return transcript_facts(transcripts)

    async def _heard(self, bench: Workbench, split: SplitRecording) -> tuple[Transcript, ...]:
        async def hear(channel: ChannelAudio) -> Transcript:
            audio = await bench.channel_file(channel.channel)
            return await self.engines.transcriber.transcribe(audio, channel)

        return await _all(map(hear, split.channels))

    async def _competitor_mentions(self, bench: Workbench, clock: "_Clock") -> Facts:
        transcripts = await bench.transcripts()
        speech = await bench.speech()
        found = await asyncio.to_thread(find_mentions, transcripts, self.matcher, speech)
        write = clock.write(catalog_version=self.catalog.version)
        mentions = await asyncio.to_thread(self.results.save_mentions, write, found)
        bench.made_mentions, bench.mentions_by = mentions, self.catalog.version
        counted = [mention for mention in mentions if mention.counts]
        return {
            "mentions": len(counted),
            "competitors": ", ".join(sorted({mention.competitor for mention in counted})),
            "not_counted": len(mentions) - len(counted),
            "catalog_version": self.catalog.version,
        }

    async def _competitor_sentiment(self, bench: Workbench, clock: "_Clock") -> Facts:
        mentions = [mention for mention in await bench.mentions() if mention.counts]
        verdicts = await self.judge(await bench.transcripts(), mentions)
        made, missing, judge = judged(verdicts), unjudged(verdicts), self.engines.judge
        write = clock.write(engine=judge.name, catalog_version=await bench.catalog_version())
        await asyncio.to_thread(self.results.save_sentiment, write, made, missing)
        return sentiment_facts(made, missing)

    async def judge(
        self, transcripts: Sequence[Transcript], mentions: Sequence[Mention]
    ) -> tuple[Verdict, ...]:
        """A verdict on each mention. Raises what kept all of them from being judged."""
        conversation = Conversation(interleave(transcripts))
        _refuse_stale(mentions, conversation)
        return await self.engines.judge.judge(conversation, mentions) if mentions else ()


class _Clock:
    """Times a stage, and says so when it is written."""

    def __init__(self, call_id: str, run_id: str, stage: Stage) -> None:
        self.run_id = run_id
        self._identity = (call_id, run_id, stage)
        self._started = time.monotonic()

    def write(self, *, engine: str | None = None, catalog_version: str | None = None) -> StageWrite:
        took_s = time.monotonic() - self._started
        return StageWrite(*self._identity, took_s, engine, catalog_version)


async def _all(work: Iterable[Awaitable[Made]]) -> tuple[Made, ...]:
    """Everything at once; what fails does not cancel the rest, and is raised when all has ended."""
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    made: list[Made] = []
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
        made.append(outcome)
    return tuple(made)


def _refuse_stale(mentions: Sequence[Mention], conversation: Conversation) -> None:
    """Mentions found in a transcript that was made anew since point to what is not there."""
    segments = {(segment.channel, segment.index) for segment in conversation.segments}
    if any((mention.channel, mention.segment_index) not in segments for mention in mentions):
        raise MissingObject(
            "The mentions are of an older transcript: materialize competitor_mentions first."
        )


def with_silent_channels(
    supplied: Sequence[Transcript], split: SplitRecording
) -> tuple[Transcript, ...]:
    """The supplied transcripts, and an empty one for each channel of which they say nothing.

    Where a transcript tells the speakers of a mono recording apart, it is kept so.
    """
    told = {transcript.channel for transcript in supplied}
    if told - {Channel.MIXED} and any(c.channel is Channel.MIXED for c in split.channels):
        return tuple(supplied)
    silent = [c for c in split.channels if c.channel not in told]
    empty = [Transcript(c.channel, c.speaker, engine=SUPPLIED) for c in silent]
    return (*supplied, *empty)
