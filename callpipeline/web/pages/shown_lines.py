"""The transcript as the call page shows it: lines with the mentions marked in them.

Written here and not in a template: of a call of two hours that takes a tenth of the time.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from markupsafe import Markup, escape

from callpipeline.domain.transcript import Segment
from callpipeline.web.pages.rendering import clock
from callpipeline.web.pages.shown_mentions import SPEAKERS, ShownMention

Piece = tuple[str, ShownMention | None]
"""Text, and the mention that it names."""


def lines(conversation: Iterable[Segment], mentions: Iterable[ShownMention]) -> Markup:
    """A list item for each segment, in the order given; who speaks stands where that changes.

    Scripts find the segment by `data-c` and `data-i`, and its seconds in `data-t` and `data-e`.
    """
    named: dict[tuple[str, int], list[ShownMention]] = defaultdict(list)
    for mention in mentions:
        named[mention.seen.channel, mention.seen.segment_index].append(mention)
    items: list[str] = []
    before = None
    for segment in conversation:
        inside = named.get((segment.channel, segment.index), ())
        items.append(_line(segment, inside, continues=segment.speaker == before))
        before = segment.speaker
    return Markup("\n".join(items))


def _line(segment: Segment, mentions: Sequence[ShownMention], *, continues: bool) -> str:
    start_s, end_s = round(segment.start_s, 3), round(segment.end_s, 3)
    who = "" if continues else f"<b>{SPEAKERS[segment.speaker]}</b>"
    said = "".join(_piece(text, mention) for text, mention in pieces(segment.text, mentions))
    return (
        f'<li class="{segment.speaker}{"" if continues else " first"}" data-t="{start_s}" '
        f'data-e="{end_s}" data-c="{segment.channel}" data-i="{segment.index}">'
        f'<a href="?t={start_s}">{clock(start_s)}</a>{who}<p>{said}</p></li>'
    )


def _piece(text: str, mention: ShownMention | None) -> str:
    if mention is None:
        return str(escape(text))
    return (
        f'<a class="named {mention.look}" href="?t={mention.start_s}" '
        f'data-m="{mention.number}">{escape(text)}</a>'
    )


def pieces(text: str, mentions: Iterable[ShownMention]) -> Iterator[Piece]:
    """The text cut where mentions begin and end; of two that overlap the first is marked."""
    at = 0
    for mention in sorted(mentions, key=lambda m: m.seen.char_start):
        start, end = mention.seen.char_start, min(mention.seen.char_end, len(text))
        if start < at or start >= end:
            continue
        if start > at:
            yield text[at:start], None
        yield text[start:end], mention
        at = end
    if at < len(text):
        yield text[at:], None
