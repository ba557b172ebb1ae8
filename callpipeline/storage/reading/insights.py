"""Moments of interest: how many there are, what is new, typical words, and agents' answers."""

from collections.abc import Sequence
from datetime import date

from callpipeline.domain.calls.call import CallState
from callpipeline.domain.calls.filters import CallFilters
from callpipeline.storage.ports.analytics import (
    AgentAnswer,
    AgentMentions,
    AgentWork,
    MomentCount,
    NamedWork,
    SaidAbout,
)
from callpipeline.storage.postgres.database import Database, Row, sanitize_text
from callpipeline.storage.reading.analytics import mention_counts
from callpipeline.storage.reading.filtered import ALL, resolve_competitors, select


class Insights:
    """Reads what stands behind the numbers of the calls that match filters."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self, filters: CallFilters = ALL) -> MomentCount:
        """Count the matching mentions."""
        [row] = self._select("insights/count_moments", filters)
        return MomentCount(row["moments"], row["calls"])

    def agents(self, filters: CallFilters = ALL, *, limit: int) -> list[AgentMentions]:
        """Return the agents in whose calls mentions match, most mentions first."""
        rows = self._select("insights/agents", filters, {"limit": limit})
        return [AgentMentions(row["agent"], row["name"], mention_counts(row)) for row in rows]

    def agent_work(self, filters: CallFilters = ALL) -> list[NamedWork]:
        """Return what the completed calls of each agent have."""
        rows = self._select("insights/agent_work", filters.in_state(CallState.COMPLETED))
        return [NamedWork(row.pop("agent"), row.pop("name"), AgentWork(**row)) for row in rows]

    def calls_of_customer(self, customer: str, *, limit: int) -> list[str]:
        """Return the calls of a customer by their case-insensitive name, newest first."""
        wanted: Row = {"customer": sanitize_text(customer), "limit": limit}
        rows = self._database.rows("insights/calls_of_customer", wanted)
        return [row["call_id"] for row in rows]

    def first_heard(self, names: Sequence[str], before: date) -> frozenset[str]:
        """Return those of the competitors that no call before the day mentions."""
        if not names:
            return frozenset()
        known: Row = {"names": list(names), "before": before}
        return frozenset(
            row["competitor"] for row in self._database.rows("insights/first_heard", known)
        )

    def said_about(self, filters: CallFilters, *, limit: int) -> list[SaidAbout]:
        """Return what was said in matching mentions, newest call first."""
        rows = self._select("insights/said_about", filters, {"limit": limit})
        return [SaidAbout(**row) for row in rows]

    def answers(self, filters: CallFilters, *, limit: int) -> list[AgentAnswer]:
        """Return what agents answered to the newest matching mentions by customers."""
        rows = self._select("insights/answers", filters, {"limit": limit})
        return [AgentAnswer(**row) for row in rows]

    def _select(self, name: str, filters: CallFilters, more: Row | None = None) -> list[Row]:
        return select(self._database, name, resolve_competitors(self._database, filters), more)
