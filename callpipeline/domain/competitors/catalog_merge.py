"""Merging of two changes that were made from the same catalog."""

from dataclasses import fields
from typing import Any, TypeVar

from callpipeline.domain.competitors.catalog import Catalog, Competitor

T = TypeVar("T")
NAMES = ("aliases", "evidence", "sounds_like")


def merge_catalogs(base: Catalog, mine: Catalog, theirs: Catalog) -> Catalog:
    """Return `theirs` with the changes from `base` to `mine`.

    Of a competitor that both changed, the lists of names are merged; where both changed anything
    else, or one removed it, mine is kept. Raises CatalogInvalid if names of two competitors are the
    same afterwards.
    """
    old, changed, current = (
        {each.name: each for each in catalog.competitors} for catalog in (base, mine, theirs)
    )
    merged: list[Competitor] = []
    for name in {**current, **changed}:
        entry = _merged(old.get(name), changed.get(name), current.get(name))
        if entry is not None:
            merged.append(entry)
    return Catalog(tuple(merged))


def merge_entries(base: Competitor, mine: Competitor, theirs: Competitor) -> Competitor:
    """Return `theirs` with the changes from `base` to `mine`."""
    values: dict[str, Any] = {}
    for each in fields(Competitor):
        old, my, their = (getattr(entry, each.name) for entry in (base, mine, theirs))
        merge = _names if each.name in NAMES else _value
        values[each.name] = merge(old, my, their)
    return Competitor(**values)


def _merged(
    base: Competitor | None, mine: Competitor | None, theirs: Competitor | None
) -> Competitor | None:
    if mine is not None and theirs is not None:
        return merge_entries(base or Competitor(mine.name), mine, theirs)
    return _value(base, mine, theirs)


def _value(base: T, mine: T, theirs: T) -> T:
    return theirs if mine == base else mine


def _names(
    base: tuple[str, ...], mine: tuple[str, ...], theirs: tuple[str, ...]
) -> tuple[str, ...]:
    if set(mine) == set(base):
        return theirs
    if set(theirs) == set(base):
        return mine
    removed = set(base) - set(mine)
    kept = [each for each in theirs if each not in removed]
    return (*kept, *(each for each in mine if each not in base and each not in kept))
