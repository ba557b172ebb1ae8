"""Sentiment by rules and a lexicon, without any service or model.

The rules for each mention, in this order: comparison, switching intent and valence of its clause,
and then the following clauses about "they". Each judgement names the rule that fired. Valence is
by VADER with a lexicon for telephone companies: VADER's own lexicon was compiled from social
media, rates "support", "number" and "thank you" as praise, and lacks "expensive" and "unreliable".
"""

import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import takewhile
from statistics import fmean
from typing import Any

from callpipeline.domain.audio import Speaker
from callpipeline.domain.competitors.disambiguation.vocabulary import word_set
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.sentiment import Judgement, Sentiment
from callpipeline.domain.transcripts import Segment
from callpipeline.domain.utterances import STALE_MENTIONS
from callpipeline.engines.ports import Conversation
from callpipeline.engines.sentiment.clauses import (
    OTHER,
    SAME,
    TARGET,
    Clause,
    RuleMatch,
    mention_clauses,
    text_clauses,
)
from callpipeline.engines.sentiment.rules import match_comparison, match_switching_intent
from callpipeline.errors import MissingObject

_NO_MATCH = RuleMatch(0.0, "nothing said for or against")
_LOOK_AHEAD = 2
"""Clauses after the name that may continue about "they"."""

_REACH = 8
_MAX_WORDS = 200
"""Words rated at once: VADER takes four times as long for twice the words."""
NEUTRAL_BELOW = 0.2
"""VADER's own ±0.05 is meant for whole posts; one weak word in a clause means little."""

VADER_NEUTRAL_BELOW = 0.05

_REMOVED = word_set("""
    please thank thanks sorry number support pay leave like dear well sure ok okay yes yeah no help
    share hello welcome number top matter want hand agree share shares join interest interested
    important security secure energy cancel cancelled opportunity number lol hi free value fine
""")
_ADDED: dict[float, str] = {
    2.5: "reliable excellent superb flawless spotless unbeatable",
    2.0: "cheap cheaper cheapest fast faster fastest affordable rapid generous painless fair "
    "saving saves recommending recommends recommended",
    1.5: "quick quickly free competitive decent responsive stable clear bargain fine improved",
    -1.5: "slow slower complicated confusing pricey dear late delay delays delayed lag waiting",
    -2.0: "expensive unreliable patchy outage outages downtime drops dropped dropping overcharged "
    "overpriced extortionate slowest misleading ignored incompetent buffering crashed crashes "
    "crashing hacked refused unhelpful overkill impossible",
    -2.8: "rubbish shocking dreadful atrocious appalling joke nightmare ripoff scam shambles",
}
_OWN_COMPANY_BY_CUSTOMER = word_set("you your you're yours you've")
_OWN_COMPANY_BY_AGENT = word_set("we our we're us ours we've")
_COMPANY_VERBS = word_set("are were have had gave offered helped always")


def match_valence(clause: Clause) -> RuleMatch | None:
    """Rate up to eight words on each side of the name, within its clause; None if neutral."""
    if clause.target_index < 0 or _is_about_own_company(clause):
        return None
    words = (*clause.before[-_REACH:], TARGET, *_main_clause(clause.after[:_REACH]))
    score = tone(words)
    if abs(score) < NEUTRAL_BELOW:
        return None
    return RuleMatch(score, f"wording: {_evidence(words)} → {'praise' if score > 0 else 'blame'}")


_RULES = (match_comparison, match_switching_intent, match_valence)


class LexiconJudge:
    """Judges mentions by rules and word lists, deterministically."""

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
        clauses = _clauses(conversation, mention, mentions)
        sentiment, match, clause = judge_clauses(clauses)
        return Judgement(
            mention_id=mention.mention_id,
            competitor=mention.competitor,
            sentiment=sentiment,
            score=match.score,
            rule=match.rule,
            quote=clause.quote,
            engine=self.name,
        )


def judge_clauses(clauses: Sequence[Clause]) -> tuple[Sentiment, RuleMatch, Clause]:
    """Judge a mention's clause and those after it; return the clause that matched, too."""
    own = clauses[0]
    match = _first_match(own)
    for clause in takewhile(lambda c: _continues(own, c), clauses[1 : 1 + _LOOK_AHEAD]):
        next_match = _first_match(clause.with_target())
        if _is_neutral(match) and not _is_neutral(next_match):
            return _sentiment(next_match), next_match, clause
        if next_match.contradicts(match) and not _is_neutral(next_match):
            both = RuleMatch(0.0, f"contradiction: {match.rule}, but {next_match.rule}")
            return Sentiment.MIXED, both, own
    return _sentiment(match), match, own


def _continues(own: Clause, clause: Clause) -> bool:
    if {TARGET, SAME, OTHER}.intersection(clause.words):  # a separate mention
        return False
    is_customer = own.before[-1:] == ("with",) and not own.after
    return (
        clause.has_pronoun_subject()
        or (is_customer and clause.describes_customer())
        or (own.target_index < 2 and clause.lacks_subject())
    )


def _first_match(clause: Clause) -> RuleMatch:
    return next((found for rule in _RULES if (found := rule(clause))), _NO_MATCH)


def _sentiment(match: RuleMatch) -> Sentiment:
    if _is_neutral(match):
        return Sentiment.NEUTRAL
    return Sentiment.POSITIVE if match.score > 0 else Sentiment.NEGATIVE


def _is_neutral(match: RuleMatch) -> bool:
    return abs(match.score) < NEUTRAL_BELOW


def _clauses(
    conversation: Conversation, mention: Mention, mentions: Iterable[Mention]
) -> list[Clause]:
    """Return the mention's clause and the speaker's clauses after it, up to the next segment."""
    own = [s for s in conversation.segments if s.channel is mention.channel]
    # No bare next(): awaiting a thread that raises StopIteration never returns.
    at = next((i for i, s in enumerate(own) if s.index == mention.segment_index), None)
    if at is None:
        raise MissingObject(STALE_MENTIONS)
    others = [m for m in mentions if _is_in(m, own[at]) and not _overlap(m, mention)]
    clauses = mention_clauses(own[at].text, mention.speaker, mention=mention, others=others)
    first = next((i for i, clause in enumerate(clauses) if clause.target_index >= 0), None)
    if first is None:
        raise MissingObject(STALE_MENTIONS)
    return [*clauses[first:], *_next_clauses(own[at + 1 : at + 2], mentions)]


def _next_clauses(segments: Iterable[Segment], mentions: Iterable[Mention]) -> Iterator[Clause]:
    for segment in segments:
        if not any(_is_in(mention, segment) for mention in mentions):
            yield from text_clauses(segment.text, segment.speaker)


def _overlap(one: Mention, other: Mention) -> bool:
    """Return True if two mentions share words, as those of a service may."""
    return one != other and one.char_start < other.char_end and other.char_start < one.char_end


def _is_in(mention: Mention, segment: Segment) -> bool:
    return mention.channel is segment.channel and mention.segment_index == segment.index


def _placeholder(score: float) -> str:
    """Return an invented word for VADER's lexicon, which is no number or negation in VADER."""
    return " phrasegood " if score > 0 else " phrasebad "


_PERSON = "me|us|him|her|them"
_PHRASES: dict[float, tuple[str, ...]] = {
    2.2: (
        (
            r"(no|not a|never a|not any|without (a|any)) (\w+ )?"
            r"(problem|issue|complaint|trouble|bother|downtime|fault|hassle|fuss|outage)s?"
        ),
        (
            r"never (had|have|saw|seen) (a |any |an )?"
            r"(problem|issue|complaint|trouble|bother|downtime|fault|hassle|fuss|outage)s?"
        ),
        r"nothing wrong|not bad|second to none|half the price|value for money",
        r"(can't|cannot|couldn't|can not) (fault|complain|beat)",
        r"(works?|worked|working) (very |really |pretty )?(well|perfectly|fine)",
        rf"(looks?|looked|looking) after ({_PERSON}|you)",
        r"(always|straight away) (answers?|answered|picks? up|picked up)",
        r"never looked back|swears? by|money back",
        r"sorted (it|everything|that|me|us) (out|straight away|quickly)",
    ),
    -2.2: (
        rf"(lets?|letting) ({_PERSON}|everyone) down",
        r"(went|goes|going|gone|go|been|was|were|is|are) (\w+ )?down",
        rf"ripp?(ing|ed|s)? ({_PERSON}|people|you)? ?off",
        (
            r"(put|puts|putting|increas\w+|rais\w+|hik\w+|doubled) (up )?"
            r"(the |my |our |their |your )?(price|bill)s?( up)?"
        ),
        r"(price|bill)s? (went|goes|going|gone|shot|keeps? going) up|price (hike|rise|increase)s?",
        rf"(hung|hang|hangs|cut|cuts|cutting) (up on )?({_PERSON}|up|you)( off)?",
        r"wait(ed|ing)? (\w+ ){0,3}(hours?|ages|minutes|days|weeks|months|forever)",
        rf"(kept|keep|keeps|keeping) ({_PERSON}|you) (waiting|on hold|hanging)|on hold for",
        rf"(charg|bill)(e|ed|es|ing) ({_PERSON}|my card|you) "
        r"(twice|again|wrongly|extra|double|for)",
        r"no (proper |real )?(signal|coverage|service|answer|reply|reception|support|response)",
        r"waste of (time|money)|g[ai]ve up|giving up|never again|through the roof|an arm and",
        r"(doesn't|didn't|don't|does not|did not|never|not|isn't|stopped) work(s|ed|ing)?",
        (
            r"(never|don't|do not|didn't|did not|doesn't|nobody|no one) (\w+ )?"
            r"(answer|listen|reply|replie|respond|pick|call|care|turn)(s|ed|d)?( up| back)?"
        ),
        r"(can't|couldn't|cannot|impossible to) (get through|get hold|reach|speak)",
        r"mess(ed|es|ing)? (\w+ )?up|lied to|hidden (fees|charges)|too much|lost (my|our|all)",
        r"nowhere near|refused to",
        r"(ring|rang|call|called|phone|phoned) (\w+ ){1,2}times",
        r"cost (me|us) a (customer|fortune|sale|day|job)|hard to",
    ),
}
_PATTERNS = [
    (re.compile(rf"\b(?:{phrase})\b"), _placeholder(score))
    for score, phrases in _PHRASES.items()
    for phrase in phrases
]
_VERB_LIKE = re.compile(
    r"(?<!would )(?<!'d )(?<!companies )(?<!providers )(?<!someone )(?<!looks )(?<!sounds )"
    r"(?<!feels )(?<!something )\blike (?=it\b|them\b|the\b|their\b|how\b)"
)
_SUBORDINATORS = word_set("when after since until before if in-case")
"""Words after the name that start a side issue: "brilliant when my phone broke"."""


def _evidence(words: tuple[str, ...]) -> str:
    """Return the words and phrases with a valence, as the explanation of the rule."""
    text = " ".join(word for word in words if word not in (TARGET, SAME, OTHER))
    phrases = [found.group() for pattern, _ in _PATTERNS if (found := pattern.search(text))]
    rated = [word for word in text.split() if word in _analyser().lexicon]
    single = [word for word in rated if not any(word in phrase for phrase in phrases)]
    return ", ".join(f"'{found}'" for found in dict.fromkeys(phrases + single)) or "tone"


def _main_clause(after: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(takewhile(lambda word: word not in _SUBORDINATORS, after))


def tone(words: tuple[str, ...]) -> float:
    """Return VADER's compound score, with masked names and with phrases as single words."""
    text = " ".join("it" if word in (TARGET, SAME, OTHER) else word for word in words)
    text = text.replace("nothing but", "only")  # an intensifier, not a negation
    for pattern, word in _PATTERNS:
        text = pattern.sub(word, text)
    text = _VERB_LIKE.sub("likes ", text)
    return round(float(_analyser().polarity_scores(text)["compound"]), 3)


def _is_about_own_company(clause: Clause) -> bool:
    """Return True for "you were great when I came from X", not for "you can't fault X"."""
    if clause.target_index < 3:
        return False
    first, second = clause.words[:2]
    if clause.speaker is Speaker.AGENT:
        return first in _OWN_COMPANY_BY_AGENT
    return first in _OWN_COMPANY_BY_CUSTOMER and (first != "you" or second in _COMPANY_VERBS)


@cache
def _analyser() -> Any:
    from vaderSentiment.vaderSentiment import (
        SentimentIntensityAnalyzer,  # slow import: it reads 7,500 lines
    )

    analyser = SentimentIntensityAnalyzer()
    for word in _REMOVED:
        analyser.lexicon.pop(word, None)
    for score, words in _ADDED.items():
        analyser.lexicon.update(dict.fromkeys(words.split(), score))
    analyser.lexicon.update((_placeholder(score).strip(), score) for score in _PHRASES)
    return analyser


def rated_phrases() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the positive and negative words and phrases that we added to VADER, to read."""
    phrases = [(s, _readable(p)) for s, patterns in _PHRASES.items() for p in patterns]
    words = [(score, words.split()) for score, words in _ADDED.items()]
    rated = [(score, each) for score, found in [*phrases, *words] for each in found]
    positive = dict.fromkeys(each for score, each in rated if score > 0)
    return tuple(positive), tuple(dict.fromkeys(each for score, each in rated if score < 0))


_ANY_WORDS = re.compile(r"\((\\w\+ |[^()]*\\w\+ )\)(\?|\{[\d,]+\})")
_OPTIONAL = re.compile(r"\([^()]*\)\?|\w\?")
_SUFFIX = re.compile(r"(?<=[)\w])\([^()]*\)")
_GROUP = re.compile(r"\(([^()]*)\)")


def _readable(pattern: str) -> list[str]:
    """Return a pattern's alternatives without optional parts, with `…` for any words."""
    text = _ANY_WORDS.sub("… ", pattern).replace(" ?", " ").replace("[ai]", "a")
    while _OPTIONAL.search(text) or _GROUP.search(text):
        text = _SUFFIX.sub("…", _OPTIONAL.sub("", text))
        text = _GROUP.sub(lambda group: group[1].replace("|", "/"), text)
    text = text.replace(r"\w+", "…").replace(r"\b", "")
    return [" ".join(each.split()) for each in text.split("|")]


def vader_sentiment(text: str) -> Sentiment:
    """Return the sentiment of a text by VADER as published, with its own threshold."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    compound = float(SentimentIntensityAnalyzer().polarity_scores(text)["compound"])
    if abs(compound) < VADER_NEUTRAL_BELOW:
        return Sentiment.NEUTRAL
    return Sentiment.POSITIVE if compound > 0 else Sentiment.NEGATIVE


def text_sentiment(text: str) -> tuple[Sentiment, float]:
    """Return the sentiment of a text, and the mean score (−1..1) of its non-neutral clauses."""
    tones = [
        tone(clause.words[at : at + _MAX_WORDS])
        for clause in text_clauses(text, Speaker.UNKNOWN)
        for at in range(0, len(clause.words), _MAX_WORDS)
    ]
    scores = [each for each in tones if abs(each) >= NEUTRAL_BELOW]
    score = round(fmean(scores), 3) if scores else 0.0
    if abs(score) < NEUTRAL_BELOW:
        return Sentiment.NEUTRAL, score
    return (Sentiment.POSITIVE if score > 0 else Sentiment.NEGATIVE), score
