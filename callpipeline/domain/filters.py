"""Which calls and mentions a person wants to see: one value for lists, numbers, search and export.

A number and the list of the calls behind it differ in nothing but a filter: `filters.naming("EE")`
lists the calls of which `by_competitor` counts EE.
"""

from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from callpipeline.domain.audio import Speaker
from callpipeline.domain.call import CallState
from callpipeline.domain.sentiment import Sentiment

COUNTED = (CallState.PENDING, CallState.PROCESSING, CallState.COMPLETED, CallState.FAILED)
"""The states of calls that are counted: neither duplicates of another one nor erased."""

SHOWN = (*COUNTED, CallState.DUPLICATE)
"""The states of calls that are listed where no state is asked for."""

NOBODY = ""
"""Stands for the agent of calls of which no agent is known."""


class Stance(StrEnum):
    """A mention's sentiment; UNJUDGED where it could not be found out, or is not yet."""

    POSITIVE = Sentiment.POSITIVE.value
    NEUTRAL = Sentiment.NEUTRAL.value
    NEGATIVE = Sentiment.NEGATIVE.value
    UNSURE = Sentiment.UNSURE.value
    UNJUDGED = "unjudged"


@dataclass(frozen=True, slots=True)
class Filters:
    """What is wanted of calls, and of the mentions in them; what is not given wants all.

    Days are those of the call by UTC, both inclusive. Names are found in any case. `competitors`,
    `sentiment` and `speaker` are of one and the same mention that counts; with any of them, or with
    `named`, only calls with such a mention are meant. `name` is words of the recording's path;
    `states` of None are all that are SHOWN.
    """

    from_day: date | None = None
    to_day: date | None = None
    agent: str | None = None
    source: str | None = None
    competitors: tuple[str, ...] = ()
    sentiment: Stance | Sentiment | None = None
    speaker: Speaker | None = None
    named: bool = False
    states: tuple[CallState, ...] | None = None
    name: str = ""

    @property
    def wants_mention(self) -> bool:
        """Whether only calls are meant in which a competitor is named."""
        return self.named or bool(self.competitors or self.sentiment or self.speaker)

    def counted(self) -> "Filters":
        """Of these the calls that are counted: duplicates are listed, but not counted."""
        return replace(self, states=_both(self.states, COUNTED))

    def in_state(self, state: CallState) -> "Filters":
        return replace(self, states=_both(self.states, (state,)))

    def with_mention(self) -> "Filters":
        """Of the counted calls those with a mention that these filters let through."""
        return replace(self.counted(), named=True)

    def naming(self, competitor: str) -> "Filters":
        return replace(self.with_mention(), competitors=(competitor,))

    def spoken_of(self, stance: Stance | Sentiment) -> "Filters":
        return replace(self.with_mention(), sentiment=stance)

    def of_agent(self, agent: str | None) -> "Filters":
        """The counted calls of an agent; None is of those whose agent is not known."""
        return replace(self.counted(), agent=NOBODY if agent is None else agent)

    def between(self, first: date, last: date) -> "Filters":
        """Of these the calls of some days, both inclusive."""
        begin = max(first, self.from_day) if self.from_day else first
        end = min(last, self.to_day) if self.to_day else last
        return replace(self, from_day=begin, to_day=end)


def _both(wanted: tuple[CallState, ...] | None, of: tuple[CallState, ...]) -> tuple[CallState, ...]:
    return of if wanted is None else tuple(state for state in of if state in wanted)
