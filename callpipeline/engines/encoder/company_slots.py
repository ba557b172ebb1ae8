"""Judges by the encoder whether a company's name stands where an ambiguous one does."""

from collections.abc import Sequence

from callpipeline.domain.audio import Speaker
from callpipeline.domain.competitors.disambiguation.context import COMPETITOR, MentionContext
from callpipeline.domain.utterances import TargetContext, Turn
from callpipeline.engines.encoder.network import UtteranceEncoder

OTHER_COMPANY = "Amazon"
"""Stands for the names of other competitors, as in the training data."""


class CompanySlotScorer:
    """Scores the contexts of ambiguous names; see `CompanySlots`."""

    def __init__(self, encoder: UtteranceEncoder) -> None:
        self._encoder = encoder

    def __call__(self, contexts: Sequence[MentionContext]) -> list[float]:
        return self._encoder.company_log_odds([_target(context) for context in contexts])


def _target(context: MentionContext) -> TargetContext:
    suffix = "'s " if context.is_possessive else ""
    question = (Turn(Speaker.AGENT, " ".join(context.question)),) if context.question else ()
    return TargetContext(
        left=_text(context.before),
        name=context.text,
        right=suffix + _text(context.after),
        speaker=Speaker.CUSTOMER,
        before=question,
        after=(),
    )


def _text(tokens: Sequence[str]) -> str:
    return " ".join(OTHER_COMPANY if token == COMPETITOR else token for token in tokens)
