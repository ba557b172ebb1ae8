"""Surface forms: the normal form of a text, and the spellings under which a name may appear.

This module alone decides which texts are equal and which spellings are one name; the matcher,
search, the preview and sentiment build on it.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from enum import IntEnum
from itertools import chain, product

from callpipeline.domain.competitors.words import (
    EQUIVALENTS,
    LETTER_NAMES,
    NUMBER_WORDS,
    SHORT_FOR,
    is_common_word,
    is_plain_talk,
    number_readings,
    ordinal_words,
    spelled_with_doubles,
    word_statistics,
)

_APOSTROPHES = frozenset("'’‘ʼʻ＇′`´")
_TATWEEL = "\u0640"
"""Lengthens Arabic words."""
_SYMBOL_WORDS = {"&": " and ", "＆": " and ", "+": " plus ", "＋": " plus "}
_STROKES = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ħ": "h", "ŧ": "t", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th",
     "ð": "d"}
)  # fmt: skip
"""Letters that Unicode does not decompose into a letter and an accent."""
_CONTRACTIONS = tuple(
    (f"'{ending} ", " " + "'" * len(ending) + " ") for ending in ("s", "d", "m", "ll", "ve", "re")
)
_UNSPACED = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3005, 0x3007), (0x3041, 0x30FF),
    (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF),
)  # fmt: skip
"""Scripts written without spaces (Thai, Burmese, Khmer, kana, Han): each letter is a word."""


class _Alphabet(dict[int, str]):
    """Normal form by character, computed on first use."""

    def __missing__(self, code: int) -> str:
        form = self[code] = _normal_form(chr(code))
        return form


def _normal_form(char: str) -> str:
    if char in _APOSTROPHES:
        return "'"
    if char in _SYMBOL_WORDS:
        return _SYMBOL_WORDS[char]
    category = unicodedata.category(char)
    if category == "Cf" or char == _TATWEEL:
        return ""  # soft hyphens, zero-width spaces and joiners, writing direction
    return _folded(char) if category[0] in "LNM" else " "


def _folded(char: str) -> str:
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", char).casefold())
    plain = "".join(c for c in folded.translate(_STROKES) if not is_accent(c))
    is_word = all(unicodedata.category(c)[0] in "LNM" and c not in _APOSTROPHES for c in plain)
    if is_word and any(is_unspaced(letter) for letter in plain):
        return "".join(f" {c} " if unicodedata.category(c)[0] in "LN" else c for c in plain)
    return plain if is_word else " "


def is_unspaced(char: str) -> bool:
    """Return true for a letter of a script that is written without spaces between words."""
    return char > "\u0dff" and any(first <= ord(char) <= last for first, last in _UNSPACED)


def is_accent(char: str) -> bool:
    """Return true for a combining mark, as in "é" typed as two characters."""
    return (
        "\u0300" <= char <= "\u036f"
        or "\u0591" <= char <= "\u05c7"  # Hebrew points
        or "\u0610" <= char <= "\u061a"  # Arabic vowels and hamza, which people leave out
        or "\u064b" <= char <= "\u065f"
        or char == "\u0670"
        or "\u20d0" <= char <= "\u20ff"
        or "\ufe00" <= char <= "\ufe0f"
        or char in "\u3099\u309a"
    )


ALPHABET = _Alphabet()
ASCII_FORMS = bytes(
    ord(ALPHABET[code]) if code not in b"&+" else 32 for code in range(128)
) + bytes(128)


def pad_symbols(text: str) -> str:
    """Normalise text without collapsing runs of spaces, and with a space at either end.

    The length changes only where `ALPHABET` maps a character to none or several.
    """
    if text.isascii() and "&" not in text and "+" not in text:
        padded = f" {text.encode().translate(ASCII_FORMS).decode()} "
    else:
        padded = f" {text.translate(ALPHABET)} "
    return _replace_quotes(padded) if "'" in padded else padded


def _replace_quotes(padded: str) -> str:
    """Replace quotation marks by spaces and contracted endings by apostrophes, in place."""
    padded = padded.replace("'n'", " n ")
    while " '" in padded or "' " in padded:
        padded = padded.replace(" '", "  ").replace("' ", "  ")
    for ending, mark in _CONTRACTIONS:
        padded = padded.replace(ending, mark)
    return padded


def normalise(text: str) -> str:
    """Return the normal form of `text`; equal for spellings that sound the same."""
    return " ".join(pad_symbols(text).split())


def is_phrase(alias: str) -> bool:
    """Return true for several words, as opposed to one word or one spelled out ("i d")."""
    words = normalise(alias).split()
    return len(words) > 1 and any(len(word) > 1 for word in words)


# Spellings of a name.

_PLAIN_NAME = re.compile(r"(?!mc)[A-Z]?[a-z]{2,}(?: (?!mc)[A-Z]?[a-z]{2,})*", re.ASCII)
_PART = re.compile(r"[&＆+＋]|(?<=\w)\.(?=\w)|[^\W_]+(?:['’‘ʼ＇`´][^\W_]+)*")
_CAMEL_CASE = re.compile(
    r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})"
    r"|(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])(?!(?:st|nd|rd|th)\b)"
)
_MIXED_INITIALS = re.compile(r"(?=.*[A-Z].*[A-Z])(?=.*[a-z])[A-Za-z]{2,5}")
"""Names such as "PwC", which are spelled like "HSBC"."""
_POSSESSIVE = re.compile(r"['’‘ʼ＇`´][sS]$")
_TRADEMARKS = str.maketrans("®™©℠", "    ")
_SPECIAL_WORDS = NUMBER_WORDS.union(
    EQUIVALENTS, SHORT_FOR, ("and", "n", "mc", "hundred", "thousand")
)
"""Words with other readings; a name without them and without symbols has only its letters."""
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"})
_DIGRAPH = re.compile(r"(?<=[bcdfghjklmnprstvwxz])(a|o|u)e(?=[bcdfghjklmnprstvwxz])")
_DOUBLED = re.compile(r"([bcdfgklmnprstz])\1")
_SINGLE = re.compile(r"(?<=[aeiou])([bdfglmnprt])(?=[aeiou])")
_ENDS_IN_S = re.compile(r"[^su]s$|[^aiosu]s$")
MAX_SPELLED_LETTERS = 5
MAX_FORMS = 96
MIN_RESPELT_LETTERS = 5


class Spelling(IntEnum):
    """The origin of a surface form; lower ones take precedence.

    EXACT is the name itself, spelled out or with other spaces. DERIVED is what else people and
    recognisers write for it. PHRASE is ordinary words that sound like it ("you switch").
    """

    EXACT = 0
    DERIVED = 1
    PHRASE = 2


_Alternatives = tuple[tuple[str, Spelling], ...]


def spellings(name: str) -> dict[str, Spelling]:
    """Return the normal forms under which `name` may appear, without those that differ in spaces.

    Spaces mark where the name may be written as several words.
    """
    forms: dict[str, Spelling] = {}
    for form, spelling in _forms(name):
        forms[form] = min(spelling, forms.get(form, spelling))
        if len(forms) >= MAX_FORMS:
            break
    return forms


def surface_forms(name: str) -> frozenset[str]:
    """Return the normal forms under which `name` may appear in a transcript."""
    return frozenset(spellings(name))


def _forms(name: str) -> Iterator[tuple[str, Spelling]]:
    if _PLAIN_NAME.fullmatch(name) and not _SPECIAL_WORDS.intersection(name.lower().split()):
        listed = [(name.lower(), Spelling.EXACT)]
    else:
        listed = list(_combined(name))
    yield from listed
    exact = [form for form, spelling in listed if spelling is Spelling.EXACT]
    for form, _ in listed:
        yield from _letters_named(form)
    for form in exact:
        yield from ((other, Spelling.DERIVED) for other in _without_s(form))
    for form in exact[:2]:
        yield from ((other, Spelling.DERIVED) for other in _respelt(form))


def _combined(name: str) -> Iterator[tuple[str, Spelling]]:
    """Combine the alternatives of the parts of a name."""
    normal = normalise(name).replace(" '", "s").replace("'", "")
    if normal:
        yield normal, Spelling.EXACT
    if _MIXED_INITIALS.fullmatch(name):
        yield " ".join(name.lower()), Spelling.EXACT
    parts = list(_merge_numbers(_parts(name)))
    alternatives = [_alternatives(parts, at) for at in range(len(parts))]
    for combination in product(*alternatives):
        form = " ".join(word for word, _ in combination if word)
        if form and _is_readable(parts, combination):
            spelling = max(spelling for _, spelling in combination)
            yield form, Spelling.PHRASE if " " not in normal and is_plain_talk(form) else spelling


def _parts(name: str) -> Iterator[str]:
    compatible = unicodedata.normalize("NFKC", name.translate(_TRADEMARKS))
    for part in _PART.findall(compatible):
        if part[0].isalnum():
            yield from _CAMEL_CASE.split(part)
        else:
            yield part


def _merge_numbers(parts: Iterable[str]) -> Iterator[str]:
    """Join tens and units, as in "Forever Twenty One"."""
    pending = ""
    for part in parts:
        both = f"{pending} {part}"
        if pending and number_readings(both.casefold()):
            yield both
            pending = ""
        else:
            if pending:
                yield pending
            pending = part
    if pending:
        yield pending


def _is_connector(part: str) -> bool:
    return part in "&＆+＋" or part.casefold() in ("and", "n")


def _alternatives(parts: list[str], at: int) -> _Alternatives:
    part = parts[at]
    if _is_connector(part):
        return _connectors(parts, at)
    if part == ".":
        return (("", Spelling.EXACT), ("dot", Spelling.EXACT))
    is_possessive = _POSSESSIVE.search(part)
    stem = part[: is_possessive.start()] if is_possessive else part
    word = normalise(stem).replace("'", "")
    apart = " ".join(normalise(stem).replace("'", " ").split())
    if is_possessive:
        with_s = ((f"{each}s", Spelling.EXACT) for each in dict.fromkeys((word, apart)))
        return (*with_s, (word, Spelling.DERIVED))
    found = {word: Spelling.EXACT, apart: Spelling.EXACT}
    if 2 <= len(stem) <= MAX_SPELLED_LETTERS and stem.isupper() and stem.isalpha():
        found[" ".join(word)] = Spelling.EXACT
        found.setdefault(spelled_with_doubles(word), Spelling.DERIVED)
    for other in _equivalents(parts, at, word):
        found.setdefault(other, Spelling.DERIVED)
    return tuple(found.items())


def _connectors(parts: list[str], at: int) -> _Alternatives:
    """Return the readings of "&", "+" and "and": all of them between two words."""
    own = "plus" if parts[at] in "+＋" else "n" if parts[at].casefold() == "n" else "and"
    inner = 0 < at < len(parts) - 1
    if not inner or _is_connector(parts[at - 1]) or _is_connector(parts[at + 1]):
        return ((own, Spelling.EXACT),)
    others = [word for word in ("and", "n", "plus", "") if word != own]
    return ((own, Spelling.EXACT), *((word, Spelling.DERIVED) for word in others))


def _equivalents(parts: list[str], at: int, word: str) -> Iterator[str]:
    part, is_last = parts[at], at == len(parts) - 1
    bare = ("hundred", "thousand", "a hundred", "a thousand") if len(parts) == 1 else ()
    yield from (each for each in number_readings(word) if each not in bare)
    if word == "o" and at + 1 < len(parts) and parts[at + 1].isdigit():
        yield from ("oh", "zero", "0")
    if word == "mc" and not is_last:
        yield "mac"
    elif word.startswith("mc") and len(word) > MIN_RESPELT_LETTERS:
        yield from (f"mc {word[2:]}", f"mac {word[2:]}")
    if word in EQUIVALENTS and (word != "co" or (is_last and at > 0)):
        is_saint = word != "st" or not is_last
        is_number = word != "no" or (not is_last and parts[at + 1].isdigit())
        if is_saint and is_number:
            yield EQUIVALENTS[word]
    if word in SHORT_FOR and at > 0:
        yield SHORT_FOR[word]
    if word == "company" and is_last and at > 1 and _is_connector(parts[at - 1]):
        yield "co"
    spelled = part.casefold().translate(_UMLAUTS)
    if spelled != part.casefold():
        yield normalise(spelled)
    yield from ordinal_words(word)


def _is_readable(parts: list[str], combination: Iterable[tuple[str, Spelling]]) -> bool:
    """Return false if a connector is dropped beside letters that are not spelled out ("at t")."""
    words = [word for word, _ in combination]
    for at, part in enumerate(parts):
        if words[at] or not _is_connector(part):
            continue
        sides = parts[at - 1], parts[at + 1]
        if any(side.isdigit() for side in sides):
            return False
        if any(len(side) == 1 for side in sides):
            return all(len(each) == 1 for word in words for each in word.split())
    return True


def _letters_named(form: str) -> Iterator[tuple[str, Spelling]]:
    """Yield a form with its letters by name: "tee mobile", "eye dee mobile"."""
    words = form.split()
    letters = [word for word in words if len(word) == 1 and word.isalpha()]
    if len(words) > 1 and letters and all(letter in LETTER_NAMES for letter in letters):
        named = [LETTER_NAMES.get(word, word) for word in words]
        is_ordinary = all(is_common_word(word) for word in named)
        yield " ".join(named), Spelling.PHRASE if is_ordinary else Spelling.DERIVED


def _without_s(form: str) -> Iterator[str]:
    """Yield "lloyd" for "lloyds", unless that is ordinary words ("boot", "five guy")."""
    words = form.split()
    *others, last = words
    for at, word in enumerate(others):
        stem = word[:-1]
        if len(word) > 4 and _ENDS_IN_S.search(word) and not word_statistics(stem).lower:
            yield " ".join((*words[:at], stem, *words[at + 1 :]))  # "lloyd's tsb"
    is_rare = any(not word_statistics(word).lower for word in (*others, last[:-1]))
    if len(last) >= 4 + (not others) and _ENDS_IN_S.search(last) and is_rare:
        yield form[:-1]


def _respelt(form: str) -> Iterator[str]:
    """Yield forms with a double letter for a single one, and the other way round."""
    if len(form) < MIN_RESPELT_LETTERS or not form.isascii():
        return
    single = _SINGLE.search(form)
    matches = chain(_DOUBLED.finditer(form), [single] if single else [], _DIGRAPH.finditer(form))
    for match in matches:
        letter = match[1]
        respelt = letter if match[0] != letter else letter * 2
        other = f"{form[: match.start()]}{respelt}{form[match.end() :]}"
        changed = other[other.rfind(" ", 0, match.start() + 1) + 1 :].split(" ", 1)[0]
        if not is_common_word(changed) and not is_common_word(changed.removesuffix("s")):
            yield other
