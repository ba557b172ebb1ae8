"""The sentiment service: one request a name, about the whole conversation."""

import asyncio
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from callpipeline.domain.audio import Channel
from callpipeline.domain.mention import Mention
from callpipeline.domain.sentiment import Judgement, Sentiment, Verdict, overall
from callpipeline.domain.transcript import Segment
from callpipeline.engines.http.requests import Request, Upload
from callpipeline.engines.http.service import Service
from callpipeline.engines.ports import Conversation
from callpipeline.engines.sentiment.apart import judge_apart
from callpipeline.engines.sentiment.remote_answer import Found, Opinion, found_in, places_of
from callpipeline.errors import EngineRefused

PATH = "/analyze/contextual/file"
SCORES = {Sentiment.POSITIVE: 1.0, Sentiment.NEGATIVE: -1.0}
MOST_FOR_EACH = 4
"""A segment may be answered more than once; an answer without end would hold up all requests."""
NOTHING = "the service found nothing about this name here"
"""Of a name that stands there all the same: what is meant is not known, which is not neutral."""

Said = Mapping[int, Sequence[Found]]
"""What a service says of segments, by their place in the conversation."""


class RemoteJudge:
    """Asks a service for each name as it is spoken, since it looks for that text.

    It gets the segments of all channels, in order of time, so that what is said on either counts.
    One request at a time: how many calls ask at once is said where engines take turns.
    """

    name = "remote"

    def __init__(self, service: Service) -> None:
        self._service = service
        self.where = service.where

    async def judge(
        self, conversation: Conversation, mentions: Sequence[Mention]
    ) -> tuple[Verdict, ...]:
        """See `SentimentJudge`; also raises EngineAway and EngineRefused."""
        inquiry = Inquiry(conversation.segments, tuple(mentions))
        turn = asyncio.Lock()

        async def ask(competitor: str, named: Sequence[Mention]) -> Sequence[Judgement]:
            async with turn:
                return await self.judge_competitor(inquiry, named)

        return await judge_apart(mentions, ask)

    async def judge_competitor(
        self, inquiry: "Inquiry", named: Sequence[Mention]
    ) -> tuple[Judgement, ...]:
        """A judgement on each mention of one competitor; a request for each way to say its name."""
        judged: dict[str, Judgement] = {}
        for spelling, alike in _by_spelling(named).items():
            said = await self._said(inquiry, spelling)
            judged |= {m.mention_id: inquiry.judgement(m, said, self.name) for m in alike}
        return tuple(judged[mention.mention_id] for mention in named)

    async def _said(self, inquiry: "Inquiry", spelling: str) -> Said:
        def read(document: Any) -> Said:
            said: dict[int, list[Found]] = {}
            answer = found_in(document, spelling)
            if len(answer) > MOST_FOR_EACH * len(inquiry.segments):
                raise EngineRefused("it found more segments than it was sent")
            for number, found in enumerate(answer):
                for place in places_of(found, number, inquiry.segments):
                    said.setdefault(place, []).append(found)
            return said

        file = Upload("file", "transcript.json", inquiry.document, "application/json")
        request = Request("POST", PATH, (("context", spelling),), file)
        return await self._service.ask(request, read)


@dataclass(frozen=True)
class Inquiry:
    """A conversation, and the names in it that count."""

    segments: Sequence[Segment]
    mentions: Sequence[Mention]

    @cached_property
    def document(self) -> bytes:
        """The transcript as the contract has it. Nothing tells whose call it is.

        Ours, which others ignore: whose words a segment holds, and where the names stand.
        """
        document = {
            "metadata": _metadata({segment.channel for segment in self.segments}),
            "text": " ".join(segment.text for segment in self.segments),
            "segments": [_sent(*each) for each in enumerate(self.segments)],
            "mentions": [self._named(mention) for mention in self.mentions],
        }
        return json.dumps(document).encode()

    def judgement(self, mention: Mention, said: Said, engine: str) -> Judgement:
        """What is said of the mention's segment; the exact opinion on it, where there is one."""
        place = self._places[mention.channel, mention.segment_index]
        found, text = said.get(place, ()), self.segments[place].text
        if opinion := _opinion_on(mention, found):
            return self._as_told(mention, opinion, text)
        sentiment = overall(each.sentiment for each in found)
        rule = "; ".join(dict.fromkeys(each.rule for each in found)) or NOTHING
        score = SCORES.get(sentiment, 0.0)
        return Judgement(
            mention.mention_id, mention.competitor, sentiment, score, rule, text, engine
        )

    def _as_told(self, mention: Mention, opinion: Opinion, text: str) -> Judgement:
        """Our own server's judgement. What it quotes must have been said."""
        is_said = any(opinion.quote in segment.text for segment in self.segments)
        return Judgement(
            mention_id=mention.mention_id,
            competitor=mention.competitor,
            sentiment=opinion.sentiment,
            score=opinion.score,
            rule=opinion.rule,
            quote=opinion.quote if is_said else text,
            engine=opinion.engine,
        )

    @cached_property
    def _places(self) -> dict[tuple[Channel, int], int]:
        return {(s.channel, s.index): place for place, s in enumerate(self.segments)}

    def _named(self, mention: Mention) -> dict[str, Any]:
        return {
            "competitor": mention.competitor,
            "segment_id": self._places[mention.channel, mention.segment_index],
            "channel": mention.channel,
            "char_start": mention.char_start,
            "char_end": mention.char_end,
        }


def _sent(place: int, segment: Segment) -> dict[str, Any]:
    return {
        "id": place,
        "start": segment.start_s,
        "end": segment.end_s,
        "text": segment.text,
        "channel": segment.channel,
        "speaker": segment.speaker,
    }


def _metadata(channels: set[Channel]) -> dict[str, str]:
    """What the contract asks for, a number by chance for the reference."""
    return {
        "ref-id": uuid.uuid4().hex,
        "used-model": "",
        "transcribed-at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"),
        "company-code": "",
        "agent-name": "",
        "source-file": "",
        "channel": channels.pop() if len(channels) == 1 else Channel.MIXED,
    }


def _by_spelling(named: Sequence[Mention]) -> dict[str, list[Mention]]:
    """Mentions by how the name is said, as it is said first."""
    spellings: dict[str, str] = {}
    alike: dict[str, list[Mention]] = {}
    for mention in named:
        spelling = spellings.setdefault(mention.said.casefold(), mention.said)
        alike.setdefault(spelling, []).append(mention)
    return alike


def _opinion_on(mention: Mention, found: Sequence[Found]) -> Opinion | None:
    exactly = (mention.competitor, mention.char_start, mention.char_end)
    opinions = (opinion for each in found for opinion in each.judgements)
    return next((o for o in opinions if (o.competitor, o.char_start, o.char_end) == exactly), None)
