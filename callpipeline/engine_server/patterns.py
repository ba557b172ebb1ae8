"""`/patterns`: lists of patterns that decide the sentiment before the judge."""

from typing import Annotated

from fastapi import APIRouter, HTTPException
from pydantic import AfterValidator, BaseModel, Field

from callpipeline.domain.competitors.spellings import normalise
from callpipeline.engine_server.errors import error_responses
from callpipeline.engine_server.state import CurrentState, PatternKind

MAX_PATTERNS = 1_000

router = APIRouter(prefix="/patterns", tags=["patterns"])


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

    patterns: Annotated[list[Pattern], Field(max_length=MAX_PATTERNS)]


class PatternList(BaseModel):
    """A list after the request."""

    patterns: list[str]
    count: int


@router.get("/{kind}")
def list_patterns(kind: PatternKind, state: CurrentState) -> PatternList:
    """Return the patterns of a list."""
    return _response(state.patterns.lists()[kind])


@router.post("/{kind}", responses=error_responses(400, 422))
def add_patterns(
    kind: PatternKind, more: NewPattern | PatternsBody, state: CurrentState
) -> PatternList:
    """Add patterns to a list. 400: a duplicate, or the list is full; nothing is added."""
    added = [more.pattern] if isinstance(more, NewPattern) else more.patterns
    with state.patterns.changing(kind) as patterns:
        patterns.extend(added)
        _reject_duplicates(patterns)
        if len(patterns) > MAX_PATTERNS:
            raise HTTPException(400, f"A list can have at most {MAX_PATTERNS:,} patterns.")
    return _response(patterns)


@router.put("/{kind}", responses=error_responses(400, 422))
def replace_patterns(kind: PatternKind, new: PatternsBody, state: CurrentState) -> PatternList:
    """Replace a list. 400: a duplicate; nothing is changed."""
    _reject_duplicates(new.patterns)
    with state.patterns.changing(kind) as patterns:
        patterns[:] = new.patterns
    return _response(patterns)


@router.delete("/{kind}/{pattern:path}", responses=error_responses(404))
def delete_pattern(kind: PatternKind, pattern: str, state: CurrentState) -> PatternList:
    """Delete a pattern, ignoring case and punctuation. 404: not in the list."""
    with state.patterns.changing(kind) as patterns:
        left = [each for each in patterns if normalise(each) != normalise(pattern)]
        if len(left) == len(patterns):
            raise HTTPException(404, "Pattern not found.")
        patterns[:] = left
    return _response(patterns)


def _reject_duplicates(patterns: list[str]) -> None:
    if len(set(map(normalise, patterns))) < len(patterns):
        raise HTTPException(400, "Duplicate pattern (ignoring case and punctuation).")


def _response(patterns: list[str] | tuple[str, ...]) -> PatternList:
    return PatternList(patterns=list(patterns), count=len(patterns))
