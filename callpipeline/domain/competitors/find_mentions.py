"""Finding mentions of competitors in transcripts and in plain text."""

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, chain, pairwise, zip_longest
from statistics import fmean
from typing import NamedTuple

from callpipeline.domain.audio import Channel, Interval, Speaker
from callpipeline.domain.competitors.addresses import is_in_address, is_site
from callpipeline.domain.competitors.boundaries import SEGMENT_END, SENTENCE_BREAK
from callpipeline.domain.competitors.catalog import NameMatch
from callpipeline.domain.competitors.disambiguation.context import mention_context
from callpipeline.domain.competitors.disambiguation.features import is_cased_text
from callpipeline.domain.competitors.disambiguation.scoring import (
    NO_ANSWERS,
    Disambiguation,
    NameAnswers,
    accepted,
    disambiguate,
)
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.domain.competitors.mentions import Mention, MentionStatus
from callpipeline.domain.competitors.spellings import is_phrase
from callpipeline.domain.transcripts import (
    SUPPLIED_ENGINE,
    Segment,
    Transcript,
    Word,
    interleave,
)
from callpipeline.domain.utterances import MAX_PAUSE_S

RULE_VERSION = 5
"""Version of matching and disambiguation; increment it when they find other mentions.

Completed calls with results of another version are then rematched.
"""
NEAR_SPEECH_S = 0.5
"""Tolerance around detected speech: word times are off by some tenths of a second."""
NO_SPEECH_REASON = "no speech detected here: possibly a hallucination of the recogniser"

ADDRESS_REASON = "part of a web or e-mail address, and those don't count here"

OWN_REASON = "your own company: never counted as a competitor"

HINTED_REASON = "only heard with the name as a hint: the words without it hardly sound like it"

MAX_PART_CHARS = 1000
"""Limits the cost of a text: each name in a part is disambiguated with the whole part."""

_PART_END = re.compile(r"\s+|(?<=[^\w\s])")
"""Ends of parts: between words, or after punctuation in long runs without spaces."""

Speech = Mapping[Channel, Sequence[Interval]]
Answers = Mapping[str, NameAnswers]


@dataclass(frozen=True, slots=True)
class _Timing:
    """Times of some words; `within` surely contains them if the times are interpolated."""

    start_s: float
    end_s: float
    confidence: float | None
    within: Interval


class _Found(NamedTuple):
    """A name in segment number `at` of a conversation.

    `goes_on` is the segment in which the name ends, if another, and the offset of its end there.
    """

    at: int
    match: NameMatch
    goes_on: tuple[int, int] | None


def find_mentions(
    transcripts: Iterable[Transcript],
    matcher: Matcher,
    speech: Speech | None = None,
    answers: Answers | None = None,
) -> tuple[Mention, ...]:
    """Return all mentions in a call, whatever their status, by start time.

    `speech` is the detected speech by channel, in order of time. Names outside it are DISMISSED,
    since recognisers hallucinate in silence. Channels missing from it are not checked. `answers`
    are reviewers' answers about ambiguous names, by competitor.
    """
    transcripts = tuple(transcripts)
    conversation = interleave(transcripts)
    found = list(_find_names(conversation, matcher))
    is_heard = any(each.engine != SUPPLIED_ENGINE for each in transcripts)
    decide = partial(disambiguate, is_heard=is_heard, slots=matcher.slots)
    outcomes = _outcomes(conversation, found, answers or {}, decide)
    if not matcher.counts_addresses:
        dismissed = Disambiguation(MentionStatus.DISMISSED, ADDRESS_REASON)
        outcomes = [
            dismissed if _is_in_address(conversation, each) else outcome
            for each, outcome in zip(found, outcomes, strict=True)
        ]
    mentions = [
        _mention(conversation, each, outcome, speech or {})
        for each, outcome in zip(found, outcomes, strict=True)
    ]
    return tuple(sorted(mentions, key=lambda m: (m.start_s, m.channel, m.char_start)))


def _outcomes(
    conversation: Sequence[Segment],
    found: Sequence[_Found],
    answers: Answers,
    decide: Callable[..., list[Disambiguation]],
) -> list[Disambiguation]:
    """Decide on each name; the occurrences of an ambiguous one are decided together."""
    outcomes: list[Disambiguation] = [accepted("unambiguous name")] * len(found)
    in_segment: dict[int, list[NameMatch]] = defaultdict(list)
    open_ones: dict[str, list[int]] = defaultdict(list)
    for number, each in enumerate(found):
        in_segment[each.at].append(each.match)
        if each.match.competitor.ambiguous and _is_full_name(conversation, each):
            outcomes[number] = accepted(f'full name "{each.match.alias}"')
        elif each.match.competitor.ambiguous and is_site(
            conversation[each.at].text, each.match.char_start, each.match.char_end
        ):
            outcomes[number] = accepted("the address of its site")
        elif each.match.competitor.ambiguous:
            open_ones[each.match.competitor.name].append(number)
    is_cased = bool(open_ones) and is_cased_text(segment.text for segment in conversation)
    for name, numbers in open_ones.items():
        contexts = [
            mention_context(conversation, one.at, matches=in_segment[one.at], match=one.match)
            for one in (found[number] for number in numbers)
        ]
        of_name = answers.get(name, NO_ANSWERS)
        decided = decide(contexts, is_cased=is_cased, answers=of_name)
        for number, outcome in zip(numbers, decided, strict=True):
            outcomes[number] = outcome
    return outcomes


def _is_full_name(conversation: Sequence[Segment], found: _Found) -> bool:
    """Return whether a name of several words is written like one: "Co-op", but not "a co-op"."""
    match = found.match
    text = conversation[found.at].text
    written = text[match.char_start : match.char_end]
    is_lower = written.islower() and not match.alias.islower() and is_cased_text([text])
    return is_phrase(match.alias) and not is_lower


def _is_in_address(conversation: Sequence[Segment], found: _Found) -> bool:
    text = conversation[found.at].text
    return is_in_address(text, found.match.char_start, found.match.char_end)


def _find_names(conversation: Sequence[Segment], matcher: Matcher) -> Iterator[_Found]:
    """Find the names in the segments of each channel, and those that go over their borders."""
    for channel in dict.fromkeys(segment.channel for segment in conversation):
        indexes = [at for at, segment in enumerate(conversation) if segment.channel == channel]
        segments = [conversation[at] for at in indexes]
        breaks = [
            SEGMENT_END if _may_go_on(one, next_one) else SENTENCE_BREAK
            for one, next_one in pairwise(segments)
        ]
        parts = chain.from_iterable(zip_longest((s.text for s in segments), breaks, fillvalue=""))
        starts = list(accumulate((len(s.text) + 1 for s in segments), initial=0))
        for match in matcher.find("".join(parts)):
            first = bisect_right(starts, match.char_start) - 1
            last = bisect_right(starts, match.char_end - 1) - 1
            start, end = match.char_start - starts[first], match.char_end - starts[last]
            is_split = last > first
            local = match._replace(
                char_start=start, char_end=len(segments[first].text) if is_split else end
            )
            yield _Found(indexes[first], local, (indexes[last], end) if is_split else None)


def _may_go_on(first: Segment, second: Segment) -> bool:
    return (first.speaker, first.voice) == (second.speaker, second.voice) and (
        second.start_s - first.end_s <= MAX_PAUSE_S
    )


def find_mentions_in_text(
    text: str, matcher: Matcher, *, max_mentions: int
) -> tuple[Mention, ...] | None:
    """Find mentions in plain text, with offsets in the whole text; None if there are too many.

    Times and segment indexes of these mentions are meaningless.
    """
    matches = matcher.find(text)
    if len(matches) > max_mentions:
        return None
    parts = list(_parts(text, matches))
    segments = tuple(
        Segment(n, start_s, start_s + 1, Channel.MIXED, Speaker.UNKNOWN, text[begin:end])
        for n, ((begin, end), start_s) in enumerate(zip(parts, _starts(text, parts), strict=True))
    )
    transcript = Transcript(Channel.MIXED, Speaker.UNKNOWN, SUPPLIED_ENGINE, segments)
    found = find_mentions([transcript], matcher)
    return tuple(_shift(mention, parts[mention.segment_index][0]) for mention in found)


def _mention(
    conversation: Sequence[Segment], found: _Found, outcome: Disambiguation, speech: Speech
) -> Mention:
    segment, match = conversation[found.at], found.match
    text = segment.text[match.char_start : match.char_end]
    words = _words_between(segment, match.char_start, match.char_end)
    timing = _timing(segment, match.char_start, match.char_end)
    if found.goes_on:
        following, end = conversation[found.goes_on[0]], found.goes_on[1]
        text = f"{text} {following.text[:end]}"
        words = (*words, *_words_between(following, 0, end))
        timing = _joined(timing, _timing(following, 0, end))
    if match.alias in match.competitor.sounds_like:
        outcome = _as_misheard(outcome, text)
    if outcome.status is MentionStatus.COUNTED and any(word.only_with_hints for word in words):
        outcome = replace(outcome, status=MentionStatus.NEEDS_REVIEW, reason=HINTED_REASON)
    if match.competitor.own:
        outcome = Disambiguation(MentionStatus.DISMISSED, OWN_REASON)
    if not _is_near_speech(timing.within, speech.get(segment.channel)):
        outcome = Disambiguation(MentionStatus.DISMISSED, NO_SPEECH_REASON)
    return Mention(
        competitor=match.competitor.name,
        alias=match.alias,
        text=text,
        channel=segment.channel,
        speaker=segment.speaker,
        segment_index=segment.index,
        char_start=match.char_start,
        char_end=match.char_end,
        start_s=timing.start_s,
        end_s=timing.end_s,
        confidence=timing.confidence,
        status=outcome.status,
        reason=outcome.reason,
        log_odds=outcome.score,
        phrase=outcome.phrase,
    )


def _as_misheard(outcome: Disambiguation, text: str) -> Disambiguation:
    """Return an outcome whose reason says that the name was found as a recogniser misheard it."""
    heard = f'heard as "{text}"'
    is_plain = outcome.score is None
    return replace(outcome, reason=heard if is_plain else f"{heard}: {outcome.reason}")


def _joined(first: _Timing, second: _Timing) -> _Timing:
    """Return the timing of a name that goes on in the next segment."""
    scores = [each.confidence for each in (first, second) if each.confidence is not None]
    within = Interval(first.within.start_s, second.within.end_s)
    return _Timing(first.start_s, second.end_s, fmean(scores) if scores else None, within)


def _is_near_speech(interval: Interval, speech: Sequence[Interval] | None) -> bool:
    if speech is None:
        return True
    first = bisect_left(speech, interval.start_s - NEAR_SPEECH_S, key=lambda spoken: spoken.end_s)
    return first < len(speech) and speech[first].start_s <= interval.end_s + NEAR_SPEECH_S


def _timing(segment: Segment, char_start: int, char_end: int) -> _Timing:
    words = _words_between(segment, char_start, char_end)
    if not words:
        return _interpolate(segment, char_start, char_end)
    scores = [word.confidence for word in words if word.confidence is not None]
    start_s, end_s = words[0].start_s, words[-1].end_s
    confidence = fmean(scores) if scores else None
    return _Timing(start_s, end_s, confidence, Interval(start_s, end_s))


def _words_between(segment: Segment, char_start: int, char_end: int) -> Sequence[Word]:
    """Return the words at these characters; none if the text isn't the joined words."""
    if segment.text != " ".join(word.text for word in segment.words):
        return ()
    starts = list(accumulate((len(word.text) + 1 for word in segment.words), initial=0))
    first, last = bisect_right(starts, char_start) - 1, bisect_right(starts, char_end - 1) - 1
    return segment.words[first : last + 1]


def _interpolate(segment: Segment, char_start: int, char_end: int) -> _Timing:
    per_char = (segment.end_s - segment.start_s) / len(segment.text)
    return _Timing(
        round(segment.start_s + per_char * char_start, 3),
        round(segment.start_s + per_char * char_end, 3),
        None,
        Interval(segment.start_s, segment.end_s),
    )


def _shift(mention: Mention, offset: int) -> Mention:
    return replace(
        mention, char_start=mention.char_start + offset, char_end=mention.char_end + offset
    )


def _parts(text: str, matches: Sequence[NameMatch]) -> Iterator[tuple[int, int]]:
    """Yield the spans of lines, with long ones split; never within a name."""
    begin = 0
    for end in _PART_END.finditer(text):
        is_long = end.start() - begin >= (MAX_PART_CHARS if end[0] else 2 * MAX_PART_CHARS)
        if ("\n" in end[0] or is_long) and not _is_within_name(end.start(), matches):
            yield begin, end.start()
            begin = end.end()
    yield begin, len(text)


def _starts(text: str, parts: Sequence[tuple[int, int]]) -> Iterator[float]:
    """Yield times at which a sentence may continue in the next part, but not after a blank line."""
    start_s, last_end = 0.0, 0
    for begin, end in parts:
        if text.count("\n", last_end, begin) > 1:
            start_s += MAX_PAUSE_S + 1
        yield start_s
        start_s, last_end = start_s + 1, end


def _is_within_name(position: int, matches: Sequence[NameMatch]) -> bool:
    at = bisect_left(matches, position, key=lambda match: match.char_start) - 1
    return at >= 0 and position < matches[at].char_end
