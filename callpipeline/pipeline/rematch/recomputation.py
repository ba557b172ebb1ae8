"""Recomputation of a stage of completed calls, for another engine or other rules."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from callpipeline.domain.calls.call import Stage
from callpipeline.domain.competitors.catalog import Catalog
from callpipeline.errors import CatalogConflict, SettingsInvalid
from callpipeline.pipeline.rematch.planning import plan_rematch
from callpipeline.storage.ports.rematch import (
    EngineUse,
    Recomputations,
    SelectedCall,
    WaitingCall,
)

STAGES = {
    "mentions": Stage.COMPETITOR_MENTIONS,
    "sentiment": Stage.COMPETITOR_SENTIMENT,
    "transcripts": Stage.TRANSCRIPTS,
}
"""Stages that can be computed again, by the names that people use."""
CURRENT = "current"
"""Stands for the configured engine."""


@dataclass(frozen=True, slots=True)
class Recomputation:
    """The calls whose stage will be computed again, with the expected cost."""

    stage: Stage
    calls: tuple[SelectedCall, ...]

    @property
    def audio_s(self) -> float:
        return sum(call.duration_s for call in self.calls)

    @property
    def mentions(self) -> int:
        return sum(call.mentions for call in self.calls)

    @property
    def took_s(self) -> float:
        """Processing time of the stage last time."""
        return sum(call.took_s for call in self.calls)

    def describe(self) -> str:
        """Return what will be done, and the expected cost."""
        count = f"{len(self.calls):,} {'call' if len(self.calls) == 1 else 'calls'}"
        if self.stage is Stage.TRANSCRIPTS:
            return (
                f"{count} with {_hours(self.audio_s)} of audio would be transcribed again, their "
                f"mentions found and judged. Transcribing them took {_hours(self.took_s)} before."
            )
        if self.stage is Stage.COMPETITOR_SENTIMENT:
            return (
                f"{self.mentions:,} mentions in {count} would be judged again. That took "
                f"{_hours(self.took_s)} before. Nothing is transcribed."
            )
        return (
            f"Mentions would be found again in {count}, and those that change judged. Nothing is "
            "transcribed."
        )


def plan_recomputation(
    recomputations: Recomputations,
    stage: Stage,
    *,
    since: datetime | None = None,
    older_than: str | None = None,
    configured: str | None = None,
) -> Recomputation:
    """Select completed calls: since a time, or made by engines older than one.

    An engine is older if it was first used before; `current` is the `configured` one, and all
    others are older than it. Raises SettingsInvalid for an engine that made no call.
    """
    engines: list[str] | None = None
    if older_than is not None:
        engines = _older(recomputations.engines(stage), older_than, configured)
    calls = recomputations.select(stage, since=since, engines=engines)
    return Recomputation(stage, tuple(calls))


def _older(used: Sequence[EngineUse], than: str, configured: str | None) -> list[str]:
    names = [each.engine for each in used]
    if than == CURRENT:
        return [name for name in names if name.split(",")[0] != configured]
    if than not in names:
        known = ", ".join(names) or "none yet"
        raise SettingsInvalid(
            f"No call was made by engine {than!r}. The engines of this stage, oldest first: "
            f"{known}; or `{CURRENT}` for the configured one."
        )
    return names[: names.index(than)]


def request_recomputation(
    recomputations: Recomputations, catalog: Catalog, wanted: Recomputation, asked_by: str | None
) -> None:
    """Open a rematch of the calls, together with those that an older list made.

    Raises CatalogConflict if a person stopped the open one.
    """
    current = recomputations.current()
    if current is not None and current.paused_at is not None:
        raise CatalogConflict(
            "A rematch is stopped. Run `callpipeline catalog resume` first, which continues it."
        )
    asked = [WaitingCall(call.call_id, wanted.stage) for call in wanted.calls]
    name = next(name for name, stage in STAGES.items() if stage is wanted.stage)
    plan = plan_rematch(recomputations, catalog)
    if not recomputations.open(plan.as_rematch(f"{name} asked for again", asked_by, asked)):
        raise CatalogConflict("The competitor list changed meanwhile. Run the command again.")


def _hours(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:,.1f} hours"
