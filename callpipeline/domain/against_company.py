"""What shows that an ambiguous name is an ordinary word: a number, a colour, a label, a phrase.

Each rule gives its reason in words for a person, or None where it has nothing to say.
"""

from callpipeline.domain import vocabulary as v
from callpipeline.domain.surroundings import Surroundings, is_code


def part_of_a_figure(around: Surroundings) -> str | None:
    before, after = around.glued
    touched = before[-1:] in tuple("£$€#.,:") or after[:1] == "%"
    goes_on = after[:1] in tuple(".,:") and after[1:2].isdigit()
    if around.word.isdigit() and (touched or goes_on):
        return f"part of a figure: '{before.strip()}{around.said}{after.strip()}'"
    return None


def hyphenated(around: Surroundings) -> str | None:
    """ "three-year", "all-in-one"; not a dash between spaces, nor "Vodafone-Three"."""
    before, after = around.glued
    led = before[-1:] in tuple("-‐‑") and before[:1].isalnum()
    followed = after[:1] in tuple("-‐‑") and after[1:].isalnum()
    return (
        f"part of a compound: '{before.strip()}{around.said}{after}'" if led or followed else None
    )


def beside_a_number(around: Surroundings) -> str | None:
    if not around.is_number:
        return None
    for side, words in (("before", around.left), ("after", around.right)):
        if _is_amount(words[:1]):
            return f"a number {side} it: '{words[0]}'"
        if words[:3] in (("and", "a", "half"), ("and", "a", "quarter")):
            return f"part of a figure: {around.quote(after=3)}"
        if words[:1] in (("or",), ("and",), ("to",), ("-",), (",",)) and _is_amount(words[1:2]):
            return f"numbers in a row: {_excerpt(around, side)}"
    return None


def _excerpt(around: Surroundings, side: str) -> str:
    return around.quote(before=2) if side == "before" else around.quote(after=2)


def _is_amount(tokens: tuple[str, ...]) -> bool:
    return any(token in v.NUMBERS or token.isdigit() for token in tokens)


def counting(around: Surroundings) -> str | None:
    following = around.next
    if not around.is_number or around.possessive or not following[:1].isalnum():
        return None
    if following in v.UNITS or following.removesuffix("s") in v.UNITS:
        return f"followed by a unit: '{following}'"
    if around.is_one and following in v.AFTER_ONE:
        return f"an ordinary 'one': {around.quote(after=1)}"
    plural = following.endswith("s") and len(following) > 3 and "'" not in following
    if plural and following not in v.COMPANY_VERBS | v.FUNCTION_AFTER | {"does", "unless"}:
        return f"followed by what it counts: '{following}'"
    return None


def numbered(around: Surroundings) -> str | None:
    """ "option three", "the three of you"; "my three contract" and "what about three" are not."""
    preceding = around.previous
    if not around.is_number or preceding not in v.BEFORE_A_NUMBER:
        return None
    owned = preceding in v.DETERMINERS and around.has_company_noun and not around.is_one
    asked = preceding == "about" and around.left[1:2] in (("what",), ("how",))
    return None if owned or asked else f"a number: {around.quote(before=1)}"


def amount(around: Surroundings) -> str | None:
    compared = around.previous == "than" and v.AMOUNTS.intersection(around.left[1:2])
    return f"an amount: {around.quote(before=2)}" if around.is_number and compared else None


def counting_anything(around: Surroundings) -> str | None:
    """A number word with a word after it that does not begin something new: "one clinician"."""
    if around.is_number and not around.stands_alone:
        return f"followed by what it counts: '{around.next}'"
    return None


def time_of_day(around: Surroundings) -> str | None:
    if around.is_number and around.previous in ("at", "by", "after", "before"):
        return f"a time: {around.quote(before=1)}"
    return None


def small_in_cased_text(around: Surroundings) -> str | None:
    """People who write capitals write a company's name with one."""
    words = (token for token in around.before if token.partition("'")[0] != "I")
    cased = any(char.isupper() for word in words for char in word)
    if around.is_number and cased and around.said.islower():
        return f"written small in a text with capitals: {around.quote(before=1)}"
    return None


def bare_one(around: Surroundings) -> str | None:
    return "an ordinary 'one': nothing speaks for a company" if around.is_one else None


def collocation(around: Surroundings) -> str | None:
    said = f"{around.word}'s" if around.possessive else around.word
    before = tuple(reversed(around.left[:4]))
    words = (*before, said, *around.right[:4])
    for phrase in v.COLLOCATIONS:
        starts = (len(before) - shift for shift, word in enumerate(phrase) if word == said)
        if any(start >= 0 and words[start : start + len(phrase)] == phrase for start in starts):
            return f"a fixed phrase: '{' '.join(phrase)}'"
    return None


def label(around: Surroundings) -> str | None:
    if around.is_number or is_code(around.said):
        return None
    if around.next in v.LABELS:
        return f"a label: {around.quote(after=1)}"
    return f"a label: {around.quote(before=1)}" if around.previous in v.LABELLED else None


def compound(around: Surroundings) -> str | None:
    if around.next in v.COMPOUNDS.get(around.word, ()):
        return f"a longer word: {around.quote(after=1)}"
    if around.previous in v.DESCRIBED.get(around.word, ()):
        return f"described as a thing: {around.quote(before=1)}"
    return None


def colour(around: Surroundings) -> str | None:
    if around.word not in v.COLOUR_NAMES:
        return None
    if around.next in v.THINGS:
        return f"a colour: {around.quote(after=1)}"
    if around.previous in v.BEFORE_A_COLOUR:
        return f"a colour: {around.quote(before=1)}"
    beside = around.previous in ("and", "or", ",") and v.COLOURS.intersection(around.left[1:2])
    return f"a colour: {around.quote(before=2)}" if beside else None


def determined(around: Surroundings) -> str | None:
    """ "your id", "an orange sunset", "the clear sky"; nobody says "the ee" of a thing."""
    if is_code(around.said):
        return None
    if around.previous in v.DETERMINERS:
        return f"a determiner before it: {around.quote(before=1)}"
    described = around.previous in v.COLOURS and v.DETERMINERS.intersection(around.left[1:2])
    return f"a determiner before it: {around.quote(before=2)}" if described else None


def verb(around: Surroundings) -> str | None:
    """ "we can boost your signal"; "going to sky the first time" is no verb."""
    moving = around.previous == "to" and v.MOVING_VERBS.intersection(around.left[1:6])
    led = around.previous in v.MODALS and not moving and not around.is_number
    if around.next in v.DETERMINERS and led:
        return f"used as a verb: {around.quote(before=1, after=1)}"
    return None


def longer_name(around: Surroundings) -> str | None:
    """ "Orange County", "Capital One": a capitalised neighbour that is no telecom word."""
    if around.possessive or not around.said[:1].isupper():
        return None
    if _is_name(around.after[:1]) and not around.has_company_noun:
        return f"part of a longer name: {around.quote(after=1)}"
    if len(around.before) > 1 and _is_name(around.before[-1:]) and not around.said.isupper():
        return f"part of a longer name: {around.quote(before=1)}"
    return None


def _is_name(tokens: tuple[str, ...]) -> bool:
    return any(
        token[:1].isupper() and token[1:].islower() and token.casefold() not in v.FUNCTION_AFTER
        for token in tokens
    )
