"""Utterances: segments joined across pauses inside a sentence, and cut where they are too long.

Recognisers end a segment at a pause, and people pause inside sentences ("we are with" … "GoDaddy").
Names, sentiment and search need the whole sentence. A judge sees it with the turns around it.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from callpipeline.domain.audio import Speaker
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.transcripts import Segment, Transcript, Word, number_segments
from callpipeline.errors import MissingObject

MAX_PAUSE_S = 3.0
"""Longest pause inside an utterance; after a longer one, people begin another thought."""
MAX_UTTERANCE_S = 30.0
CUT_FROM_S = 20.0
"""Longer utterances are cut at the first end of a sentence after this many seconds."""
BACKCHANNEL_WORDS = 2
"""Up to this many words of the other speaker ("mm-hm", "okay sure") don't end an utterance."""
_SENTENCE_ENDS = (".", "?", "!", "…")
_CLOSING = "\"')]»”’"

MAX_GAP_S = 12.0
"""Longest pause across which the utterance around a mention is joined."""
MAX_DISTANCE_S = 30.0
"""Turns further away are about something else."""
CONTEXT_TURNS = 2
"""Turns before, and turns after the utterance."""
MAX_CONTEXT_CHARS = 400
"""Characters on each side of the name, and of each turn, that can matter to a judge."""
STALE_MENTIONS = (
    "The mentions belong to an older transcript: materialize competitor_mentions first."
)
SplitsName = Callable[[str, str], bool]
"""Returns whether a name begins in one text and ends in the next."""


def form_utterances(
    transcripts: Iterable[Transcript], splits_name: SplitsName
) -> tuple[Transcript, ...]:
    """Return the transcripts of a call with utterances as segments.

    A segment is joined with the next one of its speaker if its sentence or a name goes on there,
    unless the pause is long or another speaker takes the turn in it.
    """
    given = tuple(transcripts)
    turns = [
        segment for transcript in given for segment in transcript.segments if _is_turn(segment)
    ]
    turns.sort(key=lambda segment: segment.start_s)
    return tuple(
        replace(each, segments=number_segments(_utterances(each.segments, turns, splits_name)))
        for each in given
    )


def _utterances(
    segments: Sequence[Segment], turns: Sequence[Segment], splits_name: SplitsName
) -> Iterator[Segment]:
    is_punctuated = any(ends_sentence(segment.text) for segment in segments)
    for group in _groups(
        segments, lambda a, b: _continues(a, b, turns, splits_name, is_punctuated)
    ):
        yield from _cut(_join(_without_stops_in_names(group, splits_name)))


def _groups(
    segments: Iterable[Segment], continues: Callable[[Segment, Segment], bool]
) -> Iterator[list[Segment]]:
    group: list[Segment] = []
    for segment in segments:
        if group and not (
            segment.end_s - group[0].start_s <= MAX_UTTERANCE_S and continues(group[-1], segment)
        ):
            yield group
            group = []
        group.append(segment)
    if group:
        yield group


def _continues(
    first: Segment,
    second: Segment,
    turns: Sequence[Segment],
    splits_name: SplitsName,
    is_punctuated: bool,
) -> bool:
    """Return whether the second segment belongs to the sentence of the first."""
    is_same = (first.channel, first.speaker, first.voice) == (
        second.channel, second.speaker, second.voice,
    )  # fmt: skip
    if not is_same or second.start_s - first.end_s > MAX_PAUSE_S:
        return False
    if _is_interrupted(first, second, turns):
        return False
    goes_on = is_punctuated and (not ends_sentence(first.text) or second.text[:1].islower())
    return goes_on or splits_name(_without_stop(first.text), second.text)


def _is_interrupted(first: Segment, second: Segment, turns: Sequence[Segment]) -> bool:
    """Return whether another speaker takes the turn in the pause between two segments."""
    at = bisect_left(turns, first.end_s, key=lambda turn: turn.start_s)
    for turn in turns[at:]:
        if turn.start_s >= second.start_s:
            return False
        if (turn.channel, turn.voice) != (first.channel, first.voice):
            return True
    return False


def _is_turn(segment: Segment) -> bool:
    return len(segment.text.split()) > BACKCHANNEL_WORDS


def _without_stops_in_names(group: Sequence[Segment], splits_name: SplitsName) -> list[Segment]:
    """Remove the full stop inside a name ("Virgin." "Media") so that it is found."""
    return [
        _ending_openly(first) if splits_name(_without_stop(first.text), second.text) else first
        for first, second in pairwise([*group, replace(group[-1], text="")])
    ]


def _ending_openly(segment: Segment) -> Segment:
    last = segment.words[-1:]
    opened = tuple(replace(word, text=_without_stop(word.text)) for word in last)
    return replace(segment, text=_without_stop(segment.text), words=(*segment.words[:-1], *opened))


def _without_stop(text: str) -> str:
    return text.rstrip("".join(_SENTENCE_ENDS) + ",")


def _join(group: Sequence[Segment]) -> Segment:
    if len(group) == 1:
        return group[0]
    confidences = [each.voice_confidence for each in group if each.voice_confidence is not None]
    has_words = all(segment.words for segment in group)
    return replace(
        group[0],
        end_s=max(segment.end_s for segment in group),
        text=" ".join(segment.text for segment in group),
        words=tuple(word for each in group for word in each.words) if has_words else (),
        voice_confidence=min(confidences, default=None),
    )


def _cut(segment: Segment) -> Iterator[Segment]:
    """Cut a segment of more than `MAX_UTTERANCE_S` at ends of sentences."""
    part: list[Word] = []
    if segment.end_s - segment.start_s > MAX_UTTERANCE_S:
        for word in segment.words:
            part.append(word)
            is_long = word.end_s - part[0].start_s >= CUT_FROM_S
            if is_long and ends_sentence(word.text) and word is not segment.words[-1]:
                yield _part(segment, part)
                part = []
    yield _part(segment, part) if part else segment


def _part(segment: Segment, words: Sequence[Word]) -> Segment:
    """Return the part of a segment with these words."""
    is_first, is_last = words[0] is segment.words[0], words[-1] is segment.words[-1]
    return replace(
        segment,
        start_s=segment.start_s if is_first else words[0].start_s,
        end_s=segment.end_s if is_last else words[-1].end_s,
        text=" ".join(word.text for word in words),
        words=tuple(words),
    )


def ends_sentence(text: str) -> bool:
    return text.rstrip(_CLOSING).endswith(_SENTENCE_ENDS)


class Turn(NamedTuple):
    """Words of a speaker, without interruption."""

    speaker: Speaker
    text: str


class TargetContext(NamedTuple):
    """An utterance split at the target's name, and the turns before and after it."""

    left: str
    name: str
    right: str
    speaker: Speaker
    before: tuple[Turn, ...] = ()
    after: tuple[Turn, ...] = ()


class TargetContexts:
    """Contexts of the mentions in a conversation, whose segments are in order of time."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = segments
        self._places = {(s.channel, s.index): at for at, s in enumerate(segments)}

    def of(self, mention: Mention) -> TargetContext:
        """Return a mention's utterance, joined from segments, and the turns around it.

        Raises MissingObject if the mention belongs to another transcript.
        """
        at = self._places.get((mention.channel, mention.segment_index))
        if at is None or mention.char_end > len(self._segments[at].text):
            raise MissingObject(STALE_MENTIONS)
        own = self._segments[at]
        first, earlier = self._joined(at, -1)
        last, later = self._joined(at, 1)
        left = " ".join([*reversed(earlier), own.text[: mention.char_start]])
        right = " ".join([own.text[mention.char_end :], *later])
        return TargetContext(
            left[-MAX_CONTEXT_CHARS:],
            own.text[mention.char_start : mention.char_end],
            right[:MAX_CONTEXT_CHARS],
            mention.speaker,
            _turns(self._segments[max(0, first - CONTEXT_TURNS) : first], own),
            _turns(self._segments[last + 1 : last + 1 + CONTEXT_TURNS], own),
        )

    def _joined(self, at: int, step: int) -> tuple[int, list[str]]:
        """Return the position and the texts of the segments that continue the utterance."""
        end, texts = at, list[str]()
        length, position = 0, at + step
        while 0 <= position < len(self._segments) and length < MAX_CONTEXT_CHARS:
            segment, inner = self._segments[position], self._segments[end]
            if _voice_of(segment) != _voice_of(inner):
                if len(segment.text.split()) > BACKCHANNEL_WORDS:
                    break
            elif _goes_on(*((segment, inner) if step < 0 else (inner, segment))):
                end = position
                length += len(segment.text)
                texts.append(segment.text)
            else:
                break
            position += step
        return end, texts


def _voice_of(segment: Segment) -> tuple[object, ...]:
    return segment.channel, segment.speaker, segment.voice


def _goes_on(first: Segment, second: Segment) -> bool:
    is_near = second.start_s - first.end_s <= MAX_GAP_S
    return is_near and (not ends_sentence(first.text) or second.text[:1].islower())


def _turns(segments: Sequence[Segment], own: Segment) -> tuple[Turn, ...]:
    return tuple(
        Turn(segment.speaker, segment.text[:MAX_CONTEXT_CHARS])
        for segment in segments
        if segment.start_s - own.end_s <= MAX_DISTANCE_S
        and own.start_s - segment.end_s <= MAX_DISTANCE_S
    )
