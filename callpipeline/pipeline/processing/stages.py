"""The stages of a call: each computes one result from those before it, and stores it.

Each returns a summary of counts and competitor names for Dagster's event log, which must not
contain what was said.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeVar

from callpipeline.domain.audio import (
    Channel,
    ChannelAudio,
    Flag,
    QualityFlag,
    Speaker,
    SplitRecording,
    compute_metrics,
)
from callpipeline.domain.calls.call import Call, Stage
from callpipeline.domain.calls.source_audio import UNSPECIFIED, SourceAudio
from callpipeline.domain.competitors.catalog import Catalog
from callpipeline.domain.competitors.find_mentions import RULE_VERSION, find_mentions
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.sentiment import (
    JudgeResult,
    add_switching_intent,
    judged,
    unjudged,
)
from callpipeline.domain.transcripts import SUPPLIED_ENGINE, Transcript, interleave, measure_unheard
from callpipeline.domain.utterances import form_utterances
from callpipeline.engines.ports import (
    Conversation,
    Diarizer,
    PeakMeter,
    SentimentJudge,
    SpeechDetector,
    Splitter,
    Transcriber,
)
from callpipeline.errors import MissingObject, TranscriptIgnored
from callpipeline.pipeline.notifications.composing import Links
from callpipeline.pipeline.processing.redaction import (
    Redactor,
    measure_channel_peaks,
    summarize_redaction,
)
from callpipeline.pipeline.processing.summaries import (
    StageSummary,
    summarize_audio,
    summarize_sentiment,
    summarize_transcripts,
)
from callpipeline.pipeline.processing.voices import transcribe_voices
from callpipeline.pipeline.processing.workspace import (
    CallWorkspace,
    RecordingFetcher,
    VersionStates,
)
from callpipeline.storage.ports.calls import CallStates, RecordingSource
from callpipeline.storage.ports.results import ResultStore, StageWrite

T = TypeVar("T")


class SuppliedTranscripts(Protocol):
    """Finds the transcripts supplied beside a recording; None without any."""

    def find(self, call: Call) -> tuple[Transcript, ...] | None: ...


class CallMetadata(Protocol):
    """Adds what a file beside a recording says about its call. Raises ClaimLost."""

    def describe(self, call: Call, run_id: str) -> tuple[Call, tuple[QualityFlag, ...]]: ...


@dataclass(frozen=True, slots=True)
class Engines:
    """The configured engines."""

    splitter: Splitter
    speech_detector: SpeechDetector
    transcriber: Transcriber
    judge: SentimentJudge
    diarizer: Diarizer | None = None


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages and everything they work with; shared by all calls of a run.

    `workspace` is the folder for temporary files, the system's own by default. `first_speakers`
    says by bucket who speaks first in its mono recordings; without an entry, what they say decides.
    `mention_engine` names the encoder that judges ambiguous names, None without one.
    `source_audio` is what the source of each bucket says about its recordings. With
    `keeps_transcripts`, stored transcripts are masked, and nothing is transcribed.
    """

    engines: Engines
    recordings: RecordingSource
    supplied: SuppliedTranscripts
    states: CallStates
    results: ResultStore
    catalog: Catalog
    matcher: Matcher
    measure_peaks: PeakMeter
    workspace: Path | None = None
    stage_timeout_s: float = 14_400.0
    links: Links | None = None
    first_speakers: Mapping[str, Speaker] = field(default_factory=dict[str, Speaker])
    mention_engine: str | None = None
    side_metadata: CallMetadata | None = None
    versions: VersionStates | None = None
    source_audio: Mapping[str, SourceAudio] = field(default_factory=dict[str, SourceAudio])
    redactor: Redactor | None = None
    keeps_transcripts: bool = False

    async def run(self, stage: Stage, workspace: CallWorkspace, run_id: str) -> StageSummary:
        """Run one stage of a call and store its result."""
        stages: Mapping[Stage, Callable[[CallWorkspace, _StageTimer], Awaitable[StageSummary]]] = {
            Stage.CHANNEL_AUDIO: self._channel_audio,
            Stage.CALL_METRICS: self._call_metrics,
            Stage.TRANSCRIPTS: self._transcripts,
            Stage.COMPETITOR_MENTIONS: self._competitor_mentions,
            Stage.COMPETITOR_SENTIMENT: self._competitor_sentiment,
        }
        return await stages[stage](workspace, _StageTimer(workspace.call.call_id, run_id, stage))

    async def _channel_audio(self, workspace: CallWorkspace, timer: "_StageTimer") -> StageSummary:
        recording = workspace.folder / "recording"
        fetcher = RecordingFetcher(self.recordings, self.states, self.versions)
        await fetcher.fetch(workspace.call, timer.run_id, recording)
        unread: tuple[QualityFlag, ...] = ()
        if self.side_metadata is not None:
            describe = self.side_metadata.describe
            workspace.call, unread = await asyncio.to_thread(describe, workspace.call, timer.run_id)
        splitter, call = self.engines.splitter, workspace.call
        name = PurePosixPath(call.recording.key).name
        about = self.source_audio.get(call.recording.bucket, UNSPECIFIED)
        # Splitters of other packages may not know what only few sources need.
        source = {} if about == UNSPECIFIED else {"source": about}
        split = await splitter.split(
            recording, workspace.folder, call.agent_channel, file_name=name, **source
        )
        recording.unlink()
        if self.redactor:
            split = await self.redactor.mute_again(call, split, workspace.folder)
        peaks = await asyncio.to_thread(
            measure_channel_peaks, split, workspace.folder, self.measure_peaks
        )
        split = await self._detect_speech(split, workspace.folder)
        split = replace(split, flags=(*split.flags, *unread))
        write = timer.write(engine=splitter.name)
        withheld = bool(self.redactor and self.redactor.withholds(call))
        save, folder = self.results.save_audio, workspace.folder
        await asyncio.to_thread(save, write, split, folder, peaks, withheld=withheld)
        workspace.new_audio = split
        return summarize_audio(split)

    async def _detect_speech(self, split: SplitRecording, folder: Path) -> SplitRecording:
        async def detect(channel: ChannelAudio) -> ChannelAudio:
            audio = folder / f"{channel.channel}.flac"
            return replace(channel, speech=await self.engines.speech_detector.detect(audio))

        channels = await gather_all(map(detect, split.channels))
        return replace(split, channels=channels)

    async def _call_metrics(self, workspace: CallWorkspace, timer: "_StageTimer") -> StageSummary:
        split = await workspace.audio()
        detector = self.engines.speech_detector.name
        metrics = compute_metrics(split.format.duration_s, split.channels, detector)
        await asyncio.to_thread(self.results.save_metrics, timer.write(engine=detector), metrics)
        return {
            "agent_talk_s": round(metrics.agent_talk_s, 1),
            "customer_talk_s": round(metrics.customer_talk_s, 1),
            "silence_s": round(metrics.silence_s, 1),
            "overlap_s": round(metrics.overlap_s, 1),
        }

    async def _transcripts(self, workspace: CallWorkspace, timer: "_StageTimer") -> StageSummary:
        heard = await self._stored_or_new(workspace)
        write = timer.write(engine=heard[0].engine)
        redaction = None
        if self.redactor:
            heard, redaction = await self.redactor.redact(workspace, heard, self.keeps_transcripts)
        transcripts = await asyncio.to_thread(
            self.results.save_transcripts, write, heard, redaction
        )
        workspace.new_transcripts = transcripts
        return {**summarize_transcripts(transcripts), **summarize_redaction(redaction)}

    async def _stored_or_new(self, workspace: CallWorkspace) -> tuple[Transcript, ...]:
        if self.keeps_transcripts:
            return await workspace.transcripts()
        split = await workspace.audio()
        ignored: tuple[QualityFlag, ...] = ()
        try:
            supplied = await asyncio.to_thread(self.supplied.find, workspace.call)
        except TranscriptIgnored as error:
            ignored = (QualityFlag(Flag.UNREADABLE_TRANSCRIPT, f"transcribed instead: {error}"),)
            supplied = None
        if supplied is None:
            heard = await self._transcribe(workspace, split)
            return (replace(heard[0], flags=ignored), *heard[1:])
        return add_silent_channels(supplied, split)

    async def _transcribe(
        self, workspace: CallWorkspace, split: SplitRecording
    ) -> tuple[Transcript, ...]:
        first_speaker = self.first_speakers.get(workspace.call.recording.bucket, Speaker.UNKNOWN)

        async def transcribe(channel: ChannelAudio) -> Transcript:
            audio = await workspace.channel_file(channel.channel)
            transcribing = self.engines.transcriber.transcribe(audio, channel)
            diarizer = self.engines.diarizer
            is_shared = channel.channel is Channel.MIXED and channel.speaker is Speaker.UNKNOWN
            if diarizer is None or not is_shared or not channel.speech:
                return await transcribing
            return await transcribe_voices(transcribing, diarizer, audio, channel, first_speaker)

        heard = await gather_all(map(transcribe, split.channels))
        speech = {channel.channel: channel.speech for channel in split.channels}
        return tuple(
            measure_unheard(transcript, speech[transcript.channel])
            for transcript in form_utterances(heard, self.matcher.splits_name)
        )

    async def _competitor_mentions(
        self, workspace: CallWorkspace, timer: "_StageTimer"
    ) -> StageSummary:
        transcripts = await workspace.transcripts()
        speech = await workspace.speech()
        ambiguous = [each.name for each in self.catalog.competitors if each.ambiguous]
        answers = await asyncio.to_thread(self.results.answers, ambiguous) if ambiguous else None
        found = await asyncio.to_thread(find_mentions, transcripts, self.matcher, speech, answers)
        write = timer.write(
            engine=self.mention_engine,
            catalog_version=self.catalog.version,
            rule_version=RULE_VERSION,
        )
        mentions = await asyncio.to_thread(self.results.save_mentions, write, found)
        workspace.new_mentions, workspace.mentions_catalog = mentions, self.catalog.version
        counted = [mention for mention in mentions if mention.counts]
        return {
            "mentions": len(counted),
            "competitors": ", ".join(sorted({mention.competitor for mention in counted})),
            "not_counted": len(mentions) - len(counted),
            "catalog_version": self.catalog.version,
            "rule_version": RULE_VERSION,
        }

    async def _competitor_sentiment(
        self, workspace: CallWorkspace, timer: "_StageTimer"
    ) -> StageSummary:
        mentions = [mention for mention in await workspace.mentions() if mention.counts]
        results = await self.judge(await workspace.transcripts(), mentions)
        judgements, missing, judge = judged(results), unjudged(results), self.engines.judge
        write = timer.write(engine=judge.name, catalog_version=await workspace.catalog_version())
        await asyncio.to_thread(self.results.save_sentiment, write, judgements, missing)
        return summarize_sentiment(judgements, missing, mentions)

    async def judge(
        self, transcripts: Sequence[Transcript], mentions: Sequence[Mention]
    ) -> tuple[JudgeResult, ...]:
        """Judge each mention. Raises the error that kept all of them from being judged."""
        conversation = Conversation(interleave(transcripts))
        _check_segments(mentions, conversation)
        if not mentions:
            return ()
        results = await self.engines.judge.judge(conversation, mentions)
        return add_switching_intent(results, conversation.segments, mentions)


class _StageTimer:
    """Measures the time of a stage for its write."""

    def __init__(self, call_id: str, run_id: str, stage: Stage) -> None:
        self.run_id = run_id
        self._identity = (call_id, run_id, stage)
        self._started = time.monotonic()

    def write(
        self,
        *,
        engine: str | None = None,
        catalog_version: str | None = None,
        rule_version: int | None = None,
    ) -> StageWrite:
        took_s = time.monotonic() - self._started
        return StageWrite(*self._identity, took_s, engine, catalog_version, rule_version)


async def gather_all(work: Iterable[Awaitable[T]]) -> tuple[T, ...]:
    """Await all concurrently; a failure is raised after all have ended, and cancels none."""
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    results: list[T] = []
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
        results.append(outcome)
    return tuple(results)


def _check_segments(mentions: Sequence[Mention], conversation: Conversation) -> None:
    """Raise MissingObject if the mentions belong to an older transcript."""
    segments = {(segment.channel, segment.index) for segment in conversation.segments}
    if any((mention.channel, mention.segment_index) not in segments for mention in mentions):
        raise MissingObject(
            "The mentions belong to an older transcript: materialize competitor_mentions first."
        )


def add_silent_channels(
    supplied: Sequence[Transcript], split: SplitRecording
) -> tuple[Transcript, ...]:
    """Add an empty transcript for each channel without a supplied one.

    Transcripts that separate the speakers of a mono recording are left unchanged.
    """
    supplied = _numbered_as(split, supplied)
    supplied_channels = {transcript.channel for transcript in supplied}
    if supplied_channels - {Channel.MIXED} and any(
        c.channel is Channel.MIXED for c in split.channels
    ):
        return tuple(supplied)
    silent = [c for c in split.channels if c.channel not in supplied_channels]
    empty = [Transcript(c.channel, c.speaker, engine=SUPPLIED_ENGINE) for c in silent]
    return (*supplied, *empty)


def _numbered_as(split: SplitRecording, supplied: Sequence[Transcript]) -> Sequence[Transcript]:
    """Return transcripts on the channels of a recording with more than two, and with their roles.

    A tool that names two sides means the first two channels.
    """
    speakers = {channel.channel: channel.speaker for channel in split.channels}
    if not any(channel.position > Channel.MIXED.position for channel in speakers):
        return supplied
    sides = {Channel.LEFT: Channel("1"), Channel.RIGHT: Channel("2")}
    moved: list[Transcript] = []
    for each in supplied:
        channel = sides.get(each.channel, each.channel)
        speaker = speakers.get(channel, Speaker.UNKNOWN)
        segments = tuple(
            replace(
                segment,
                channel=channel,
                speaker=speaker if segment.speaker is Speaker.UNKNOWN else segment.speaker,
            )
            for segment in each.segments
        )
        role = speaker if each.speaker is Speaker.UNKNOWN else each.speaker
        moved.append(replace(each, channel=channel, speaker=role, segments=segments))
    return moved
