"""The documents of `/analytics/…`: the fields of the old system, and more of the same kind."""

from datetime import date, datetime

from pydantic import BaseModel

from callpipeline.domain.filters import Stance


class Named(BaseModel):
    """A competitor, and how often it is named."""

    name: str
    count: int


class Spoken(BaseModel):
    """Mentions of one sentiment."""

    sentiment: Stance
    count: int


class SpokenPart(Spoken):
    """`percentage` is of all mentions that are counted, 0..100."""

    percentage: float


class Overview(BaseModel):
    """`top_competitors` are ten at most; `sentiment_distribution` has the sentiments that occur."""

    total_jobs: int
    total_competitors: int
    top_competitors: list[Named]
    sentiment_distribution: list[Spoken]


class MentionFound(BaseModel):
    """A mention with the segment it was said in; times are seconds from the call's beginning.

    `job_id` is the call's id, `at_s` the second of the name itself.
    """

    id: str
    job_id: str
    competitor_name: str
    segment_text: str
    sentiment: Stance
    score: float | None
    detection_method: str
    detection_details: str
    segment_id: int
    start_time: float
    end_time: float
    context: str
    quote: str | None
    at_s: float
    speaker: str
    agent: str | None
    filename: str
    took_place_at: datetime


class OfCompetitor(BaseModel):
    """`segments` are the newest mentions, `next_cursor` is the `after` of those that follow."""

    competitor_name: str
    total_mentions: int
    unique_calls: int
    sentiment_breakdown: list[SpokenPart]
    segments: list[MentionFound]
    next_cursor: str | None


class Listed(BaseModel):
    name: str
    mention_count: int


class Competitors(BaseModel):
    """All competitors that are named, those named most first."""

    competitors: list[Listed]


class OfDay(BaseModel):
    """Mentions of one sentiment on the day of the call, by UTC."""

    date: date
    sentiment: Stance
    count: int


class Trends(BaseModel):
    trends: list[OfDay]


class Part(BaseModel):
    """Mentions of a competitor, and its share of all (0..1), in each stretch of time."""

    name: str
    mentions: list[int]
    share: list[float | None]


class Stretch(BaseModel):
    """Days in a row, both inclusive; `mentions` are those of all competitors."""

    first: date
    last: date
    mentions: int


class ShareOfVoice(BaseModel):
    """Lists of competitors have a value for each stretch: a day, a week or a month."""

    step: str
    stretches: list[Stretch]
    competitors: list[Part]
