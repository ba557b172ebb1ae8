"""Named SQL statements: each one is used, and each used one exists."""

import re
from pathlib import Path

import pytest

import callpipeline
from callpipeline.storage.postgres.sql import query, statement_files, statements

PACKAGE = Path(callpipeline.__file__).parent
CODE = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py"))
SQL = "\n".join(path.read_text() for path in statement_files())
NAMESPACES = {name.partition("/")[0] for name in statements()}
COMPOSED = [
    re.sub(r"\{[^}]*\}", "[a-z_]+", name)
    for name in re.findall(rf"""f["']((?:{"|".join(NAMESPACES)})/[^"']*\{{[^"']*)["']""", CODE)
]
DOCS_ONLY = "questions/"
"""Statements of docs/analytics.md, which no code runs."""


@pytest.mark.parametrize("name", list(statements()))
def test_every_statement_has_a_comment(name: str) -> None:
    assert re.match(r"-- .+", statements()[name])


@pytest.mark.parametrize("name", [n for n in statements() if not n.startswith(DOCS_ONLY)])
def test_every_statement_is_used(name: str) -> None:
    included = re.search(rf"-- include {name}$", SQL, re.MULTILINE)
    composed = any(re.fullmatch(pattern, name) for pattern in COMPOSED)
    assert f'"{name}"' in CODE or f"'{name}'" in CODE or included or composed


def test_every_used_statement_exists() -> None:
    used = set(re.findall(rf"""["']((?:{"|".join(sorted(NAMESPACES))})/[a-z_]+)["']""", CODE))
    assert len(used) > 100
    assert used - set(statements()) == set()


def test_includes_are_replaced() -> None:
    assert "-- include" in SQL
    assert not [name for name in statements() if "-- include" in query(name)]


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(KeyError, match="calls/no_such_statement"):
        query("calls/no_such_statement")
