"""What makes two writings of a name the same: the normal form of text, and how a name may be said.

The normal form is lower-case words without punctuation or accents, separated by single spaces.
A contraction's ending is a word of apostrophes alone, so "EE's" holds the word "ee", while "I'd"
is neither "id" nor the letters "i d".
"""

import re
import unicodedata

_APOSTROPHES = frozenset("'’‘ʼʻ＇′`´")
_SPOKEN_SYMBOLS = {"&": " and ", "＆": " and ", "+": " plus ", "＋": " plus "}
_CONTRACTIONS = tuple(
    (f"'{ending} ", " " + "'" * len(ending) + " ") for ending in ("s", "d", "m", "ll", "ve", "re")
)
_CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])")
_CAPITALS = re.compile(r"\b[A-Z]{2,4}\b")
_INNER_DOT = re.compile(r"(?<=\w)\.(?=\w)")


class _Alphabet(dict[int, str]):
    """What each character becomes; entries are made when a character is first met."""

    def __missing__(self, code: int) -> str:
        form = self[code] = _letter_form(chr(code))
        return form


def _letter_form(char: str) -> str:
    if char in _APOSTROPHES:
        return "'"
    if char in _SPOKEN_SYMBOLS:
        return _SPOKEN_SYMBOLS[char]
    category = unicodedata.category(char)
    if category == "Cf":  # soft hyphens, zero-width spaces and joiners, writing direction
        return ""
    return _folded(char) if category[0] in "LNM" else " "


def _folded(char: str) -> str:
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", char).casefold())
    kept = "".join(c for c in folded if not is_accent(c))
    whole = all(unicodedata.category(c)[0] in "LNM" and c not in _APOSTROPHES for c in kept)
    return kept if whole else " "


def is_accent(char: str) -> bool:
    """Whether `char` only decorates the letter before it, as in "é" typed in two characters."""
    return (
        "\u0300" <= char <= "\u036f" or "\u20d0" <= char <= "\u20ff" or "\ufe00" <= char <= "\ufe0f"
    )


ALPHABET = _Alphabet()


def spread(text: str) -> str:
    """The normal form before runs of spaces are squeezed, with a space at either end.

    Longer or shorter than `text` only where `ALPHABET` maps a character to more or less than one.
    """
    spaced = f" {text.translate(ALPHABET)} "
    return _without_quotes(spaced) if "'" in spaced else spaced


def _without_quotes(spaced: str) -> str:
    """Quotation marks to spaces and endings to apostrophes; the length stays what it was."""
    while " '" in spaced or "' " in spaced:
        spaced = spaced.replace(" '", "  ").replace("' ", "  ")
    for ending, mark in _CONTRACTIONS:
        spaced = spaced.replace(ending, mark)
    return spaced


def normalise(text: str) -> str:
    """The normal form of `text`; equal for writings that are the same to the ear."""
    return " ".join(spread(text).split())


def spellings(name: str) -> frozenset[str]:
    """The normal forms under which `name` may appear in a transcript.

    Beside the name as it stands: camel case in words ("go daddy"), capitals letter by letter
    ("e e"), a dot as a word ("one dot com"), several words as one ("tmobile"), and an ending in s
    as a possessive or not ("sainsburys").
    """
    written = {name, _CAMEL_CASE.sub(" ", name), _INNER_DOT.sub(" dot ", name)}
    written |= {_CAPITALS.sub(lambda capitals: " ".join(capitals[0]), way) for way in written}
    forms = {normalise(way) for way in written} - {""}
    return frozenset(forms.union(*map(_rejoined, forms)))


def _rejoined(form: str) -> set[str]:
    plain = form.replace(" '", "s").replace("'", "")
    joined = plain.replace(" ", "")
    possessive = f"{plain[:-1]} '" if len(plain) > 3 and plain.endswith("s") else plain
    apart = form.replace("'", " ")
    return {plain, joined, possessive, " ".join(apart.split())}


def is_phrase(alias: str) -> bool:
    """Whether `alias` is several words, rather than one or one that is spelled out ("i d")."""
    words = normalise(alias).split()
    return len(words) > 1 and any(len(word) > 1 for word in words)
