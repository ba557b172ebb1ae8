"""The commands below `notifications`: what people were told, again, and a trial of each channel."""

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from callpipeline import wiring
from callpipeline.cli import present
from callpipeline.cli.calls import AsJson
from callpipeline.cli.opening import complain, console, explained, opened
from callpipeline.cli.services import is_operated
from callpipeline.config import settings
from callpipeline.domain.notification import EventKind, NotificationChannel, Occurrence, Severity
from callpipeline.errors import DeliveryRefused, ReceiverGone, SettingsInvalid
from callpipeline.notify.message import Message
from callpipeline.notify.ports import Notifier
from callpipeline.storage.database import Row
from callpipeline.wiring import Storage

app = typer.Typer(
    name="notifications",
    help="What people were told by Slack, email and webhook; send it again; try the channels.",
    no_args_is_help=True,
)
STATES = ("PENDING", "DELIVERED", "GAVE_UP")
NONE_SET_UP = (
    "No channel is set up: CALLPIPELINE_SLACK_…, CALLPIPELINE_SMTP_HOST and "
    "CALLPIPELINE_NOTIFY_WEBHOOK_URL do that; all are in .env.example."
)


def listing(
    channel: Annotated[
        NotificationChannel | None, typer.Option(help="Only messages to this channel.")
    ] = None,
    state: Annotated[
        str | None, typer.Option(help="Only PENDING, DELIVERED or GAVE_UP.", metavar="STATE")
    ] = None,
    limit: Annotated[int, typer.Option(help="How many to list.", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """Messages, newest first: to whom, of what, whether they arrived, and the last answer.

    PENDING ones are tried again by themselves; GAVE_UP ones were refused for a day, or their
    receiver wants nothing any more (410): `resend --undelivered` tries them again.
    """
    wanted = state.upper() if state else None
    if wanted not in (None, *STATES):
        raise typer.BadParameter(f"{state!r} is none of {', '.join(STATES)}.", param_hint="--state")
    with opened() as storage:
        rows = storage.notifications.listed(channel=channel, state=wanted, limit=limit)
        if as_json:
            print(json.dumps([_as_json(storage, row) for row in rows], indent=2))
            return
        backlog, held = storage.notifications.backlog()[0], storage.notifications.held()
    if rows:
        console.print(_table(rows))
    elif channel or wanted:
        console.print("There is no such message.", highlight=False)
    else:
        console.print("Nobody was told anything yet.", highlight=False)
    if backlog.waiting:
        told = f"{_events(backlog.waiting)} for the sensor `outbox`."
        console.print(told, highlight=False)
    if held:
        told = f"{_events(held)} to be told with others, or for the end of quiet hours."
        console.print(told, highlight=False)
    if not wiring.configured_channels(settings()):
        console.print(NONE_SET_UP, highlight=False, soft_wrap=True)


def resend(
    notifications: Annotated[
        list[str] | None,
        typer.Argument(metavar="NOTIFICATION", help="Ids, or their beginnings."),
    ] = None,
    undelivered: Annotated[
        bool, typer.Option("--undelivered", help="All that wait or were given up.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Deliver messages again, under the same id, or those that did not arrive.

    They are delivered by `callpipeline up`. Exit code 1 where one of them is not there.
    """
    if bool(notifications) == undelivered:
        complain("Say which notifications, or --undelivered.")
        raise typer.Exit(2)
    with opened() as storage:
        ids = [found for each in notifications or [] for found in storage.notifications.find(each)]
        sent = storage.notifications.resend(ids, undelivered=undelivered, now=datetime.now(UTC))
        off = storage.outbox.off()
    if as_json:
        print(json.dumps({"resent": sent}))
        return
    for notification_id in sent:
        console.print(f"{notification_id}  will be tried again", highlight=False)
    _tell_off(off)
    if not sent:
        console.print("There is nothing to deliver.", highlight=False)
    elif not is_operated(settings().home):
        console.print("They wait for `callpipeline up`.", highlight=False)


def _tell_off(off: Mapping[NotificationChannel, Row]) -> None:
    for channel, gone in off.items():
        complain(
            f"{channel} is told nothing since it answered {gone['answer']!r}: once it takes "
            "messages again, `callpipeline notifications test` turns it on."
        )


def send(
    title: Annotated[str, typer.Argument(help="The headline.")],
    message: Annotated[str, typer.Option(help="What there is to say.")] = "",
    severity: Annotated[Severity, typer.Option(help="How grave it is.")] = Severity.INFO,
    channel: Annotated[
        list[NotificationChannel] | None, typer.Option(help="Only there; repeat it for several.")
    ] = None,
) -> None:
    """Tell people something of your own, as a script that watches the recorder may want to."""
    configured = wiring.configured_channels(settings())
    if not configured:
        raise SettingsInvalid(NONE_SET_UP)
    if missing := set(channel or ()) - configured:
        raise SettingsInvalid(f"Not set up: {', '.join(sorted(missing))}.")
    channels = tuple(channel) if channel else None
    told = Occurrence(EventKind.CUSTOM, severity, title, message, channels=channels)
    wiring.open_notifiers(settings())
    with opened() as storage:
        event_id = storage.outbox.add(told)
        _tell_off(storage.outbox.off())
    console.print(f"{event_id}  is in the outbox", highlight=False)
    if not is_operated(settings().home):
        console.print("It waits for `callpipeline up`.", highlight=False)


def try_channels(as_json: AsJson = False) -> None:
    """Send one message to each channel that is set up, at once, and print the answers.

    A receiver that had said it wants nothing any more, and takes this, is told again from now on.
    Exit code 1 where one of them did not take it, or none is set up.
    """
    notifiers = wiring.open_notifiers(settings())
    if not notifiers:
        raise SettingsInvalid(NONE_SET_UP)
    answers = [_tried(notifier) for notifier in notifiers]
    with opened() as storage:
        for answer in answers:
            if answer["delivered"]:
                storage.outbox.turn_on(NotificationChannel(answer["channel"]))
    if as_json:
        print(json.dumps(answers, indent=2))
    else:
        _print_answers(answers)
    raise typer.Exit(0 if all(answer["delivered"] for answer in answers) else 1)


def _tried(notifier: Notifier) -> dict[str, Any]:
    began = time.monotonic()
    told = {"channel": str(notifier.channel), "where": notifier.where}
    try:
        receipt = notifier.send(_trial())
        answer, delivered = receipt.answer, not receipt.is_partial
    except (DeliveryRefused, ReceiverGone) as refusal:
        answer, delivered = str(refusal), False
    except Exception as error:  # such as a sender that no mail can have: the others are tried
        answer, delivered = f"It cannot be sent ({type(error).__name__}).", False
    took_s = round(time.monotonic() - began, 2)
    return told | {"delivered": delivered, "answer": answer, "took_s": took_s}


def _trial() -> Message:
    return Message(
        notification_id=str(uuid.uuid4()),
        thread_id="test",
        kind=EventKind.CUSTOM,
        type="custom",
        severity=Severity.INFO,
        title="callpipeline can reach you here",
        message="This is what `callpipeline notifications test` sends. All is well.",
        context=("Nobody has to do anything.",),
        at=datetime.now(UTC),
    )


def _print_answers(answers: Sequence[dict[str, Any]]) -> None:
    table = present.grid("", "channel", "where", "answer", "took")
    for answer in answers:
        mark = "[green]ok[/]" if answer["delivered"] else "[red]refused[/]"
        said = (present.printable(answer[name]) for name in ("channel", "where", "answer"))
        table.add_row(mark, *said, f"{answer['took_s']:.1f} s")
    console.print(table)


def _as_json(storage: Storage, row: Row) -> dict[str, Any]:
    tries = storage.notifications.tries(row["notification_id"])
    plain = {n: v.isoformat() if isinstance(v, datetime) else v for n, v in row.items()}
    listed = [t | {"at": t["at"].isoformat()} for t in tries]
    return plain | {"deliveries": listed}


def _table(rows: Sequence[Row]) -> Any:
    table = present.grid("notification", "at", "channel", "what", "state", "tries", "last answer")
    for row in rows:
        table.add_row(
            row["notification_id"][:8],
            present.moment(row["created_at"]),
            row["channel"],
            present.printable(_what(row)),
            row["state"],
            str(row["attempts"]),
            present.printable(row["last_answer"] or "–"),
        )
    return table


def _events(count: int) -> str:
    return "1 event waits" if count == 1 else f"{count:,} events wait"


def _what(row: Row) -> str:
    """What a message is about, in a few words."""
    part = "" if row["part"] == "opening" else f"{row['part']}: "
    return f"{part}{row['title']}" + (f", {row['events']} events" if row["events"] > 1 else "")


COMMANDS = {"list": listing, "resend": resend, "send": send, "test": try_channels}
for name, command in COMMANDS.items():
    app.command(name)(explained(command))
