"""From transcripts to mentions: who named which competitor, when, and whether it counts."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import fmean

from callpipeline.domain.audio import Channel, Interval
from callpipeline.domain.context import Verdict, accepted, weigh
from callpipeline.domain.matching import Hit, Matcher
from callpipeline.domain.mention import Mention, MentionStatus
from callpipeline.domain.spelling import is_phrase
from callpipeline.domain.surroundings import surroundings
from callpipeline.domain.transcript import Segment, Transcript, Word, interleave

NEAR_SPEECH_S = 0.5
"""How far from detected speech a name may be said: recognisers place words some tenths off."""
UNHEARD = "no speech was detected there: the recogniser may have invented it"

Speech = Mapping[Channel, Sequence[Interval]]


@dataclass(frozen=True, slots=True)
class _Spoken:
    """When words were said; `within` is known to hold them, where their own times are a guess."""

    start_s: float
    end_s: float
    confidence: float | None
    within: Interval


def find_mentions(
    transcripts: Iterable[Transcript], matcher: Matcher, speech: Speech | None = None
) -> tuple[Mention, ...]:
    """Every mention in a call, whatever its status, by start time (seconds).

    `speech` is what was detected on channels, in order of time: a name over silence is REJECTED,
    since recognisers invent words there. What is said on a channel that it leaves out is believed.
    """
    conversation = interleave(transcripts)
    mentions = [
        _mention(segment, hit, _verdict(conversation, place, hits, hit), speech or {})
        for place, segment in enumerate(conversation)
        for hits in [matcher.find(segment.text)]
        for hit in hits
    ]
    return tuple(sorted(mentions, key=lambda m: (m.start_s, m.channel, m.char_start)))


def _verdict(conversation: Sequence[Segment], place: int, hits: Sequence[Hit], hit: Hit) -> Verdict:
    if not hit.competitor.ambiguous:
        return accepted("unambiguous name")
    if is_phrase(hit.alias):
        return accepted(f"full name: '{hit.alias}'")
    return weigh(surroundings(conversation, place, hits=hits, hit=hit))


def _mention(segment: Segment, hit: Hit, verdict: Verdict, speech: Speech) -> Mention:
    spoken = _spoken(segment, hit.char_start, hit.char_end)
    if not _is_heard(spoken.within, speech.get(segment.channel)):
        verdict = Verdict(MentionStatus.REJECTED, UNHEARD)
    return Mention(
        competitor=hit.competitor.name,
        alias=hit.alias,
        said=segment.text[hit.char_start : hit.char_end],
        channel=segment.channel,
        speaker=segment.speaker,
        segment_index=segment.index,
        char_start=hit.char_start,
        char_end=hit.char_end,
        start_s=spoken.start_s,
        end_s=spoken.end_s,
        confidence=spoken.confidence,
        status=verdict.status,
        reason=verdict.reason,
    )


def _is_heard(spoken: Interval, speech: Sequence[Interval] | None) -> bool:
    """Whether speech that is known comes near; only stretches that end late enough can."""
    if speech is None:
        return True
    first = bisect_left(speech, spoken.start_s - NEAR_SPEECH_S, key=lambda stretch: stretch.end_s)
    return first < len(speech) and speech[first].start_s <= spoken.end_s + NEAR_SPEECH_S


def _spoken(segment: Segment, char_start: int, char_end: int) -> _Spoken:
    words = _words_between(segment, char_start, char_end)
    if not words:
        return _by_proportion(segment, char_start, char_end)
    known = [word.confidence for word in words if word.confidence is not None]
    start_s, end_s = words[0].start_s, words[-1].end_s
    confidence = fmean(known) if known else None
    return _Spoken(start_s, end_s, confidence, Interval(start_s, end_s))


def _words_between(segment: Segment, char_start: int, char_end: int) -> Sequence[Word]:
    """The words that hold these characters; none where the text is not the words joined."""
    if segment.text != " ".join(word.text for word in segment.words):
        return ()
    starts = list(accumulate((len(word.text) + 1 for word in segment.words), initial=0))
    first, last = bisect_right(starts, char_start) - 1, bisect_right(starts, char_end - 1) - 1
    return segment.words[first : last + 1]


def _by_proportion(segment: Segment, char_start: int, char_end: int) -> _Spoken:
    per_char = (segment.end_s - segment.start_s) / len(segment.text)
    return _Spoken(
        round(segment.start_s + per_char * char_start, 3),
        round(segment.start_s + per_char * char_end, 3),
        None,
        Interval(segment.start_s, segment.end_s),
    )
