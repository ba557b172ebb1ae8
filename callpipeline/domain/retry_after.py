"""How long a server asks to be left alone: the header Retry-After, in both of its forms."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def wait_asked_for(header: str | None, now: datetime) -> float | None:
    """Seconds that `Retry-After: 120` or `Retry-After: <date>` asks for; None where it says none.

    Source: RFC 9110, section 10.2.3.
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max((aware - now).total_seconds(), 0.0)
