"""Disambiguation: summed evidence decides whether an ambiguous name means the company.

Each occurrence has a score, the log-odds that it means the company: the sum of its features times
coefficients that were learned from labelled text (`training/disambiguation.py`). The other
occurrences in the call and people's answers about the name add to it. One feature is what the
encoder makes of the sentence; without an encoder, the other ones have coefficients of their own.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from math import exp, sqrt

from callpipeline.domain.competitors.disambiguation.context import MentionContext
from callpipeline.domain.competitors.disambiguation.features import (
    RULES,
    features,
    name_usage,
)
from callpipeline.domain.competitors.disambiguation.reasons import explain
from callpipeline.domain.competitors.mentions import MentionStatus
from callpipeline.domain.competitors.words import is_common_word, read_data

CompanySlots = Callable[[Sequence[MentionContext]], Sequence[float]]
"""Returns for each context the log-odds that a company's name stands there."""
FIGURES = ("part_of_a_figure", "counting", "amount", "beside_a_number")
"""Rules that are final: plain figures, such as "three months"."""
PLAIN_EVIDENCE = frozenset(
    (
        "lower case", "lower case number", "only lower case in call", "given name", "near greeting",
        "near title", "before article", "before determiner", "before owner", "before modal",
        "before number", "before be", "given name before", "before proper word",
        "before unknown word", "before job", "capital before",
        *(f"rule {name}" for name in (
            *FIGURES, "hyphenated", "collocation", "label", "compound", "numbered", "colour",
            "counting_anything", "determined", "time_of_day", "verb", "bare_one",
        )),
    )
)  # fmt: skip
"""Features without which a score alone dismisses nothing, as long as people said little."""
AMONG_PLAIN_WORDS = frozenset(
    (
        "before plain word", "before article further", "before in", "after plain word",
        "after preposition",
    )
)  # fmt: skip
"""Features by which a common word that isn't written as a name stands among other plain words."""
ENOUGH_ANSWERS = 2
ANSWER_SPREAD = 2.0
"""Standard deviation, in log-odds, of how much more names mean the company than they seem to."""
MAX_SHARED_SCORE = 4.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A reviewer's answer about an occurrence: its score then, and the phrase it begins."""

    score: float
    is_company: bool
    phrase: str = ""


@dataclass(frozen=True, slots=True)
class NameAnswers:
    """People's answers about one competitor's names, one per call and phrase."""

    answers: tuple[Answer, ...] = ()

    def intercept(self) -> float:
        """Return what the answers add to every score: the most likely log-odds of the name."""
        shift = 0.0
        for _ in range(25):
            slope, curvature = -shift / ANSWER_SPREAD**2, 1 / ANSWER_SPREAD**2
            for answer in self.answers:
                probability = 1 / (1 + exp(-answer.score - shift))
                slope += answer.is_company - probability
                curvature += probability * (1 - probability)
            shift += slope / curvature
        return shift

    def of_phrase(self, phrase: str) -> bool | None:
        """Return what people said of this phrase; None if nothing, or not the same."""
        said = {answer.is_company for answer in self.answers if answer.phrase == phrase}
        return said.pop() if phrase and len(said) == 1 else None


NO_ANSWERS = NameAnswers()


@dataclass(frozen=True, slots=True)
class Disambiguation:
    """The status of a mention, with the reason for reviewers.

    `score` is the log-odds from its context alone; `phrase` the name with the next word, if that
    may belong to it ("Clover House").
    """

    status: MentionStatus
    reason: str
    score: float | None = None
    phrase: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Features of one occurrence, their sum, and the sum with what the others in the call say.

    `total` has also what people answered about the name.
    """

    context: MentionContext
    found: Mapping[str, float] = field(repr=False)
    score: float
    unanswered: float
    total: float


@dataclass(frozen=True, slots=True)
class Coefficients:
    """The learned model: weights of features, and the thresholds of the log-odds.

    Below `reject_common`, a common word among other plain words is evidence enough.
    """

    intercept: float
    accept: float
    reject: float
    reject_common: float
    others: float
    weights: Mapping[str, float] = field(repr=False)

    def terms(self, found: Mapping[str, float]) -> dict[str, float]:
        weights = self.weights
        return {name: value * weights[name] for name, value in found.items() if name in weights}

    def score(self, found: Mapping[str, float]) -> float:
        return self.intercept + sum(self.terms(found).values())


@cache
def coefficients(*, with_slots: bool) -> Coefficients:
    """Return the model of `data/disambiguation.json` for features with or without the encoder's."""
    kind = "with slots" if with_slots else "without slots"
    return Coefficients(**json.loads(read_data("disambiguation.json"))[kind])


def accepted(reason: str) -> Disambiguation:
    return Disambiguation(MentionStatus.COUNTED, reason)


def disambiguate(
    contexts: Sequence[MentionContext],
    *,
    is_cased: bool,
    is_heard: bool = False,
    answers: NameAnswers = NO_ANSWERS,
    slots: CompanySlots | None = None,
    model: Coefficients | None = None,
) -> list[Disambiguation]:
    """Decide on the occurrences of one competitor's ambiguous name in a call.

    In text that a recogniser heard, a capital is evidence, but lower case is none: recognisers
    often write companies' names like the ordinary words. `model` replaces the one in force.
    """
    model = model or coefficients(with_slots=slots is not None)
    usage = name_usage(contexts, is_cased=is_cased)
    uncased = replace(usage, is_cased=False)
    found = [
        features(context, uncased if is_heard and context.text[:1].islower() else usage, slot)
        for context, slot in zip(contexts, _slots(contexts, slots), strict=True)
    ]
    scores = [model.score(each) for each in found]
    intercept = answers.intercept() if answers.answers else 0.0
    unanswered = add_others(scores, model.others)
    totals = [total + intercept for total in unanswered]
    is_named = max(totals, default=0.0) >= model.accept
    if is_named:
        totals = [_beside_named(model, *each) for each in zip(totals, found, strict=True)]
    evidence = (
        Evidence(*each) for each in zip(contexts, found, scores, unanswered, totals, strict=True)
    )
    return [_decide(model, each, answers) for each in evidence]


def _slots(
    contexts: Sequence[MentionContext], slots: CompanySlots | None
) -> Sequence[float | None]:
    """Return the encoder's log-odds where they can matter: not for plain figures."""
    found: list[float | None] = [None] * len(contexts)
    if slots is not None:
        open_ones = [at for at, context in enumerate(contexts) if not _figure(context)]
        scores = slots([contexts[at] for at in open_ones])
        for at, score in zip(open_ones, scores, strict=True):
            found[at] = score
    return found


def _beside_named(model: Coefficients, total: float, found: Mapping[str, float]) -> float:
    """Accept an occurrence that a rule and the sum favour, if another one surely is the company."""
    is_likely = total >= 0 and "company rule" in found
    return max(total, model.accept) if is_likely else total


def add_others(scores: Sequence[float], weight: float) -> list[float]:
    """Add to each score a part of what the other occurrences in the call say."""
    if len(scores) < 2:
        return list(scores)
    clipped = [max(-MAX_SHARED_SCORE, min(MAX_SHARED_SCORE, score)) for score in scores]
    total, scale = sum(clipped), weight / sqrt(len(scores) - 1)
    return [score + scale * (total - own) for score, own in zip(scores, clipped, strict=True)]


def _figure(context: MentionContext) -> str | None:
    """Return the words of a plain figure, which is never the company."""
    if context.is_possessive:
        return None
    return next((said for rule in FIGURES if (said := RULES[rule](context))), None)


def _decide(model: Coefficients, evidence: Evidence, answers: NameAnswers) -> Disambiguation:
    context, score, phrase = evidence.context, evidence.score, evidence.context.phrase
    if figure := _figure(context):
        reason = f"{figure} suggests the ordinary word"
        return Disambiguation(MentionStatus.DISMISSED, reason)
    said = answers.of_phrase(phrase)
    if said is not None:
        status = MentionStatus.COUNTED if said else MentionStatus.DISMISSED
        means = "means" if said else "doesn't mean"
        reason = f'a reviewer said that "{phrase}" {means} the company'
        return Disambiguation(status, reason, score, phrase)
    status = _status(model, evidence, answers)
    reason = explain(context, model.terms(evidence.found), status)
    if answers.answers and status is not MentionStatus.NEEDS_REVIEW:
        reason += f", with {_counted(answers.answers)} about the name"
    return Disambiguation(status, reason, score, phrase)


def _status(model: Coefficients, evidence: Evidence, answers: NameAnswers) -> MentionStatus:
    if evidence.total >= model.accept:
        return MentionStatus.COUNTED
    is_plain = not PLAIN_EVIDENCE.isdisjoint(evidence.found)
    is_answered = len(answers.answers) >= ENOUGH_ANSWERS
    if evidence.total <= model.reject and (is_plain or is_answered):
        return MentionStatus.DISMISSED
    if evidence.unanswered <= model.reject_common and _is_among_plain_words(evidence):
        return MentionStatus.DISMISSED
    return MentionStatus.NEEDS_REVIEW


def _is_among_plain_words(evidence: Evidence) -> bool:
    """Return whether a common word stands as it does in general text: "the food chain"."""
    is_written_as_name = "capital inside" in evidence.found
    is_beside_plain = not AMONG_PLAIN_WORDS.isdisjoint(evidence.found)
    return not is_written_as_name and is_beside_plain and is_common_word(evidence.context.word)


def _counted(answers: Iterable[Answer]) -> str:
    count = len(tuple(answers))
    return f"{count} answer{'s' if count > 1 else ''}"
