"""Leaving a competitor and going to one: what customers do says what they think."""

from callpipeline.domain.audio import Speaker
from callpipeline.domain.vocabulary import word_set
from callpipeline.engines.sentiment.clauses import Clause
from callpipeline.engines.sentiment.findings import Finding, is_negated

_LEAVE = word_set(
    "leave leaving left quit quitting ditch ditched ditching dump dumped dumping avoid"
)
_CANCEL = word_set("cancel cancelled canceled cancelling end ended ending terminate")
_TIRED = frozenset(
    {
        ("fed", "up", "with"),
        ("fed", "up", "of"),
        ("tired", "of"),
        ("sick", "of"),
        ("enough", "of"),
        ("done", "with"),
        ("rid", "of"),
        ("away", "from"),
        ("out", "of"),
        ("avoid",),
        ("stay", "clear", "of"),
        ("stuck", "with"),
    }
)
_GO = word_set("""
    switch switching move moving go going transfer transferring change changing port porting sign
    signing come coming return returning migrate migrating
    """)
_WENT = word_set("switched moved went gone transferred changed ported signed returned migrated")
_JOIN = word_set("join joining try trying choose choosing")
_JOINED = word_set("joined chose chosen picked")
_WANT = word_set("want wanted like thinking going looking about planning ready trying need decided")
_AGAINST_GOING = word_set("never not won't wouldn't don't didn't can't couldn't regret")


def movement(clause: Clause) -> Finding | None:
    """What the speaker's coming and going says; an agent's word about it says nothing."""
    if clause.at < 1 or clause.speaker is Speaker.AGENT or clause.is_question:
        return None
    for rule in (_regretted, _tired, _leaving, _moving_from, _going_back, _going_to, _joining):
        finding = rule(clause.before)
        if finding:
            return finding
    return None


def _found(positive: bool, rule: str, *matched: str, strength: float = 0.5) -> Finding:
    return Finding(strength if positive else -strength, f"{rule}: '{' '.join(matched)}'")


def _regretted(before: tuple[str, ...]) -> Finding | None:
    """ "I regret joining X", "why would I go to X"."""
    word = next((w for w in before if w in ("regret", "regretted", "mistake")), None)
    if word or ("why" in before and "would" in before):
        return _found(False, "leaving", word or "why would")
    return None


def _tired(before: tuple[str, ...]) -> Finding | None:
    for phrase in _TIRED:
        if before[-len(phrase) :] == phrase:
            negated = is_negated(before, len(before) - len(phrase))
            return _found(negated, "leaving", *phrase)
    return None


def _leaving(before: tuple[str, ...]) -> Finding | None:
    place = _last(before, _LEAVE | _CANCEL, reach=4)
    if place is None:
        return None
    between = before[place + 1 :]
    if before[place] in _LEAVE and "for" in between:  # "leaving you for X"
        return _found(True, "joining", before[place], "for")
    direct = before[place] in _LEAVE and not between
    owned = {"my", "our", "the", "with", "from"} & set(between)
    if direct or (before[place] in _CANCEL and (owned or not between)):
        return _found(is_negated(before, place), "leaving", before[place])
    return None


def _moving_from(before: tuple[str, ...]) -> Finding | None:
    """ "I want to switch from X"; "I came from X" and "I switched from X" only tell where from."""
    place = _last(before, _GO, reach=5)
    if place is None or before[-1] != "from" or before[place] in ("come", "coming"):
        return None
    wanted = any(word in _WANT for word in before[max(0, place - 5) : place])
    return _found(is_negated(before, place), "leaving", before[place], "from") if wanted else None


def _going_back(before: tuple[str, ...]) -> Finding | None:
    if before[-2:] not in (("back", "to"), ("back", "with")):
        return None
    negated = any(word in _AGAINST_GOING for word in before[-8:])
    return _found(not negated, "joining", *(("never",) if negated else ()), *before[-2:])


def _going_to(before: tuple[str, ...]) -> Finding | None:
    if before[-1] not in ("to", "with", "for", "onto"):
        return None
    place = _last(before, _GO | _WENT, reach=6)
    if place is None or "from" in before[place:]:
        return None
    negated = is_negated(before, place)
    strength = 0.5 if before[place] in _GO or negated else 0.2
    return _found(not negated, "joining", before[place], before[-1], strength=strength)


def _joining(before: tuple[str, ...]) -> Finding | None:
    place = _last(before, _JOIN | _JOINED, reach=1)
    if place is None:
        return None
    negated = is_negated(before, place)
    strength = 0.4 if before[place] in _JOIN or negated else 0.2
    return _found(not negated, "joining", before[place], strength=strength)


def _last(words: tuple[str, ...], among: frozenset[str], reach: int) -> int | None:
    start = max(0, len(words) - reach)
    return next((i for i in range(len(words) - 1, start - 1, -1) if words[i] in among), None)
