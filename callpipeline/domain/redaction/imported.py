"""Masking of calls that were imported: their stored texts are changed in place.

They have no audio, and sentiment that no judge here could find again. So their mentions are kept,
and move with the words around the masks.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.calls.legacy import IMPORTED_REASON
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.redaction.masking import (
    MaskedSpan,
    Moves,
    RedactionPolicy,
    count_kinds,
    mask_transcripts,
)
from callpipeline.domain.redaction.tokens import words_of
from callpipeline.domain.sentiment import Judgement
from callpipeline.domain.transcripts import Segment, Transcript

_QUOTED = re.compile(r'"[^"]*"')
Segments = Mapping[tuple[Channel, int], Segment]


@dataclass(frozen=True, slots=True)
class StoredTexts:
    """Stored words of a call. Transcripts are missing after their retention."""

    transcripts: tuple[Transcript, ...]
    mentions: tuple[Mention, ...]
    judgements: tuple[Judgement, ...]
    error_message: str | None = None


@dataclass(frozen=True, slots=True)
class MaskedTexts:
    """The texts of a call with masks.

    `mentions` and `judgements` are by the former id of the mention; a mention inside a number is
    left out. `spans` are the stretches of the transcripts that are masked now.
    """

    transcripts: tuple[Transcript, ...]
    mentions: Mapping[str, Mention]
    judgements: Mapping[str, Judgement]
    error_message: str | None
    spans: tuple[MaskedSpan, ...]
    counts: Mapping[str, int]


def mask_text(text: str, policy: RedactionPolicy) -> str:
    """Return a text masked that is in no transcript."""
    return _mask_alone(text, policy)[0]


def mask_texts(stored: StoredTexts, policy: RedactionPolicy) -> MaskedTexts | None:
    """Return the texts of a call masked; None if there is nothing to mask."""
    transcripts, spans, moves = mask_transcripts(stored.transcripts, policy)
    masking = _CallMasking(policy, _by_place(stored.transcripts), _by_place(transcripts), moves)
    mentions = dict(_distinct((each, masking.mention(each)) for each in stored.mentions))
    known = {each.mention_id: each for each in stored.mentions}
    judgements = {
        each.mention_id: masking.judgement(each, known[each.mention_id], mentions)
        for each in stored.judgements
        if each.mention_id in mentions
    }
    error = masking.text(stored.error_message or "") or stored.error_message
    is_same = (
        not spans
        and mentions == known
        and judgements == {each.mention_id: each for each in stored.judgements}
        and error == stored.error_message
    )
    if is_same:
        return None
    counts = masking.counts | count_kinds(spans)
    return MaskedTexts(transcripts, mentions, judgements, error, spans, counts)


def _distinct(pairs: Iterable[tuple[Mention, Mention | None]]) -> Iterator[tuple[str, Mention]]:
    """Yield mentions by their former ids; of several at one place, the first."""
    taken: set[str] = set()
    for before, after in pairs:
        if after is not None and after.mention_id not in taken:
            taken.add(after.mention_id)
            yield before.mention_id, after


def _by_place(transcripts: Sequence[Transcript]) -> Segments:
    return {(s.channel, s.index): s for each in transcripts for s in each.segments}


def _mask_alone(text: str, policy: RedactionPolicy) -> tuple[str, tuple[MaskedSpan, ...]]:
    if not policy.kinds or not text:
        return text, ()
    channel, speaker = Channel.RIGHT, Speaker.UNKNOWN
    segment = Segment(0, 0.0, 0.0, channel, speaker, text)
    [masked], spans, _ = mask_transcripts((Transcript(channel, speaker, "", (segment,)),), policy)
    return (masked.segments[0].text, spans) if spans else (text, ())


class _CallMasking:
    """Masks what was derived from the transcripts of one call."""

    def __init__(
        self, policy: RedactionPolicy, before: Segments, after: Segments, moves: Moves
    ) -> None:
        self.counts: dict[str, int] = {}
        """Numbers in texts that are in no transcript, by kind: the most in one text."""
        self._policy = policy
        self._before, self._after, self._moves = before, after, moves

    def text(self, text: str) -> str:
        masked, spans = _mask_alone(text, self._policy)
        for kind, count in count_kinds(spans).items():
            self.counts[kind] = max(count, self.counts.get(kind, 0))
        return masked

    def mention(self, mention: Mention) -> Mention | None:
        """Return a mention at its place between the masks; None if a mask covers it.

        Mentions of the old system stay, since their sentiment is not about a number: their words
        may have been any part of the segment.
        """
        place = mention.channel, mention.segment_index
        if place not in self._moves:
            return replace(mention, text=self.text(mention.text), reason=self.text(mention.reason))
        before, after = self._before[place], self._after[place]
        moved = _moved(before, after, self._moves[place], mention)
        if moved is None and mention.reason != IMPORTED_REASON:
            return None
        start, end = moved or (0, min(len(mention.text), len(after.text)))
        said = after.text.casefold()
        return replace(
            mention,
            char_start=start,
            char_end=end,
            text=after.text[start:end],
            alias=self.text(mention.alias),
            reason=_QUOTED.sub(
                lambda quoted: quoted[0] if quoted[0][1:-1].casefold() in said else '"…"',
                mention.reason,
            ),
            phrase=mention.phrase if mention.phrase.casefold() in said else "",
        )

    def judgement(
        self, judgement: Judgement, mention: Mention, mentions: Mapping[str, Mention]
    ) -> Judgement:
        moved = mentions[mention.mention_id]
        quote = self._quote(judgement.quote, moved)
        rule = judgement.rule
        if quote != judgement.quote and judgement.quote in rule:
            rule = rule.replace(judgement.quote, quote)
        return replace(
            judgement,
            mention_id=moved.mention_id,
            quote=quote,
            rule=self.text(rule),
            switching_quote=self._quote(judgement.switching_quote, moved),
        )

    def _quote(self, quote: str, mention: Mention) -> str:
        """Return a quote, or the masked segment if it is not said any more.

        A number may be said in several segments: a part of it is none that is found alone.
        """
        segment = self._after.get((mention.channel, mention.segment_index))
        if not quote or not self._moves or segment is None:
            return self.text(quote)
        is_said = any(quote in each.text for each in self._after.values())
        return quote if is_said else segment.text


def _moved(
    before: Segment, after: Segment, moves: Sequence[int | None], mention: Mention
) -> tuple[int, int] | None:
    """Return the place of a mention in the masked text; None if a mask covers a word of it."""
    old, new = _starts(before), _starts(after)
    first = bisect_right(old, mention.char_start) - 1
    last = bisect_right(old, max(mention.char_start, mention.char_end - 1)) - 1
    if first < 0 or None in moves[first : last + 1]:
        return None
    start = new[moves[first] or 0] + mention.char_start - old[first]
    return start, new[moves[last] or 0] + mention.char_end - old[last]


def _starts(segment: Segment) -> list[int]:
    """Return where the words of a segment begin in its text."""
    starts: list[int] = []
    at = 0
    for word in words_of(segment):
        at = max(segment.text.find(word.strip(), at), at)
        starts.append(at)
        at += len(word.strip())
    return starts
