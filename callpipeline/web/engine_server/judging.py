"""The contract's rule of sentiment: patterns first, then the judge."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from callpipeline.domain.mention import Mention
from callpipeline.domain.sentiment import Judgement, Sentiment, unjudged
from callpipeline.domain.transcript import Segment
from callpipeline.engines.ports import Conversation, SentimentJudge
from callpipeline.errors import EngineUnavailable
from callpipeline.web.engine_server.documents import Document
from callpipeline.web.engine_server.patterns import Kind, Lists, first_held

PATTERN = "pattern"
"""The engine of what a pattern decided."""
_ORDER = ((Kind.NEGATIVE, Sentiment.NEGATIVE, -1.0), (Kind.POSITIVE, Sentiment.POSITIVE, 1.0))


@dataclass(frozen=True, slots=True)
class Judged:
    """A segment, and what is judged of each mention in it."""

    segment: Segment
    verdicts: tuple[tuple[Mention, Judgement], ...]


async def judged(
    document: Document, context: str, judge: SentimentJudge, lists: Lists
) -> list[Judged]:
    """Each segment that holds the name, in order of time.

    A segment of one word says nothing, unless its mention was sent to be judged.
    """
    # In threads: of a large transcript it takes seconds, in which the server answers others.
    mentions, beside = await asyncio.to_thread(document.mentions, context)
    segments = {segment.index: segment for segment in document.conversation}
    if document.sent.mentions is None:
        mentions = [m for m in mentions if len(segments[m.segment_index].text.split()) > 1]
    by_pattern = await asyncio.to_thread(_patterned, mentions, segments, lists)
    by_judge: dict[Mention, Judgement] = {}
    if any(judgement is None for judgement in by_pattern.values()):
        # All names there are: the judge leaves out what is said of the others.
        asked = await judge.judge(Conversation(document.conversation), beside)
        if missing := unjudged(asked):
            raise EngineUnavailable(missing[0].reason)
        verdicts = (verdict for verdict in asked if isinstance(verdict, Judgement))
        by_judge = dict(zip(beside, verdicts, strict=True))
    verdicts = {m: judgement or by_judge[m] for m, judgement in by_pattern.items()}
    return _by_segment(document, verdicts)


def _by_segment(document: Document, verdicts: Mapping[Mention, Judgement]) -> list[Judged]:
    of_segment: dict[int, list[tuple[Mention, Judgement]]] = {}
    for mention in sorted(verdicts, key=lambda m: m.char_start):
        of_segment.setdefault(mention.segment_index, []).append((mention, verdicts[mention]))
    return [
        Judged(segment, tuple(of_segment[segment.index]))
        for segment in document.conversation
        if segment.index in of_segment
    ]


def _patterned(
    mentions: Sequence[Mention], segments: Mapping[int, Segment], lists: Lists
) -> dict[Mention, Judgement | None]:
    return {m: _by_pattern(m, segments[m.segment_index], lists) for m in mentions}


def _by_pattern(mention: Mention, segment: Segment, lists: Lists) -> Judgement | None:
    for kind, sentiment, score in _ORDER:
        if held := first_held(lists[kind], segment.text):
            return Judgement(
                mention_id=mention.mention_id,
                competitor=mention.competitor,
                sentiment=sentiment,
                score=score,
                rule=f"{kind} pattern: '{held}'",
                quote=segment.text,
                engine=PATTERN,
            )
    return None
