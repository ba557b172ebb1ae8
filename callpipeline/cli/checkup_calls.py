"""What the doctor finds of calls: whether those that wait are taken, and those taken go on."""

from collections.abc import Iterator

from callpipeline.cli.findings import Finding, Level
from callpipeline.domain.call import Lane
from callpipeline.storage.claims import ClaimingRun, Claims
from callpipeline.storage.database import Database
from callpipeline.storage.erasures import Erasures
from callpipeline.storage.outages import KnownOutage, Outages
from callpipeline.storage.queue import Queue, Waiting

LONGEST_WAIT_S = 15 * 60
SILENT_S = 120.0
"""The sensor `lost_runs` takes calls back after 45 s: who is silent longer, nobody looks after."""
UNSTARTED = 3
LATE_ERASURE_S = 3600.0


def waiting(database: Database) -> list[Finding] | str:
    """What waits in each lane."""
    at_work = any(run.silent_s <= SILENT_S for run in Claims(database).claiming_runs())
    lanes = Queue(database).waiting()
    return [of_lane(lane, at_work=at_work) for lane in lanes] or "none"


def of_lane(lane: Waiting, *, at_work: bool) -> Finding:
    """A backlog may wait long as long as runs work on it; calls of today may not."""
    name, told = f"waiting calls, {lane.lane}", f"{lane.calls}"
    if lane.later:
        told += f", {lane.later} of them for their next try"
    if lane.fruitless >= UNSTARTED:
        told += (
            f"; {lane.fruitless} runs in a row ended before they took their calls: look at the "
            "newest failed run in Dagster"
        )
        return Finding(name, Level.BAD, told)
    if lane.oldest_s is None:
        return Finding(name, Level.OK, told)
    if lane.oldest_s <= LONGEST_WAIT_S:
        return Finding(name, Level.OK, f"{told}; the oldest for {lane.oldest_s:.0f} s")
    told += f"; the oldest for {lane.oldest_s / 60:.0f} minutes"
    if lane.lane is Lane.BULK and at_work:
        return Finding(name, Level.WARN, f"{told}: a backlog that is worked on")
    return Finding(name, Level.BAD, f"{told}: is `callpipeline up` on?")


def services(database: Database) -> list[Finding] | str:
    """Services that are away, and the calls that wait for them."""
    away = Outages(database).all()
    return [_away(outage) for outage in away] or "none is known to be away"


def _away(outage: KnownOutage) -> Finding:
    said = (
        f"{outage.reason} Away since {outage.since:%Y-%m-%d %H:%M}; {outage.calls} calls wait for "
        f"it, and go on by themselves; it is tried again at {outage.again_at:%H:%M:%S}"
    )
    return Finding(outage.service, Level.BAD, said)


def silent_runs(database: Database) -> list[Finding] | str:
    """Runs that hold calls and give no sign of life."""
    runs = Claims(database).claiming_runs()
    return list(_silent(runs)) or (f"{len(runs)} at work" if runs else "none at work")


def erasures(database: Database) -> list[Finding] | str:
    """Erasures that somebody asked for and that are not finished."""
    unfinished = Erasures(database).open()
    late = [erasure for erasure in unfinished if erasure.age_s > LATE_ERASURE_S]
    if not late:
        return f"{len(unfinished)} under way" if unfinished else "none under way"
    troubles = sorted({erasure.trouble for erasure in late if erasure.trouble})
    why = " ".join(troubles) or "is `callpipeline up` on?"
    told = f"{len(late)} are not finished after an hour: {why}"
    return [Finding("erasures", Level.BAD, told)]


def _silent(runs: list[ClaimingRun]) -> Iterator[Finding]:
    for run in runs:
        if run.silent_s > SILENT_S:
            yield Finding(
                f"run {run.run_id[:8]}",
                Level.BAD,
                f"holds calls and gave no sign of life for {run.silent_s / 60:.0f} minutes; while "
                "`callpipeline up` is on, the sensor lost_runs gives them to another run",
            )
