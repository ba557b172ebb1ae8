"""Plans of rematches: which calls a change of catalog or rules can affect."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from callpipeline.domain.competitors.catalog import Catalog
from callpipeline.domain.competitors.catalog_diff import FormSearch, changed_forms
from callpipeline.domain.competitors.find_mentions import RULE_VERSION
from callpipeline.storage.ports.rematch import (
    CatalogChange,
    NewRematch,
    RematchPlanner,
    RematchPlans,
    RematchProgress,
    ResultVersions,
    Staleness,
    WaitingCall,
)

LONGEST_START_S = 60.0
"""The sensor `competitor_list` requests a run within ten seconds; the run starts in five."""


@dataclass(frozen=True, slots=True)
class RematchPlan:
    """The calls that a target can change, and those that it can't, by what made them.

    `skipped` older calls were not searched.
    """

    target: ResultVersions
    affected: tuple[str, ...]
    unaffected: Mapping[ResultVersions, tuple[str, ...]]
    examined_at: datetime
    skipped: int = 0

    def as_rematch(
        self, reason: str, asked_by: str | None = None, asked: Iterable[WaitingCall] = ()
    ) -> NewRematch:
        """Return the rematch of the affected calls, and of those that a person `asked` for."""
        assert self.target.catalog_version is not None
        assert self.target.rule_version is not None
        calls = {call_id: WaitingCall(call_id) for call_id in self.affected}
        calls |= {each.call_id: each for each in asked}
        return NewRematch(
            self.target.catalog_version,
            self.target.rule_version,
            list(calls.values()),
            self.unaffected,
            self.examined_at,
            reason,
            asked_by,
        )


def plan_rematch(
    plans: RematchPlans,
    catalog: Catalog,
    *,
    rule_version: int = RULE_VERSION,
    newest: int | None = None,
) -> RematchPlan:
    """Find the calls whose results a catalog can change, by searching their stored texts.

    All calls made by other rules are affected, and those whose catalog is not known any more.
    With `newest`, only so many of the newest calls of each version are searched.
    """
    examined_at = plans.now()
    target = ResultVersions(catalog.version, rule_version)
    affected: list[str] = []
    unaffected: dict[ResultVersions, tuple[str, ...]] = {}
    skipped = 0
    for group in plans.versions_in_use():
        if group.versions == target:
            continue
        calls = plans.stale_calls(group.versions, target)
        skipped += 0 if newest is None else max(len(calls) - newest, 0)
        calls = calls if newest is None else calls[-newest:]
        found = _affected(plans, group.versions, catalog, rule_version, calls)
        affected += [call_id for call_id in calls if call_id in found]
        unaffected[group.versions] = tuple(each for each in calls if each not in found)
    return RematchPlan(target, tuple(sorted(affected)), unaffected, examined_at, skipped)


def _affected(
    plans: RematchPlans,
    made_by: ResultVersions,
    catalog: Catalog,
    rule_version: int,
    calls: Sequence[str],
) -> Collection[str]:
    before = plans.catalog(made_by.catalog_version) if made_by.catalog_version else None
    if before is None or made_by.rule_version != rule_version:
        return frozenset(calls)
    forms = changed_forms(before, catalog)
    if not forms:
        return frozenset()
    search = FormSearch(forms)
    found: set[str] = set()
    for call_id, text in plans.texts(calls, search.pattern):
        if call_id not in found and search.is_in(text):
            found.add(call_id)
    return found


class CatalogHistory(Protocol):
    """Knows the version of the catalog in force."""

    def current(self) -> CatalogChange | None: ...


def count_stale(catalogs: CatalogHistory, rematches: RematchPlanner) -> Staleness | None:
    """Count the calls with results of older versions; None before the first list."""
    current = catalogs.current()
    if current is None:
        return None
    return rematches.staleness(ResultVersions(current.version, RULE_VERSION))


class RematchPhase(StrEnum):
    """State of the rematch that the list in force needs."""

    CURRENT = "current"
    WAITING = "waiting"
    RUNNING = "running"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class RematchStatus:
    """The calls on older versions, and the open rematch for the list in force, if any.

    CURRENT: no call can be rematched. WAITING: a run will start. STOPPED: until it is resumed.
    `list_age_s` is how long the list has been in force.
    """

    staleness: Staleness
    rematch: RematchProgress | None
    list_age_s: float

    @property
    def is_late(self) -> bool:
        """Return true if a run should have started by now."""
        return self.phase is RematchPhase.WAITING and self.list_age_s > LONGEST_START_S

    @property
    def phase(self) -> RematchPhase:
        if self.rematch is not None:
            return RematchPhase.STOPPED if self.rematch.paused_at else RematchPhase.RUNNING
        return RematchPhase.WAITING if self.staleness.waiting else RematchPhase.CURRENT

    def describe(self) -> str:
        """Return the progress of the rematch, or else how many calls are on an older list."""
        if self.rematch is not None:
            return f"{self.rematch.describe()}."
        if not self.staleness.calls:
            return "All calls are on the list in force."
        return f"{self.staleness.describe()}."


def rematch_status(catalogs: CatalogHistory, rematches: RematchPlanner) -> RematchStatus | None:
    """Return the state of the rematch that the list in force needs; None before the first list."""
    current = catalogs.current()
    if current is None:
        return None
    target = ResultVersions(current.version, RULE_VERSION)
    rematch = rematches.current()
    is_for = rematch and (rematch.catalog_version, rematch.rule_version) == (
        target.catalog_version,
        target.rule_version,
    )
    list_age_s = (rematches.now() - current.made_at).total_seconds()
    return RematchStatus(rematches.staleness(target), rematch if is_for else None, list_age_s)


def continue_rematch(rematches: RematchPlanner, catalog: Catalog) -> RematchProgress | None:
    """Return the rematch to work on; plan one if calls have older results, else return None.

    A rematch for another list is replaced: its calls, done or not, are examined again.
    """
    target = ResultVersions(catalog.version, RULE_VERSION)
    current = rematches.current()
    if current and (current.catalog_version, current.rule_version) == (
        target.catalog_version,
        target.rule_version,
    ):
        return current
    left_over = rematches.has_left_over()
    if current is None and not left_over and not rematches.staleness(target).waiting:
        return None
    plan = plan_rematch(rematches, catalog)
    rematches.open(plan.as_rematch(_reason(plan)))
    return rematches.current()


def _reason(plan: RematchPlan) -> str:
    """Return what made the results of the calls old."""
    if not plan.unaffected:
        return "asked for before"
    rules = {each.rule_version for each in plan.unaffected}
    if rules - {plan.target.rule_version}:
        return f"rules {plan.target.rule_version}"
    return f"list {plan.target.catalog_version}"
