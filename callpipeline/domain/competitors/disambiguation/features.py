"""Evidence in the context of a name, as features of the disambiguation model."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log10

from callpipeline.domain.competitors.disambiguation import evidence
from callpipeline.domain.competitors.disambiguation import vocabulary as v
from callpipeline.domain.competitors.disambiguation.context import (
    COMPETITOR,
    MentionContext,
    is_code,
)
from callpipeline.domain.competitors.words import word_statistics

Rule = Callable[[MentionContext], str | None]
RULES: Mapping[str, Rule] = {
    rule.__name__: rule
    for rule in (
        evidence.part_of_a_figure,
        evidence.hyphenated,
        evidence.collocation,
        evidence.own_evidence,
        evidence.beside_a_number,
        evidence.counting,
        evidence.amount,
        evidence.label,
        evidence.compound,
        evidence.listed_company,
        evidence.beside_a_competitor,
        evidence.numbered,
        evidence.colour,
        evidence.company_noun,
        evidence.counting_anything,
        evidence.determined,
        evidence.longer_name,
        evidence.switching,
        evidence.being_with,
        evidence.business,
        evidence.compared,
        evidence.dealing,
        evidence.talking,
        evidence.company_act,
        evidence.answer,
        evidence.capitalised,
        evidence.time_of_day,
        evidence.verb,
        evidence.bare_one,
    )
}
COMPANY_RULES = v.word_set(
    """
    own_evidence listed_company beside_a_competitor company_noun switching being_with business
    compared dealing talking company_act answer
    """
)
NEAR_WORDS = 8
MAX_SLOT = 5.0
_PERSONAL = v.word_set("thanks thank you mr mrs ms dr hi hello hey dear it's this is")
_TITLES = v.word_set(
    """
    president chief ceo cfo coo officer director analyst chairman counsel treasurer vp
    """
)
_DETERMINERS = v.DETERMINERS - {"a", "an", "the"}
_OWNERS = v.word_set("my your his her our their its")
_BE = v.word_set("is are was were isn't aren't wasn't weren't")
_HAVE = v.word_set("has have had hasn't haven't hadn't")
_MODAL = v.word_set(
    """
    will would can could should might may won't wouldn't can't couldn't do does did don't
    doesn't didn't never always also just
    """
)
_SUBORDINATE = v.word_set("because when if so but while until before after since as than that")
_TIME = v.word_set("last next this today tomorrow yesterday now then ago at in on for")
_PREPOSITIONS = v.word_set("from with at by to of for in on over via through")
_NAMED_BEFORE = _PREPOSITIONS | frozenset(("and", "or", ",", "than", "like", "called", "as"))
_ALONE = v.word_set(
    """
    with at by from to of for on in over via through using use called than
    """
)
_BUYING = v.word_set(
    """
    pay pays paying cost costs charge cheaper offer offered quote quoted coverage signal bill
    contract package shop deal plan tariff years
    """
)
_QUESTION_WORDS = v.word_set("question questions line")
_JOBS = _TITLES | v.word_set("head chair svp evp manager leader")
_HANDING_OVER = v.word_set("line comes coming come over turn")
_ASKING = v.word_set("comes come coming go line question from")
_PROPER_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class NameUsage:
    """Occurrences of a name inside sentences of a call, in lower case and with a capital.

    `is_cased` is false for text without capitals, as many recognisers write.
    """

    capital: int
    lower: int
    is_cased: bool

    @property
    def lean(self) -> float:
        """Return a value from -1 (always in lower case) to 1 (always with a capital)."""
        return (self.capital - self.lower) / (self.capital + self.lower + 1)


def name_usage(contexts: Iterable[MentionContext], *, is_cased: bool) -> NameUsage:
    inside = [context.text for context in contexts if context.before]
    lower = sum(text[:1].islower() for text in inside)
    return NameUsage(len(inside) - lower, lower, is_cased)


def is_cased_text(texts: Iterable[str]) -> bool:
    """Return whether texts are written with capitals, other than "I" and throughout."""
    words = [word for text in texts for word in text.split() if word[0].isalpha()]
    words = [word for word in words if word != "I" and not word.startswith(("I'", "I’"))]
    capitals = sum(word[0].isupper() for word in words)
    upper = sum(word.isupper() for word in words)
    return 0.01 * len(words) < capitals and upper <= 0.6 * len(words)


def features(
    context: MentionContext, usage: NameUsage, slot: float | None = None
) -> dict[str, float]:
    """Return the features of one occurrence of a name; those left out are 0.

    `slot` are the log-odds by which the encoder takes it for a company's name.
    """
    found = dict(_features(context, usage))
    if slot is not None:
        kind = "slot for" if slot > 0 else "slot against"
        found[kind] = min(abs(slot), MAX_SLOT)
    if not usage.is_cased:
        found |= {f"uncased {name}": value for name, value in found.items()}
        found["uncased"] = 1.0
    return found


def _features(context: MentionContext, usage: NameUsage) -> Iterator[tuple[str, float]]:
    matching = [name for name, rule in RULES.items() if rule(context)]
    yield from ((f"rule {name}", 1.0) for name in matching)
    if not COMPANY_RULES.isdisjoint(matching):
        yield "company rule", 1.0
    if usage.is_cased:
        yield from _case(context, usage)
    general = word_statistics(context.word)
    yield "frequency", log10(1 + general.lower)
    yield "general capital", general.capital_share
    yield from ((f"before {kind}", 1.0) for kind in _before(context))
    yield from ((f"after {kind}", 1.0) for kind in _after(context))
    yield from ((f"near {kind}", 1.0) for kind in _near(context))
    if context.is_number:
        yield "number", 1.0
    if context.word in v.GIVEN_NAMES:
        yield "given name", 1.0
    if not general.total:
        yield "rare word", 1.0
    if is_code(context.text) and not context.is_number:
        yield "code", 1.0


def _case(context: MentionContext, usage: NameUsage) -> Iterator[tuple[str, float]]:
    if not context.text[:1].isalpha():
        return
    yield "call capitals", usage.lean
    if usage.lower and not usage.capital:
        yield "only lower case in call", 1.0
    elif usage.capital > 1 and not usage.lower:
        yield "only capitals in call", 1.0
    if not context.text[:1].isupper():
        yield ("lower case number" if context.is_number else "lower case"), 1.0
        return
    kind = "capital inside" if context.before else "capital at start"
    yield kind, 1.0
    yield f"{kind} of frequent word", log10(1 + word_statistics(context.word).lower)
    if context.text.isupper() and len(context.text) > 1:
        yield "capitals", 1.0
    if context.text[:-1].isupper() and context.text[-1] == "s" and len(context.text) > 2:
        yield "plural of capitals", 1.0
    if context.previous in v.DETERMINERS:
        yield "capital after determiner", 1.0
    is_followed = _is_capital(context.after[:1])
    if is_followed:
        yield "capital after", 1.0
        yield "capital after frequent word", log10(1 + word_statistics(context.word).lower)
    if len(context.before) > 1 and _is_capital(context.before[-1:]):
        yield "capital before", 1.0
        if context.left[0] in v.GIVEN_NAMES:
            yield "given name before", 1.0
    if is_followed and context.right[1:2] in (("from",), ("with",), ("of",), (",",), ("at",)):
        yield "introduced", 1.0


def _is_capital(tokens: Sequence[str]) -> bool:
    return any(token[:1].isupper() and token != "I" for token in tokens)


_BEFORE: tuple[tuple[str, frozenset[str]], ...] = (
    ("article", frozenset(("the", "a", "an"))),
    ("owner", _OWNERS),
    ("determiner", _DETERMINERS),
    ("be", _BE - _PREPOSITIONS),
    ("modal", (v.MODALS | _MODAL) - _NAMED_BEFORE),
    ("dealing", (v.DEALING_VERBS | v.LEAVING_OR_JOINING) - _NAMED_BEFORE),
)
"""Kinds of words before a name; the first that has the word applies."""
_AFTER: tuple[tuple[str, frozenset[str]], ...] = (
    ("company verb", v.COMPANY_VERBS),
    ("company noun", v.NEAR_NAME_NOUNS),
    ("suffix", v.COMPANY_SUFFIXES),
    ("be", _BE),
    ("have", _HAVE),
    ("modal", (_MODAL | v.MODALS) - {"to"}),
    ("clause", _SUBORDINATE - {"of", "to"}),
    ("preposition", (_TIME | _PREPOSITIONS) - {"of", "to"}),
    ("determiner", v.DETERMINERS),
)


def _before(context: MentionContext) -> Iterator[str]:
    word = context.previous
    if not context.before:
        yield "start"
    elif word in _NAMED_BEFORE:
        yield word
    else:
        yield from _kind(word, _BEFORE, (("verb", ("ed", "ing")),))
    if context.has_company_noun and word in v.DETERMINERS:
        yield "determiner, company noun after"
    if word in _ALONE and context.stands_alone:
        yield "link alone"
    if kind := _word_kind(word):
        yield f"{kind} word"
    yield from _introductions(context)
    further = context.left[1:3]
    if word.isalpha() and word not in _PREPOSITIONS and v.DETERMINERS.intersection(further):
        yield "article further"


def _introductions(context: MentionContext) -> Iterator[str]:
    """Yield what calls say before people, jobs and companies."""
    word, further = context.previous, context.left[1:2]
    is_handed_over = (
        word in ("from", "of", "to", "with") and further and further[0] in _HANDING_OVER
    )
    if is_handed_over or (word == "from" and further and further[0] in ("is", "be", "was")):
        yield "person's place"  # "comes from the line of", "turn it over to"
    if word in ("of", "for") and _JOBS.intersection(context.left[1:4]):
        yield "job"  # "vice president of"
    is_link = word in ("from", "with", "at", "of") and further and further[0].isalpha()
    if is_link and _ASKING.intersection(context.left[2:6]):
        yield "person and link"  # "a question from Ann with"


def _word_kind(word: str) -> str | None:
    """Return whether a word beside the name is mostly a proper name, plain, or unknown."""
    is_word = word.isalpha() and len(word) > 1
    if not is_word or word in v.FUNCTION_AFTER or word in v.GIVEN_NAMES:
        return None
    general = word_statistics(word)
    if not general.total:
        return "unknown"
    return "proper" if general.capital_share >= _PROPER_SHARE else "plain"


def _after(context: MentionContext) -> Iterator[str]:
    word = context.next
    kind = None if context.is_possessive else _word_kind(word)
    if kind:
        yield f"{kind} word"
    if context.is_possessive:
        yield "possessive"
    elif not word:
        yield "end"
    elif word in (",", "and", "or", "of", "to"):
        yield word
    else:
        endings = (("past", ("ed",)), ("plural", ("s",)))
        yield from _kind(word, _AFTER, endings)


def _kind(
    word: str,
    kinds: Iterable[tuple[str, frozenset[str]]],
    endings: Iterable[tuple[str, tuple[str, ...]]],
) -> Iterator[str]:
    """Yield the kind of a word: by the list that has it, or by its ending."""
    listed = next((kind for kind, words in kinds if word in words), None)
    if listed:
        yield listed
    elif word.isdigit() or word in v.NUMBERS:
        yield "number"
    elif word.isalpha():
        ending = (kind for kind, ends in endings if word.endswith(ends) and len(word) > 3)
        yield next(ending, "word")


def _near(context: MentionContext) -> Iterator[str]:
    left, right = context.left[:NEAR_WORDS], context.right[:NEAR_WORDS]
    words = {*left, *right}
    if words & v.COMPANY_WORDS:
        yield "company words"
    if len(words & v.COMPANY_WORDS) > 1:
        yield "more company words"
    if words & v.COMPANY_NOUNS:
        yield "company nouns"
    if COMPETITOR.casefold() in words:
        yield "competitor"
    if words & v.COMPARATIVES:
        yield "comparison"
    if set(left[:2]) & _PERSONAL and context.next in ("", ",", "."):
        yield "greeting"
    if _TITLES & set(right[:5]):
        yield "title"
    if _QUESTION_WORDS & set(left) and context.previous in ("from", "with", "of", "at"):
        yield "question from"
    if context.previous in ("from", "with", "at", "of") and left[1:2] and left[1][:1].isalpha():
        yield "word and link"
    if len(context.before) + len(context.after) < 3:
        yield "little context"
    if _BUYING & words:
        yield "buying"
    overlap = _sold(context, (*left, *right, *context.question[-NEAR_WORDS:]))
    if overlap:
        yield "what it sells"


def _sold(context: MentionContext, words: Sequence[str]) -> frozenset[str]:
    """Return the words near the name that say what the competitor sells."""
    sold = frozenset(context.sells) - v.FUNCTION_AFTER
    return frozenset(word for word in words if word in sold or word.removesuffix("s") in sold)
