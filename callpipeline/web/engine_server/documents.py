"""Transcripts as they are sent to be analysed, and what stands in them about a name."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import HTTPException
from pydantic import AfterValidator, AliasChoices, BaseModel, Field, FiniteFloat

from callpipeline.domain.audio import Channel, Speaker, speaker_of
from callpipeline.domain.catalog import Catalog, Competitor
from callpipeline.domain.matching import Matcher
from callpipeline.domain.mention import Mention, MentionStatus
from callpipeline.domain.mentions import find_mentions
from callpipeline.domain.spelling import normalise
from callpipeline.domain.transcript import Segment, Transcript, interleave

MOST_MENTIONS = 10_000


def _can_be_told(metadata: dict[str, Any]) -> dict[str, Any]:
    """It goes back as it came. Python reads as JSON what is none, such as NaN and half letters."""
    try:
        json.dumps(metadata, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise ValueError("it holds what is no JSON") from None
    return metadata


SegmentId = int | Annotated[str, Field(max_length=200)]


class SentSegment(BaseModel):
    """A stretch of speech. Ours: `channel` and `speaker`, where they are not those of the whole."""

    id: SegmentId | None = Field(
        default=None, validation_alias=AliasChoices("id", "segment-id", "segment_id")
    )
    start: FiniteFloat | None = None
    end: FiniteFloat | None = None
    text: Annotated[str, Field(max_length=100_000)]
    channel: Channel | None = None
    speaker: Speaker | None = None


class SentMention(BaseModel):
    """Ours: a name that stands at `char_start:char_end` of a segment's text."""

    competitor: Annotated[str, Field(min_length=1, max_length=500)]
    segment_id: SegmentId
    channel: Channel | None = None
    char_start: Annotated[int, Field(ge=0)]
    char_end: int


class SentTranscript(BaseModel):
    """A transcript as the contract has it; other fields are ignored.

    Ours, for the same judgements as in the pipeline: the segments of all channels, each with its
    `channel` and `speaker`, and in `mentions` every name that counts, of all competitors. Those
    are judged whose competitor, or whose words, are the `context`.
    """

    metadata: Annotated[dict[str, Any], AfterValidator(_can_be_told)] = Field(default_factory=dict)
    text: str | None = None
    segments: Annotated[list[SentSegment], Field(max_length=50_000)] = []
    mentions: Annotated[list[SentMention] | None, Field(max_length=MOST_MENTIONS)] = None

    @property
    def whole_text(self) -> str:
        return self.text or " ".join(segment.text for segment in self.segments)


class Document:
    """A transcript as the domain knows it; its segments are numbered as they were sent."""

    def __init__(self, sent: SentTranscript, agent_channel: str) -> None:
        self.sent = sent
        side = _side(sent.metadata, agent_channel)
        self._segments = [
            _segment(place, segment, side, agent_channel)
            for place, segment in enumerate(sent.segments)
        ]
        self.conversation = interleave(self._transcripts())

    def id_of(self, place: int) -> int | str:
        """A segment's id as it was sent, or its place."""
        sent = self.sent.segments[place].id
        return place if sent is None else sent

    def mentions(self, context: str) -> tuple[list[Mention], list[Mention]]:
        """The mentions of a name, and all there are. Raises HTTPException (422)."""
        wanted = normalise(context)
        if not wanted:
            raise HTTPException(422, "context: a name holds a letter or a digit.")
        if self.sent.mentions is None:
            matcher = Matcher(Catalog((Competitor(context),)))
            found = list(find_mentions(self._transcripts(), matcher))
            if len(found) > MOST_MENTIONS:
                raise HTTPException(422, f"segments: it is in them over {MOST_MENTIONS} times.")
            return found, found
        named = self._named(self.sent.mentions)
        return [m for m in named if wanted in (normalise(m.competitor), normalise(m.said))], named

    def _transcripts(self) -> list[Transcript]:
        channels = dict.fromkeys(segment.channel for segment in self._segments)
        return [
            Transcript(
                channel,
                Speaker.UNKNOWN,
                "as sent",
                tuple(segment for segment in self._segments if segment.channel is channel),
            )
            for channel in channels
        ]

    def _named(self, sent: Sequence[SentMention]) -> list[Mention]:
        places = {(s.channel, self.id_of(s.index)): s for s in self._segments}
        if len(places) < len(self._segments):
            raise HTTPException(422, "segments: two of a channel have the same id.")
        of_id = {segment_id: segment for (_, segment_id), segment in places.items()}
        mentions: list[Mention] = []
        for each in sent:
            of_channel = places.get((each.channel, each.segment_id)) if each.channel else None
            segment = of_channel if each.channel else of_id.get(each.segment_id)
            if segment is None or not each.char_start < each.char_end <= len(segment.text):
                raise HTTPException(422, "mentions: one stands nowhere in the segments.")
            mentions.append(_mention(each, segment))
        _refuse_overlap(mentions)
        return mentions


def _side(metadata: dict[str, Any], agent_channel: str) -> tuple[Channel, Speaker]:
    """Whose words a transcript of one channel holds, as its metadata tells."""
    told = str(metadata.get("channel", "")).casefold()
    if told in (Channel.LEFT, Channel.RIGHT):
        return Channel(told), speaker_of(Channel(told), agent_channel)
    if told in (Speaker.AGENT, Speaker.CUSTOMER):
        return Channel.MIXED, Speaker(told)
    return Channel.MIXED, Speaker.UNKNOWN


def _segment(
    place: int, sent: SentSegment, side: tuple[Channel, Speaker], agent_channel: str
) -> Segment:
    channel = sent.channel or side[0]
    of_channel = side[1] if sent.channel in (None, side[0]) else speaker_of(channel, agent_channel)
    start_s = sent.start or 0.0
    end_s = start_s if sent.end is None else sent.end
    return Segment(place, start_s, end_s, channel, sent.speaker or of_channel, sent.text)


def _mention(sent: SentMention, segment: Segment) -> Mention:
    return Mention(
        competitor=sent.competitor,
        alias=sent.competitor,
        said=segment.text[sent.char_start : sent.char_end],
        channel=segment.channel,
        speaker=segment.speaker,
        segment_index=segment.index,
        char_start=sent.char_start,
        char_end=sent.char_end,
        start_s=segment.start_s,
        end_s=segment.end_s,
        confidence=None,
        status=MentionStatus.ACCEPTED,
        reason="as sent",
    )


def _refuse_overlap(mentions: Sequence[Mention]) -> None:
    free_from: dict[int, int] = {}
    for mention in sorted(mentions, key=lambda m: (m.segment_index, m.char_start)):
        if mention.char_start < free_from.get(mention.segment_index, 0):
            raise HTTPException(422, "mentions: two of them overlap.")
        free_from[mention.segment_index] = mention.char_end
