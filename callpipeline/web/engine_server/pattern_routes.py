"""`/patterns`: the two lists, to be read and changed."""

from typing import Annotated

from fastapi import APIRouter, HTTPException
from pydantic import AfterValidator, BaseModel, Field

from callpipeline.domain.spelling import normalise
from callpipeline.web.engine_server.answers import problems
from callpipeline.web.engine_server.opened import Here
from callpipeline.web.engine_server.patterns import Kind

MOST = 1_000

router = APIRouter(prefix="/patterns", tags=["patterns"])


def _holds_a_word(pattern: str) -> str:
    if not normalise(pattern):
        raise ValueError("a pattern holds a letter or a digit")
    return pattern.strip()


Pattern = Annotated[str, Field(max_length=200), AfterValidator(_holds_a_word)]


class One(BaseModel):
    """A pattern to add."""

    pattern: Pattern


class Several(BaseModel):
    """Patterns to add, or to have instead of those there are."""

    patterns: Annotated[list[Pattern], Field(max_length=MOST)]


class Listed(BaseModel):
    """A list as it stands now."""

    patterns: list[str]
    count: int


@router.get("/{kind}")
def read(kind: Kind, here: Here) -> Listed:
    """The patterns of a list."""
    return _listed(here.patterns.lists()[kind])


@router.post("/{kind}", responses=problems(400, 422))
def add(kind: Kind, more: One | Several, here: Here) -> Listed:
    """Add to a list. 400: a pattern is there already, or the list is full; nothing is added."""
    added = [more.pattern] if isinstance(more, One) else more.patterns
    with here.patterns.changing(kind) as patterns:
        patterns.extend(added)
        _refuse_repeated(patterns)
        if len(patterns) > MOST:
            raise HTTPException(400, f"A list may have {MOST:,} patterns.")
    return _listed(patterns)


@router.put("/{kind}", responses=problems(400, 422))
def replace(kind: Kind, new: Several, here: Here) -> Listed:
    """Have these patterns instead. 400: one of them is there twice; nothing is changed."""
    _refuse_repeated(new.patterns)
    with here.patterns.changing(kind) as patterns:
        patterns[:] = new.patterns
    return _listed(patterns)


@router.delete("/{kind}/{pattern:path}", responses=problems(404))
def remove(kind: Kind, pattern: str, here: Here) -> Listed:
    """Take a pattern from a list, however it is written. 404: it is not there."""
    with here.patterns.changing(kind) as patterns:
        kept = [each for each in patterns if normalise(each) != normalise(pattern)]
        if len(kept) == len(patterns):
            raise HTTPException(404, "The list has no such pattern.")
        patterns[:] = kept
    return _listed(patterns)


def _refuse_repeated(patterns: list[str]) -> None:
    if len(set(map(normalise, patterns))) < len(patterns):
        raise HTTPException(400, "A pattern is there already (case and punctuation aside).")


def _listed(patterns: list[str] | tuple[str, ...]) -> Listed:
    return Listed(patterns=list(patterns), count=len(patterns))
