"""The tone of the words near a name: VADER, taught the words of telephone companies.

VADER's own lexicon was made for social media: it takes "support", "number" or "thank you" for
praise, and knows neither "expensive" nor "unreliable".
"""

import re
from functools import cache
from itertools import takewhile
from typing import Any

from callpipeline.domain.audio import Speaker
from callpipeline.domain.vocabulary import word_set
from callpipeline.engines.sentiment.clauses import OTHER, SAME, TARGET, Clause
from callpipeline.engines.sentiment.findings import US_TO_AGENT, US_TO_CUSTOMER, Finding

_REACH = 8
NEUTRAL_BELOW = 0.2
"""VADER's ±0.05 is for whole posts; one weak word in a clause of a call means little."""

_POLITE = word_set("""
    please thank thanks sorry number support pay leave like dear well sure ok okay yes yeah no help
    share hello welcome number top matter want hand agree share shares join interest interested
    important security secure energy cancel cancelled opportunity number lol hi free value fine
""")
_KNOWN: dict[float, str] = {
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
_OUR_VERBS = word_set("are were have had gave offered helped always")


def _stand_in(score: float) -> str:
    """A made-up word for VADER's lexicon, which it does not take for a number or a negation."""
    return " phrasegood " if score > 0 else " phrasebad "


_ANYONE = "me|us|him|her|them"
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
        rf"(looks?|looked|looking) after ({_ANYONE}|you)",
        r"(always|straight away) (answers?|answered|picks? up|picked up)",
        r"never looked back|swears? by|money back",
        r"sorted (it|everything|that|me|us) (out|straight away|quickly)",
    ),
    -2.2: (
        rf"(lets?|letting) ({_ANYONE}|everyone) down",
        r"(went|goes|going|gone|go|been|was|were|is|are) (\w+ )?down",
        rf"ripp?(ing|ed|s)? ({_ANYONE}|people|you)? ?off",
        (
            r"(put|puts|putting|increas\w+|rais\w+|hik\w+|doubled) (up )?"
            r"(the |my |our |their |your )?(price|bill)s?( up)?"
        ),
        r"(price|bill)s? (went|goes|going|gone|shot|keeps? going) up|price (hike|rise|increase)s?",
        rf"(hung|hang|hangs|cut|cuts|cutting) (up on )?({_ANYONE}|up|you)( off)?",
        r"wait(ed|ing)? (\w+ ){0,3}(hours?|ages|minutes|days|weeks|months|forever)",
        rf"(kept|keep|keeps|keeping) ({_ANYONE}|you) (waiting|on hold|hanging)|on hold for",
        rf"(charg|bill)(e|ed|es|ing) ({_ANYONE}|my card|you) "
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
    (re.compile(rf"\b(?:{phrase})\b"), _stand_in(score))
    for score, phrases in _PHRASES.items()
    for phrase in phrases
]
_LIKING = re.compile(
    r"(?<!would )(?<!'d )(?<!companies )(?<!providers )(?<!someone )(?<!looks )(?<!sounds )"
    r"(?<!feels )(?<!something )\blike (?=it\b|them\b|the\b|their\b|how\b)"
)
_SIDE_ISSUE = word_set("when after since until before if in-case")
"""After the name these begin what is told beside the point: "brilliant when my phone broke"."""


def wording(clause: Clause) -> Finding | None:
    """The tone of up to eight words on either side of the name, within its clause."""
    if clause.at < 0 or _is_about_us(clause):
        return None
    words = (*clause.before[-_REACH:], TARGET, *_to_the_point(clause.after[:_REACH]))
    score = tone(words)
    if abs(score) < NEUTRAL_BELOW:
        return None
    return Finding(score, f"wording: {_telling(words)} → {'praise' if score > 0 else 'blame'}")


def _telling(words: tuple[str, ...]) -> str:
    """The words and phrases that carry the tone, for the person who asks why."""
    text = " ".join(word for word in words if word not in (TARGET, SAME, OTHER))
    phrases = [found.group() for pattern, _ in _PATTERNS if (found := pattern.search(text))]
    loaded = [word for word in text.split() if word in _analyser().lexicon]
    single = [word for word in loaded if not any(word in phrase for phrase in phrases)]
    return ", ".join(f"'{found}'" for found in dict.fromkeys(phrases + single)) or "tone"


def _to_the_point(after: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(takewhile(lambda word: word not in _SIDE_ISSUE, after))


def tone(words: tuple[str, ...]) -> float:
    """VADER's compound score of the words, with names left out and phrases as single words."""
    text = " ".join("it" if word in (TARGET, SAME, OTHER) else word for word in words)
    text = text.replace("nothing but", "only")  # praise and blame alike, but no negation
    for pattern, word in _PATTERNS:
        text = pattern.sub(word, text)
    text = _LIKING.sub("likes ", text)
    return round(float(_analyser().polarity_scores(text)["compound"]), 3)


def _is_about_us(clause: Clause) -> bool:
    """ "you were great when I came from X" praises us; "you can't fault X" does not."""
    if clause.at < 3:
        return False
    first, second = clause.words[:2]
    if clause.speaker is Speaker.AGENT:
        return first in US_TO_AGENT
    return first in US_TO_CUSTOMER and (first != "you" or second in _OUR_VERBS)


@cache
def _analyser() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # reads 7,500 lines

    analyser = SentimentIntensityAnalyzer()
    for word in _POLITE:
        analyser.lexicon.pop(word, None)
    for score, words in _KNOWN.items():
        analyser.lexicon.update(dict.fromkeys(words.split(), score))
    analyser.lexicon.update((_stand_in(score).strip(), score) for score in _PHRASES)
    return analyser
