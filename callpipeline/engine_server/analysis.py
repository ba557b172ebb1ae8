"""`/analyze`: sentiment towards a competitor in a transcript, and overall tone of a text.

`/patterns`: lists of patterns that decide the sentiment before the judge.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from callpipeline import wiring
from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.sentiment import (
    PATTERN_ENGINE,
    Judgement,
    PatternKind,
    PatternLists,
    Sentiment,
    judge_by_pattern,
    overall_sentiment,
    unjudged,
)
from callpipeline.domain.transcripts import Segment
from callpipeline.engine_server.errors import error_responses, unprocessable, validate_fields
from callpipeline.engine_server.state import (
    CurrentState,
    EngineServerState,
)
from callpipeline.engine_server.transcripts import ParsedTranscript, SentTranscript
from callpipeline.engines.ports import Conversation, SentimentJudge
from callpipeline.errors import EngineUnavailable
from callpipeline.http_server import pattern_lists
from callpipeline.http_server.limits import run_until_disconnect
from callpipeline.http_server.multipart import UploadRules, multipart_body, receive_form
from callpipeline.http_server.pattern_lists import ListedPatterns, NewPattern, PatternsBody

router = APIRouter(prefix="/analyze", tags=["sentiment"])
patterns_router = APIRouter(prefix="/patterns", tags=["patterns"])

Context = Annotated[str, Field(min_length=1, max_length=500)]


class ContextField(BaseModel):
    """The competitor's name as spoken."""

    context: Context


class ContextualRequest(BaseModel):
    """A name, and the transcript to search for it."""

    context: Context
    transcript: SentTranscript


class MentionJudgement(BaseModel):
    """Extension: the judgement of one mention, as the pipeline stores it."""

    competitor: str
    char_start: int
    char_end: int
    sentiment: Sentiment
    score: float
    rule: str
    quote: str
    engine: str
    confidence: float | None = None


class AnalysedSegment(BaseModel):
    """A segment with the name; `sentiment` is neutral if the judgements are mixed."""

    model_config = ConfigDict(serialize_by_alias=True)

    segment_id: int | str = Field(serialization_alias="segment-id")
    start: float | None
    end: float | None
    text: str
    sentiment: Sentiment
    detection_method: str
    detection_details: str
    channel: Channel
    speaker: Speaker
    judgements: list[MentionJudgement]


class ContextualAnalysis(BaseModel):
    """The response of the contract; the three numbers count segments."""

    context: str
    overall_sentiment: Sentiment
    positive: int
    neutral: int
    negative: int
    segments: list[AnalysedSegment]
    metadata: dict[str, Any]


class OverallRequest(BaseModel):
    """A text. `model` is ignored."""

    text: Annotated[str, Field(max_length=5_000_000)]
    model: Annotated[str | None, Field(max_length=200)] = None


class OverallAnalysis(BaseModel):
    """The tone of a text: the mean of its non-neutral clauses, in −1..1."""

    overall_sentiment: Sentiment
    score: float
    model: str


class _NoExtraFields(BaseModel):
    pass


_context = TypeAdapter(ContextField)
_transcript = TypeAdapter(SentTranscript)
_FILE = "A transcript as JSON, as in `transcript` of /analyze/contextual."


@router.post("/contextual", responses=error_responses(413, 422, 503, 504))
async def analyse_contextual(
    body: ContextualRequest, request: Request, state: CurrentState
) -> ContextualAnalysis | list[AnalysedSegment]:
    """Judge the mentions of a name, segment by segment; `[]` if there are none."""
    async with state.analyses.admit():
        return await _analyse(request, state, body.context, body.transcript)


@router.post(
    "/contextual/file",
    openapi_extra=multipart_body(ContextField, file_field="file", description=_FILE),
    responses=error_responses(400, 408, 413, 415, 422, 503, 504),
)
async def analyse_contextual_file(
    request: Request, state: CurrentState
) -> ContextualAnalysis | list[AnalysedSegment]:
    """Judge the mentions of a name in an uploaded transcript."""
    async with state.analyses.admit():
        transcript, fields = await _receive(request, state)
        context = validate_fields(_context, fields).context
        return await _analyse(request, state, context, transcript)


@router.post("/overall", responses=error_responses(413, 422, 503, 504))
async def analyse_overall(
    body: OverallRequest, request: Request, state: CurrentState
) -> OverallAnalysis:
    """Return the tone of a text, towards anyone."""
    async with state.analyses.admit():
        return await _analyse_tone(request, state, body.text)


@router.post(
    "/overall/file",
    openapi_extra=multipart_body(_NoExtraFields, file_field="file", description=_FILE),
    responses=error_responses(400, 408, 413, 415, 422, 503, 504),
)
async def analyse_overall_file(request: Request, state: CurrentState) -> OverallAnalysis:
    """Return the tone of an uploaded transcript."""
    async with state.analyses.admit():
        transcript, _ = await _receive(request, state)
        return await _analyse_tone(request, state, transcript.whole_text)


@patterns_router.get("/{kind}")
def list_patterns(kind: PatternKind, state: CurrentState) -> ListedPatterns:
    """Return the patterns of a list."""
    return pattern_lists.listed(state.patterns, kind)


@patterns_router.post("/{kind}", responses=error_responses(400, 422))
def add_patterns(
    kind: PatternKind, more: NewPattern | PatternsBody, state: CurrentState
) -> ListedPatterns:
    """Add patterns to a list. 400: a duplicate, or the list is full; nothing is added."""
    return pattern_lists.add(state.patterns, kind, more)


@patterns_router.put("/{kind}", responses=error_responses(400, 422))
def replace_patterns(kind: PatternKind, new: PatternsBody, state: CurrentState) -> ListedPatterns:
    """Replace a list. 400: a duplicate; nothing is changed."""
    return pattern_lists.replace(state.patterns, kind, new)


@patterns_router.delete("/{kind}/{pattern:path}", responses=error_responses(404))
def delete_pattern(kind: PatternKind, pattern: str, state: CurrentState) -> ListedPatterns:
    """Delete a pattern, ignoring case and punctuation. 404: not in the list."""
    return pattern_lists.delete(state.patterns, kind, pattern)


@dataclass(frozen=True, slots=True)
class JudgedSegment:
    """A segment, and the judgement of each mention in it."""

    segment: Segment
    judgements: tuple[tuple[Mention, Judgement], ...]


async def judge_transcript(
    transcript: ParsedTranscript, context: str, judge: SentimentJudge, lists: PatternLists
) -> list[JudgedSegment]:
    """Judge each segment with the name, in order of time.

    A segment of one word is skipped, unless the request contains its mention.
    """
    # In threads: a large transcript takes seconds, during which the server handles other requests.
    mentions, all_mentions = await asyncio.to_thread(transcript.mentions, context)
    segments = {segment.index: segment for segment in transcript.conversation}
    if transcript.sent.mentions is None:
        mentions = [m for m in mentions if len(segments[m.segment_index].text.split()) > 1]
    by_pattern = await asyncio.to_thread(_judge_by_patterns, mentions, segments, lists)
    by_judge: dict[Mention, Judgement] = {}
    if any(judgement is None for judgement in by_pattern.values()):
        # With all mentions: the judge ignores words about other competitors.
        results = await judge.judge(Conversation(transcript.conversation), all_mentions)
        if failed := unjudged(results):
            raise EngineUnavailable(failed[0].reason)
        judgements = (result for result in results if isinstance(result, Judgement))
        by_judge = dict(zip(all_mentions, judgements, strict=True))
    merged = {mention: found or by_judge[mention] for mention, found in by_pattern.items()}
    return _by_segment(transcript, merged)


async def _receive(
    request: Request, state: EngineServerState
) -> tuple[SentTranscript, dict[str, str]]:
    with state.folders.temporary(2 * state.options.serve_timeout_s) as folder:
        form = await receive_form(
            request, "file", folder, UploadRules(state.options.serve_timeout_s)
        )
        content = await asyncio.to_thread(form.file.read_bytes)
    try:
        return await asyncio.to_thread(_transcript.validate_json, content), form.last()
    except ValidationError as error:
        raise unprocessable(error) from None


async def _analyse(
    request: Request, state: EngineServerState, context: str, sent: SentTranscript
) -> ContextualAnalysis | list[AnalysedSegment]:
    work = _judge(state, context, sent)
    transcript, judged = await run_until_disconnect(request, work, state.options.serve_timeout_s)
    if not judged:
        return []
    segments = [_segment(transcript, each) for each in judged]
    counts = Counter(segment.sentiment for segment in segments)
    return ContextualAnalysis(
        context=context,
        overall_sentiment=_in_contract(
            overall_sentiment(segment.sentiment for segment in segments)
        ),
        positive=counts[Sentiment.POSITIVE],
        neutral=counts[Sentiment.NEUTRAL],
        negative=counts[Sentiment.NEGATIVE],
        segments=segments,
        metadata=sent.metadata,
    )


async def _judge(
    state: EngineServerState, context: str, sent: SentTranscript
) -> tuple[ParsedTranscript, list[JudgedSegment]]:
    async with state.analyses.run():
        transcript = await asyncio.to_thread(ParsedTranscript, sent, state.options.agent_channel)
        lists = await asyncio.to_thread(state.patterns.lists)
        with state.health.record("judge"):
            judged = await judge_transcript(transcript, context, state.engines.judge, lists)
        return transcript, judged


def _segment(transcript: ParsedTranscript, judged: JudgedSegment) -> AnalysedSegment:
    index = judged.segment.index
    sent = transcript.sent.segments[index]
    judgements = [judgement for _, judgement in judged.judgements]
    is_pattern = judgements[0].engine == PATTERN_ENGINE
    return AnalysedSegment(
        segment_id=transcript.id_of(index),
        start=sent.start,
        end=sent.end,
        text=sent.text,
        sentiment=_in_contract(overall_sentiment(judgement.sentiment for judgement in judgements)),
        detection_method="pattern" if is_pattern else "judge",
        detection_details="; ".join(dict.fromkeys(judgement.rule for judgement in judgements)),
        channel=judged.segment.channel,
        speaker=judged.segment.speaker,
        judgements=[_judgement(*each) for each in judged.judgements],
    )


def _judgement(mention: Mention, judgement: Judgement) -> MentionJudgement:
    return MentionJudgement(
        competitor=judgement.competitor,
        char_start=mention.char_start,
        char_end=mention.char_end,
        sentiment=judgement.sentiment,
        score=judgement.score,
        rule=judgement.rule,
        quote=judgement.quote,
        engine=judgement.engine,
        confidence=judgement.confidence,
    )


def _in_contract(sentiment: Sentiment) -> Sentiment:
    """Return NEUTRAL for MIXED, which the contract does not have."""
    return Sentiment.NEUTRAL if sentiment is Sentiment.MIXED else sentiment


async def _analyse_tone(request: Request, state: EngineServerState, text: str) -> OverallAnalysis:
    return await run_until_disconnect(request, _tone(state, text), state.options.serve_timeout_s)


async def _tone(state: EngineServerState, text: str) -> OverallAnalysis:
    async with state.analyses.run():
        sentiment, score = await asyncio.to_thread(wiring.text_sentiment, text)
    return OverallAnalysis(overall_sentiment=sentiment, score=score, model="lexicon")


def _by_segment(
    transcript: ParsedTranscript, judgements: Mapping[Mention, Judgement]
) -> list[JudgedSegment]:
    by_segment: dict[int, list[tuple[Mention, Judgement]]] = {}
    for mention in sorted(judgements, key=lambda m: m.char_start):
        by_segment.setdefault(mention.segment_index, []).append((mention, judgements[mention]))
    return [
        JudgedSegment(segment, tuple(by_segment[segment.index]))
        for segment in transcript.conversation
        if segment.index in by_segment
    ]


def _judge_by_patterns(
    mentions: Sequence[Mention], segments: Mapping[int, Segment], lists: PatternLists
) -> dict[Mention, Judgement | None]:
    return {m: judge_by_pattern(m, segments[m.segment_index], lists) for m in mentions}
