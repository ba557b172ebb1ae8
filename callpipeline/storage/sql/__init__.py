"""Named queries: `sql/<table>/<what_it_does>.sql`, each beginning with a line that says what."""

from functools import cache
from pathlib import Path
from typing import LiteralString, cast

SCHEMA = "callpipeline"
"""The schema of all our tables; Dagster's are in `public`."""


@cache
def query(name: str) -> LiteralString:
    """The text of a query by its name, such as `calls/claim`."""
    # Literal in the sense that matters: it comes from a file of the package, never from input.
    return cast(LiteralString, (Path(__file__).parent / f"{name}.sql").read_text())
