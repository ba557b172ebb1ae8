"""Examine competitor list, queue, outages, runs, erasures, channels and the outbox."""

from collections.abc import Iterator
from datetime import UTC

from callpipeline import wiring
from callpipeline.cli.doctor.findings import DoctorFinding, FindingLevel
from callpipeline.config import Settings
from callpipeline.domain.calls.call import Lane
from callpipeline.domain.competitors.find_mentions import RULE_VERSION
from callpipeline.storage.calls.claims import ClaimingRun, Claims
from callpipeline.storage.calls.queue import CallQueue, LaneBacklog, Outages, OutageStatus
from callpipeline.storage.catalog.rematches import RematchQueue
from callpipeline.storage.catalog.versions import CatalogVersions
from callpipeline.storage.erasure import Erasures
from callpipeline.storage.notifications import ChannelBacklog, Notifications, Outbox
from callpipeline.storage.ports.rematch import CatalogChange, ChangeOrigin, ResultVersions
from callpipeline.storage.postgres.database import Database
from callpipeline.storage.reading.filtered import DayZone

LONGEST_WAIT_S = 15 * 60
SILENT_S = 120.0
"""The sensor `lost_runs` reclaims calls after 45 s; a longer silence means it is not running."""
UNSTARTED = 3
LATE_ERASURE_S = 3600.0

LONGEST_UNDISPATCHED_S = 10 * 60
"""The sensor `outbox` runs every ten seconds."""
LONGEST_PENDING_S = 60 * 60


def time_zone(options: Settings, database: Database) -> list[DoctorFinding]:
    """Report the time zone of days, and a setting that was not applied yet."""
    known = DayZone(database).get().key
    if known == options.day_zone:
        return [DoctorFinding("time zone", FindingLevel.OK, f"days are counted in {known}")]
    problem = f"days are counted in {known}, but CALLPIPELINE_TIMEZONE is {options.day_zone}: "
    return [
        DoctorFinding(
            "time zone",
            FindingLevel.WARN,
            f"{problem}run `callpipeline migrate`, or restart `callpipeline up`",
        )
    ]


def competitors(options: Settings, database: Database) -> list[DoctorFinding]:
    """Report the list in force, and files that were refused. Raises CatalogInvalid."""
    catalogs = CatalogVersions(database)
    in_force = wiring.load_catalog(options, catalogs)
    count = len(in_force.competitors)
    origin = _origin(catalogs.current(), options)
    detail = f"{count} competitors, version {in_force.version}, {origin}"
    findings = [DoctorFinding("competitors", FindingLevel.OK, detail)]
    for file in catalogs.files():
        if file.problem:
            refused = f"{file.path} was refused, an earlier list is in force: {file.problem}"
            findings.append(DoctorFinding("competitors", FindingLevel.WARN, refused))
        findings += [
            DoctorFinding("competitors", FindingLevel.OK, f"{file.path}: {warning}")
            for warning in file.warnings
            if not file.problem and file.path == str(options.catalog_path)
        ]
    return findings


def _origin(change: CatalogChange | None, options: Settings) -> str:
    """Return where the list in force comes from: its file, or a change made elsewhere since."""
    if change is None or change.origin is ChangeOrigin.FILE:
        return f"from {options.catalog_path}"
    by = f", {change.made_by}" if change.made_by else ""
    return f"changed on {change.made_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC ({change.origin}{by})"


def outdated_calls(database: Database) -> list[DoctorFinding] | str:
    """Report completed calls with results of an older list or older rules."""
    current = CatalogVersions(database).current()
    rematches = RematchQueue(database)
    if current is None:
        return "no list is in force yet"
    staleness = rematches.staleness(ResultVersions(current.version, RULE_VERSION))
    rematch = rematches.current()
    if rematch and rematch.is_deferred:
        detail = f"{rematch.describe()}; it goes on by itself when the judge is back"
        return [DoctorFinding("calls on the list", FindingLevel.WARN, detail)]
    if not staleness.calls:
        return f"all {staleness.completed:,} on version {current.version}"
    detail = staleness.describe()
    if rematch and rematch.paused_at:
        detail += "; the rematch is paused: `callpipeline catalog resume` continues it"
    elif staleness.waiting:
        detail += "; they are rematched while `callpipeline up` is running"
    level = FindingLevel.WARN if staleness.waiting or staleness.failed else FindingLevel.OK
    return [DoctorFinding("calls on the list", level, detail)]


def waiting(database: Database) -> list[DoctorFinding] | str:
    """Report the backlog of each lane."""
    at_work = any(run.heartbeat_age_s <= SILENT_S for run in Claims(database).claiming_runs())
    lanes = CallQueue(database).backlog()
    return [of_lane(lane, at_work=at_work) for lane in lanes] or "none"


def of_lane(lane: LaneBacklog, *, at_work: bool) -> DoctorFinding:
    """Report one lane: bulk calls may wait while runs work on them, live calls may not."""
    name, detail = f"waiting calls, {lane.lane}", f"{lane.calls}"
    if lane.delayed:
        detail += f", {lane.delayed} of them for the next attempt"
    if lane.idle_runs >= UNSTARTED:
        detail += (
            f"; {lane.idle_runs} consecutive runs ended before they claimed their calls: see the "
            "newest failed run in Dagster"
        )
        return DoctorFinding(name, FindingLevel.BAD, detail)
    if lane.oldest_s is None:
        return DoctorFinding(name, FindingLevel.OK, detail)
    if lane.oldest_s <= LONGEST_WAIT_S:
        return DoctorFinding(
            name, FindingLevel.OK, f"{detail}; the oldest for {lane.oldest_s:.0f} s"
        )
    detail += f"; the oldest for {lane.oldest_s / 60:.0f} minutes"
    if lane.lane is Lane.BULK and at_work:
        return DoctorFinding(name, FindingLevel.WARN, f"{detail}: a backlog in progress")
    return DoctorFinding(name, FindingLevel.BAD, f"{detail}: is `callpipeline up` running?")


def services(database: Database) -> list[DoctorFinding] | str:
    """Report unavailable services and the calls that wait for them."""
    return [_outage(outage) for outage in Outages(database).all()] or "all available"


def _outage(outage: OutageStatus) -> DoctorFinding:
    detail = (
        f"{outage.reason} Unavailable since {outage.since:%Y-%m-%d %H:%M}; {outage.calls} calls "
        f"wait and continue automatically; next attempt at {outage.retry_at:%H:%M:%S}"
    )
    return DoctorFinding(outage.service, FindingLevel.BAD, detail)


def silent_runs(database: Database) -> list[DoctorFinding] | str:
    """Report runs that claim calls and send no heartbeat."""
    runs = Claims(database).claiming_runs()
    return list(_silent(runs)) or (f"{len(runs)} running" if runs else "none running")


def erasures(database: Database) -> list[DoctorFinding] | str:
    """Report erasures that are not finished after an hour."""
    unfinished = Erasures(database).open()
    late = [erasure for erasure in unfinished if erasure.age_s > LATE_ERASURE_S]
    if not late:
        return f"{len(unfinished)} in progress" if unfinished else "nothing to erase"
    troubles = sorted({erasure.trouble for erasure in late if erasure.trouble})
    why = " ".join(troubles) or "is `callpipeline up` running?"
    detail = f"{len(late)} not finished after an hour: {why}"
    return [DoctorFinding("erasures", FindingLevel.BAD, detail)]


def _silent(runs: list[ClaimingRun]) -> Iterator[DoctorFinding]:
    for run in runs:
        if run.heartbeat_age_s > SILENT_S:
            yield DoctorFinding(
                f"run {run.run_id[:8]}",
                FindingLevel.BAD,
                f"last heartbeat {run.heartbeat_age_s / 60:.0f} minutes ago; "
                "the sensor lost_runs reclaims its calls while `callpipeline up` is running",
            )


def channels(options: Settings) -> list[DoctorFinding] | str:
    """Return the configured channels. Raises SettingsInvalid for an incomplete one."""
    if findings := list(_rules_without_channel(options)):
        return findings
    notifiers = wiring.open_notifiers(options)
    if not notifiers:
        return "no channel is configured: failed calls are only shown by `status`"
    return ", ".join(f"{notifier.channel}: {notifier.destination}" for notifier in notifiers)


def _rules_without_channel(options: Settings) -> Iterator[DoctorFinding]:
    configured = wiring.configured_channels(options)
    for kind, channels in options.notify_rules.items():
        for channel in sorted(set(channels) - configured):
            yield DoctorFinding(
                "notifications",
                FindingLevel.WARN,
                f"CALLPIPELINE_NOTIFY_RULES sends {kind} to {channel}, which is not configured",
            )


def outbox(options: Settings, database: Database) -> list[DoctorFinding] | str:
    """Report pending notifications, and receivers that are turned off."""
    findings = [of_backlog(each) for each in Notifications(database).backlog()]
    findings += _unsubscribed(options, database)
    return [finding for finding in findings if finding] or "no pending notifications"


def of_backlog(backlog: ChannelBacklog) -> DoctorFinding | None:
    """Report a backlog: undispatched events are bad, refused deliveries a warning."""
    if backlog.channel is None:
        return _undispatched(backlog)
    name = f"outbox, {backlog.channel}"
    details = [f"{backlog.waiting} messages pending"] if backlog.waiting else []
    if backlog.oldest_s is not None:
        details.append(f"the oldest for {backlog.oldest_s / 60:.0f} minutes")
    if backlog.tries > 1:
        details.append(f"tried {backlog.tries} times: `callpipeline notifications list` says why")
    if backlog.given_up:
        details.append(
            f"{backlog.given_up} given up in the last week; "
            "run `callpipeline notifications resend --undelivered`"
        )
    if not details:
        return None
    is_late = (backlog.oldest_s or 0) > LONGEST_PENDING_S or backlog.given_up
    return DoctorFinding(
        name, FindingLevel.WARN if is_late else FindingLevel.OK, "; ".join(details)
    )


def _undispatched(backlog: ChannelBacklog) -> DoctorFinding | None:
    if not backlog.waiting or backlog.oldest_s is None:
        return None
    events = "1 event pending" if backlog.waiting == 1 else f"{backlog.waiting} events pending"
    detail = f"{events}, the oldest for {backlog.oldest_s:.0f} s"
    if backlog.oldest_s > LONGEST_UNDISPATCHED_S:
        return DoctorFinding(
            "outbox", FindingLevel.BAD, f"{detail}: is the sensor `outbox` running?"
        )
    return DoctorFinding("outbox", FindingLevel.OK, detail)


def _unsubscribed(options: Settings, database: Database) -> Iterator[DoctorFinding]:
    off = Outbox(database).unsubscribed()
    for notifier in wiring.open_notifiers(options):
        gone = off.get(notifier.channel)
        if gone and gone["address"] == notifier.destination_hash:
            yield DoctorFinding(
                f"outbox, {notifier.channel}",
                FindingLevel.WARN,
                f"turned off: its receiver answered {gone['answer']!r}; once it accepts messages "
                "again, `callpipeline notifications test` turns it on",
            )
