"""Rules of the lexicon: comparisons with a competitor, and intent to switch.

Comparisons are such as "cheaper than X" and "X beats your price"; switching intent is that of
customers who leave, join or consider a competitor.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from callpipeline.domain.audio import Speaker
from callpipeline.domain.competitors.disambiguation.vocabulary import word_set
from callpipeline.engines.sentiment.clauses import OTHER, TARGET, Clause, RuleMatch, is_negated

_GOOD = word_set(
    "better cheaper faster quicker easier stronger nicer friendlier clearer simpler smoother"
)
_BAD = word_set("worse dearer slower weaker harder poorer pricier costlier")
_GOOD_ADJECTIVES = word_set("""
    reliable helpful affordable competitive flexible stable generous friendly responsive
    professional secure modern good cheap fast quick easy strong nice clear simple great attractive
    """)
_BAD_ADJECTIVES = word_set("""
    expensive complicated difficult unreliable confusing costly bad slow poor dear hard weak
    annoying
    """)
_MONEY = word_set(
    "offer deal quote price prices bill bills cost costs rate rates fee fees charge charges"
)
_COSTING = word_set("charge charges charged charging cost costs costing pay pays paid paying asks")
_GIVING = word_set(
    "offer offers offered offering give gives gave giving get gets got has have had includes"
)
_AT = word_set("with from at by on for")
_SUBJECT_PRONOUNS = word_set("i we we're we've i'm i've you you're he she")
_STRONG, _WEAK = 0.6, 0.3

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


@dataclass(frozen=True, slots=True)
class _Comparative:
    start: int
    end: int
    is_good: bool
    text: str


def match_comparison(clause: Clause) -> RuleMatch | None:
    """Return the match of the first rule for comparisons that fires, or None."""
    if clause.target_index < 0:
        return None
    for rule in (_contest, _as_good_as, _share_of_price, _preference, _comparative):
        if match := rule(clause):
            return match
    return None


def _verdict(is_positive: bool, detail: str, strength: float = _STRONG) -> RuleMatch:
    side = "winner" if is_positive else "loser"
    return RuleMatch(strength if is_positive else -strength, f"comparison: '{detail}' → {side}")


def _comparative(clause: Clause) -> RuleMatch | None:
    for comparative in _comparatives(clause.words):
        match = (
            _than(clause, comparative)
            or _target_first(clause, comparative)
            or _target_last(clause, comparative)
        )
        if match:
            return match
    return None


def _comparatives(words: tuple[str, ...]) -> Iterator[_Comparative]:
    for at, word in enumerate(words):
        following = words[at + 1] if at + 1 < len(words) else ""
        if word in _GOOD or word in _BAD:
            yield _Comparative(at, at + 1, word in _GOOD, word)
        elif word in ("higher", "lower") and following in _MONEY:
            yield _Comparative(at, at + 2, word == "lower", f"{word} {following}")
        elif word in ("more", "less") and following in _GOOD_ADJECTIVES | _BAD_ADJECTIVES:
            is_good = (following in _GOOD_ADJECTIVES) == (word == "more")
            yield _Comparative(at, at + 2, is_good, f"{word} {following}")
        elif word in ("more", "less"):
            yield from _amount(words, at)


def _amount(words: tuple[str, ...], at: int) -> Iterator[_Comparative]:
    """Match "charge you more", which is bad, and "give you more", which is good."""
    verb = next((w for w in reversed(words[max(0, at - 4) : at]) if w in _COSTING | _GIVING), "")
    if verb:
        is_good = (verb in _GIVING) == (words[at] == "more")
        yield _Comparative(at, at + 1, is_good, f"{verb} {words[at]}")


def _than(clause: Clause, comparative: _Comparative) -> RuleMatch | None:
    words = clause.words
    rest = words[comparative.end : comparative.end + 5]
    if "than" not in rest:
        return None
    than = comparative.end + rest.index("than")
    if TARGET in words[than + 1 : than + 5]:
        return _loses(clause, comparative)
    if (
        clause.target_index < comparative.start
        and OTHER not in words[clause.target_index + 1 : comparative.start]
    ):
        return _wins(clause, comparative, f"{comparative.text} than")
    return None


def _loses(clause: Clause, comparative: _Comparative) -> RuleMatch | None:
    detail = f"{comparative.text} than"
    if clause.words[comparative.start - 1 : comparative.start] == ("no",):
        return _verdict(not comparative.is_good, f"no {detail}", _WEAK)
    if _is_open_question(clause):
        return RuleMatch(0.0, f"comparison: asked, '{detail}'")
    negated = is_negated(clause.words, comparative.start)
    return _verdict(comparative.is_good == negated, f"{'not ' if negated else ''}{detail}")


def _wins(clause: Clause, comparative: _Comparative, detail: str) -> RuleMatch | None:
    if _is_open_question(clause):
        return RuleMatch(0.0, f"comparison: asked, '{detail}'")
    negated = is_negated(clause.words, comparative.start)
    if negated and clause.words[comparative.start - 1] in ("be", "been"):  # "couldn't be easier"
        return _verdict(comparative.is_good, f"couldn't be {detail}")
    return _verdict(comparative.is_good != negated, f"{'not ' if negated else ''}{detail}")


def _is_open_question(clause: Clause) -> bool:
    """Return True for "is X cheaper?", which has no opinion, unlike "why is X cheaper?"."""
    first = clause.words[0]
    return first in ("is", "are", "do", "does", "was", "were", "would", "will", "did")


def _target_first(clause: Clause, comparative: _Comparative) -> RuleMatch | None:
    """Match "X is (much) better" and "X gave me a better price", not "X ... we are better"."""
    between = clause.words[clause.target_index + 1 : comparative.start]
    if clause.target_index > comparative.start or len(between) > 7 or OTHER in between:
        return None
    if clause.before[-2:] in (("compared", "to"), ("compared", "with")):
        return _loses(clause, comparative)
    has_subject = any(_is_subject(between, at) for at in range(len(between)))
    return None if has_subject else _wins(clause, comparative, comparative.text)


def _is_subject(words: tuple[str, ...], at: int) -> bool:
    """Return True for a pronoun that is not the object of a verb ("charge you more")."""
    if words[at] not in _SUBJECT_PRONOUNS:
        return False
    return words[at] != "you" or at == 0 or words[at - 1] not in _COSTING | _GIVING


def _target_last(clause: Clause, comparative: _Comparative) -> RuleMatch | None:
    """Match "cheaper with X" and "a better deal from X"; X loses in "better compared to X"."""
    between = clause.words[comparative.end : clause.target_index]
    if clause.target_index < comparative.start or len(between) > 5 or not between:
        return None
    if between[-2:] in (("compared", "to"), ("compared", "with")) or between[-1] == "over":
        return _loses(clause, comparative)
    return (
        _wins(clause, comparative, f"{comparative.text} {between[-1]}")
        if between[-1] in _AT
        else None
    )


def _contest(clause: Clause) -> RuleMatch | None:
    """Match "beats X", "X beats you" and "can you match X"."""
    before, after = clause.before[-6:], clause.after[:5]
    for verb in ("beat", "beats", "match", "matches", "undercut", "undercuts", "beating"):
        if verb in before[-3:] or (verb in before and _MONEY.intersection(before)):
            return _contested(clause, verb, before)
        if verb in after:
            negated = is_negated(after, after.index(verb))
            return _verdict(not negated, f"{'not ' if negated else ''}{verb}")
    if before[-2:] == ("same", "as") and "you" in clause.before:
        return _verdict(True, "the same as", _WEAK)
    return None


def _contested(clause: Clause, verb: str, before: tuple[str, ...]) -> RuleMatch:
    negated = is_negated(before, before.index(verb))
    is_request = clause.speaker is not Speaker.AGENT and (
        clause.words[0] in ("can", "could", "will", "would", "if") or "you" in before
    )
    if negated or is_request:
        return _verdict(True, f"{'not ' if negated else 'asked to '}{verb}", _WEAK)
    if verb.startswith("match"):
        return RuleMatch(0.0, f"comparison: '{verb}' → equal")
    return _verdict(False, verb)


def _as_good_as(clause: Clause) -> RuleMatch | None:
    words = clause.words
    for at in range(len(words) - 2):
        adjective = words[at + 1]
        is_listed = adjective in _GOOD_ADJECTIVES | _BAD_ADJECTIVES
        if words[at] not in ("as", "so") or words[at + 2] != "as" or not is_listed:
            continue
        is_good, negated = adjective in _GOOD_ADJECTIVES, is_negated(words, at)
        detail = f"{'not ' if negated else ''}as {adjective} as"
        if TARGET in words[at + 3 : at + 6]:
            return _verdict(is_good, detail, _STRONG if negated else _WEAK)
        if clause.target_index < at:
            return _verdict(is_good != negated, detail, _STRONG if negated else _WEAK)
    return None


def _share_of_price(clause: Clause) -> RuleMatch | None:
    """Match "X is half the price" and "half the price of X"."""
    words = clause.words
    for at, word in enumerate(words[:-2]):
        if word not in ("half", "twice", "double") or words[at + 2] not in _MONEY:
            continue
        is_low = word == "half"
        is_owner = TARGET in words[at + 3 : at + 6] and words[at + 3] in ("of", "that")
        return _verdict(is_low != is_owner, f"{word} the {words[at + 2]}")
    return None


def _preference(clause: Clause) -> RuleMatch | None:
    before = clause.before
    if before[-2:] in (("rather", "than"), ("instead", "of")):
        return _verdict(False, " ".join(before[-2:]), _WEAK)
    if not {"prefer", "preferred", "prefers", "rather"} & set(before[-6:]):
        return None
    verb = next(w for w in reversed(before) if w in ("prefer", "preferred", "prefers", "rather"))
    loses = before[-1] in ("to", "over", "than") and before[-2] != verb and verb != "rather"
    negated = is_negated(before, len(before) - 1 - before[::-1].index(verb))
    return _verdict(loses == negated, f"{verb} {'… ' + before[-1] if loses else ''}".strip())


def match_switching_intent(clause: Clause) -> RuleMatch | None:
    """Return the match of the first rule that fires, or None; agents have no such intent."""
    if clause.target_index < 1 or clause.speaker is Speaker.AGENT or clause.is_question:
        return None
    for rule in (_regretted, _tired, _leaving, _moving_from, _going_back, _going_to, _joining):
        if match := rule(clause.before):
            return match
    return None


def _intent(is_positive: bool, rule: str, *matched: str, strength: float = 0.5) -> RuleMatch:
    return RuleMatch(strength if is_positive else -strength, f"{rule}: '{' '.join(matched)}'")


def _regretted(before: tuple[str, ...]) -> RuleMatch | None:
    """Match "I regret joining X" and "why would I go to X"."""
    word = next((w for w in before if w in ("regret", "regretted", "mistake")), None)
    if word or ("why" in before and "would" in before):
        return _intent(False, "leaving", word or "why would")
    return None


def _tired(before: tuple[str, ...]) -> RuleMatch | None:
    for phrase in _TIRED:
        if before[-len(phrase) :] == phrase:
            negated = is_negated(before, len(before) - len(phrase))
            return _intent(negated, "leaving", *phrase)
    return None


def _leaving(before: tuple[str, ...]) -> RuleMatch | None:
    at = _last_of(before, _LEAVE | _CANCEL, reach=4)
    if at is None:
        return None
    between = before[at + 1 :]
    if before[at] in _LEAVE and "for" in between:  # "leaving you for X"
        return _intent(True, "joining", before[at], "for")
    is_direct = before[at] in _LEAVE and not between
    has_object = {"my", "our", "the", "with", "from"} & set(between)
    if is_direct or (before[at] in _CANCEL and (has_object or not between)):
        return _intent(is_negated(before, at), "leaving", before[at])
    return None


def _moving_from(before: tuple[str, ...]) -> RuleMatch | None:
    """Match "I want to switch from X", but not the facts "I came from X", "I switched from X"."""
    at = _last_of(before, _GO, reach=5)
    if at is None or before[-1] != "from" or before[at] in ("come", "coming"):
        return None
    is_wanted = any(word in _WANT for word in before[max(0, at - 5) : at])
    return _intent(is_negated(before, at), "leaving", before[at], "from") if is_wanted else None


def _going_back(before: tuple[str, ...]) -> RuleMatch | None:
    if before[-2:] not in (("back", "to"), ("back", "with")):
        return None
    negated = any(word in _AGAINST_GOING for word in before[-8:])
    return _intent(not negated, "joining", *(("never",) if negated else ()), *before[-2:])


def _going_to(before: tuple[str, ...]) -> RuleMatch | None:
    if before[-1] not in ("to", "with", "for", "onto"):
        return None
    at = _last_of(before, _GO | _WENT, reach=6)
    if at is None or "from" in before[at:]:
        return None
    negated = is_negated(before, at)
    strength = 0.5 if before[at] in _GO or negated else 0.2
    return _intent(not negated, "joining", before[at], before[-1], strength=strength)


def _joining(before: tuple[str, ...]) -> RuleMatch | None:
    at = _last_of(before, _JOIN | _JOINED, reach=1)
    if at is None:
        return None
    negated = is_negated(before, at)
    strength = 0.4 if before[at] in _JOIN or negated else 0.2
    return _intent(not negated, "joining", before[at], strength=strength)


def _last_of(words: tuple[str, ...], candidates: frozenset[str], reach: int) -> int | None:
    start = max(0, len(words) - reach)
    return next((i for i in range(len(words) - 1, start - 1, -1) if words[i] in candidates), None)
