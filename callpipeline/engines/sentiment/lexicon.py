"""The sentiment engine that needs nothing: rules first, then the tone of the words nearby.

For each mention, in this order: who wins a comparison, whether the customer leaves or joins, the
tone of the clause, and what is said next of "they". Each judgement names the rule that fired.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile

from callpipeline.domain.mention import Mention
from callpipeline.domain.sentiment import Judgement, Sentiment
from callpipeline.domain.transcript import Segment
from callpipeline.engines.ports import Conversation
from callpipeline.engines.sentiment.clauses import (
    OTHER,
    SAME,
    TARGET,
    Clause,
    clauses_of,
    plain_clauses,
)
from callpipeline.engines.sentiment.comparison import compare
from callpipeline.engines.sentiment.findings import Finding
from callpipeline.engines.sentiment.movement import movement
from callpipeline.engines.sentiment.wording import NEUTRAL_BELOW, wording
from callpipeline.errors import MissingObject

_NOTHING = Finding(0.0, "nothing said for or against")
_RULES = (compare, movement, wording)
STALE = "The mentions are of an older transcript: materialize competitor_mentions first."
_LOOK_AHEAD = 2
"""So many clauses after the name may go on about "they"."""


class LexiconJudge:
    """Judges mentions by rules and word lists; the same words give the same judgement."""

    name = "lexicon"

    async def judge(
        self, conversation: Conversation, mentions: Sequence[Mention]
    ) -> tuple[Judgement, ...]:
        return await asyncio.to_thread(self._judge_all, conversation, mentions)

    def _judge_all(
        self, conversation: Conversation, mentions: Sequence[Mention]
    ) -> tuple[Judgement, ...]:
        return tuple(self._judge(conversation, mention, mentions) for mention in mentions)

    def _judge(
        self, conversation: Conversation, mention: Mention, mentions: Sequence[Mention]
    ) -> Judgement:
        clauses = _clauses_from(conversation, mention, mentions)
        sentiment, finding, clause = opinion(clauses)
        return Judgement(
            mention_id=mention.mention_id,
            competitor=mention.competitor,
            sentiment=sentiment,
            score=finding.score,
            rule=finding.rule,
            quote=clause.quote,
            engine=self.name,
        )


def opinion(clauses: Sequence[Clause]) -> tuple[Sentiment, Finding, Clause]:
    """The stance of clauses that begin with the name's own, and the one it rests on."""
    own = clauses[0]
    finding = _first_finding(own)
    for clause in takewhile(lambda c: _goes_on(own, c), clauses[1 : 1 + _LOOK_AHEAD]):
        more = _first_finding(clause.about_target())
        if _is_neutral(finding) and not _is_neutral(more):
            return _sentiment(more), more, clause
        if more.contradicts(finding) and not _is_neutral(more):
            both = Finding(0.0, f"contradiction: {finding.rule}, but {more.rule}")
            return Sentiment.UNSURE, both, own
    return _sentiment(finding), finding, own


def _goes_on(own: Clause, clause: Clause) -> bool:
    if {TARGET, SAME, OTHER}.intersection(clause.words):  # a mention of its own
        return False
    is_customer = own.before[-1:] == ("with",) and not own.after
    return (
        clause.speaks_of_they()
        or (is_customer and clause.tells_of_a_customer())
        or (own.at < 2 and clause.lacks_a_subject())
    )


def _first_finding(clause: Clause) -> Finding:
    return next((found for rule in _RULES if (found := rule(clause))), _NOTHING)


def _sentiment(finding: Finding) -> Sentiment:
    if _is_neutral(finding):
        return Sentiment.NEUTRAL
    return Sentiment.POSITIVE if finding.score > 0 else Sentiment.NEGATIVE


def _is_neutral(finding: Finding) -> bool:
    return abs(finding.score) < NEUTRAL_BELOW


def _clauses_from(
    conversation: Conversation, mention: Mention, mentions: Iterable[Mention]
) -> list[Clause]:
    """The mention's clause and what the same speaker says after it, into the next segment."""
    mine = [s for s in conversation.segments if s.channel is mention.channel]
    # No bare next(): who waits for a thread that ends in a StopIteration waits for ever.
    at = next((i for i, s in enumerate(mine) if s.index == mention.segment_index), None)
    if at is None:
        raise MissingObject(STALE)
    beside = [m for m in mentions if _is_in(m, mine[at]) and not _overlap(m, mention)]
    clauses = clauses_of(mine[at].text, mention.speaker, mention=mention, others=beside)
    own = next((i for i, clause in enumerate(clauses) if clause.at >= 0), None)
    if own is None:
        raise MissingObject(STALE)
    return [*clauses[own:], *_next_clauses(mine[at + 1 : at + 2], mentions)]


def _next_clauses(segments: Iterable[Segment], mentions: Iterable[Mention]) -> Iterator[Clause]:
    for segment in segments:
        if not any(_is_in(mention, segment) for mention in mentions):
            yield from plain_clauses(segment.text, segment.speaker)


def _overlap(one: Mention, other: Mention) -> bool:
    """Whether two names share words, as in what a service or a list of two minds may give."""
    return one != other and one.char_start < other.char_end and other.char_start < one.char_end


def _is_in(mention: Mention, segment: Segment) -> bool:
    return mention.channel is segment.channel and mention.segment_index == segment.index
