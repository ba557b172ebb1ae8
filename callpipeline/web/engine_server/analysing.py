"""`/analyze`: how a name, or a text as a whole, is spoken of."""

import asyncio
from collections import Counter
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from callpipeline import wiring
from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.mention import Mention
from callpipeline.domain.sentiment import Judgement, Sentiment, overall
from callpipeline.web.engine_server.answers import of_fields, problems
from callpipeline.web.engine_server.documents import Document, SentTranscript
from callpipeline.web.engine_server.judging import PATTERN, Judged, judged
from callpipeline.web.engine_server.opened import Here, Opened
from callpipeline.web.forms.described import a_form
from callpipeline.web.forms.reading import Terms, receive
from callpipeline.web.places import while_asked
from callpipeline.web.sentences import sentence_of

router = APIRouter(prefix="/analyze", tags=["sentiment"])

Context = Annotated[str, Field(min_length=1, max_length=500)]


class ContextField(BaseModel):
    """The competitor's name as it is said."""

    context: Context


class ContextualRequest(BaseModel):
    """A name, and the transcript in which it may be said."""

    context: Context
    transcript: SentTranscript


class Verdict(BaseModel):
    """Ours: what is judged of one mention, as the pipeline keeps it."""

    competitor: str
    char_start: int
    char_end: int
    sentiment: Sentiment
    score: float
    rule: str
    quote: str
    engine: str


class AnalysedSegment(BaseModel):
    """A segment that holds the name. `sentiment` is neutral where the judge is unsure."""

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
    judgements: list[Verdict]


class Analysis(BaseModel):
    """As the contract has it; the three numbers count segments."""

    context: str
    overall_sentiment: Sentiment
    positive: int
    neutral: int
    negative: int
    segments: list[AnalysedSegment]
    metadata: dict[str, Any]


class OverallRequest(BaseModel):
    """A text. `model` is read and not used."""

    text: Annotated[str, Field(max_length=5_000_000)]
    model: Annotated[str | None, Field(max_length=200)] = None


class OverallAnalysis(BaseModel):
    """The tone of a text: the mean of its clauses that have one, in −1..1."""

    overall_sentiment: Sentiment
    score: float
    model: str


_context = TypeAdapter(ContextField)
_transcript = TypeAdapter(SentTranscript)
_FILE = "A transcript as JSON, as in `transcript` of /analyze/contextual."


class _NoFields(BaseModel):
    pass


@router.post("/contextual", responses=problems(413, 422, 503, 504))
async def contextual(
    asked: ContextualRequest, request: Request, here: Here
) -> Analysis | list[AnalysedSegment]:
    """How a name is spoken of, segment by segment; `[]` where it is not said."""
    async with here.analyses.place():
        return await _analysed(request, here, asked.context, asked.transcript)


@router.post(
    "/contextual/file",
    openapi_extra=a_form(ContextField, file_field="file", holds=_FILE),
    responses=problems(400, 408, 413, 415, 422, 503, 504),
)
async def contextual_file(request: Request, here: Here) -> Analysis | list[AnalysedSegment]:
    """The same of a transcript in a file."""
    async with here.analyses.place():
        transcript, fields = await _received(request, here)
        context = of_fields(_context, fields).context
        return await _analysed(request, here, context, transcript)


@router.post("/overall", responses=problems(413, 422, 503, 504))
async def whole(asked: OverallRequest, request: Request, here: Here) -> OverallAnalysis:
    """The tone of a text, whoever is spoken of."""
    async with here.analyses.place():
        return await _told(request, here, asked.text)


@router.post(
    "/overall/file",
    openapi_extra=a_form(_NoFields, file_field="file", holds=_FILE),
    responses=problems(400, 408, 413, 415, 422, 503, 504),
)
async def whole_file(request: Request, here: Here) -> OverallAnalysis:
    """The tone of a transcript in a file."""
    async with here.analyses.place():
        transcript, _ = await _received(request, here)
        return await _told(request, here, transcript.whole_text)


async def _received(request: Request, here: Opened) -> tuple[SentTranscript, dict[str, str]]:
    with here.shelf.workplace(2 * here.options.serve_timeout_s) as folder:
        form = await receive(request, "file", folder, Terms(here.options.serve_timeout_s))
        content = await asyncio.to_thread(form.file.read_bytes)
    try:
        return await asyncio.to_thread(_transcript.validate_json, content), form.last()
    except ValidationError as error:
        raise HTTPException(422, sentence_of(error.errors(include_input=False))) from None


async def _analysed(
    request: Request, here: Opened, context: str, transcript: SentTranscript
) -> Analysis | list[AnalysedSegment]:
    work = _judged(here, context, transcript)
    document, found = await while_asked(request, work, here.options.serve_timeout_s)
    if not found:
        return []
    segments = [_segment(document, each) for each in found]
    counts = Counter(segment.sentiment for segment in segments)
    return Analysis(
        context=context,
        overall_sentiment=_in_contract(overall(segment.sentiment for segment in segments)),
        positive=counts[Sentiment.POSITIVE],
        neutral=counts[Sentiment.NEUTRAL],
        negative=counts[Sentiment.NEGATIVE],
        segments=segments,
        metadata=transcript.metadata,
    )


async def _judged(
    here: Opened, context: str, transcript: SentTranscript
) -> tuple[Document, list[Judged]]:
    agent_channel = here.options.agent_channel
    async with here.analyses.turn():
        document = await asyncio.to_thread(Document, transcript, agent_channel)
        lists = await asyncio.to_thread(here.patterns.lists)
        with here.health.noted("judge"):
            return document, await judged(document, context, here.engines.judge, lists)


def _segment(document: Document, found: Judged) -> AnalysedSegment:
    sent = document.sent.segments[found.segment.index]
    judgements = [judgement for _, judgement in found.verdicts]
    engine = judgements[0].engine
    return AnalysedSegment(
        segment_id=document.id_of(found.segment.index),
        start=sent.start,
        end=sent.end,
        text=sent.text,
        sentiment=_in_contract(overall(judgement.sentiment for judgement in judgements)),
        detection_method=PATTERN if engine == PATTERN else "judge",
        detection_details="; ".join(dict.fromkeys(judgement.rule for judgement in judgements)),
        channel=found.segment.channel,
        speaker=found.segment.speaker,
        judgements=[_verdict(*each) for each in found.verdicts],
    )


def _verdict(mention: Mention, judgement: Judgement) -> Verdict:
    return Verdict(
        competitor=judgement.competitor,
        char_start=mention.char_start,
        char_end=mention.char_end,
        sentiment=judgement.sentiment,
        score=judgement.score,
        rule=judgement.rule,
        quote=judgement.quote,
        engine=judgement.engine,
    )


def _in_contract(sentiment: Sentiment) -> Sentiment:
    """The contract has no word for "unsure": it is neutral there."""
    return Sentiment.NEUTRAL if sentiment is Sentiment.UNSURE else sentiment


async def _told(request: Request, here: Opened, text: str) -> OverallAnalysis:
    return await while_asked(request, _tone(here, text), here.options.serve_timeout_s)


async def _tone(here: Opened, text: str) -> OverallAnalysis:
    async with here.analyses.turn():
        sentiment, score = await asyncio.to_thread(wiring.tone_of, text)
    return OverallAnalysis(overall_sentiment=sentiment, score=score, model="lexicon")
