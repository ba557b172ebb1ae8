"""Conventions of the code that the linter does not know; CONTRIBUTING.md explains them."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

import callpipeline

PACKAGE = Path(callpipeline.__file__).parent
MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if "migrations/versions" not in path.as_posix()
)
TREES = {path: ast.parse(path.read_text()) for path in MODULES}
LONGEST_FUNCTION = 40
LONGEST_MODULE = 360
FULLEST_FOLDER = 15
SMALL_MODULE_LINES = 60
MOST_SMALL_MODULES = 0.04
"""Share of modules with fewer lines than that, without `__init__.py`."""
QUESTION = re.compile(r"(What|Whether|How|Of|Who|Whose|Where|When|Why|That|Which) ")
UNIDIOMATIC = re.compile(
    r"\b(nobody|somebody|everybody|anew|for ever|tells?|told|taken (?:in|apart)|is to be)\b",
    re.IGNORECASE,
)


def named(path: Path) -> str:
    return path.relative_to(PACKAGE.parent).as_posix()


def definitions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def docstrings(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield text


def comments(path: Path) -> Iterator[str]:
    return (line.partition("# ")[2] for line in path.read_text().splitlines() if "# " in line)


def test_public_class_names_are_unique() -> None:
    classes = chain.from_iterable(
        [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
        for tree in TREES.values()
    )
    counted = Counter(name for name in classes if not name.startswith("_"))
    assert [name for name, times in counted.items() if times > 1] == []


def test_functions_are_short() -> None:
    long = [
        f"{named(path)}:{node.lineno} {node.name}"
        for path, tree in TREES.items()
        for node in definitions(tree)
        if (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION
    ]
    assert long == []


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_docstrings_are_plain(path: Path) -> None:
    found = [text.partition("\n")[0] for text in docstrings(TREES[path])]
    assert [line for line in found if QUESTION.match(line)] == []


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_prose_is_idiomatic(path: Path) -> None:
    prose = [*docstrings(TREES[path]), *comments(path)]
    assert [text for text in prose if UNIDIOMATIC.search(text)] == []


def test_folders_can_be_taken_in_at_a_glance() -> None:
    folders = {path.parent for path in MODULES}
    entries = {
        folder: [
            path.name for path in folder.iterdir() if path.name not in {"__pycache__", "py.typed"}
        ]
        for folder in folders
    }
    full = {named(folder): len(names) for folder, names in entries.items()}
    assert {folder: count for folder, count in full.items() if count > FULLEST_FOLDER} == {}


def test_modules_are_topics() -> None:
    lines = {
        named(path): len(path.read_text().splitlines())
        for path in MODULES
        if path.name != "__init__.py"
    }
    small = [name for name, count in lines.items() if count < SMALL_MODULE_LINES]
    assert len(small) <= MOST_SMALL_MODULES * len(lines), small
    assert [name for name, count in lines.items() if count > LONGEST_MODULE] == []
