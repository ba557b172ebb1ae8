"""Masking of transcripts: the words of a number become one word that says what it was."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from statistics import fmean

from callpipeline.domain.audio import Channel, Interval, merge_intervals
from callpipeline.domain.redaction.emails import find_emails
from callpipeline.domain.redaction.numbers import NumberRules
from callpipeline.domain.redaction.tokens import (
    Context,
    Finding,
    Kind,
    SpokenToken,
    digit_runs,
    streams,
    words_of,
)
from callpipeline.domain.transcripts import Segment, Transcript, Word, number_segments

MASKS: Mapping[Kind, str] = {kind: f"[{kind}]" for kind in Kind}
"""The word that stands for a masked number or address."""
MUTE_MARGIN_S = 0.2
"""Recognisers' times are rough."""
MAX_PAUSE_S = 1.5
"""Shorter pauses inside a number are muted too: a digit in them may have been missed."""
_PUNCTUATION = ".,?!;:…"

Places = dict[tuple[str, int, int], tuple[int, Kind]]
Moves = dict[tuple[Channel, int], tuple[int | None, ...]]
"""The new number of each word of a masked segment, None for a masked word; by channel and index."""


@dataclass(frozen=True, slots=True)
class RedactionPolicy:
    """The kinds that are masked, and the countries (ISO 3166) of phone numbers without a prefix."""

    kinds: Set[Kind] = frozenset()
    regions: tuple[str, ...] = ("GB", "US")


@dataclass(frozen=True, slots=True)
class MaskedSpan:
    """A stretch of speech that was masked; a number said in several has one `number`."""

    number: int
    kind: Kind
    channel: Channel
    start_s: float
    end_s: float


def count_kinds(spans: Iterable[MaskedSpan]) -> dict[str, int]:
    """Return how many numbers and addresses of each kind were masked."""
    counted = Counter(kind for _, kind in {(span.number, span.kind) for span in spans})
    return {kind: counted[kind] for kind in Kind if counted[kind]}


def mute_intervals(spans: Sequence[MaskedSpan]) -> tuple[Interval, ...]:
    """Return what is muted, on every channel: a voice may be audible on the others' too."""
    intervals: list[Interval] = []
    for number in {span.number for span in spans}:
        parts = (Interval(s.start_s, s.end_s) for s in spans if s.number == number)
        intervals += merge_intervals(parts, MAX_PAUSE_S)
    return merge_intervals(
        Interval(max(0.0, each.start_s - MUTE_MARGIN_S), each.end_s + MUTE_MARGIN_S)
        for each in intervals
    )


def find_personal_numbers(
    transcripts: Sequence[Transcript], policy: RedactionPolicy
) -> list[Finding]:
    """Return what the policy masks. Other kinds are recognised too, to know them apart."""
    context = Context(transcripts)
    rules = NumberRules(context, policy.regions)
    found: list[Finding] = []
    taken: set[tuple[str, int, int]] = set()
    for tokens in streams(transcripts):
        numbers = rules.find(tokens, list(digit_runs(tokens)))
        for finding in (*find_emails(tokens, context), *numbers):
            places = {token.place for token in finding.tokens}
            if not places <= taken:
                found.append(finding)
                taken |= places
    return [finding for finding in found if finding.kind in policy.kinds]


def redact(
    transcripts: Sequence[Transcript],
    policy: RedactionPolicy,
    earlier: Sequence[MaskedSpan] = (),
) -> tuple[tuple[Transcript, ...], tuple[MaskedSpan, ...]]:
    """Mask the transcripts of a call; return them with the stretches that were masked.

    `earlier` are stretches whose audio is muted already, so that a new transcript has no words
    there: they are kept, and the transcript says what was there.
    """
    masked, spans, _ = mask_transcripts(transcripts, policy)
    return _with_earlier(masked, spans, earlier)


def mask_transcripts(
    transcripts: Sequence[Transcript], policy: RedactionPolicy
) -> tuple[tuple[Transcript, ...], tuple[MaskedSpan, ...], Moves]:
    """Mask the transcripts of a call; return what was masked, and where other words are now."""
    places: Places = {}
    for number, finding in enumerate(find_personal_numbers(transcripts, policy)):
        for token in _with_gaps(finding.tokens):
            places.setdefault(token, (number, finding.kind))
    masked: list[Transcript] = []
    spans: list[MaskedSpan] = []
    moves: Moves = {}
    for transcript in transcripts:
        segments: list[Segment] = []
        for segment in transcript.segments:
            new, found, moved = _mask_segment(segment, places)
            segments.append(new)
            spans += found
            if found:
                moves[segment.channel, segment.index] = moved
        masked.append(replace(transcript, segments=tuple(segments)))
    return tuple(masked), tuple(spans), moves


def _with_gaps(tokens: Sequence[SpokenToken]) -> Iterator[tuple[str, int, int]]:
    """Yield the places of tokens, and of the fillers between two of one segment."""
    for token, following in zip(tokens, (*tokens[1:], None), strict=True):
        yield token.place
        if following and following.segment == token.segment:
            for word in range(token.word + 1, following.word):
                yield token.channel, token.segment, word


def _mask_segment(
    segment: Segment, places: Places
) -> tuple[Segment, list[MaskedSpan], tuple[int | None, ...]]:
    texts = words_of(segment)
    found = [places.get((segment.channel, segment.index, at)) for at in range(len(texts))]
    if not any(found):
        return segment, [], ()
    words: list[Word] = []
    spans: list[MaskedSpan] = []
    moves: list[int | None] = []
    at = 0
    while at < len(texts):
        end = at + 1
        mask = found[at]
        while mask and end < len(texts) and found[end] == mask:
            end += 1
        given = segment.words[at:end] or tuple(
            Word(text, segment.start_s, segment.end_s) for text in texts[at:end]
        )
        moves += [None] * len(given) if mask else [len(words)]
        if mask:
            span = MaskedSpan(*mask, segment.channel, given[0].start_s, given[-1].end_s)
            spans.append(span)
            words.append(_mask_words(mask[1], given))
        else:
            words += given
        at = end
    text = " ".join(word.text for word in words)
    new = replace(segment, text=text, words=tuple(words) if segment.words else ())
    return new, spans, tuple(moves)


def _mask_words(kind: Kind, words: Sequence[Word]) -> Word:
    last = words[-1].text
    ending = last[len(last.rstrip(_PUNCTUATION)) :]
    scores = [word.confidence for word in words if word.confidence is not None]
    confidence = fmean(scores) if scores else None
    return Word(MASKS[kind] + ending, words[0].start_s, words[-1].end_s, confidence)


def _with_earlier(
    transcripts: Sequence[Transcript],
    spans: Sequence[MaskedSpan],
    earlier: Sequence[MaskedSpan],
) -> tuple[tuple[Transcript, ...], tuple[MaskedSpan, ...]]:
    """Add the earlier stretches that are not masked again, as segments of their own."""
    first = 1 + max((span.number for span in spans), default=-1)
    kept = [
        replace(old, number=first + old.number)
        for old in earlier
        if not any(_overlap(old, span) for span in spans)
    ]
    complete = tuple(_with_masks(each, kept) for each in transcripts)
    return complete, (*spans, *kept)


def _overlap(one: MaskedSpan, other: MaskedSpan) -> bool:
    is_same = one.channel == other.channel and one.kind == other.kind
    return is_same and one.start_s < other.end_s and other.start_s < one.end_s


def _with_masks(transcript: Transcript, kept: Sequence[MaskedSpan]) -> Transcript:
    said = {
        (
            segment.start_s <= span.start_s <= segment.end_s and MASKS[span.kind] in segment.text,
            span,
        )
        for span in kept
        for segment in transcript.segments
    }
    missing = [
        span for span in kept if span.channel == transcript.channel and (True, span) not in said
    ]
    if not missing:
        return transcript
    added = [
        Segment(
            0,
            span.start_s,
            span.end_s,
            span.channel,
            transcript.speaker,
            MASKS[span.kind],
            (Word(MASKS[span.kind], span.start_s, span.end_s),),
        )
        for span in missing
    ]
    return replace(transcript, segments=number_segments((*transcript.segments, *added)))
