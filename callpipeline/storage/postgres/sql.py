"""Named SQL statements.

They are defined in `<namespace>.sql` next to the repository that runs them. Each starts with a line
`-- name: <statement>` and a comment, and is loaded by `query("<namespace>/<statement>")`. A line
`-- include <namespace>/<statement>` is replaced by the text of a shared statement.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import LiteralString, cast

SCHEMA = "callpipeline"
"""The schema of all tables of callpipeline; those of Dagster are in `public`."""
SCHEMA_PAGE = Path(__file__).parent / "schema.sql"
"""The whole schema on one page, equal to the result of the migrations."""

_STORAGE = Path(__file__).parents[1]
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_INCLUDE = re.compile(r"^ *-- include ([a-z_/]+)$", re.MULTILINE)


@cache
def query(name: str) -> LiteralString:
    """Return the text of a statement by its name, such as `calls/claim`.

    Raises KeyError for a name that no file defines.
    """
    text = statements()[name]
    return _literal(_INCLUDE.sub(lambda line: query(line[1]).rstrip("\n"), text))


@cache
def statements() -> dict[str, LiteralString]:
    """Return every statement by `<namespace>/<statement>`, in the order of the files.

    Raises ValueError where two statements have the same name.
    """
    found: dict[str, LiteralString] = {}
    for path in statement_files():
        for name, text in _split(path):
            if name in found:
                raise ValueError(f"Two statements are named {name}.")
            found[name] = _literal(text)
    return found


def statement_files() -> list[Path]:
    """Return the files of named statements, in order of their paths."""
    found = (path for path in _STORAGE.rglob("*.sql") if path.parent.name != "versions")
    return sorted(path for path in found if path != SCHEMA_PAGE)


def _literal(text: str) -> LiteralString:
    # From a file of the package, never from user input.
    return cast(LiteralString, text)


def _split(path: Path) -> Iterator[tuple[str, str]]:
    _, *parts = _NAME.split(path.read_text())
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        yield f"{path.stem}/{name}", text.rstrip("\n") + "\n"
