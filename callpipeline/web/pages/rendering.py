"""Render Jinja templates and format the values in them."""

import re
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from callpipeline.domain.calls.saved_views import ViewPage
from callpipeline.domain.calls.sources import JOINERS
from callpipeline.web import access
from callpipeline.web.services.views import page_of

FOLDER = Path(__file__).parent.parent
VENDOR_BUILT = FOLDER / "static" / "vendor" / "built"
SENTIMENT_LABELS: Mapping[str, str] = {
    "positive": "Positive",
    "neutral": "Neutral",
    "negative": "Negative",
    "mixed": "Mixed",
    "unjudged": "Not judged yet",
}


def page(
    request: Request,
    name: str,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> HTMLResponse:
    """Render a page. Templates also get `request`, `visitor`, `csrf_token` and `csp_nonce`."""
    shared = {
        "request": request,
        "is_built": VENDOR_BUILT.exists(),
        "page_zone": page_zone.get(),
        "saveable": _saveable(request) if status == 200 else None,
        **access.template_context(request),
    }
    html = _environment.get_template(name).render(shared | context)
    return HTMLResponse(html, status, dict(headers or {}))


def _saveable(request: Request) -> ViewPage | None:
    """Return the page whose filters can be saved as a view."""
    return page_of(request.url.path) if request.method == "GET" else None


def render_fragment(name: str, **context: Any) -> Markup:
    """Render a part of a page that does not depend on the visitor."""
    return Markup(_environment.get_template(name).render(**context).strip())


def clock(seconds: float | None) -> str:
    """Format seconds as m:ss, or as h:mm:ss from one hour."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def timestamp(at: datetime | None, now: datetime | None = None) -> str:
    """Return a `<time>` element, such as "Today, 2:09 AM"; a dash for None."""
    if at is None:
        return "–"
    local, zone = in_page_zone(at), page_zone.get()
    is_today = local.date() == in_page_zone(now or datetime.now(UTC)).date()
    day = "Today" if is_today else f"{local.day} {local:%b %Y}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        local.isoformat(timespec="seconds"),
        f"{local:%Y-%m-%d %H:%M} {zone.name}",
        f"{day}, {local.hour % 12 or 12}:{local:%M %p}",
    )


@dataclass(frozen=True, slots=True)
class PageZone:
    """Time zone of the times on pages; without `is_set`, scripts show them in the browser's."""

    zone: tzinfo = UTC
    is_set: bool = False

    @property
    def name(self) -> str:
        return str(self.zone)


IN_UTC = PageZone()
page_zone: ContextVar[PageZone] = ContextVar("page_zone", default=IN_UTC)
"""The zone of the page that is rendered now: times are also formatted outside of templates."""


def in_page_zone(at: datetime) -> datetime:
    return at.astimezone(page_zone.get().zone)


def sentiment_label(sentiment: str | None) -> str:
    return SENTIMENT_LABELS[sentiment or "unjudged"]


def number(value: float | None) -> str:
    """Format a number with thousands separators."""
    return "–" if value is None else f"{value:,.0f}"


def percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def isolate(text: str) -> Markup:
    """Wrap user-supplied text in `<bdi>`, so that its direction affects nothing around it."""
    return Markup("<bdi>{}</bdi>").format(escape(printable(text)))


def link_person(name: str, value: str) -> Markup:
    """Link the agent and the customer of a call to their pages; other metadata are text."""
    if name not in ("agent", "customer"):
        return isolate(value)
    return Markup('<a href="/{}?{}">{}</a>').format(
        name, urlencode({"name": value}), isolate(value)
    )


def format_code(text: str) -> Markup:
    """Escape the text and turn backticks into `<code>`."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def signed(value: float | None) -> str:
    """Format with sign and two decimals, such as +0.25; values that round to zero are 0.00."""
    if value is None:
        return "–"
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}") if round(value, 2) else "0.00"


def rate(per_100: float | None) -> str:
    """Format a rate with as many decimals as it deserves: 0.25, 3.1, 42."""
    if per_100 is None:
        return "–"
    decimals = 0 if per_100 >= 10 or not per_100 else 1 if per_100 >= 1 else 2
    return f"{per_100:.{decimals}f}"


def change(relative: float) -> str:
    """Format a relative change as percent with its sign."""
    return f"{relative:+.0%}".replace("-", "\N{MINUS SIGN}")


def printable(text: str) -> str:
    """Replace control and bidirectional formatting characters by a visible one."""
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
    "timestamp": timestamp,
    "number": number,
    "percent": percent,
    "signed": signed,
    "rate": rate,
    "change": change,
    "sentiment_label": sentiment_label,
    "printable": printable,
    "isolate": isolate,
    "code": format_code,
}
