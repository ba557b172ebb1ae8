"""Whether an ambiguous name means the company: a table of rules, tried in order.

The first rule that speaks decides, and its reason is kept; where none speaks the name stays
UNSURE, which does not count until a person says so.
"""

from collections.abc import Callable
from dataclasses import dataclass

from callpipeline.domain import against_company as against
from callpipeline.domain import for_company as company
from callpipeline.domain.mention import MentionStatus
from callpipeline.domain.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a mention counts, and why, in words for the person who reviews it."""

    status: MentionStatus
    reason: str


Rule = Callable[[Surroundings], str | None]


def accepted(reason: str) -> Verdict:
    return Verdict(MentionStatus.ACCEPTED, reason)


def weigh(around: Surroundings) -> Verdict:
    """The verdict of the first rule that speaks."""
    for status, rule in RULES:
        reason = rule(around)
        if reason is not None:
            return Verdict(status, reason)
    return Verdict(MentionStatus.UNSURE, "nothing around it speaks for or against the company")


def _unless_one(rule: Rule) -> Rule:
    """ "Switching to one" may be to one of anything: what convinces of "three" does not of it."""
    return lambda around: None if around.is_one else rule(around)


def _only_one(rule: Rule) -> Rule:
    def doubtful(around: Surroundings) -> str | None:
        reason = rule(around) if around.is_one else None
        return f"perhaps an ordinary 'one': {reason}" if reason else None

    return doubtful


_AGAINST, _FOR, _UNSURE = MentionStatus.REJECTED, MentionStatus.ACCEPTED, MentionStatus.UNSURE
_LIKELY: tuple[Rule, ...] = (
    company.switching,
    company.being_with,
    company.business,
    company.compared,
    company.dealing,
    company.talking,
    company.company_act,
    company.answer,
)
RULES: tuple[tuple[MentionStatus, Rule], ...] = (
    (_AGAINST, against.part_of_a_figure),
    (_AGAINST, against.hyphenated),
    (_AGAINST, against.collocation),
    (_FOR, company.own_evidence),
    (_AGAINST, against.beside_a_number),
    (_AGAINST, against.counting),
    (_AGAINST, against.amount),
    (_AGAINST, against.label),
    (_AGAINST, against.compound),
    (_FOR, company.listed_company),
    (_FOR, company.beside_a_competitor),
    (_AGAINST, against.numbered),
    (_AGAINST, against.colour),
    (_FOR, company.company_noun),
    (_AGAINST, against.counting_anything),
    (_AGAINST, against.determined),
    (_AGAINST, against.longer_name),
    *((_FOR, _unless_one(rule)) for rule in _LIKELY),
    (_FOR, company.capitalised),
    (_AGAINST, against.small_in_cased_text),
    *((_UNSURE, _only_one(rule)) for rule in _LIKELY),
    (_AGAINST, against.time_of_day),
    (_AGAINST, against.verb),
    (_AGAINST, against.bare_one),
)
