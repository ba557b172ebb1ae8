"""What shows that an ambiguous name is the company: switching, dealing, comparing, contracts.

Each rule gives its reason in words for a person, or None where it has nothing to say.
"""

from callpipeline.domain import vocabulary as v
from callpipeline.domain.surroundings import COMPETITOR, Surroundings


def own_evidence(around: Surroundings) -> str | None:
    own = {word.casefold() for phrase in around.evidence for word in phrase.split()}
    near = next((w for w in (*around.left[:8], *around.right[:8]) if w in own), None)
    return f"its own evidence near: '{near}'" if near else None


def beside_a_competitor(around: Surroundings) -> str | None:
    joiners = v.NUMBER_JOINERS if around.is_number else v.JOINERS
    for words in (around.left, around.right):
        if words[:1] == (COMPETITOR,) and not around.is_one:
            return "named beside another competitor"
        if words[1:2] == (COMPETITOR,) and words[0] in joiners:
            return f"named beside another competitor: '{words[0]}'"
    return None


def company_noun(around: Surroundings) -> str | None:
    if around.has_company_noun and not around.is_one:
        return f"what a company has after it: {around.quote(after=1)}"
    return None


def switching(around: Surroundings) -> str | None:
    if not around.stands_alone:
        return None
    if around.previous in v.LEAVING_OR_JOINING:
        return f"leaving or joining before it: {around.quote(before=1)}"
    if around.previous not in ("to", "from", "with", "by", "over", "for"):
        return None
    coming = frozenset() if around.previous == "from" else v.COMING  # "it came to three"
    verb = _nearest(around.left[1:6], v.MOVING_VERBS - coming)
    return f"a verb of switching before it: {_joined(verb, around)}" if verb else None


def being_with(around: Surroundings) -> str | None:
    verb = _nearest(around.left[1:4], v.BEING)
    on = around.previous == "on" and not around.is_number and _nearest(around.left[1:4], v.PEOPLE)
    if (around.previous == "with" or on) and verb and around.stands_alone:
        return f"being with it: {_joined(verb, around)}"
    return None


def business(around: Surroundings) -> str | None:
    links = v.NUMBER_LINKS if around.is_number else v.LINKS
    if around.previous not in links or not around.stands_alone:
        return None
    noun = _nearest(around.left[1:5], v.BUSINESS_NOUNS)
    return f"business before it: {_joined(noun, around)}" if noun else None


def compared(around: Surroundings) -> str | None:
    """ "cheaper than three", "cheaper with three"."""
    word = _nearest(around.left[1:4], v.COMPARATIVES)
    if word and around.previous in ("than", "with", "at", "from") and around.stands_alone:
        return f"compared with it: {_joined(word, around)}"
    return None


def listed_company(around: Surroundings) -> str | None:
    """ "carriers such as Orange", "a company called One"."""
    noun = _nearest(around.left[1:4], v.COMPANY_NOUNS)
    if noun and around.previous in v.NAMING:
        return f"named as a company: {_joined(noun, around)}"
    return None


def dealing(around: Surroundings) -> str | None:
    """Numbers, colours and IDs are tried and liked as well, but not for one's phone."""
    plain = around.word in v.COLOUR_NAMES | {"id"}
    told = not plain or _nearest(around.right[1:4], v.BUSINESS_NOUNS)
    if around.is_number or not told or not around.stands_alone:
        return None
    if around.previous in v.DEALING_VERBS:
        return f"dealing with a company before it: {around.quote(before=1)}"
    return None


def talking(around: Surroundings) -> str | None:
    verb = _nearest(around.left[1:3], v.TALKING_VERBS)
    if verb and around.previous in ("to", "with") and around.stands_alone:
        return f"talking to it: {_joined(verb, around)}"
    return None


def company_act(around: Surroundings) -> str | None:
    right = around.right
    if around.next in v.COMPANY_VERBS:
        return f"what only a company does after it: {around.quote(after=1)}"
    said = _nearest(right[:5], v.PREDICATES | v.COMPANY_ACTS)
    if said and (around.next in v.HAVING or around.previous in v.HAVING):  # "is sky cheaper"
        return f"what is said of companies after it: '{around.said} … {said}'"
    return None


def answer(around: Surroundings) -> str | None:
    """The other speaker had asked who the company is."""
    asked = around.asked
    if len(around.left) > 5 or not around.stands_alone:
        return None
    for first, second in v.WHO_WITH:
        if first in asked and second in asked[asked.index(first) :]:
            return f"answers a question: '{first} … {second}'"
    return None


def capitalised(around: Surroundings) -> str | None:
    """In text with casing. Numbers need a preposition, and ID is always written so."""
    before = around.before[-1] if around.before else ""
    if not around.said[:1].isupper() or not before[:1].islower() or around.word == "id":
        return None
    if around.is_number and around.previous not in ("with", "from", "than", "to", "by", "at"):
        return None
    return f"capitalised inside a sentence: {around.quote(before=1)}"


def _nearest(words: tuple[str, ...], among: frozenset[str]) -> str | None:
    return next((word for word in words if word.removesuffix("'s") in among or word in among), None)


def _joined(word: str | None, around: Surroundings) -> str:
    gap = " … " if around.left[1:2] != (word,) else " "
    return f"'{word}{gap}{around.previous} {around.said}'"
