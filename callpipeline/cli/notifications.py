"""The command group notifications: list, resend, send and test."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from callpipeline import wiring
from callpipeline.cli import present
from callpipeline.cli.installation.services import is_operated
from callpipeline.cli.session import (
    AsJson,
    console,
    open_storage_migrated,
    print_error,
    report_errors,
)
from callpipeline.config import settings
from callpipeline.domain.notifications import (
    EventKind,
    NotificationChannel,
    NotificationEvent,
    Severity,
)
from callpipeline.errors import SettingsInvalid
from callpipeline.pipeline.notifications.dispatch import ChannelAnswer, check_channel
from callpipeline.storage.postgres.database import Row
from callpipeline.wiring import Storage

app = typer.Typer(
    name="notifications",
    help="Sent notifications: list and resend them, send your own, test the channels.",
    no_args_is_help=True,
)
STATES = ("PENDING", "DELIVERED", "GAVE_UP")
NONE_SET_UP = (
    "No channel is configured: set CALLPIPELINE_SLACK_…, CALLPIPELINE_SMTP_HOST or "
    "CALLPIPELINE_NOTIFY_WEBHOOK_URL; see .env.example."
)


def listing(
    channel: Annotated[
        NotificationChannel | None, typer.Option(help="Only messages to this channel.")
    ] = None,
    state: Annotated[
        str | None, typer.Option(help="Only PENDING, DELIVERED or GAVE_UP.", metavar="STATE")
    ] = None,
    limit: Annotated[int, typer.Option(help="Maximum number of messages.", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """List messages, newest first, with channel, state and the last answer.

    PENDING messages are retried automatically. GAVE_UP messages were refused for a day, or their
    receiver is gone (410); `resend --undelivered` sends them again.
    """
    wanted = state.upper() if state else None
    if wanted not in (None, *STATES):
        raise typer.BadParameter(
            f"{state!r} is not one of {', '.join(STATES)}.", param_hint="--state"
        )
    with open_storage_migrated() as storage:
        rows = storage.notifications.list(channel=channel, state=wanted, limit=limit)
        if as_json:
            print(json.dumps([_as_json(storage, row) for row in rows], indent=2))
            return
        backlog, held = storage.notifications.backlog()[0], storage.notifications.count_held()
    if rows:
        console.print(_table(rows))
    elif channel or wanted:
        console.print("No matching messages.", highlight=False)
    else:
        console.print("No notifications yet.", highlight=False)
    if backlog.waiting:
        console.print(f"{_events(backlog.waiting)} for the sensor `outbox`.", highlight=False)
    if held:
        line = f"{_events(held)} for their group or the end of quiet hours."
        console.print(line, highlight=False)
    if not wiring.configured_channels(settings()):
        console.print(NONE_SET_UP, highlight=False, soft_wrap=True)


def resend(
    notifications: Annotated[
        list[str] | None,
        typer.Argument(metavar="NOTIFICATION", help="Ids, or their beginnings."),
    ] = None,
    undelivered: Annotated[
        bool, typer.Option("--undelivered", help="All messages that are pending or were given up.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send messages again under the same id.

    `callpipeline up` delivers them. Exits with 1 if one of them doesn't exist.
    """
    if bool(notifications) == undelivered:
        print_error("Name the notifications, or use --undelivered.")
        raise typer.Exit(2)
    with open_storage_migrated() as storage:
        ids = [found for each in notifications or [] for found in storage.notifications.find(each)]
        sent = storage.notifications.resend(ids, undelivered=undelivered, now=datetime.now(UTC))
        unsubscribed = storage.outbox.unsubscribed()
    if as_json:
        print(json.dumps({"resent": sent}))
        return
    for notification_id in sent:
        console.print(f"{notification_id}  will be sent again", highlight=False)
    _print_unsubscribed(unsubscribed)
    if not sent:
        console.print("Nothing to send.", highlight=False)
    elif not is_operated(settings().home):
        console.print("Queued. `callpipeline up` sends them.", highlight=False)


def _print_unsubscribed(unsubscribed: Mapping[NotificationChannel, Row]) -> None:
    for channel, gone in unsubscribed.items():
        print_error(
            f"{channel} is turned off since it answered {gone['answer']!r}. Once it accepts "
            "messages again, `callpipeline notifications test` turns it on."
        )


def send(
    title: Annotated[str, typer.Argument(help="The title.")],
    message: Annotated[str, typer.Option(help="The text.")] = "",
    severity: Annotated[Severity, typer.Option(help="The severity.")] = Severity.INFO,
    channel: Annotated[
        list[NotificationChannel] | None,
        typer.Option(help="Only to this channel; can be repeated."),
    ] = None,
) -> None:
    """Send a notification of your own, for example from a script."""
    configured = wiring.configured_channels(settings())
    if not configured:
        raise SettingsInvalid(NONE_SET_UP)
    if missing := set(channel or ()) - configured:
        raise SettingsInvalid(f"Not configured: {', '.join(sorted(missing))}.")
    channels = tuple(channel) if channel else None
    event = NotificationEvent(EventKind.CUSTOM, severity, title, message, channels=channels)
    wiring.open_notifiers(settings())
    with open_storage_migrated() as storage:
        event_id = storage.outbox.add(event)
        _print_unsubscribed(storage.outbox.unsubscribed())
    console.print(f"{event_id}  queued", highlight=False)
    if not is_operated(settings().home):
        console.print("Queued. `callpipeline up` sends it.", highlight=False)


def check_channels(as_json: AsJson = False) -> None:
    """Send a test message to each configured channel, and print the answers.

    A receiver that was turned off and accepts the message is turned on again. Exits with 1 if a
    channel refuses it or none is configured.
    """
    notifiers = wiring.open_notifiers(settings())
    if not notifiers:
        raise SettingsInvalid(NONE_SET_UP)
    with open_storage_migrated() as storage:
        answers = [check_channel(notifier, storage.outbox.resubscribe) for notifier in notifiers]
    if as_json:
        print(json.dumps([asdict(answer) for answer in answers], indent=2))
    else:
        _print_answers(answers)
    raise typer.Exit(0 if all(answer.delivered for answer in answers) else 1)


def _print_answers(answers: Sequence[ChannelAnswer]) -> None:
    table = present.grid("", "channel", "where", "answer", "took")
    for answer in answers:
        mark = "[green]ok[/]" if answer.delivered else "[red]refused[/]"
        cells = map(present.printable, (answer.channel, answer.where, answer.answer))
        table.add_row(mark, *cells, f"{answer.took_s:.1f} s")
    console.print(table)


def _as_json(storage: Storage, row: Row) -> dict[str, Any]:
    attempts = storage.notifications.attempts(row["notification_id"])
    plain = {n: v.isoformat() if isinstance(v, datetime) else v for n, v in row.items()}
    listed = [t | {"at": t["at"].isoformat()} for t in attempts]
    return plain | {"deliveries": listed}


def _table(rows: Sequence[Row]) -> Any:
    table = present.grid(
        "notification", "at", "channel", "what", "state", "attempts", "last answer"
    )
    for row in rows:
        table.add_row(
            row["notification_id"][:8],
            present.moment(row["created_at"]),
            row["channel"],
            present.printable(_summary(row)),
            row["state"],
            str(row["attempts"]),
            present.printable(row["last_answer"] or "–"),
        )
    return table


def _events(count: int) -> str:
    return "1 event is waiting" if count == 1 else f"{count:,} events are waiting"


def _summary(row: Row) -> str:
    """Summarise a message in a few words."""
    part = "" if row["part"] == "opening" else f"{row['part']}: "
    return f"{part}{row['title']}" + (f", {row['events']} events" if row["events"] > 1 else "")


COMMANDS = {"list": listing, "resend": resend, "send": send, "test": check_channels}
for name, command in COMMANDS.items():
    app.command(name)(report_errors(command))
