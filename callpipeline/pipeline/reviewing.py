"""Unsure mentions as a person looks at them: with the words around, a page at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

from callpipeline.storage.reviews import Place, Reviews, Unsure

AROUND = 160
"""Letters before and behind a name: two or three lines are enough to tell what is meant."""
CUT = "…"


@dataclass(frozen=True, slots=True)
class Doubt:
    """An unsure mention in its words: `before`, `said` and `after` are what was said, in order.

    Both are empty where what was said is not kept any more.
    """

    unsure: Unsure
    before: str
    said: str
    after: str


@dataclass(frozen=True, slots=True)
class DoubtPage:
    """Some unsure mentions, and where the next page begins; None behind the last one."""

    doubts: Sequence[Doubt]
    next_after: Place | None


def doubts(
    reviews: Reviews, *, competitor: str | None = None, after: Place | None = None, limit: int = 50
) -> DoubtPage:
    """A page of mentions that wait for a person, of the newest calls first."""
    found = reviews.unsure(competitor=competitor, after=after, limit=limit + 1)
    shown = found[:limit]
    return DoubtPage(tuple(map(in_words, shown)), shown[-1].place if len(found) > limit else None)


def in_words(unsure: Unsure) -> Doubt:
    """The mention with the words around it, cut between words."""
    mention, text = unsure.mention, unsure.text
    # A transcript that was made anew may be there before its mentions are.
    if text is None or text[mention.char_start : mention.char_end] != mention.said:
        return Doubt(unsure, "", mention.said, "")
    before, after = text[: mention.char_start], text[mention.char_end :]
    if len(before) > AROUND:
        before = f"{CUT} {before[-AROUND:].partition(' ')[2]}"
    if len(after) > AROUND:
        after = f"{after[:AROUND].rpartition(' ')[0]} {CUT}"
    return Doubt(unsure, before, mention.said, after)
