"""Teams: agents in groups, from a table of two columns."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO
from typing import Self

AGENT, TEAM = "agent", "team"
MAX_NAME_CHARS = 200


@dataclass(frozen=True, slots=True)
class Teams:
    """The team of each agent; names of agents are case-insensitive."""

    by_agent: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a CSV file with the columns `agent` and `team`, in any order.

        Raises ValueError with the line for an agent in two teams, or an incomplete line.
        """
        rows = csv.DictReader(StringIO(text.removeprefix("\ufeff")), strict=True)
        names = {(name or "").strip().lower(): name for name in rows.fieldnames or ()}
        if not {AGENT, TEAM} <= names.keys():
            raise ValueError("the first line must name the columns agent and team")
        found: dict[str, str] = {}
        try:
            for row in rows:
                agent, team = (_value(row, names[column]) for column in (AGENT, TEAM))
                if not agent and not team:
                    continue
                if not agent or not team:
                    raise ValueError(f"line {rows.line_num} needs an agent and a team")
                if max(len(agent), len(team)) > MAX_NAME_CHARS:
                    raise ValueError(f"line {rows.line_num} is longer than {MAX_NAME_CHARS}")
                if found.setdefault(agent.lower(), team) != team:
                    raise ValueError(f"line {rows.line_num}: {agent} is in two teams")
        except csv.Error as error:
            raise ValueError(f"line {rows.line_num}: {error}") from None
        return cls(found)

    def of(self, agent: str) -> str | None:
        """Return the team of an agent, None if the agent is in none."""
        return self.by_agent.get(agent.lower())


def _value(row: Mapping[str | None, str | list[str] | None], column: str | None) -> str:
    value = row.get(column)
    return " ".join(value.split()) if isinstance(value, str) else ""
