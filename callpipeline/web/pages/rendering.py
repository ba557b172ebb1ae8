"""Templates into pages: where they are, what every one of them is given, how values are shown."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from callpipeline.domain.recording_name import JOINERS
from callpipeline.web import access

FOLDER = Path(__file__).parent.parent
IS_BUILT = FOLDER / "static" / "vendor" / "built"


def page(
    request: Request,
    name: str,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> HTMLResponse:
    """The template with what it is given, `request`, visitor, csrf_token and csp_nonce."""
    given = {"request": request, "is_built": IS_BUILT.exists(), **access.in_templates(request)}
    html = _environment.get_template(name).render(given | context)
    return HTMLResponse(html, status, dict(headers or {}))


def fragment(name: str, **context: Any) -> Markup:
    """A part of a page, which is the same for everybody who sees it."""
    return Markup(_environment.get_template(name).render(**context).strip())


def clock(seconds: float | None) -> str:
    """Seconds as m:ss, or h:mm:ss from an hour on."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def moment(at: datetime | None) -> str:
    """A time by UTC, which a script turns into the reader's own; a dash where there is none."""
    if at is None:
        return "–"
    there = at.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        there.isoformat(timespec="seconds"), f"{there:%Y-%m-%d %H:%M} UTC"
    )


def number(value: float | None) -> str:
    """With commas between thousands."""
    return "–" if value is None else f"{value:,.0f}"


def percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def shown(text: str) -> Markup:
    """What users supply, isolated: what is written from right to left turns nothing around it."""
    return Markup("<bdi>{}</bdi>").format(escape(plain(text)))


def signed(value: float | None) -> str:
    """With its sign and two digits, such as +0.25; what is next to nothing is 0.00."""
    if value is None:
        return "–"
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}") if round(value, 2) else "0.00"


def plain(text: str) -> str:
    """With characters that are not shown, or turn others around, made visible."""
    return "".join(
        c if c.isprintable() or c in JOINERS else "\N{REPLACEMENT CHARACTER}" for c in text
    )


_environment = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters |= {
    "clock": clock,
    "moment": moment,
    "number": number,
    "percent": percent,
    "signed": signed,
    "plain": plain,
    "shown": shown,
}
