"""Competitors in plain text, of which nobody knows who said what of it, and when."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.matching import Hit, Matcher
from callpipeline.domain.mention import Mention
from callpipeline.domain.mentions import find_mentions
from callpipeline.domain.transcript import Segment, Transcript

LONG = 1000
"""Characters: all of a part is weighed for each name in it, so parts bound what a text can cost."""

_END = re.compile(r"\s+|(?<=[^\w\s])")
"""Between words; where there are no spaces for long, behind a hyphen or the like."""


def mentions_in(text: str, matcher: Matcher, *, most: int) -> tuple[Mention, ...] | None:
    """Every mention, its `char_start` and `char_end` those of the whole text; None for too many.

    Times, and the segments that mentions name, mean nothing.
    """
    hits = matcher.find(text)
    if len(hits) > most:
        return None
    parts = list(_parts(text, hits))
    # One after the other without a pause, so that a sentence may go on from part to part.
    segments = tuple(
        Segment(n, n, n + 1, Channel.MIXED, Speaker.UNKNOWN, text[begin:end])
        for n, (begin, end) in enumerate(parts)
    )
    transcript = Transcript(Channel.MIXED, Speaker.UNKNOWN, "as sent", segments)
    found = find_mentions([transcript], matcher)
    return tuple(_moved(mention, parts[mention.segment_index][0]) for mention in found)


def _moved(mention: Mention, by: int) -> Mention:
    return replace(mention, char_start=mention.char_start + by, char_end=mention.char_end + by)


def _parts(text: str, hits: Sequence[Hit]) -> Iterator[tuple[int, int]]:
    """Begins and ends of lines, and of pieces of long ones; never within a name."""
    begin = 0
    for end in _END.finditer(text):
        is_long = end.start() - begin >= (LONG if end[0] else 2 * LONG)
        if ("\n" in end[0] or is_long) and not _is_within_a_name(end.start(), hits):
            yield begin, end.start()
            begin = end.end()
    yield begin, len(text)


def _is_within_a_name(place: int, hits: Sequence[Hit]) -> bool:
    at = bisect_left(hits, place, key=lambda hit: hit.char_start) - 1
    return at >= 0 and place < hits[at].char_end
