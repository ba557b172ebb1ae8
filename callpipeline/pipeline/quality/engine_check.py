"""Check of the configured engines with the reference call, whose transcript is known."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import Protocol, TypeVar

from callpipeline.domain.audio import ChannelAudio, SplitRecording
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.find_mentions import find_mentions
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.domain.sentiment import Judgement, JudgeResult
from callpipeline.domain.transcripts import Transcript, interleave
from callpipeline.engines import reference_call
from callpipeline.engines.ports import Conversation, SpeechDetector, Splitter
from callpipeline.errors import CallpipelineError, EngineUnavailable
from callpipeline.pipeline.processing.stages import Engines

T = TypeVar("T")
LocalSplitting = Callable[[], tuple[Splitter, SpeechDetector]]
"""Creates engines that need no service, for when the configured splitter fails."""
MATCHER = Matcher(Catalog((Competitor(reference_call.COMPETITOR),)))


class NamedEngine(Protocol):
    """Any engine."""

    @property
    def name(self) -> str: ...


@dataclass(frozen=True, slots=True)
class EngineCheck:
    """The check of one engine: lines on what it returned, or its error.

    `origin` is the URL of a service, None for a local engine.
    """

    role: str
    engine: str
    took_s: float
    details: tuple[str, ...] = ()
    error: CallpipelineError | None = None
    origin: str | None = None


async def check_engines(
    engines: Engines, folder: Path, local: LocalSplitting
) -> AsyncIterator[EngineCheck]:
    """Check one engine after the other, with temporary files in `folder`.

    If one fails, the next is checked with the reference data.
    """
    split, check = await _check("splitter", engines.splitter, lambda: _split(engines, folder))
    yield replace(check, details=_describe_channels(split) if split else ())
    if split is None:
        split = await _split_locally(local, folder)
    transcripts, check = await _check(
        "transcriber", engines.transcriber, lambda: _transcribe(engines, split, folder)
    )
    yield replace(check, details=_describe_transcripts(transcripts) if transcripts else ())
    transcripts, note = _with_mention(transcripts)
    mentions = [m for m in find_mentions(transcripts, MATCHER) if m.counts]
    conversation = Conversation(interleave(transcripts))
    results, check = await _check(
        "sentiment", engines.judge, lambda: engines.judge.judge(conversation, mentions)
    )
    yield replace(
        check, details=(*note, *_describe_results(results)) if results is not None else ()
    )


async def _check(
    role: str, engine: NamedEngine, work: Callable[[], Awaitable[T]]
) -> tuple[T | None, EngineCheck]:
    began, result, failure = time.monotonic(), None, None
    try:
        result = await work()
    except CallpipelineError as error:
        failure = error
    except Exception as error:
        failure = EngineUnavailable(f"Internal error in callpipeline ({type(error).__name__}).")
    took_s, origin = time.monotonic() - began, getattr(engine, "origin", None)
    return result, EngineCheck(role, engine.name, took_s, error=failure, origin=origin)


async def _split(engines: Engines, folder: Path) -> SplitRecording:
    recording = reference_call.RECORDING
    split = await engines.splitter.split(recording, folder, "left", file_name=recording.name)
    return await _detect_speech(engines.speech_detector, split, folder)


async def _split_locally(local: LocalSplitting, folder: Path) -> SplitRecording:
    splitter, detector = local()
    split = await splitter.split(reference_call.RECORDING, folder, "left")
    return await _detect_speech(detector, split, folder)


async def _detect_speech(
    detector: SpeechDetector, split: SplitRecording, folder: Path
) -> SplitRecording:
    async def detect(channel: ChannelAudio) -> ChannelAudio:
        return replace(channel, speech=await detector.detect(folder / f"{channel.channel}.flac"))

    return replace(split, channels=tuple(await asyncio.gather(*map(detect, split.channels))))


async def _transcribe(engines: Engines, split: SplitRecording, folder: Path) -> list[Transcript]:
    transcribe = engines.transcriber.transcribe
    channels = split.channels
    return await asyncio.gather(*(transcribe(folder / f"{c.channel}.flac", c) for c in channels))


def _with_mention(
    transcripts: Sequence[Transcript] | None,
) -> tuple[Sequence[Transcript], tuple[str, ...]]:
    """Return the transcripts if they mention the competitor, else the reference and a note."""
    if transcripts and any(mention.counts for mention in find_mentions(transcripts, MATCHER)):
        return transcripts, ()
    note = f"{reference_call.COMPETITOR} was not transcribed: judged the reference transcript"
    return reference_call.transcripts(), (note,)


def _describe_channels(split: SplitRecording) -> tuple[str, ...]:
    return tuple(
        f"{c.channel} ({c.speaker}): {c.duration_s:.1f} s, {_speech_s(c):.1f} s of speech"
        for c in split.channels
    )


def _speech_s(channel: ChannelAudio) -> float:
    return sum(interval.duration_s for interval in channel.speech)


def _describe_transcripts(transcripts: Sequence[Transcript]) -> tuple[str, ...]:
    """Return the text of each channel and its similarity to the reference."""
    reference = {t.channel: _words(t) for t in reference_call.transcripts()}
    lines: list[str] = []
    for transcript in transcripts:
        expected = reference.get(transcript.channel, [])
        ratio = SequenceMatcher(None, expected, _words(transcript), autojunk=False).ratio()
        sure = transcript.confidence
        confidence = f", confidence {sure:.2f}" if sure is not None else ""
        text = " ".join(segment.text for segment in transcript.segments) or "(nothing)"
        lines.append(f"{transcript.channel}: {text} [{ratio:.0%} match{confidence}]")
    return tuple(lines)


def _words(transcript: Transcript) -> list[str]:
    text = " ".join(segment.text for segment in transcript.segments).casefold()
    return "".join(c if c.isalnum() or c.isspace() or c == "'" else " " for c in text).split()


def _describe_results(results: Sequence[JudgeResult]) -> tuple[str, ...]:
    return tuple(
        f"{result.competitor}: {result.sentiment} ({result.rule})"
        if isinstance(result, Judgement)
        else f"{result.competitor}: not judged ({result.reason})"
        for result in results
    )
