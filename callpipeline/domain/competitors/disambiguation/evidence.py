"""Evidence for a company or for an ordinary word: a number, colour, label or phrase.

Each rule returns its evidence, worded as the subject of "… suggests the company" or "… suggests
the ordinary word", or None.
"""

from callpipeline.domain.competitors.disambiguation import vocabulary as v
from callpipeline.domain.competitors.disambiguation.context import (
    COMPETITOR,
    MentionContext,
    is_code,
)


def own_evidence(context: MentionContext) -> str | None:
    """Find a word that the catalog lists as evidence for this competitor."""
    own = {word.casefold() for phrase in context.evidence for word in phrase.split()}
    near = next((w for w in (*context.left[:8], *context.right[:8]) if w in own), None)
    return f'"{near}"' if near else None


def beside_a_competitor(context: MentionContext) -> str | None:
    joiners = v.NUMBER_JOINERS if context.is_number else v.JOINERS
    for words in (context.left, context.right):
        is_adjacent = words[:1] == (COMPETITOR,) and not context.is_one
        if is_adjacent or (words[1:2] == (COMPETITOR,) and words[0] in joiners):
            return "another competitor next to it"
    return None


def company_noun(context: MentionContext) -> str | None:
    if context.has_company_noun and not context.is_one:
        return context.quote(after=1)
    return None


def switching(context: MentionContext) -> str | None:
    if not context.stands_alone:
        return None
    if context.previous in v.LEAVING_OR_JOINING:
        return context.quote(before=1)
    if context.previous not in ("to", "from", "with", "by", "over", "for"):
        return None
    coming = frozenset[str]() if context.previous == "from" else v.COMING  # "it came to three"
    verb = _nearest(context.left[1:6], v.MOVING_VERBS - coming)
    return _quote_from(verb, context) if verb else None


def being_with(context: MentionContext) -> str | None:
    verb = _nearest(context.left[1:4], v.BEING)
    is_on = context.previous == "on" and not context.is_number
    on = is_on and _nearest(context.left[1:4], v.PEOPLE)
    if (context.previous == "with" or on) and verb and context.stands_alone:
        return _quote_from(verb, context)
    return None


def business(context: MentionContext) -> str | None:
    links = v.NUMBER_LINKS if context.is_number else v.LINKS
    if context.previous not in links or not context.stands_alone:
        return None
    noun = _nearest(context.left[1:5], v.BUSINESS_NOUNS)
    return _quote_from(noun, context) if noun else None


def compared(context: MentionContext) -> str | None:
    """Match "cheaper than three" and "cheaper with three"."""
    word = _nearest(context.left[1:4], v.COMPARATIVES)
    if word and context.previous in ("than", "with", "at", "from") and context.stands_alone:
        return _quote_from(word, context)
    return None


def listed_company(context: MentionContext) -> str | None:
    """Match "carriers such as Orange" and "a company called One"."""
    noun = _nearest(context.left[1:4], v.COMPANY_NOUNS)
    if noun and context.previous in v.NAMING:
        return _quote_from(noun, context)
    return None


def dealing(context: MentionContext) -> str | None:
    """Match "we tried sky"; colours and IDs are tried too, so they need a business noun as well."""
    needs_noun = context.word in v.COLOUR_NAMES | {"id"}
    has_evidence = not needs_noun or _nearest(context.right[1:4], v.BUSINESS_NOUNS)
    if context.is_number or not has_evidence or not context.stands_alone:
        return None
    if context.previous in v.DEALING_VERBS:
        return context.quote(before=1)
    return None


def talking(context: MentionContext) -> str | None:
    verb = _nearest(context.left[1:3], v.TALKING_VERBS)
    if verb and context.previous in ("to", "with") and context.stands_alone:
        return _quote_from(verb, context)
    return None


def company_act(context: MentionContext) -> str | None:
    right = context.right
    if context.next in v.COMPANY_VERBS:
        return context.quote(after=1)
    predicate = _nearest(right[:5], v.PREDICATES | v.COMPANY_ACTS)
    if predicate and (context.next in v.HAVING or context.previous in v.HAVING):  # "is sky cheaper"
        return f'"{context.text} … {predicate}"'
    return None


def answer(context: MentionContext) -> str | None:
    """Match an answer to the other speaker's question for the company."""
    question = context.question
    if len(context.left) > 5 or not context.stands_alone:
        return None
    for first, second in v.WHO_WITH:
        if first in question and second in question[question.index(first) :]:
            return f'the question "{first} … {second}"'
    return None


def capitalised(context: MentionContext) -> str | None:
    """Match a capital within a sentence; numbers need a preposition, and ID never matches."""
    before = context.before[-1] if context.before else ""
    if not context.text[:1].isupper() or not before[:1].islower() or context.word == "id":
        return None
    if context.is_number and context.previous not in ("with", "from", "than", "to", "by", "at"):
        return None
    return f"the capital letter in {context.quote(before=1)}"


def _nearest(words: tuple[str, ...], among: frozenset[str]) -> str | None:
    return next((word for word in words if word.removesuffix("'s") in among or word in among), None)


def _quote_from(word: str, context: MentionContext) -> str:
    """Quote from an earlier word to the name, leaving out the words between."""
    gap = " … " if context.left[1:2] != (word,) else " "
    return f'"{word}{gap}{context.previous} {context.text}"'


def part_of_a_figure(context: MentionContext) -> str | None:
    before, after = context.adjacent_chars
    has_symbol = before[-1:] in tuple("£$€#.,:") or after[:1] == "%"
    continues = after[:1] in tuple(".,:") and after[1:2].isdigit()
    if context.word.isdigit() and (has_symbol or continues):
        return f'"{before.strip()}{context.text}{after.strip()}"'
    return None


def hyphenated(context: MentionContext) -> str | None:
    """Match "three-year" and "all-in-one", but no dash between spaces, nor "Vodafone-Three"."""
    before, after = context.adjacent_chars
    is_second = before[-1:] in tuple("-‐‑") and before[:1].isalnum()
    is_first = after[:1] in tuple("-‐‑") and after[1:].isalnum()
    return f'"{before.strip()}{context.text}{after}"' if is_second or is_first else None


def beside_a_number(context: MentionContext) -> str | None:
    if not context.is_number:
        return None
    for side, words in (("before", context.left), ("after", context.right)):
        if _is_amount(words[:1]):
            return _quote_side(context, side, 1)
        if words[:3] in (("and", "a", "half"), ("and", "a", "quarter")):
            return context.quote(after=3)
        if words[:1] in (("or",), ("and",), ("to",), ("-",), (",",)) and _is_amount(words[1:2]):
            return _quote_side(context, side, 2)
    return None


def _quote_side(context: MentionContext, side: str, count: int) -> str:
    return context.quote(before=count) if side == "before" else context.quote(after=count)


def _is_amount(tokens: tuple[str, ...]) -> bool:
    return any(token in v.NUMBERS or token.isdigit() for token in tokens)


def counting(context: MentionContext) -> str | None:
    """Match a number word before a unit or a plural: "three months"."""
    following = context.next
    if not context.is_number or context.is_possessive or not following[:1].isalnum():
        return None
    is_unit = following in v.UNITS or following.removesuffix("s") in v.UNITS
    is_plural = following.endswith("s") and len(following) > 3 and "'" not in following
    not_counted = v.COMPANY_VERBS | v.FUNCTION_AFTER | {"does", "unless"}
    if (
        is_unit
        or (context.is_one and following in v.AFTER_ONE)
        or (is_plural and following not in not_counted)
    ):
        return context.quote(after=1)
    return None


def numbered(context: MentionContext) -> str | None:
    """Match "option three", but neither "my three contract" nor "what about three"."""
    preceding = context.previous
    if not context.is_number or preceding not in v.BEFORE_A_NUMBER:
        return None
    is_owned = preceding in v.DETERMINERS and context.has_company_noun and not context.is_one
    is_question = preceding == "about" and context.left[1:2] in (("what",), ("how",))
    return None if is_owned or is_question else context.quote(before=1)


def amount(context: MentionContext) -> str | None:
    """Match "more than three"."""
    is_compared = context.previous == "than" and v.AMOUNTS.intersection(context.left[1:2])
    return context.quote(before=2) if context.is_number and is_compared else None


def counting_anything(context: MentionContext) -> str | None:
    """Match a number word whose next word doesn't start a new phrase: "one clinician"."""
    if context.is_number and not context.stands_alone:
        return context.quote(after=1)
    return None


def time_of_day(context: MentionContext) -> str | None:
    if context.is_number and context.previous in ("at", "by", "after", "before"):
        return context.quote(before=1)
    return None


def lower_case_in_cased_text(context: MentionContext) -> str | None:
    """Match a lower-case number word in text with capitals, which would capitalise a company."""
    words = (token for token in context.before if token.partition("'")[0] != "I")
    is_cased = any(char.isupper() for word in words for char in word)
    if context.is_number and is_cased and context.text.islower():
        return f"the lower case in {context.quote(before=1)}"
    return None


def bare_one(context: MentionContext) -> str | None:
    return context.quote() if context.is_one else None


def collocation(context: MentionContext) -> str | None:
    """Match a fixed phrase that contains the name: "sky's the limit"."""
    name = f"{context.word}'s" if context.is_possessive else context.word
    before = tuple(reversed(context.left[:4]))
    words = (*before, name, *context.right[:4])
    for phrase in v.COLLOCATIONS:
        starts = (len(before) - shift for shift, word in enumerate(phrase) if word == name)
        if any(start >= 0 and words[start : start + len(phrase)] == phrase for start in starts):
            return f'"{" ".join(phrase)}"'
    return None


def label(context: MentionContext) -> str | None:
    """Match "ID number" and "customer ID"."""
    if context.is_number or is_code(context.text):
        return None
    if context.next in v.LABELS:
        return context.quote(after=1)
    return context.quote(before=1) if context.previous in v.LABELLED else None


def compound(context: MentionContext) -> str | None:
    """Match "sky high" and "clear sky"."""
    if context.next in v.COMPOUNDS.get(context.word, ()):
        return context.quote(after=1)
    if context.previous in v.DESCRIBED.get(context.word, ()):
        return context.quote(before=1)
    return None


def colour(context: MentionContext) -> str | None:
    if context.word not in v.COLOUR_NAMES:
        return None
    if context.next in v.THINGS:
        return context.quote(after=1)
    if context.previous in v.BEFORE_A_COLOUR:
        return context.quote(before=1)
    is_listed = context.previous in ("and", "or", ",") and v.COLOURS.intersection(context.left[1:2])
    return context.quote(before=2) if is_listed else None


def determined(context: MentionContext) -> str | None:
    """Match "your id", "an orange sunset" and "the clear sky", but not codes: "the ee"."""
    if is_code(context.text):
        return None
    if context.previous in v.DETERMINERS:
        return context.quote(before=1)
    is_described = context.previous in v.COLOURS and v.DETERMINERS.intersection(context.left[1:2])
    return context.quote(before=2) if is_described else None


def verb(context: MentionContext) -> str | None:
    """Match "we can boost your signal", but not "going to sky the first time"."""
    is_moving = context.previous == "to" and v.MOVING_VERBS.intersection(context.left[1:6])
    is_led = context.previous in v.MODALS and not is_moving and not context.is_number
    if context.next in v.DETERMINERS and is_led:
        return context.quote(before=1, after=1)
    return None


def longer_name(context: MentionContext) -> str | None:
    """Match "Orange County" and "Capital One": a capitalised neighbour that is no telecom word."""
    if context.is_possessive or not context.text[:1].isupper():
        return None
    if _is_name(context.after[:1]) and not context.has_company_noun:
        return context.quote(after=1)
    if len(context.before) > 1 and _is_name(context.before[-1:]) and not context.text.isupper():
        return context.quote(before=1)
    return None


def _is_name(tokens: tuple[str, ...]) -> bool:
    return any(
        token[:1].isupper() and token[1:].islower() and token.casefold() not in v.FUNCTION_AFTER
        for token in tokens
    )
