"""Who wins a comparison in which a competitor is named: "cheaper than X", "X beats your price"."""

from collections.abc import Iterator
from dataclasses import dataclass

from callpipeline.domain.audio import Speaker
from callpipeline.domain.vocabulary import word_set
from callpipeline.engines.sentiment.clauses import OTHER, TARGET, Clause
from callpipeline.engines.sentiment.findings import Finding, is_negated

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


@dataclass(frozen=True, slots=True)
class _Comparative:
    place: int
    end: int
    good: bool
    text: str


def compare(clause: Clause) -> Finding | None:
    """The finding of the first comparison that the clause holds."""
    if clause.at < 0:
        return None
    for rule in (_contest, _as_good_as, _share_of_price, _preference, _comparative):
        finding = rule(clause)
        if finding:
            return finding
    return None


def _finding(positive: bool, detail: str, strength: float = _STRONG) -> Finding:
    side = "winner" if positive else "loser"
    return Finding(strength if positive else -strength, f"comparison: '{detail}' → {side}")


def _comparative(clause: Clause) -> Finding | None:
    for found in _comparatives(clause.words):
        finding = (
            _than(clause, found) or _target_first(clause, found) or _target_last(clause, found)
        )
        if finding:
            return finding
    return None


def _comparatives(words: tuple[str, ...]) -> Iterator[_Comparative]:
    for place, word in enumerate(words):
        following = words[place + 1] if place + 1 < len(words) else ""
        if word in _GOOD or word in _BAD:
            yield _Comparative(place, place + 1, word in _GOOD, word)
        elif word in ("higher", "lower") and following in _MONEY:
            yield _Comparative(place, place + 2, word == "lower", f"{word} {following}")
        elif word in ("more", "less") and following in _GOOD_ADJECTIVES | _BAD_ADJECTIVES:
            good = (following in _GOOD_ADJECTIVES) == (word == "more")
            yield _Comparative(place, place + 2, good, f"{word} {following}")
        elif word in ("more", "less"):
            yield from _amount(words, place)


def _amount(words: tuple[str, ...], place: int) -> Iterator[_Comparative]:
    """ "charge you more" is bad, "give you more" is good."""
    verb = next(
        (w for w in reversed(words[max(0, place - 4) : place]) if w in _COSTING | _GIVING), ""
    )
    if verb:
        good = (verb in _GIVING) == (words[place] == "more")
        yield _Comparative(place, place + 1, good, f"{verb} {words[place]}")


def _than(clause: Clause, found: _Comparative) -> Finding | None:
    words = clause.words
    rest = words[found.end : found.end + 5]
    if "than" not in rest:
        return None
    than = found.end + rest.index("than")
    if TARGET in words[than + 1 : than + 5]:
        return _loses(clause, found)
    if clause.at < found.place and OTHER not in words[clause.at + 1 : found.place]:
        return _wins(clause, found, f"{found.text} than")
    return None


def _loses(clause: Clause, found: _Comparative) -> Finding | None:
    detail = f"{found.text} than"
    if clause.words[found.place - 1 : found.place] == ("no",):
        return _finding(not found.good, f"no {detail}", _WEAK)
    if _is_open_question(clause):
        return Finding(0.0, f"comparison: asked, '{detail}'")
    negated = is_negated(clause.words, found.place)
    return _finding(found.good == negated, f"{'not ' if negated else ''}{detail}")


def _wins(clause: Clause, found: _Comparative, detail: str) -> Finding | None:
    if _is_open_question(clause):
        return Finding(0.0, f"comparison: asked, '{detail}'")
    negated = is_negated(clause.words, found.place)
    if negated and clause.words[found.place - 1] in ("be", "been"):  # "couldn't be easier"
        return _finding(found.good, f"couldn't be {detail}")
    return _finding(found.good != negated, f"{'not ' if negated else ''}{detail}")


def _is_open_question(clause: Clause) -> bool:
    """ "is X cheaper?" says nothing; "why is X cheaper?" does."""
    first = clause.words[0]
    return first in ("is", "are", "do", "does", "was", "were", "would", "will", "did")


def _target_first(clause: Clause, found: _Comparative) -> Finding | None:
    """ "X is (much) better", "X gave me a better price"; not "X ... we are better"."""
    between = clause.words[clause.at + 1 : found.place]
    if clause.at > found.place or len(between) > 7 or OTHER in between:
        return None
    if clause.before[-2:] in (("compared", "to"), ("compared", "with")):
        return _loses(clause, found)
    blocked = any(_is_subject(between, place) for place in range(len(between)))
    return None if blocked else _wins(clause, found, found.text)


def _is_subject(words: tuple[str, ...], place: int) -> bool:
    """A pronoun that is not the object of a verb just before it ("charge you more")."""
    if words[place] not in _SUBJECT_PRONOUNS:
        return False
    return words[place] != "you" or place == 0 or words[place - 1] not in _COSTING | _GIVING


def _target_last(clause: Clause, found: _Comparative) -> Finding | None:
    """ "cheaper with X", "a better deal from X"; the loser in "better compared to X"."""
    between = clause.words[found.end : clause.at]
    if clause.at < found.place or len(between) > 5 or not between:
        return None
    if between[-2:] in (("compared", "to"), ("compared", "with")) or between[-1] == "over":
        return _loses(clause, found)
    return _wins(clause, found, f"{found.text} {between[-1]}") if between[-1] in _AT else None


def _contest(clause: Clause) -> Finding | None:
    """ "beats X", "X beats you", "can you match X"."""
    before, after = clause.before[-6:], clause.after[:5]
    for verb in ("beat", "beats", "match", "matches", "undercut", "undercuts", "beating"):
        if verb in before[-3:] or (verb in before and _MONEY.intersection(before)):
            return _contested(clause, verb, before)
        if verb in after:
            negated = is_negated(after, after.index(verb))
            return _finding(not negated, f"{'not ' if negated else ''}{verb}")
    if before[-2:] == ("same", "as") and "you" in clause.before:
        return _finding(True, "the same as", _WEAK)
    return None


def _contested(clause: Clause, verb: str, before: tuple[str, ...]) -> Finding:
    negated = is_negated(before, before.index(verb))
    asked = clause.speaker is not Speaker.AGENT and (
        clause.words[0] in ("can", "could", "will", "would", "if") or "you" in before
    )
    if negated or asked:
        return _finding(True, f"{'not ' if negated else 'asked to '}{verb}", _WEAK)
    if verb.startswith("match"):
        return Finding(0.0, f"comparison: '{verb}' → equal")
    return _finding(False, verb)


def _as_good_as(clause: Clause) -> Finding | None:
    words = clause.words
    for place in range(len(words) - 2):
        adjective = words[place + 1]
        known = adjective in _GOOD_ADJECTIVES | _BAD_ADJECTIVES
        if words[place] not in ("as", "so") or words[place + 2] != "as" or not known:
            continue
        good, negated = adjective in _GOOD_ADJECTIVES, is_negated(words, place)
        detail = f"{'not ' if negated else ''}as {adjective} as"
        if TARGET in words[place + 3 : place + 6]:
            return _finding(good, detail, _STRONG if negated else _WEAK)
        if clause.at < place:
            return _finding(good != negated, detail, _STRONG if negated else _WEAK)
    return None


def _share_of_price(clause: Clause) -> Finding | None:
    """ "X is half the price", "half the price of X"."""
    words = clause.words
    for place, word in enumerate(words[:-2]):
        if word not in ("half", "twice", "double") or words[place + 2] not in _MONEY:
            continue
        low = word == "half"
        owner = TARGET in words[place + 3 : place + 6] and words[place + 3] in ("of", "that")
        return _finding(low != owner, f"{word} the {words[place + 2]}")
    return None


def _preference(clause: Clause) -> Finding | None:
    before = clause.before
    if before[-2:] in (("rather", "than"), ("instead", "of")):
        return _finding(False, " ".join(before[-2:]), _WEAK)
    if not {"prefer", "preferred", "prefers", "rather"} & set(before[-6:]):
        return None
    verb = next(w for w in reversed(before) if w in ("prefer", "preferred", "prefers", "rather"))
    loses = before[-1] in ("to", "over", "than") and before[-2] != verb and verb != "rather"
    negated = is_negated(before, len(before) - 1 - before[::-1].index(verb))
    return _finding(loses == negated, f"{verb} {'… ' + before[-1] if loses else ''}".strip())
