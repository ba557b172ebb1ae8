"""Filters of calls and mentions, shared by lists, analytics, search and export.

A figure and the list of calls behind it differ only by a filter: `filters.with_competitor("EE")`
lists the calls that `by_competitor` counts for EE.
"""

from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import NamedTuple, Self

from callpipeline.domain.audio import Speaker
from callpipeline.domain.calls.call import CallState, is_call_id
from callpipeline.domain.sentiment import Sentiment
from callpipeline.domain.switching import SwitchingIntent

COUNTED_STATES = (CallState.PENDING, CallState.PROCESSING, CallState.COMPLETED, CallState.FAILED)
"""States of the calls that analytics count: neither duplicates nor erased."""

LISTED_STATES = (*COUNTED_STATES, CallState.DUPLICATE)
"""States of the calls that are listed by default."""

NO_AGENT = ""
"""Value of `CallFilters.agent` for calls without a known agent."""


class MentionSentiment(StrEnum):
    """A mention's sentiment; UNJUDGED if judging failed or is still pending."""

    POSITIVE = Sentiment.POSITIVE.value
    NEUTRAL = Sentiment.NEUTRAL.value
    NEGATIVE = Sentiment.NEGATIVE.value
    MIXED = Sentiment.MIXED.value
    UNJUDGED = "unjudged"


class MomentId(NamedTuple):
    """Identifies a mention among all calls."""

    call_id: str
    mention_id: str

    def __str__(self) -> str:
        return f"{self.call_id}/{self.mention_id}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the ID of its text form. Raises ValueError."""
        call_id, _, mention_id = text.partition("/")
        if not is_call_id(call_id) or not mention_id:
            raise ValueError("this is not the ID of a moment")
        return cls(call_id, mention_id)


@dataclass(frozen=True, slots=True)
class CallFilters:
    """Conditions on calls and their mentions; the default matches all.

    Days are UTC and inclusive. Names are case-insensitive. One counted mention must match all of
    `competitors`, `sentiment`, `speaker` and `switching`, and be one of `moments`; any of them, or
    `named`, limits the filter to calls with such a mention. `name` is words of the recording's
    path. `states` defaults to LISTED_STATES.
    """

    from_day: date | None = None
    to_day: date | None = None
    agent: str | None = None
    source: str | None = None
    competitors: tuple[str, ...] = ()
    sentiment: MentionSentiment | Sentiment | None = None
    speaker: Speaker | None = None
    named: bool = False
    states: tuple[CallState, ...] | None = None
    name: str = ""
    switching: tuple[SwitchingIntent, ...] = ()
    moments: tuple[MomentId, ...] = ()

    @property
    def requires_mention(self) -> bool:
        """Return true if only calls that mention a competitor match."""
        wanted = (self.competitors, self.sentiment, self.speaker, self.switching, self.moments)
        return self.named or any(wanted)

    def counted(self) -> Self:
        """Limit the filter to COUNTED_STATES; duplicates are listed but not counted."""
        return replace(self, states=_intersect(self.states, COUNTED_STATES))

    def in_state(self, state: CallState) -> Self:
        return replace(self, states=_intersect(self.states, (state,)))

    def mentioning_any(self) -> Self:
        """Limit the filter to counted calls with a matching mention."""
        return replace(self.counted(), named=True)

    def with_competitor(self, competitor: str) -> Self:
        return replace(self.mentioning_any(), competitors=(competitor,))

    def with_sentiment(self, stance: MentionSentiment | Sentiment) -> Self:
        return replace(self.mentioning_any(), sentiment=stance)

    def for_agent(self, agent: str | None) -> Self:
        """Limit the filter to counted calls of an agent; None means calls without a known agent."""
        return replace(self.counted(), agent=NO_AGENT if agent is None else agent)

    def between(self, first: date, last: date) -> Self:
        """Limit the filter to the calls of these days (inclusive)."""
        begin = max(first, self.from_day) if self.from_day else first
        end = min(last, self.to_day) if self.to_day else last
        return replace(self, from_day=begin, to_day=end)


def _intersect(
    wanted: tuple[CallState, ...] | None, of: tuple[CallState, ...]
) -> tuple[CallState, ...]:
    return of if wanted is None else tuple(state for state in of if state in wanted)
