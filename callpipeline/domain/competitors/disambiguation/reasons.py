"""Reasons for reviewers: the largest terms of a score, in words."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from callpipeline.domain.competitors.disambiguation import vocabulary as v
from callpipeline.domain.competitors.disambiguation.context import MentionContext
from callpipeline.domain.competitors.disambiguation.features import (
    COMPANY_RULES,
    NEAR_WORDS,
    RULES,
)
from callpipeline.domain.competitors.mentions import MentionStatus

NOT_ENOUGH_CONTEXT = "not enough context to tell"
MAX_TERMS = 3
MIN_TERM = 0.3
MIN_SHARE = 0.3
"""Terms that are smaller than this, or than this share of the largest one, are left out."""
_COMPANY, _ORDINARY = "the company", "the ordinary word"


def explain(context: MentionContext, terms: Mapping[str, float], status: MentionStatus) -> str:
    """Name the largest terms for the outcome; for an open one, those on both sides."""
    summed: dict[str, float] = defaultdict(float)
    for name, value in terms.items():
        if words := _describe(name.removeprefix("uncased "), context):
            summed[words] += value
    for_company = _largest(summed, 1)
    for_ordinary = _largest(summed, -1)
    if status is MentionStatus.COUNTED:
        return _suggest(for_company, _COMPANY) or "everything together suggests the company"
    if status is MentionStatus.DISMISSED:
        return _suggest(for_ordinary, _ORDINARY) or "nothing suggests the company"
    both = (_suggest(for_company[:2], _COMPANY), _suggest(for_ordinary[:1], _ORDINARY))
    return ", but ".join(filter(None, both)) or NOT_ENOUGH_CONTEXT


def _largest(summed: Mapping[str, float], sign: int) -> list[str]:
    ordered = sorted(summed.items(), key=lambda item: -item[1] * sign)[:MAX_TERMS]
    least = max(MIN_TERM, MIN_SHARE * ordered[0][1] * sign) if ordered else 0.0
    return [words for words, value in ordered if value * sign >= least]


def _suggest(terms: Sequence[str], what: str) -> str:
    if len(terms) < 2:
        return f"{terms[0]} suggests {what}" if terms else ""
    return f"{', '.join(terms[:-1])} and {terms[-1]} suggest {what}"


def _describe(feature: str, context: MentionContext) -> str | None:
    """Return what a feature is in this context; None for one that says nothing to people."""
    kind, _, what = feature.partition(" ")
    if feature == "company rule":
        return next(filter(None, (RULES[rule](context) for rule in RULES if rule in COMPANY_RULES)))
    if kind == "rule":
        return RULES[what](context)
    if kind == "before":
        is_start = what == "start"
        return "the start of the sentence" if is_start else context.quote(before=1)
    if kind == "after":
        return "the end of the sentence" if what == "end" else context.quote(after=1)
    if kind == "near":
        return _nearby(what, context)
    describe = _CASE.get(feature)
    return describe(context) if describe else None


def _nearby(what: str, context: MentionContext) -> str | None:
    words = (*context.left[:NEAR_WORDS], *context.right[:NEAR_WORDS])
    listed = {"company words": v.COMPANY_WORDS, "company nouns": v.COMPANY_NOUNS}.get(what)
    if listed:
        return f'"{next(word for word in words if word in listed)}" nearby'
    return {
        "what it sells": "a word nearby for what it sells",
        "competitor": "another competitor nearby",
        "greeting": "a greeting before it",
        "title": "a job title after it",
    }.get(what)


_Describe = Callable[[MentionContext], str]
_CASE: Mapping[str, _Describe] = {
    "capital inside": lambda c: f"the capital letter in {c.quote(before=1)}",
    "capital inside of frequent word": lambda c: f"the capital letter in {c.quote(before=1)}",
    "capital after": lambda c: f"the capital letters in {c.quote(after=1)}",
    "capital before": lambda c: f"the capital letters in {c.quote(before=1)}",
    "lower case": lambda c: f"the lower case in {c.quote(before=1)}",
    "only lower case in call": lambda _: "lower case everywhere in the call",
    "only capitals in call": lambda _: "capitals everywhere in the call",
    "call capitals": lambda _: "how the call writes it",
    "frequency": lambda c: f'how common the word "{c.word}" is',
    "plural of capitals": lambda c: f'"{c.text}" as a plural',
    "given name": lambda c: f'"{c.text}" as a given name',
    "given name before": lambda _: "a given name before it",
    "number": lambda _: "a number word",
    "slot for": lambda _: "its place in the sentence",
    "slot against": lambda _: "its place in the sentence",
}
