"""Times as people write them on the command line."""

import re
from datetime import datetime, timedelta

import typer

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
HELP = (
    "2h, 3d, 2026-11-23, or a time like 2026-11-23T14:30 (of this machine's clock, unless it names "
    "its zone)."
)


def moment_of(text: str, now: datetime, option: str = "--since") -> datetime:
    """A time as people write it: how long ago, a day, or a time. Raises BadParameter."""
    try:
        if ago := re.fullmatch(r"(\d+)\s*([smhdw])", text.strip().lower()):
            return now - timedelta(**{UNITS[ago[2]]: int(ago[1])})
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text} is no time: write 30m, 2h, 3d, 2026-11-23 or 2026-11-23T14:30.",
            param_hint=option,
        ) from None
