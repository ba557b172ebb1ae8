"""Charts of mentions over time, whose points lead to the moments behind them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from callpipeline.domain.calls.filters import CallFilters, MentionSentiment
from callpipeline.domain.time_buckets import BucketSize, TimeBucket
from callpipeline.storage.ports.analytics import MentionTrend
from callpipeline.web.pages.insights.moments import moments_url
from callpipeline.web.pages.rendering import SENTIMENT_LABELS

MAX_LINES = 5
"""Most mentioned competitors, which have a line of their own; all others share one."""

OTHERS = "All others"
COLOUR_COUNT = 7
COLOURS = {
    MentionSentiment.POSITIVE: 3,
    MentionSentiment.NEUTRAL: 7,
    MentionSentiment.NEGATIVE: 2,
    MentionSentiment.MIXED: 4,
    MentionSentiment.UNJUDGED: 5,
}


@dataclass(frozen=True, slots=True)
class ChartLine:
    """Line of a chart: values to draw and mentions per bucket, selected by `filters`.

    `colour` is a number of the style sheet, 1 to 7. `days` are the line's own buckets, where they
    are not those of the chart.
    """

    name: str
    values: Sequence[float | None]
    counts: Sequence[int]
    filters: CallFilters
    colour: int
    days: Sequence[TimeBucket] = ()

    @property
    def link(self) -> str:
        """Return the link to its moments; scripts add the days of a point."""
        return moments_url(self.filters)

    def bucket_link(self, index: int, bucket: TimeBucket) -> str:
        own = self.days[index] if index < len(self.days) else bucket
        return moments_url(self.filters.between(own.first, own.last))


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over time; the page also shows them as a table."""

    name: str
    title: str
    unit: str
    step: BucketSize
    buckets: Sequence[TimeBucket]
    lines: Sequence[ChartLine]

    def data(self) -> dict[str, Any]:
        """Return the JSON data for charts.js."""
        return {
            "title": self.title,
            "unit": self.unit,
            "step": self.step,
            "buckets": [_days(each) for each in self.buckets],
            "lines": [
                {
                    "name": line.name,
                    "values": line.values,
                    "link": line.link,
                    "colour": line.colour,
                    "buckets": [_days(each) for each in line.days],
                }
                for line in self.lines
            ],
        }

    def rows(self) -> Iterator[tuple[TimeBucket, list[tuple[str, float | None, int]]]]:
        """Yield the buckets with mentions, newest first: link, value and count of each line."""
        for index in reversed(range(len(self.buckets))):
            bucket = self.buckets[index]
            cells = [
                (line.bucket_link(index, bucket), line.values[index], line.counts[index])
                for line in self.lines
            ]
            if any(count for *_, count in cells):
                yield bucket, cells


def charted_names(trend: MentionTrend, names: Sequence[str], picked: Sequence[str]) -> list[str]:
    """Return the competitors with a line: the most mentioned of these, and those picked."""
    mentioned = [name for name in trend.by_competitor if name in names]
    more = [name for name in mentioned[MAX_LINES:] if name in picked]
    return mentioned[:MAX_LINES] + more


def share_of_voice_chart(
    trend: MentionTrend, names: Sequence[str], filters: CallFilters, charted: Sequence[str]
) -> Chart:
    """Chart the share of all mentions of some of these competitors; the others have one line."""
    lines = [
        ChartLine(
            name,
            trend.share(name),
            trend.by_competitor[name],
            filters.with_competitor(name),
            (number - 1) % COLOUR_COUNT + 1,
        )
        for number, name in enumerate(charted, start=1)
    ]
    others = [name for name in trend.by_competitor if name in names and name not in charted]
    if others:
        lines.append(_others_line(trend, others, filters))
    return Chart("share", "Share of voice", "percent", trend.step, trend.buckets, lines)


def sentiment_chart(trend: MentionTrend, filters: CallFilters) -> Chart:
    """Chart the number of mentions by sentiment."""
    counts = {each: trend.by_sentiment.get(each, ()) for each in MentionSentiment}
    lines = [
        ChartLine(
            SENTIMENT_LABELS[each],
            counts[each],
            counts[each],
            filters.with_sentiment(each),
            COLOURS[each],
        )
        for each in MentionSentiment
        if any(counts[each])
    ]
    return Chart("sentiment", "Sentiment", "mentions", trend.step, trend.buckets, lines)


def _others_line(trend: MentionTrend, names: Sequence[str], filters: CallFilters) -> ChartLine:
    columns = zip(*(trend.by_competitor[name] for name in names), strict=True)
    counts = [sum(column) for column in columns]
    shares = [n / of if of else None for n, of in zip(counts, trend.mentions, strict=True)]
    selected = replace(filters.mentioning_any(), competitors=tuple(names))
    return ChartLine(OTHERS, shares, counts, selected, COLOUR_COUNT)


def _days(bucket: TimeBucket) -> list[str]:
    return [bucket.first.isoformat(), bucket.last.isoformat()]
