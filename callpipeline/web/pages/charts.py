"""What a script draws: values by stretch of time, and where each point leads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from callpipeline.domain.filters import Filters, Stance
from callpipeline.domain.stretches import Step, Stretch
from callpipeline.storage.reading.numbers import OverTime
from callpipeline.web.filters import address

MOST_LINES = 6
"""Competitors with a line of their own; all others are one more line."""

OTHERS = "All others"
COLOURS = {
    Stance.POSITIVE: 3,
    Stance.NEUTRAL: 7,
    Stance.NEGATIVE: 2,
    Stance.UNSURE: 4,
    Stance.UNJUDGED: 5,
}


@dataclass(frozen=True, slots=True)
class Line:
    """`values` are drawn, `counts` are the mentions of each stretch, which `filters` lead to.

    `colour` is the number of one in the style sheet, 1 to 7.
    """

    name: str
    values: Sequence[float | None]
    counts: Sequence[int]
    filters: Filters
    colour: int

    @property
    def link(self) -> str:
        """To its calls; a script sets the days of a point."""
        return address("/calls", self.filters)

    def link_of(self, stretch: Stretch) -> str:
        """To the calls of a stretch."""
        return address("/calls", self.filters.between(stretch.first, stretch.last))


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over stretches of time; the same numbers stand in a table below."""

    name: str
    title: str
    unit: str
    step: Step
    stretches: Sequence[Stretch]
    lines: Sequence[Line]

    def document(self) -> dict[str, Any]:
        """For the script, which draws it."""
        return {
            "title": self.title,
            "unit": self.unit,
            "step": self.step,
            "stretches": [_days(each) for each in self.stretches],
            "lines": [
                {
                    "name": line.name,
                    "values": line.values,
                    "link": line.link,
                    "colour": line.colour,
                }
                for line in self.lines
            ],
        }

    def rows(self) -> Iterator[tuple[Stretch, list[tuple[Line, float | None, int]]]]:
        """The newest stretch first, with what each line has in it; empty ones are left out."""
        for place in reversed(range(len(self.stretches))):
            cells = [(line, line.values[place], line.counts[place]) for line in self.lines]
            if any(count for *_, count in cells):
                yield self.stretches[place], cells


def share_of_voice(found: OverTime, names: Sequence[str], filters: Filters) -> Chart:
    """Each of these competitors' part of all mentions, for those that are named most."""
    names = [name for name in found.by_competitor if name in names]
    lines = [
        Line(name, found.share(name), found.by_competitor[name], filters.naming(name), place + 1)
        for place, name in enumerate(names[:MOST_LINES])
    ]
    if others := names[MOST_LINES:]:
        lines.append(_of_others(found, others, filters))
    return Chart("share", "Share of voice", "percent", found.step, found.stretches, lines)


def sentiment(found: OverTime, filters: Filters) -> Chart:
    """How many mentions there are of each sentiment."""
    counts = {stance: found.by_stance.get(stance, ()) for stance in Stance}
    lines = [
        Line(
            stance.capitalize(),
            counts[stance],
            counts[stance],
            filters.spoken_of(stance),
            COLOURS[stance],
        )
        for stance in Stance
        if any(counts[stance])
    ]
    return Chart("sentiment", "Sentiment", "mentions", found.step, found.stretches, lines)


def _of_others(found: OverTime, names: Sequence[str], filters: Filters) -> Line:
    columns = zip(*(found.by_competitor[name] for name in names), strict=True)
    counts = [sum(column) for column in columns]
    shares = [n / of if of else None for n, of in zip(counts, found.mentions, strict=True)]
    wanted = replace(filters.with_mention(), competitors=tuple(names))
    return Line(OTHERS, shares, counts, wanted, MOST_LINES + 1)


def _days(stretch: Stretch) -> list[str]:
    return [stretch.first.isoformat(), stretch.last.isoformat()]
