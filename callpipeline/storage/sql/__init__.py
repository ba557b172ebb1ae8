"""Named queries: `sql/<table>/<what_it_does>.sql`, each beginning with a line that says what.

A line `-- include reading/calls` stands for the text of that file, which several queries share.
"""

import re
from functools import cache
from pathlib import Path
from typing import LiteralString, cast

SCHEMA = "callpipeline"
"""The schema of all our tables; Dagster's are in `public`."""

_INCLUDE = re.compile(r"^ *-- include ([a-z_/]+)$", re.MULTILINE)


@cache
def query(name: str) -> LiteralString:
    """The text of a query by its name, such as `calls/claim`."""
    # Literal in the sense that matters: it comes from a file of the package, never from input.
    text = (Path(__file__).parent / f"{name}.sql").read_text()
    return cast(LiteralString, _INCLUDE.sub(lambda line: query(line[1]).rstrip("\n"), text))
