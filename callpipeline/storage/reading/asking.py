"""Named queries with the conditions that Filters ask for, planned for their very values."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import LiteralString

from callpipeline.domain.filters import COUNTED, SHOWN, Filters
from callpipeline.storage.database import Database, Row, storable
from callpipeline.storage.sql import query

NAMING = "/* AND naming */"
OF_CALLS = "/* AND of_calls */"


def ask(
    database: Database, name: str, filters: Filters, more: Mapping[str, object] | None = None
) -> list[Row]:
    """The rows of a query over what the filters let through.

    A plan for any value reads all calls where a day or an agent needs few: none is kept.
    """
    text = text_of(name, filters)
    asked = parameters_of(filters) | dict(more or {})
    return database.patiently(lambda c: c.execute(text, asked, prepare=False).fetchall())


def named_as_known(database: Database, filters: Filters) -> Filters:
    """The same with competitors as they are written: as asked for, else in any case.

    One that is not known keeps its name, and is found nowhere.
    """
    if not filters.competitors:
        return filters
    known = competitors(database)
    names = [name for wanted in filters.competitors for name in _known_as(wanted, known)]
    return replace(filters, competitors=tuple(dict.fromkeys(names)))


def competitors(database: Database) -> list[str]:
    """All competitors that were named in calls which are counted, by name."""
    return [row["competitor"] for row in database.rows("reading/competitors")]


def _known_as(wanted: str, known: list[str]) -> list[str]:
    if wanted in known:
        return [wanted]
    alike = [name for name in known if name.casefold() == wanted.casefold()]
    return alike or [storable(wanted)]


@cache
def _text(name: str, wants_mention: bool, wants_calls: bool) -> LiteralString:
    """As two texts rather than `NOT … OR EXISTS`, which Postgres cannot make a join of."""
    text = query(name)
    if wants_mention:
        text = text.replace(NAMING, f"AND (\n{query('reading/naming')})")
    if wants_calls:
        text = text.replace(OF_CALLS, f"AND (\n{query('reading/of_calls')})")
    return text


def text_of(name: str, filters: Filters) -> LiteralString:
    """The text of a named query, with the conditions that these filters need."""
    return _text(name, filters.wants_mention, filters.states is not None or bool(filters.name))


def parameters_of(filters: Filters) -> Row:
    """The values of the conditions; competitors are to be named as they are known."""
    words = [storable(word).lower() for word in filters.name.split()]
    return {
        "from_day": filters.from_day,
        "to_day": filters.to_day,
        "agent": None if filters.agent is None else storable(filters.agent),
        "source": None if filters.source is None else storable(filters.source),
        "competitors": list(filters.competitors) or None,
        "sentiment": filters.sentiment and str(filters.sentiment),
        "speaker": filters.speaker and str(filters.speaker),
        "states": [str(state) for state in (SHOWN if filters.states is None else filters.states)],
        "name_patterns": [f"%{_escaped(word)}%" for word in words] or None,
    }


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


COUNTED_STATES = [str(state) for state in COUNTED]
