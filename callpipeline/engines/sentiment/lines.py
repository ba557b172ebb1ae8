"""A conversation in lines, and those of them that a judge is shown for a mention.

They are its own speaker's, and near it. What is not needed for a judgement goes to no server, and
what others say, or what is said elsewhere, cannot sway it.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.mention import Mention
from callpipeline.domain.transcript import Segment

MOST_WORDS, MOST_LETTERS = 60, 400
"""Of a line; recognisers without punctuation, and what people supply, know no end."""
BEFORE, AFTER = 3, 5
"""Lines of the same speaker that are shown for a mention beside its own."""
_WORD = re.compile(r"\S+")
_END = re.compile(r"[.?!][\"'”’)]*$")


@dataclass(frozen=True, slots=True)
class Token:
    """A word as written, and where it stands in the text of its segment."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence, or as much of one as a line takes."""

    channel: Channel
    speaker: Speaker
    segment_index: int
    tokens: tuple[Token, ...]

    def is_of(self, mention: Mention) -> bool:
        return self.channel is mention.channel and self.segment_index == mention.segment_index


@dataclass(frozen=True, slots=True)
class Place:
    """Where a mention stands: the tokens `first` to `last` (inclusive) of a line, by its number."""

    line: int
    first: int
    last: int


def lines_of(segments: Sequence[Segment], mentions: Sequence[Mention]) -> tuple[Line, ...]:
    """All lines in order of time. No name that counts is cut in two."""
    named: dict[tuple[Channel, int], list[Mention]] = {}
    for mention in mentions:
        named.setdefault((mention.channel, mention.segment_index), []).append(mention)
    return tuple(
        Line(segment.channel, segment.speaker, segment.index, tokens)
        for segment in segments
        for tokens in _cut(segment.text, named.get((segment.channel, segment.index), ()))
    )


def places_of(lines: Sequence[Line], mentions: Sequence[Mention]) -> dict[str, Place]:
    """Where the mentions stand, by their ids."""
    numbers: dict[tuple[Channel, int], list[int]] = {}
    for number, line in enumerate(lines):
        numbers.setdefault((line.channel, line.segment_index), []).append(number)
    found: dict[str, Place] = {}
    for mention in mentions:
        for number in numbers.get((mention.channel, mention.segment_index), ()):
            if place := _place(mention, number, lines[number]):
                found[mention.mention_id] = place
    return found


def window(lines: Sequence[Line], place: Place) -> frozenset[int]:
    """The numbers of the lines that are shown for a mention."""
    own = [n for n, line in enumerate(lines) if line.channel is lines[place.line].channel]
    at = own.index(place.line)
    return frozenset(own[max(at - BEFORE, 0) : at + AFTER + 1])


def batches(
    ids: Sequence[str], windows: Mapping[str, Collection[int]], lines: Sequence[Line], most: int
) -> Iterator[list[str]]:
    """The mentions in lots of no more than `most`, nor more lines than a request takes.

    Each is of one speaker, so that no model sees what two say.
    """
    of_channel: dict[Channel, list[str]] = {}
    for mention_id in ids:
        of_channel.setdefault(lines[min(windows[mention_id])].channel, []).append(mention_id)
    for own in of_channel.values():
        yield from _lots(own, windows, lines, most)


def _lots(
    ids: Sequence[str], windows: Mapping[str, Collection[int]], lines: Sequence[Line], most: int
) -> Iterator[list[str]]:
    lot: list[str] = []
    shown: set[int] = set()
    for mention_id in ids:
        wider = shown | set(windows[mention_id])
        letters = sum(token.end - token.start + 1 for n in wider for token in lines[n].tokens)
        if lot and (len(lot) >= most or letters > MOST_LETTERS_SHOWN):
            yield lot
            lot, wider = [], set(windows[mention_id])
        lot.append(mention_id)
        shown = wider
    if lot:
        yield lot


MOST_LETTERS_SHOWN = 12_000
"""About 3,000 tokens: small models take 4,096, with what they are told and their answer."""


def _cut(text: str, named: Sequence[Mention]) -> Iterator[tuple[Token, ...]]:
    line: list[Token] = []
    for word in _WORD.finditer(text):
        token = Token(word[0], word.start(), word.end())
        if line and _ends(line) and not any(m.char_start < token.start < m.char_end for m in named):
            yield tuple(line)
            line = []
        line.append(token)
    if line:
        yield tuple(line)


def _ends(line: Sequence[Token]) -> bool:
    too_long = len(line) >= MOST_WORDS or line[-1].end - line[0].start >= MOST_LETTERS
    return too_long or bool(_END.search(line[-1].text))


def _place(mention: Mention, number: int, line: Line) -> Place | None:
    within = [
        at
        for at, token in enumerate(line.tokens)
        if token.start < mention.char_end and token.end > mention.char_start
    ]
    return Place(number, within[0], within[-1]) if within else None
