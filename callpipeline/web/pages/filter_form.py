"""The form of filters as pages show it: what can be chosen, what is, and stretches of time."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta

from callpipeline.domain.audio import Speaker
from callpipeline.domain.filters import Filters, Stance
from callpipeline.storage.reading.numbers import Choices
from callpipeline.web.filters import UNKNOWN_AGENT, address, parameters


@dataclass(frozen=True, slots=True)
class Preset:
    """Days that people often ask for, as a link that keeps all other filters."""

    label: str
    link: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class FilterForm:
    """A form that leads to `path`; `kept` are parameters that are no filters of the form.

    `more` are filters for which the page adds fields.
    """

    path: str
    filters: Filters
    choices: Choices
    today: date
    kept: tuple[tuple[str, str], ...] = ()
    more: frozenset[str] = frozenset()

    stances = tuple(Stance)
    speakers = (Speaker.AGENT, Speaker.CUSTOMER)
    unknown_agent = UNKNOWN_AGENT

    @property
    def is_filtered(self) -> bool:
        return bool(parameters(self.filters))

    @property
    def cleared(self) -> str:
        """Where all filters are gone."""
        return address(self.path, Filters(), **dict(self.kept))

    @property
    def agents(self) -> tuple[str, ...]:
        """Those there are, and the one that is asked for, however it is written."""
        return _with(self.choices.agents, (self.filters.agent or "",))

    @property
    def competitors(self) -> tuple[str, ...]:
        return _with(self.choices.competitors, self.filters.competitors)

    @property
    def hidden(self) -> list[tuple[str, str]]:
        """What the form has no field for but must not lose."""
        mine = {"from", "to", "agent", "competitor", "sentiment", "speaker", "source"} | self.more
        return [*self.kept, *(each for each in parameters(self.filters) if each[0] not in mine)]

    def is_agent(self, name: str) -> bool:
        return self.filters.agent is not None and _same(name, self.filters.agent)

    def names(self, competitor: str) -> bool:
        return any(_same(competitor, each) for each in self.filters.competitors)

    def presets(self) -> Iterator[Preset]:
        """The last days, this quarter, and all."""
        for days in (7, 30, 90):
            first = self.today - timedelta(days=days - 1)
            yield self._preset(f"Last {days} days", first, self.today)
        quarter = self.today.replace(month=(self.today.month - 1) // 3 * 3 + 1, day=1)
        yield self._preset("This quarter", quarter, self.today)
        yield self._preset("All days", None, None)

    def _preset(self, label: str, first: date | None, last: date | None) -> Preset:
        chosen = (self.filters.from_day, self.filters.to_day) == (first, last)
        wanted = replace(self.filters, from_day=first, to_day=last)
        return Preset(label, address(self.path, wanted, **dict(self.kept)), chosen)


def _with(known: tuple[str, ...], asked: tuple[str, ...]) -> tuple[str, ...]:
    missing = (name for name in asked if name and not any(_same(name, each) for each in known))
    return (*known, *missing)


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()
