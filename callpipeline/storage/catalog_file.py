"""Reading the list of competitors from a YAML file, or from plain text with one name a line.

Every complaint names the file, the entry and what to do about it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import yaml

from callpipeline.domain.catalog import Catalog, Competitor
from callpipeline.domain.vocabulary import word_set
from callpipeline.errors import CatalogInvalid

_KEYS = frozenset({"name", "aliases", "ambiguous", "evidence"})

ORDINARY_WORDS = word_set("""
    amazon apple be bolt boost bulb clear cricket eagle ee fuse giant go hey id idea jazz juice
    june kite lime live meteor mint monday native next now o2 octopus olive one optimum orange
    post red rain sage shell simple sky smart smile spark spectrum sprint square standard
    straight stripe sun target telephone three tide true two utility virgin visible vista wave
    wind work zen zero zoom
    """)
"""Brands that are also ordinary words or noises: in a plain list they are ambiguous by themselves.

In YAML each entry says so itself with `ambiguous: true`.
"""


def read_catalog(path: Path) -> Catalog:
    """The catalog in `path`: plain text where its name ends in .txt, otherwise YAML."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise CatalogInvalid(f"{path}: there is no such file; make it, with a list.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogInvalid(f"{path}: cannot be read as UTF-8 text ({error}).") from error
    try:
        if path.suffix.casefold() == ".txt":
            return Catalog(tuple(_competitors_in_text(text)))
        return Catalog(tuple(_competitors_in_yaml(text)))
    except CatalogInvalid as error:
        raise CatalogInvalid(f"{path}: {error}") from error


def _competitors_in_text(text: str) -> Iterator[Competitor]:
    for line in text.splitlines():
        name = line.partition("#")[0].strip()
        if name:
            yield Competitor(name, ambiguous=name.casefold() in ORDINARY_WORDS)


def _competitors_in_yaml(text: str) -> Iterator[Competitor]:
    try:
        content: object = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise CatalogInvalid(f"is not YAML ({_first_line(error)}).") from error
    for number, entry in enumerate(_entries(content), start=1):
        try:
            yield _competitor(entry)
        except CatalogInvalid as error:
            raise CatalogInvalid(f"entry {number} ({_title(entry)}): {error}") from error


def _entries(content: object) -> list[object]:
    if content is None:
        return []
    mapping = cast("dict[object, object]", content) if isinstance(content, dict) else {}
    if set(mapping) != {"competitors"}:
        raise CatalogInvalid(
            "the file must hold the one key `competitors:` with a list below it; move the names "
            "there and remove anything else."
        )
    entries = mapping["competitors"]
    if entries is not None and not isinstance(entries, list):
        raise CatalogInvalid("`competitors:` must be a list: begin each name with a dash.")
    return cast("list[object]", entries or [])


def _competitor(entry: object) -> Competitor:
    if isinstance(entry, dict):
        return _from_mapping(cast("dict[Any, object]", entry))
    return Competitor(_text(entry, "a name"))


def _from_mapping(entry: dict[Any, object]) -> Competitor:
    unknown = ", ".join(sorted(str(key) for key in set(entry) - _KEYS))
    if unknown:
        raise CatalogInvalid(f"unknown key {unknown}: use name, aliases, ambiguous, evidence.")
    if "name" not in entry:
        raise CatalogInvalid("has no name: add `name:`.")
    ambiguous = entry.get("ambiguous", False)
    if not isinstance(ambiguous, bool):
        raise CatalogInvalid(f"`ambiguous:` must be true or false, not {ambiguous!r}.")
    return Competitor(
        name=_text(entry["name"], "`name:`"),
        aliases=_texts(entry.get("aliases"), "aliases"),
        ambiguous=ambiguous,
        evidence=_texts(entry.get("evidence"), "evidence"),
    )


def _texts(value: object, key: str) -> tuple[str, ...]:
    if value is not None and not isinstance(value, list):
        raise CatalogInvalid(f"`{key}:` must be a list: write [{value}] or one dash a line.")
    return tuple(_text(item, f"`{key}:`") for item in cast("list[object]", value or []))


def _text(value: object, what: str) -> str:
    """YAML reads a bare 3, no or on as a number or a truth value: those need quotation marks."""
    if not isinstance(value, str):
        raise CatalogInvalid(f'{what} must be text, not {value!r}: put it in "quotation marks".')
    if not value.strip():
        raise CatalogInvalid(f"{what} is empty: write the name as it is said, or remove it.")
    return value.strip()


def _title(entry: object) -> str:
    if isinstance(entry, dict):
        entry = cast("dict[str, object]", entry).get("name", "without a name")
    return str(entry)[:60]


def _first_line(error: yaml.YAMLError) -> str:
    """Where and what, in the words of the parser but without its picture of the line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return " ".join(str(error).split())[:200]
