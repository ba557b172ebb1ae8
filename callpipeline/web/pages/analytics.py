"""`/analytics`: what the calls add up to; every number leads to the calls behind it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from callpipeline.domain.call import CallState
from callpipeline.pipeline.analytics import Analytics, analyse
from callpipeline.storage.reading.numbers import OfAgent
from callpipeline.web.filters import Asked, address
from callpipeline.web.opened import Here
from callpipeline.web.pages import charts
from callpipeline.web.pages.exports import Saved
from callpipeline.web.pages.filter_form import FilterForm
from callpipeline.web.pages.rendering import page
from callpipeline.web.pages.rows import calls_of
from callpipeline.web.pages.shown_mentions import SPEAKERS

router = APIRouter()

PATH = "/analytics"
MOST_AGENTS = 25
"""In the table, unless all are asked for."""

SortedBy = Literal["agent", "calls", "named", "mentions", "positive", "negative", "score"]
Order = Literal["up", "down"]
KEYS: Mapping[str, Callable[[OfAgent], Any]] = {
    "agent": lambda of: (of.name or "").casefold(),
    "calls": lambda of: of.calls,
    "named": lambda of: of.calls_with_mention,
    "mentions": lambda of: of.counts.mentions,
    "positive": lambda of: of.counts.positive,
    "negative": lambda of: of.counts.negative,
    "score": lambda of: of.counts.mean_score,
}
HEADERS: Sequence[tuple[SortedBy, str]] = (
    ("agent", "Agent"),
    ("calls", "Calls"),
    ("named", "With a mention"),
    ("mentions", "Mentions"),
    ("positive", "Positive"),
    ("negative", "Negative"),
    ("score", "Mean score"),
)


@dataclass(frozen=True, slots=True)
class Sorting:
    """How the table of agents is asked for: by what, in which order, and whether all of them."""

    sort: SortedBy = "mentions"
    order: Order = "down"
    agents: Literal["all"] | None = None


@dataclass(frozen=True, slots=True)
class AgentTable:
    """Agents in the order asked for, as many as are shown, and where the headers lead."""

    found: Analytics
    asked: Sorting
    headers = HEADERS

    @property
    def agents(self) -> Sequence[OfAgent]:
        key = KEYS[self.asked.sort]
        known = [each for each in self.found.agents if key(each) is not None]
        nothing = [each for each in self.found.agents if key(each) is None]
        ordered = sorted(known, key=key, reverse=self.asked.order == "down") + nothing
        return ordered if self.asked.agents else ordered[:MOST_AGENTS]

    @property
    def hidden(self) -> int:
        return len(self.found.agents) - len(self.agents)

    @property
    def link_to_all(self) -> str:
        return self._link(replace(self.asked, agents="all"))

    def link(self, header: SortedBy) -> str:
        """The other way around where it is sorted by this; names from A, numbers from the top."""
        if header == self.asked.sort:
            order: Order = "down" if self.asked.order == "up" else "up"
        else:
            order = "up" if header == "agent" else "down"
        return self._link(replace(self.asked, sort=header, order=order))

    def _link(self, to: Sorting) -> str:
        own = {"sort": to.sort, "order": to.order, "agents": to.agents}
        return f"{address(PATH, self.found.filters, **own)}#agents"


@router.get(PATH)
def analytics(
    request: Request,
    filters: Asked,
    here: Here,
    sorting: Annotated[Sorting, Depends()],
    after: Annotated[str | None, Query(max_length=400)] = None,
) -> HTMLResponse:
    today = datetime.now(UTC).date()
    found = analyse(here.reading, filters, here.choices(), today=today, after=after)
    calls = calls_of(here, found.newest.mentions if found.newest else ())
    return page(request, "analytics.html", calls=calls, **shown(found, today, sorting))


def shown(found: Analytics, today: date, sorting: Sorting) -> dict[str, Any]:
    """What the page is given."""
    filters = found.filters
    names = [each.name for each in found.competitors]
    return {
        "found": found,
        "form": FilterForm(PATH, filters, found.choices, today),
        "table": AgentTable(found, sorting),
        "charts": [
            charts.share_of_voice(found.voices, names, filters),
            charts.sentiment(found.over_time, filters),
        ],
        "address": address,
        "replace": replace,
        "speaker_names": SPEAKERS,
        "states": CallState,
        "saved": [Saved("mentions", filters.with_mention()), Saved("calls", filters.counted())],
    }
