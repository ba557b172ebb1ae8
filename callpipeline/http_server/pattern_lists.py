"""Requests to change pattern lists: their bodies, and the changes with their errors."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import HTTPException
from pydantic import AfterValidator, BaseModel, Field

from callpipeline.domain.competitors.spellings import normalise
from callpipeline.domain.sentiment import PatternKind, PatternList, PatternStore

MAX_PATTERNS = 1_000
BUILT_IN = (
    "This phrase is built in, so it can't be deleted. Add a pattern of your own to override it."
)
DUPLICATE = "Duplicate pattern (ignoring case and punctuation)."


def _with_word(pattern: str) -> str:
    if not normalise(pattern):
        raise ValueError("a pattern must contain a letter or a digit")
    return pattern.strip()


Pattern = Annotated[str, Field(max_length=200), AfterValidator(_with_word)]


class NewPattern(BaseModel):
    """A pattern to add."""

    pattern: Pattern


class PatternsBody(BaseModel):
    """Patterns to add, or to replace the list."""

    patterns: Annotated[list[Pattern], Field(max_length=10 * MAX_PATTERNS)]


class ListedPatterns(BaseModel):
    """A list after the request."""

    patterns: list[str]
    count: int


def listed(store: PatternStore, kind: PatternKind, built_in: Sequence[str] = ()) -> ListedPatterns:
    """Return the user's patterns, and the built-in phrases after them."""
    return _listed(PatternList(store.lists()[kind], built_in))


def add(
    store: PatternStore,
    kind: PatternKind,
    more: NewPattern | PatternsBody,
    built_in: Sequence[str] = (),
) -> ListedPatterns:
    """Add patterns. Raises HTTPException (400) for a duplicate, or if the list is full."""
    added = [more.pattern] if isinstance(more, NewPattern) else more.patterns
    with store.changing(kind) as patterns:
        shown = PatternList(patterns, built_in)
        if any(map(shown.has_built_in, added)):
            raise HTTPException(400, DUPLICATE)
        patterns.extend(added)
        _check(patterns)
    return _listed(shown)


def replace(
    store: PatternStore, kind: PatternKind, new: PatternsBody, built_in: Sequence[str] = ()
) -> ListedPatterns:
    """Replace the user's patterns. Raises HTTPException (400) for a duplicate.

    Built-in phrases in the list are left as they are: a client may send back all that it got.
    """
    with store.changing(kind) as patterns:
        shown = PatternList(patterns, built_in)
        patterns[:] = shown.without_built_in(new.patterns)
        _check(patterns)
    return _listed(shown)


def delete(
    store: PatternStore, kind: PatternKind, pattern: str, built_in: Sequence[str] = ()
) -> ListedPatterns:
    """Delete a pattern, ignoring case and punctuation.

    Raises HTTPException: 404 if the list doesn't have it, 400 if it is built in.
    """
    with store.changing(kind) as patterns:
        shown = PatternList(patterns, built_in)
        left = [each for each in patterns if normalise(each) != normalise(pattern)]
        if len(left) == len(patterns):
            if shown.has_built_in(pattern):
                raise HTTPException(400, BUILT_IN)
            raise HTTPException(404, "Pattern not found.")
        patterns[:] = left
    return _listed(shown)


def _check(patterns: list[str]) -> None:
    if len(set(map(normalise, patterns))) < len(patterns):
        raise HTTPException(400, DUPLICATE)
    if len(patterns) > MAX_PATTERNS:
        raise HTTPException(400, f"A list can have at most {MAX_PATTERNS:,} patterns.")


def _listed(shown: PatternList) -> ListedPatterns:
    return ListedPatterns(patterns=shown.all, count=len(shown.all))
