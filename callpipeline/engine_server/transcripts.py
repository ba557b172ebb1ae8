"""Transcripts in requests for analysis, and the mentions in them."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import HTTPException
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    Field,
    FiniteFloat,
)

from callpipeline.domain.audio import Channel, Speaker, speaker_of
from callpipeline.domain.competitors.catalog import Catalog, Competitor, normalise
from callpipeline.domain.competitors.find_mentions import find_mentions
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.domain.competitors.mentions import Mention, MentionStatus
from callpipeline.domain.transcripts import Segment, Transcript, interleave

MAX_MENTIONS = 10_000


def _as_valid_json(metadata: dict[str, Any]) -> dict[str, Any]:
    """Check that the response can contain the metadata: Python also parses NaN and surrogates."""
    try:
        json.dumps(metadata, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise ValueError("it is not valid JSON") from None
    return metadata


SegmentId = int | Annotated[str, Field(max_length=200)]


class SentSegment(BaseModel):
    """A segment of speech; `channel` and `speaker` are extensions, with defaults."""

    id: SegmentId | None = Field(
        default=None, validation_alias=AliasChoices("id", "segment-id", "segment_id")
    )
    start: FiniteFloat | None = None
    end: FiniteFloat | None = None
    text: Annotated[str, Field(max_length=100_000)]
    channel: Channel | None = None
    speaker: Speaker | None = None


class SentMention(BaseModel):
    """Extension: a mention, `char_start:char_end` of a segment's text."""

    competitor: Annotated[str, Field(min_length=1, max_length=500)]
    segment_id: SegmentId
    channel: Channel | None = None
    char_start: Annotated[int, Field(ge=0)]
    char_end: int


class SentTranscript(BaseModel):
    """A transcript as in the contract; unknown fields are ignored.

    Extensions, for the same judgements as in the pipeline: segments of all channels, each with
    `channel` and `speaker`, and `mentions` with every counted mention of all competitors. Only
    mentions with `context` as competitor or as text are judged.
    """

    metadata: Annotated[dict[str, Any], AfterValidator(_as_valid_json)] = Field(
        default_factory=dict
    )
    text: str | None = None
    segments: Annotated[list[SentSegment], Field(max_length=50_000)] = []
    mentions: Annotated[list[SentMention] | None, Field(max_length=MAX_MENTIONS)] = None

    @property
    def whole_text(self) -> str:
        return self.text or " ".join(segment.text for segment in self.segments)


class ParsedTranscript:
    """A transcript as domain values; segments have the indexes of the request."""

    def __init__(self, sent: SentTranscript, agent_channel: str) -> None:
        self.sent = sent
        default = _default_channel(sent.metadata, agent_channel)
        self._segments = [
            _segment(index, segment, default, agent_channel)
            for index, segment in enumerate(sent.segments)
        ]
        self.conversation = interleave(self._transcripts())

    def id_of(self, index: int) -> int | str:
        """Return the segment's id of the request, or its index if it has none."""
        sent = self.sent.segments[index].id
        return index if sent is None else sent

    def mentions(self, context: str) -> tuple[list[Mention], list[Mention]]:
        """Return the mentions of a name, and all mentions. Raises HTTPException (422)."""
        wanted = normalise(context)
        if not wanted:
            raise HTTPException(422, "context: must contain a letter or a digit.")
        if self.sent.mentions is None:
            matcher = Matcher(Catalog((Competitor(context),)))
            found = list(find_mentions(self._transcripts(), matcher))
            if len(found) > MAX_MENTIONS:
                raise HTTPException(422, f"segments: more than {MAX_MENTIONS} mentions.")
            return found, found
        mentions = self._sent_mentions(self.sent.mentions)
        of_name = [m for m in mentions if wanted in (normalise(m.competitor), normalise(m.text))]
        return of_name, mentions

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

    def _sent_mentions(self, sent: Sequence[SentMention]) -> list[Mention]:
        segments = {(s.channel, self.id_of(s.index)): s for s in self._segments}
        if len(segments) < len(self._segments):
            raise HTTPException(422, "segments: duplicate id in a channel.")
        of_id = {segment_id: segment for (_, segment_id), segment in segments.items()}
        mentions: list[Mention] = []
        for each in sent:
            of_channel = segments.get((each.channel, each.segment_id)) if each.channel else None
            segment = of_channel if each.channel else of_id.get(each.segment_id)
            if segment is None or not each.char_start < each.char_end <= len(segment.text):
                raise HTTPException(422, "mentions: one is not in the segments.")
            mentions.append(_mention(each, segment))
        _reject_overlap(mentions)
        return mentions


def _default_channel(metadata: dict[str, Any], agent_channel: str) -> tuple[Channel, Speaker]:
    """Return channel and speaker of a transcript of one channel, from its metadata."""
    name = str(metadata.get("channel", "")).casefold()
    if name in (Channel.LEFT, Channel.RIGHT):
        return Channel(name), speaker_of(Channel(name), agent_channel)
    if name in (Speaker.AGENT, Speaker.CUSTOMER):
        return Channel.MIXED, Speaker(name)
    return Channel.MIXED, Speaker.UNKNOWN


def _segment(
    index: int, sent: SentSegment, default: tuple[Channel, Speaker], agent_channel: str
) -> Segment:
    channel = sent.channel or default[0]
    of_channel = (
        default[1] if sent.channel in (None, default[0]) else speaker_of(channel, agent_channel)
    )
    start_s = sent.start or 0.0
    end_s = start_s if sent.end is None else sent.end
    return Segment(index, start_s, end_s, channel, sent.speaker or of_channel, sent.text)


def _mention(sent: SentMention, segment: Segment) -> Mention:
    return Mention(
        competitor=sent.competitor,
        alias=sent.competitor,
        text=segment.text[sent.char_start : sent.char_end],
        channel=segment.channel,
        speaker=segment.speaker,
        segment_index=segment.index,
        char_start=sent.char_start,
        char_end=sent.char_end,
        start_s=segment.start_s,
        end_s=segment.end_s,
        confidence=None,
        status=MentionStatus.COUNTED,
        reason="as sent",
    )


def _reject_overlap(mentions: Sequence[Mention]) -> None:
    previous_end: dict[int, int] = {}
    for mention in sorted(mentions, key=lambda m: (m.segment_index, m.char_start)):
        if mention.char_start < previous_end.get(mention.segment_index, 0):
            raise HTTPException(422, "mentions: two overlap.")
        previous_end[mention.segment_index] = mention.char_end
