"""Sentiment by the HTTP service of the contract: one request per name, with the whole call."""

import asyncio
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    Field,
    FiniteFloat,
    StringConstraints,
)

from callpipeline.domain.audio import Channel
from callpipeline.domain.competitors.catalog import normalise
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.sentiment import Judgement, JudgeResult, Sentiment, overall_sentiment
from callpipeline.domain.transcripts import Segment, is_storable
from callpipeline.engines.http.messages import Request, Text, Upload, parse_as, require_storable
from callpipeline.engines.http.service import HttpService
from callpipeline.engines.ports import Conversation
from callpipeline.engines.sentiment.per_competitor import judge_per_competitor
from callpipeline.errors import EngineRefused

PATH = "/analyze/contextual/file"
SCORES = {Sentiment.POSITIVE: 1.0, Sentiment.NEGATIVE: -1.0}
START_TOLERANCE_S = 0.05
MAX_RULE_CHARS = 200
MAX_ANSWERS_PER_SEGMENT = 4
"""A segment may occur several times in a response, but not without limit."""
NO_RESULT = "the service found nothing about this name here"
"""Rule of a mention that the service did not find: MIXED, since its sentiment is unknown."""
NO_REASON = "the service gave no reason"

_METHOD = re.compile(r"[A-Za-z][\w -]{0,39}")


def _label(value: object) -> object:
    word = value.strip().lower() if isinstance(value, str) else None
    # Earlier versions of our engine server call MIXED "unsure".
    word = Sentiment.MIXED if word == "unsure" else word
    if word not in set(Sentiment):
        raise ValueError(f"it is none of {', '.join(Sentiment)}")
    return word


SentimentLabel = Annotated[Sentiment, BeforeValidator(_label)]
LongText = Annotated[str, StringConstraints(max_length=100_000), AfterValidator(require_storable)]


class RemoteJudgement(BaseModel):
    """Judgement of one mention, which only our own engine server returns."""

    competitor: Text
    char_start: int
    char_end: int
    sentiment: SentimentLabel
    score: Annotated[FiniteFloat, Field(ge=-1, le=1)]
    rule: LongText
    quote: LongText
    engine: Text
    confidence: Annotated[FiniteFloat, Field(ge=0, le=1)] | None = None


class AnalysedRemoteSegment(BaseModel):
    """A segment of the response, which contains the name."""

    segment_id: int | str | None = Field(
        default=None, validation_alias=AliasChoices("segment-id", "segment_id")
    )
    start: float | None = None
    text: str | None = None
    sentiment: SentimentLabel
    detection_method: Any = None
    detection_details: Any = None
    judgements: list[RemoteJudgement] = []

    @property
    def rule(self) -> str:
        """Return the detection method and details, truncated.

        Text that may quote the call follows a colon, since it is deleted with the transcript.
        """
        method, details = _one_line(self.detection_method), _one_line(self.detection_details)
        if _METHOD.fullmatch(method):
            return f"{method}: {details}" if details else method
        reason = " ".join(filter(None, (method, details)))
        return f"the service: {reason}" if reason else NO_REASON


SegmentAnswers = Mapping[int, Sequence[AnalysedRemoteSegment]]
"""Segments of the response by their index in the conversation."""


@dataclass(frozen=True)
class AnalysisRequest:
    """A conversation and its mentions, as the service receives them."""

    segments: Sequence[Segment]
    mentions: Sequence[Mention]

    @cached_property
    def document(self) -> bytes:
        """Return the transcript of the contract, without anything that identifies the call.

        Extensions, which other servers ignore: channel and speaker of the segments, and mentions.
        """
        document = {
            "metadata": _metadata({segment.channel for segment in self.segments}),
            "text": " ".join(segment.text for segment in self.segments),
            "segments": [_segment_json(*each) for each in enumerate(self.segments)],
            "mentions": [self._mention_json(mention) for mention in self.mentions],
        }
        return json.dumps(document).encode()

    def judgement(self, mention: Mention, answers: SegmentAnswers, engine: str) -> Judgement:
        """Return the judgement of exactly this mention, else that of its segment."""
        index = self._indexes[mention.channel, mention.segment_index]
        found, text = answers.get(index, ()), self.segments[index].text
        if own := _own_judgement(mention, found):
            return self._as_judgement(mention, own, text)
        sentiment = overall_sentiment(each.sentiment for each in found)
        rule = "; ".join(dict.fromkeys(each.rule for each in found)) or NO_RESULT
        score = SCORES.get(sentiment, 0.0)
        return Judgement(
            mention.mention_id, mention.competitor, sentiment, score, rule, text, engine
        )

    def _as_judgement(self, mention: Mention, found: RemoteJudgement, text: str) -> Judgement:
        """Return our own server's judgement; a quote that is not in the call is replaced."""
        said = " ".join(s.text for s in self.segments if s.channel is mention.channel)
        is_quoted = found.quote in said or any(found.quote in s.text for s in self.segments)
        return Judgement(
            mention_id=mention.mention_id,
            competitor=mention.competitor,
            sentiment=found.sentiment,
            score=found.score,
            rule=found.rule,
            quote=found.quote if is_quoted else text,
            engine=found.engine,
            confidence=found.confidence,
        )

    @cached_property
    def _indexes(self) -> dict[tuple[Channel, int], int]:
        return {(s.channel, s.index): index for index, s in enumerate(self.segments)}

    def _mention_json(self, mention: Mention) -> dict[str, Any]:
        return {
            "competitor": mention.competitor,
            "segment_id": self._indexes[mention.channel, mention.segment_index],
            "channel": mention.channel,
            "char_start": mention.char_start,
            "char_end": mention.char_end,
        }


class RemoteJudge:
    """Sends a request for each name as spoken, since the service searches for that text.

    Requests contain the segments of all channels in order of time. Those of one call are
    sequential; the concurrency across calls is limited where judges are throttled.
    """

    name = "remote"

    def __init__(self, service: HttpService) -> None:
        self._service = service
        self.origin = service.origin

    async def judge(
        self, conversation: Conversation, mentions: Sequence[Mention]
    ) -> tuple[JudgeResult, ...]:
        """See `SentimentJudge`; also raises ServiceUnavailable and EngineRefused."""
        request = AnalysisRequest(conversation.segments, tuple(mentions))
        lock = asyncio.Lock()

        async def judge(competitor: str, of_name: Sequence[Mention]) -> Sequence[Judgement]:
            async with lock:
                return await self.judge_competitor(request, of_name)

        return await judge_per_competitor(mentions, judge)

    async def judge_competitor(
        self, request: AnalysisRequest, mentions: Sequence[Mention]
    ) -> tuple[Judgement, ...]:
        """Judge the mentions of one competitor, with one request per spelling of its name."""
        judgements: dict[str, Judgement] = {}
        for spelling, of_spelling in _by_spelling(mentions).items():
            answers = await self._send(request, spelling)
            judgements |= {
                mention.mention_id: request.judgement(mention, answers, self.name)
                for mention in of_spelling
            }
        return tuple(judgements[mention.mention_id] for mention in mentions)

    async def _send(self, request: AnalysisRequest, spelling: str) -> SegmentAnswers:
        def parse(document: Any) -> SegmentAnswers:
            answers: dict[int, list[AnalysedRemoteSegment]] = {}
            found = parse_analysis(document, spelling)
            if len(found) > MAX_ANSWERS_PER_SEGMENT * len(request.segments):
                raise EngineRefused("it returned more segments than it was sent")
            for number, segment in enumerate(found):
                for index in match_segment(segment, number, request.segments):
                    answers.setdefault(index, []).append(segment)
            return answers

        file = Upload("file", "transcript.json", request.document, "application/json")
        return await self._service.send(
            Request("POST", PATH, (("context", spelling),), file), parse
        )


class _Analysis(BaseModel):
    context: str | None = None
    segments: list[AnalysedRemoteSegment]


def parse_analysis(document: Any, spelling: str) -> list[AnalysedRemoteSegment]:
    """Return the segments of a response. Raises EngineRefused, also if it is about another name."""
    if document == []:
        return []
    analysis = parse_as(_Analysis)(document)
    if analysis.context is not None and normalise(analysis.context) != normalise(spelling):
        raise EngineRefused("its response is about another name")
    return analysis.segments


def match_segment(
    found: AnalysedRemoteSegment, number: int, segments: Sequence[Segment]
) -> list[int]:
    """Return the indexes of the sent segments that a segment of the response matches.

    Two of id, start and text must match, since services number segments in their own way, and some
    return no id. Several indexes match equally well. Raises EngineRefused if none matches;
    `number` is the segment's index in the response.
    """
    fields = [found.segment_id is not None, found.start is not None, found.text is not None]
    needed = min(2, sum(fields)) or 1
    points = [_matching_fields(found, index, each) for index, each in enumerate(segments)]
    best = max(points, default=0)
    if best < needed:
        raise EngineRefused(
            "its response doesn't match the contract "
            f"(segments[{number}]: no such segment was sent)"
        )
    return [index for index, count in enumerate(points) if count == best]


def _matching_fields(found: AnalysedRemoteSegment, index: int, segment: Segment) -> int:
    same_id = found.segment_id is not None and str(found.segment_id) == str(index)
    same_start = found.start is not None and abs(found.start - segment.start_s) <= START_TOLERANCE_S
    same_text = found.text is not None and found.text.split() == segment.text.split()
    return same_id + same_start + same_text


def _own_judgement(
    mention: Mention, segments: Sequence[AnalysedRemoteSegment]
) -> RemoteJudgement | None:
    key = (mention.competitor, mention.char_start, mention.char_end)
    judgements = (judgement for each in segments for judgement in each.judgements)
    return next((j for j in judgements if (j.competitor, j.char_start, j.char_end) == key), None)


def _by_spelling(mentions: Sequence[Mention]) -> dict[str, list[Mention]]:
    """Group mentions by spelling, ignoring case; the key is the first spelling as spoken."""
    spellings: dict[str, str] = {}
    grouped: dict[str, list[Mention]] = {}
    for mention in mentions:
        spelling = spellings.setdefault(mention.text.casefold(), mention.text)
        grouped.setdefault(spelling, []).append(mention)
    return grouped


def _segment_json(index: int, segment: Segment) -> dict[str, Any]:
    return {
        "id": index,
        "start": segment.start_s,
        "end": segment.end_s,
        "text": segment.text,
        "channel": segment.channel,
        "speaker": segment.speaker,
    }


def _metadata(channels: set[Channel]) -> dict[str, str]:
    """Return the metadata of the contract, with a random reference."""
    return {
        "ref-id": uuid.uuid4().hex,
        "used-model": "",
        "transcribed-at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"),
        "company-code": "",
        "agent-name": "",
        "source-file": "",
        "channel": channels.pop() if len(channels) == 1 else Channel.MIXED,
    }


def _one_line(value: Any) -> str:
    """Return a text on one line, truncated; empty for any other value."""
    is_text = isinstance(value, str) and is_storable(value)
    return " ".join(value.split())[:MAX_RULE_CHARS] if is_text else ""
