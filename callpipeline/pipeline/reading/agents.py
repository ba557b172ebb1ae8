"""Agents and teams compared: talk, mentions that they raise, and those that they answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from callpipeline.domain.calls.filters import CallFilters
from callpipeline.domain.calls.teams import Teams
from callpipeline.storage.ports.analytics import AgentWork, InsightReader

UNKNOWN = ""
"""Key of calls without an agent."""


@dataclass(frozen=True, slots=True)
class ComparedAgent:
    """An agent with the team, if any; `name` is None for calls without an agent."""

    key: str
    name: str | None
    team: str | None
    work: AgentWork


@dataclass(frozen=True, slots=True)
class ComparedTeam:
    """A team with its agents who have calls."""

    name: str
    agents: int
    work: AgentWork


@dataclass(frozen=True, slots=True)
class AgentComparison:
    """Agents and teams of the filtered calls, and all together; most calls first."""

    filters: CallFilters
    agents: Sequence[ComparedAgent]
    teams: Sequence[ComparedTeam]
    all: AgentWork

    def agent(self, key: str) -> ComparedAgent | None:
        """Return an agent by the name, ignoring case; one of exactly this name comes first."""
        found = [e for e in self.agents if (e.name or UNKNOWN).casefold() == key.casefold()]
        return next((each for each in found if each.name == key), found[0] if found else None)

    def team(self, name: str | None) -> ComparedTeam | None:
        return next((each for each in self.teams if each.name == name), None)


def compare_agents(insights: InsightReader, filters: CallFilters, teams: Teams) -> AgentComparison:
    """Compare the agents of the filtered completed calls."""
    found = [
        ComparedAgent(each.agent, each.name, teams.of(each.agent), each.work)
        for each in insights.agent_work(filters)
    ]
    ordered = sorted(found, key=lambda each: (-each.work.completed, each.key))
    names = sorted({each.team for each in found if each.team})
    compared = [_team(name, [each for each in found if each.team == name]) for name in names]
    return AgentComparison(
        filters,
        ordered,
        sorted(compared, key=lambda each: (-each.work.completed, each.name)),
        _sum(found),
    )


def _team(name: str, members: Sequence[ComparedAgent]) -> ComparedTeam:
    return ComparedTeam(name, len(members), _sum(members))


def _sum(agents: Sequence[ComparedAgent]) -> AgentWork:
    return reduce(AgentWork.__add__, (each.work for each in agents), AgentWork())
