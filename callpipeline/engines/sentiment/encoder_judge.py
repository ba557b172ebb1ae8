"""Sentiment by rules where they are precise, otherwise by the encoder.

Rules decide comparisons ("cheaper than X") and switching ("we are leaving X"). The encoder sees the
whole utterance and the turns around it; its judgement quotes the words that matter most: those
without which the probability of the label would fall most.
"""

import asyncio
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile
from typing import NamedTuple

from callpipeline.domain.competitors.disambiguation.vocabulary import word_set
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.sentiment import Judgement, Sentiment
from callpipeline.domain.switching import SwitchingIntent, find_switching_intent
from callpipeline.domain.utterances import TargetContext, TargetContexts
from callpipeline.engines.encoder.network import (
    LABELS,
    LabelProbabilities,
    UtteranceEncoder,
    unclear_from,
)
from callpipeline.engines.ports import Conversation
from callpipeline.engines.sentiment.clauses import TARGET, Clause, RuleMatch, mention_clauses
from callpipeline.engines.sentiment.rules import match_comparison

MAX_CLAUSES = 8
RULE_CONFIDENCE = 0.85
"""Share of right judgements of these rules on the training frames, which they don't know."""
OVERRULES = 0.9
"""Probability from which the encoder's label counts more than switching."""
SWITCHING_SCORE = 0.5
_EXPLICIT = re.compile(r"\b(?:than|as \w+ as)\b")
_BARE = re.compile(
    r"(?:(?:well|yes|yeah|oh|honestly|frankly|actually|obviously|basically) )*"
    rf"{TARGET} (?:is|are|'s|'re|was|were|(?:has|have|'ve) been) "
    r"(?:(?:so|much|far|way|even|loads|heaps|miles|really|definitely|clearly|always|just|still"
    r"|actually|a (?:whole )?lot|a good deal|a great deal) )*"
    r"(?P<comparative>(?:(?:more|less) )?\w+)(?: (?:for (?:me|us)|overall|anyway))?"
)
_SENTENCE_STARTS = frozenset(".!?")
_TAKES_BACK = word_set("""
    but though although however except yet only or not no nope right true correct really is are
    isn't aren't was were wasn't weren't
    """)
"""First words of a sentence that may take back or ask what the one before says."""
_FROM = re.compile(r"\bfrom (?:the |our |my |their )?\S+$")
_CLAUSE_END = re.compile(
    r"[.,;:?!…]+\s+|\s+(?=(?:but|because|so|and|although|though|whereas|while|which|when|if|then"
    r"|since|unless|until|except)\b)"
)


@dataclass(frozen=True, slots=True)
class _Part:
    """Words that may be left out of a context: how it reads without them, and the words."""

    without: TargetContext
    quote: str


class _Verdict(NamedTuple):
    sentiment: Sentiment
    score: float
    rule: str
    quote: str
    confidence: float


class EncoderJudge:
    """Judges mentions with the sentiment encoder, deterministically."""

    def __init__(self, encoder: UtteranceEncoder | None = None) -> None:
        self._encoder = encoder or UtteranceEncoder()
        self.name = f"encoder {self._encoder.version}"

    async def judge(
        self, conversation: Conversation, mentions: Sequence[Mention]
    ) -> tuple[Judgement, ...]:
        """See `SentimentJudge`."""
        return await asyncio.to_thread(self._judge_all, conversation, mentions)

    def _judge_all(
        self, conversation: Conversation, mentions: Sequence[Mention]
    ) -> tuple[Judgement, ...]:
        contexts = TargetContexts(conversation.segments)
        return tuple(self._judge(contexts.of(mention), mention) for mention in mentions)

    def _judge(self, context: TargetContext, mention: Mention) -> Judgement:
        found = self._encoder.probabilities([context])[0]
        clauses = _own_clauses(context, mention)
        verdict = _match_rule(context, clauses, found) or self._by_model(context, found)
        return Judgement(
            mention_id=mention.mention_id,
            competitor=mention.competitor,
            sentiment=verdict.sentiment,
            score=round(verdict.score, 3),
            rule=verdict.rule,
            quote=verdict.quote,
            engine=self.name,
            confidence=round(verdict.confidence, 3),
        )

    def _by_model(self, context: TargetContext, found: LabelProbabilities) -> _Verdict:
        label, confidence = found.label, max(found)
        is_unclear = found.is_unclear(unclear_from())
        return _Verdict(
            Sentiment.MIXED if is_unclear else label,
            found.score,
            _describe(found, is_unclear),
            self._quote(context, label, confidence),
            confidence,
        )

    def _quote(self, context: TargetContext, label: Sentiment, probability: float) -> str:
        """Return the words without which the label's probability would fall most."""
        parts = list(_parts(context))
        if len(parts) == 1:
            return parts[0].quote
        own = LABELS.index(label)
        without = self._encoder.probabilities([part.without for part in parts])
        falls = [probability - found[own] for found in without]
        return parts[falls.index(max(falls))].quote


def _match_rule(
    context: TargetContext, clauses: Sequence[Clause], found: LabelProbabilities
) -> _Verdict | None:
    """Return the verdict of the first rule; the encoder may be surer that it isn't switching."""
    comparison, switching = _match_comparison(clauses), _match_switching(context)
    if verdict := comparison or switching:
        agreed = found[LABELS.index(verdict.sentiment)]
        if comparison or max(found) < OVERRULES or agreed == max(found):
            return verdict._replace(confidence=max(RULE_CONFIDENCE, agreed))
    return None


def _own_clauses(context: TargetContext, mention: Mention) -> Sequence[Clause]:
    """Return the clauses of the utterance, from that with the name on."""
    text, start = context.left + context.name + context.right, len(context.left)
    where = replace(mention, char_start=start, char_end=start + len(context.name))
    clauses = mention_clauses(text, context.speaker, mention=where, others=())
    return list(dropwhile(lambda clause: clause.target_index < 0, clauses))


def _match_comparison(clauses: Sequence[Clause]) -> _Verdict | None:
    """Match "than", "as … as" and "X is cheaper"; otherwise, the encoder is right more often."""
    for clause in clauses:
        match = match_comparison(clause)
        if match and match.score and (_EXPLICIT.search(match.rule) or _is_bare(clauses, match)):
            label = Sentiment.POSITIVE if match.score > 0 else Sentiment.NEGATIVE
            return _Verdict(label, match.score, match.rule, clause.quote, RULE_CONFIDENCE)
    return None


def _is_bare(clauses: Sequence[Clause], match: RuleMatch) -> bool:
    """Return True for "X is much cheaper" as a whole sentence, which says no more than that."""
    own, following = clauses[0], clauses[1:2]
    found = _BARE.fullmatch(" ".join(own.words))
    if found is None or own.is_question or own.link not in _SENTENCE_STARTS:
        return False
    if any(c.link not in _SENTENCE_STARTS or c.words[0] in _TAKES_BACK for c in following):
        return False
    return f"'{found['comparative']}'" in match.rule


def _match_switching(context: TargetContext) -> _Verdict | None:
    """Match leaving, joining and staying, but not the fact "I came from X"."""
    found = find_switching_intent(context)
    if found is None:
        return None
    is_leaving = found.intent is SwitchingIntent.COMING_FROM
    if is_leaving and _FROM.search(found.quote):
        return None
    rule, label = ("leaving", Sentiment.NEGATIVE) if is_leaving else ("joining", Sentiment.POSITIVE)
    if found.intent is SwitchingIntent.STAYING:
        rule = "staying"
    score = -SWITCHING_SCORE if is_leaving else SWITCHING_SCORE
    return _Verdict(label, score, f"{rule}: '{found.quote}'", found.quote, RULE_CONFIDENCE)


def _describe(found: LabelProbabilities, is_unclear: bool) -> str:
    said = ", ".join(
        f"{label} {100 * probability:.0f} %"
        for probability, label in sorted(zip(found, LABELS, strict=True), reverse=True)[
            : 2 if is_unclear else 1
        ]
    )
    return f"model: {'unclear, ' if is_unclear else ''}{said}"


def _parts(context: TargetContext) -> Iterator[_Part]:
    """Yield the clauses of the utterance, and the turns around it."""
    text = context.left + context.name + context.right
    start, end = len(context.left), len(context.left) + len(context.name)
    for first, last in _clauses(text, start, end):
        left = text[: min(first, start)] + text[min(last, start) : start]
        right = text[end : max(first, end)] + text[max(last, end) :]
        yield _Part(context._replace(left=left, right=right), text[first:last].strip(" ,;:"))
    for turn in context.before:
        rest = tuple(t for t in context.before if t is not turn)
        yield _Part(context._replace(before=rest), turn.text)
    for turn in context.after:
        rest = tuple(t for t in context.after if t is not turn)
        yield _Part(context._replace(after=rest), turn.text)


def _clauses(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Return start and end of each clause; the name at `start:end` is within one of them."""
    cuts = [m.end() for m in _CLAUSE_END.finditer(text) if not start < m.end() < end]
    edges = [0, *(cut for cut in cuts if 0 < cut < len(text)), len(text)]
    spans = [(a, b) for a, b in itertools.pairwise(edges) if text[a:b].strip()]
    if len(spans) <= MAX_CLAUSES:
        return spans
    own = next(n for n, (_, last) in enumerate(spans) if last > start)
    first = max(0, min(own - MAX_CLAUSES // 2, len(spans) - MAX_CLAUSES))
    return spans[first : first + MAX_CLAUSES]
