"""Each engine tried with a short call of which it is known what is said in it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import Protocol, TypeVar

from callpipeline.domain.audio import ChannelAudio, SplitRecording
from callpipeline.domain.catalog import Catalog, Competitor
from callpipeline.domain.matching import Matcher
from callpipeline.domain.mentions import find_mentions
from callpipeline.domain.sentiment import Judgement, Verdict
from callpipeline.domain.transcript import Transcript, interleave
from callpipeline.engines import known_call
from callpipeline.engines.ports import Conversation
from callpipeline.errors import CallpipelineError, EngineUnavailable
from callpipeline.pipeline.stages import Engines

Made = TypeVar("Made")
MATCHER = Matcher(Catalog((Competitor(known_call.COMPETITOR),)))


class Named(Protocol):
    """Any engine."""

    @property
    def name(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Trial:
    """An engine that was tried: what came back, or why nothing did; `took_s` in seconds.

    `where` is a service's address, None for what is on this machine.
    """

    role: str
    engine: str
    took_s: float
    came: tuple[str, ...] = ()
    error: CallpipelineError | None = None
    where: str | None = None


async def try_engines(engines: Engines, folder: Path) -> AsyncIterator[Trial]:
    """Try one after the other, on files in `folder`.

    Where one gives nothing, the next is tried with what is known of the call.
    """
    split, trial = await _tried("splitter", engines.splitter, lambda: _split(engines, folder))
    yield replace(trial, came=_channels(split) if split else ())
    if split is None:
        split = await _split_here(folder)
    heard, trial = await _tried(
        "transcriber", engines.transcriber, lambda: _heard(engines, split, folder)
    )
    yield replace(trial, came=_words(heard) if heard else ())
    transcripts, note = _with_a_mention(heard)
    mentions = [m for m in find_mentions(transcripts, MATCHER) if m.counts]
    conversation = Conversation(interleave(transcripts))
    judged, trial = await _tried(
        "sentiment", engines.judge, lambda: engines.judge.judge(conversation, mentions)
    )
    yield replace(trial, came=(*note, *_judgements(judged)) if judged is not None else ())


async def _tried(
    role: str, engine: Named, work: Callable[[], Awaitable[Made]]
) -> tuple[Made | None, Trial]:
    began, made, why = time.monotonic(), None, None
    try:
        made = await work()
    except CallpipelineError as error:
        why = error
    except Exception as error:
        why = EngineUnavailable(f"callpipeline met an error of its own ({type(error).__name__}).")
    where = getattr(engine, "where", None)
    return made, Trial(role, engine.name, time.monotonic() - began, error=why, where=where)


async def _split(engines: Engines, folder: Path) -> SplitRecording:
    recording = known_call.RECORDING
    split = await engines.splitter.split(recording, folder, "left", file_name=recording.name)
    return await _with_speech(engines, split, folder)


async def _with_speech(engines: Engines, split: SplitRecording, folder: Path) -> SplitRecording:
    async def heard(channel: ChannelAudio) -> ChannelAudio:
        speech = await engines.speech_detector.detect(folder / f"{channel.channel}.flac")
        return replace(channel, speech=speech)

    return replace(split, channels=tuple(await asyncio.gather(*map(heard, split.channels))))


async def _split_here(folder: Path) -> SplitRecording:
    """By what needs nothing, so that the recogniser can be tried."""
    from callpipeline.engines.speech import SileroSpeechDetector
    from callpipeline.engines.split.local import LocalSplitter

    split = await LocalSplitter().split(known_call.RECORDING, folder, "left")
    detect = SileroSpeechDetector().detect
    channels = [
        replace(c, speech=await detect(folder / f"{c.channel}.flac")) for c in split.channels
    ]
    return replace(split, channels=tuple(channels))


async def _heard(engines: Engines, split: SplitRecording, folder: Path) -> list[Transcript]:
    hear = engines.transcriber.transcribe
    return await asyncio.gather(*(hear(folder / f"{c.channel}.flac", c) for c in split.channels))


def _with_a_mention(
    heard: Sequence[Transcript] | None,
) -> tuple[Sequence[Transcript], tuple[str, ...]]:
    """What was heard, where the name was; else what is known, with a sentence that says so."""
    if heard and any(mention.counts for mention in find_mentions(heard, MATCHER)):
        return heard, ()
    why = f"{known_call.COMPETITOR} was not heard: judged by what is truly said"
    return known_call.transcripts(), (why,)


def _channels(split: SplitRecording) -> tuple[str, ...]:
    return tuple(
        f"{c.channel} ({c.speaker}): {c.duration_s:.1f} s, speech in {_speech_s(c):.1f} s of it"
        for c in split.channels
    )


def _speech_s(channel: ChannelAudio) -> float:
    return sum(stretch.duration_s for stretch in channel.speech)


def _words(heard: Sequence[Transcript]) -> tuple[str, ...]:
    """What was heard on each channel, and how much of it is what is said."""
    said = {t.channel: _plain(t) for t in known_call.transcripts()}
    lines: list[str] = []
    for transcript in heard:
        words = _plain(transcript)
        like = SequenceMatcher(None, said.get(transcript.channel, []), words, autojunk=False)
        alike = f"{like.ratio():.0%} like what is said"
        sure = transcript.confidence
        confidence = f", confidence {sure:.2f}" if sure is not None else ""
        text = " ".join(segment.text for segment in transcript.segments) or "(nothing)"
        lines.append(f"{transcript.channel}: {text} [{alike}{confidence}]")
    return tuple(lines)


def _plain(transcript: Transcript) -> list[str]:
    text = " ".join(segment.text for segment in transcript.segments).casefold()
    return "".join(c if c.isalnum() or c.isspace() or c == "'" else " " for c in text).split()


def _judgements(verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    return tuple(
        f"{verdict.competitor}: {verdict.sentiment} ({verdict.rule})"
        if isinstance(verdict, Judgement)
        else f"{verdict.competitor}: not judged ({verdict.reason})"
        for verdict in verdicts
    )
