"""Input of the sentiment encoder: an utterance with its target marked, and the turns around it.

The script that trains the encoder builds its inputs here, too.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from callpipeline.domain.audio import Speaker
from callpipeline.domain.utterances import TargetContext, Turn

CLS, SEP = "[CLS]", "[SEP]"
TARGET_START, TARGET_END = "[unused0]", "[unused1]"
BEFORE, AFTER = "[unused2]", "[unused3]"
ROLES = {Speaker.CUSTOMER: "[unused4]", Speaker.AGENT: "[unused5]", Speaker.UNKNOWN: "[unused4]"}
MARKERS = (CLS, SEP, TARGET_START, TARGET_END, BEFORE, AFTER, *dict.fromkeys(ROLES.values()))
"""Tokens with a meaning of their own; BERT's vocabulary has unused ones for such."""

SIDE_TOKENS = 40
"""Word pieces of the utterance on each side of the target."""
NAME_TOKENS = 6
TURN_TOKENS = 24
"""Word pieces of the turns before, and of those after the utterance."""

Tokenize = Callable[[str], Sequence[int]]
"""Returns the ids of a text's word pieces, without special tokens."""


class EncodedInput(NamedTuple):
    """Ids of the word pieces, and the segment (0, 1) of each."""

    ids: list[int]
    segments: list[int]


def encode_context(
    context: TargetContext, tokenize: Tokenize, marker_ids: dict[str, int]
) -> EncodedInput:
    """Return the input of the encoder; words far from the target are left out."""
    mark = marker_ids.__getitem__
    utterance = [
        mark(CLS),
        mark(ROLES[context.speaker]),
        *tokenize(context.left)[-SIDE_TOKENS:],
        mark(TARGET_START),
        *tokenize(context.name)[:NAME_TOKENS],
        mark(TARGET_END),
        *tokenize(context.right)[:SIDE_TOKENS],
        mark(SEP),
    ]
    turns: list[int] = []
    if before := _encode_turns(context.before, tokenize, marker_ids):
        turns += [mark(BEFORE), *before[-TURN_TOKENS:]]
    if after := _encode_turns(context.after, tokenize, marker_ids):
        turns += [mark(AFTER), *after[:TURN_TOKENS]]
    if turns:
        turns.append(mark(SEP))
    return EncodedInput(utterance + turns, [0] * len(utterance) + [1] * len(turns))


def _encode_turns(
    turns: Sequence[Turn], tokenize: Tokenize, marker_ids: dict[str, int]
) -> list[int]:
    return [
        piece for turn in turns for piece in (marker_ids[ROLES[turn.speaker]], *tokenize(turn.text))
    ]
