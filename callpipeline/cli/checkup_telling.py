"""What the doctor finds of telling people: which channels there are, and whether they take it."""

from collections.abc import Iterator

from callpipeline import wiring
from callpipeline.cli.findings import Finding, Level
from callpipeline.config import Settings
from callpipeline.storage.database import Database
from callpipeline.storage.notifications import Backlog, Notifications
from callpipeline.storage.outbox import Outbox

LONGEST_UNSEEN_S = 10 * 60
"""The sensor `outbox` looks every ten seconds."""
LONGEST_REFUSED_S = 60 * 60


def channels(options: Settings) -> list[Finding] | str:
    """The channels that are set up. Raises SettingsInvalid for half of one."""
    if nowhere := list(_rules_without_channel(options)):
        return nowhere
    notifiers = wiring.open_notifiers(options)
    if not notifiers:
        return "no channel is set up: failed calls are told to nobody, and stand in `status`"
    return ", ".join(f"{notifier.channel}: {notifier.where}" for notifier in notifiers)


def _rules_without_channel(options: Settings) -> Iterator[Finding]:
    configured = wiring.configured_channels(options)
    for kind, channels in options.notify_rules.items():
        for channel in sorted(set(channels) - configured):
            yield Finding(
                "notifications",
                Level.WARN,
                f"CALLPIPELINE_NOTIFY_RULES sends {kind} to {channel}, which is not set up",
            )


def outbox(options: Settings, database: Database) -> list[Finding] | str:
    """What is not told yet, and who wants to hear nothing any more."""
    findings = [of_backlog(each) for each in Notifications(database).backlog()]
    findings += _off(options, database)
    told = [finding for finding in findings if finding]
    return told or "nothing waits"


def of_backlog(backlog: Backlog) -> Finding | None:
    """Events that nobody looks at are bad; a channel that refuses them is somebody's to mend."""
    if backlog.channel is None:
        return _unseen(backlog)
    name = f"outbox, {backlog.channel}"
    told = [f"{backlog.waiting} messages wait"] if backlog.waiting else []
    if backlog.oldest_s is not None:
        told.append(f"the oldest for {backlog.oldest_s / 60:.0f} minutes")
    if backlog.tries > 1:
        told.append(f"tried {backlog.tries} times: `callpipeline notifications list` says why")
    if backlog.given_up:
        told.append(
            f"{backlog.given_up} were given up in the last week: "
            "`callpipeline notifications resend --undelivered` tries them again"
        )
    if not told:
        return None
    is_late = (backlog.oldest_s or 0) > LONGEST_REFUSED_S or backlog.given_up
    return Finding(name, Level.WARN if is_late else Level.OK, "; ".join(told))


def _unseen(backlog: Backlog) -> Finding | None:
    if not backlog.waiting or backlog.oldest_s is None:
        return None
    events = "1 event waits" if backlog.waiting == 1 else f"{backlog.waiting} events wait"
    told = f"{events}, the oldest for {backlog.oldest_s:.0f} s"
    if backlog.oldest_s > LONGEST_UNSEEN_S:
        return Finding("outbox", Level.BAD, f"{told}: is the sensor `outbox` on?")
    return Finding("outbox", Level.OK, told)


def _off(options: Settings, database: Database) -> Iterator[Finding]:
    off = Outbox(database).off()
    for notifier in wiring.open_notifiers(options):
        gone = off.get(notifier.channel)
        if gone and gone["address"] == notifier.address:
            yield Finding(
                f"outbox, {notifier.channel}",
                Level.WARN,
                f"its receiver answered {gone['answer']!r} and is told nothing since; once it "
                "takes messages again, `callpipeline notifications test` turns it on",
            )
