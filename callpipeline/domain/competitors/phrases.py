"""Typical phrases: words that texts of one group have and other texts seldom have."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import log, sqrt

MAX_WORDS = 4
MIN_TEXTS = 3
"""Texts that a phrase must occur in: one customer's words are not typical."""
PRIOR = 0.5
"""Texts with the phrase that each group is given in advance, so that few texts prove little."""
OVERLAP = 0.6
"""Share of the texts of a phrase that another one explains already."""

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_BREAK = "\0"
_FUNCTION_WORDS = (
    "a about after again all also am an and any are as at be because been before being but by can "
    "come could did do does doing done down each else even ever for from get gets getting go goes "
    "going gone got had has have having he her here him his how i i'd i'll i'm i've if in into is "
    "it it's its just know let like look me mean more most my no now of off oh ok okay on one only "
    "or other our out over own quite really right said say saying says see she so some such take "
    "than that that's the their them then there there's these they they're thing things think this "
    "those to too uh um up us very was we we're well went were what when where which while who why "
    "will with would yeah yes yet you you'd you'll you're you've your"
)
_STOP_WORDS = frozenset(_FUNCTION_WORDS.split())


@dataclass(frozen=True, slots=True)
class SpokenText:
    """A text with an identifier, and a name in it that is no part of any phrase."""

    id: str
    text: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Phrase:
    """A typical phrase, and the ids of the texts that have it."""

    text: str
    ids: Sequence[str]


def typical_phrases(
    texts: Sequence[SpokenText], others: Sequence[SpokenText], limit: int = 5
) -> list[Phrase]:
    """Return the phrases that distinguish the texts from the others, most typical first.

    A phrase counts once for each text. It is measured by the z-score of its log-odds ratio.
    """
    found, elsewhere = _phrases_of(texts), _phrases_of(others)
    scored = [
        (_z_score(len(ids), len(texts), len(elsewhere.get(phrase, ())), len(others)), phrase)
        for phrase, ids in found.items()
        if len(ids) >= MIN_TEXTS
    ]
    # Of phrases that occur in the same texts, the longest says most.
    ordered = sorted(scored, key=lambda each: (-round(each[0], 1), -len(each[1]), each[1]))
    chosen: list[Phrase] = []
    covered: list[set[str]] = []
    for score, phrase in ordered:
        ids = found[phrase]
        is_known = any(len(known & set(ids)) > OVERLAP * len(ids) for known in covered)
        if score > 0 and not is_known and len(chosen) < limit:
            chosen.append(Phrase(phrase, tuple(ids)))
            covered.append(set(ids))
    return chosen


def _phrases_of(texts: Iterable[SpokenText]) -> dict[str, dict[str, None]]:
    """Return the ids of the texts with each phrase, in order."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for each in texts:
        for phrase in _phrases(_words(each)):
            found[phrase][each.id] = None
    return found


def _words(spoken: SpokenText) -> list[str]:
    text = spoken.text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    if spoken.name:
        text = re.sub(rf"\b{re.escape(spoken.name.lower())}\b", _BREAK, text)
    return re.findall(rf"{_WORD.pattern}|[{_BREAK}.,;:?!]", text)


def _phrases(words: Sequence[str]) -> Iterator[str]:
    """Yield runs of words that neither begin nor end with a stop word, nor cross a break."""
    for start, first in enumerate(words):
        if first in _STOP_WORDS or not _WORD.fullmatch(first):
            continue
        for end in range(start + 1, min(start + MAX_WORDS, len(words)) + 1):
            last = words[end - 1]
            if not _WORD.fullmatch(last):
                break
            if last not in _STOP_WORDS and (end - start > 1 or len(first) > 3):
                yield " ".join(words[start:end])


def _z_score(count: int, of: int, other_count: int, of_others: int) -> float:
    """Return how many standard errors the log-odds of a phrase lie above those elsewhere."""
    have, lack = count + PRIOR, of - count + PRIOR
    other_have, other_lack = other_count + PRIOR, of_others - other_count + PRIOR
    difference = log(have / lack) - log(other_have / other_lack)
    return difference / sqrt(1 / have + 1 / other_have)
