"""`/patterns`: a user's phrases that decide the sentiment of mentions, and the built-in ones.

New patterns apply to new calls; `callpipeline recompute --stage sentiment` applies them to others.
"""

from fastapi import APIRouter

from callpipeline import wiring
from callpipeline.domain.sentiment import PatternKind
from callpipeline.http_server import pattern_lists
from callpipeline.http_server.pattern_lists import ListedPatterns, NewPattern, PatternsBody
from callpipeline.web.problems import problems
from callpipeline.web.state import State

read_router = APIRouter(prefix="/patterns", tags=["patterns"])
write_router = APIRouter(prefix="/patterns", tags=["patterns"])


@read_router.get("/{kind}", responses=problems(422, 503))
def list_patterns(kind: PatternKind, state: State) -> ListedPatterns:
    """Return the user's patterns, then the phrases that are built in.

    Built-in phrases are those that the engine `lexicon` rates; `…` stands for a few other words,
    and a slash separates alternatives.
    """
    return pattern_lists.listed(state.storage.patterns, kind, _built_in(kind))


@write_router.post("/{kind}", responses=problems(400, 422, 503))
def add_patterns(
    kind: PatternKind, more: NewPattern | PatternsBody, state: State
) -> ListedPatterns:
    """Add patterns. 400: a duplicate, or there are too many; nothing is added."""
    return pattern_lists.add(state.storage.patterns, kind, more, _built_in(kind))


@write_router.put("/{kind}", responses=problems(400, 422, 503))
def replace_patterns(kind: PatternKind, new: PatternsBody, state: State) -> ListedPatterns:
    """Replace the user's patterns; built-in phrases stay. 400: a duplicate; nothing is changed."""
    return pattern_lists.replace(state.storage.patterns, kind, new, _built_in(kind))


@write_router.delete("/{kind}/{pattern:path}", responses=problems(400, 404, 422, 503))
def delete_pattern(kind: PatternKind, pattern: str, state: State) -> ListedPatterns:
    """Delete a pattern, ignoring case and punctuation. 400: it is built in; 404: unknown."""
    return pattern_lists.delete(state.storage.patterns, kind, pattern, _built_in(kind))


def _built_in(kind: PatternKind) -> tuple[str, ...]:
    return wiring.built_in_phrases()[kind]
