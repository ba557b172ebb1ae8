"""`/search`: where words were said, with the words marked; each place leads to its second."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup, escape

from callpipeline.domain.filters import Filters
from callpipeline.storage.reading.reader import Reading
from callpipeline.storage.search import BEGIN, END, HitCount, HitPage
from callpipeline.web.filters import Asked, address
from callpipeline.web.opened import Here
from callpipeline.web.pages.exports import Saved
from callpipeline.web.pages.filter_form import FilterForm
from callpipeline.web.pages.rendering import page, plain
from callpipeline.web.pages.rows import calls_of
from callpipeline.web.pages.shown_mentions import SPEAKERS

router = APIRouter()

PATH = "/search"
AT_ONCE = 20


@router.get(PATH)
def search(
    request: Request,
    filters: Asked,
    here: Here,
    words: Annotated[str, Query(max_length=400)] = "",
    after: Annotated[str | None, Query(max_length=400)] = None,
) -> HTMLResponse:
    words = words.strip()
    found, count, trouble = _found(here.reading, words, filters, after)
    today, kept = datetime.now(UTC).date(), (("words", words),) if words else ()
    more = found and found.after and address(PATH, filters, words=words, after=found.after)
    return page(
        request,
        "search.html",
        words=words,
        filters=filters,
        form=FilterForm(PATH, filters, here.choices(), today, kept),
        found=found,
        count=count,
        trouble=trouble,
        is_first=after is None,
        more=more,
        marked=marked,
        speaker_names=SPEAKERS,
        calls=calls_of(here, found.hits if found else ()),
        saved=[Saved("segments", filters.counted(), words)] if found and found.hits else [],
    )


def _found(
    reading: Reading, words: str, filters: Filters, after: str | None
) -> tuple[HitPage | None, HitCount | None, str]:
    """A page of hits with their number; none where nothing can be looked for, and why."""
    if not words:
        return None, None, ""
    if reading.is_too_common(words):
        return None, None, (
            "Words like these are in every other sentence, so they are not looked for. "
            "Add one that is rarer."
        )  # fmt: skip
    page_of = reading.search(words, filters, limit=AT_ONCE, after=after)
    return page_of, reading.count_hits(words, filters) if after is None else None, ""


def marked(text: str) -> Markup:
    """What was said, escaped, with its marks as elements; a mark without its end is text."""
    pieces = escape(plain(text)).split(BEGIN)
    html = [pieces[0]]
    for piece in pieces[1:]:
        word, end, rest = piece.partition(END)
        html.append(
            Markup("<mark>{}</mark>{}").format(word, rest) if end else Markup(BEGIN) + piece
        )
    return Markup("<bdi>{}</bdi>").format(Markup("").join(html))
