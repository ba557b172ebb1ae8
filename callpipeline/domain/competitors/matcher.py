"""Matching all names of a catalog in one pass over a text.

Longer names are looked for in the letters of the text alone, so that every spacing of them is
found ("plus net", "PlusNet", "plus-net") by an Aho-Corasick automaton; short ones ("EE", "B & Q")
word by word. Only texts with candidates pay for checking where their words begin, and for mapping
positions back to the original characters.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import ahocorasick  # a C extension without stubs

from callpipeline.domain.competitors.addresses import is_host
from callpipeline.domain.competitors.boundaries import Place, WordMap, can_be_name, is_split
from callpipeline.domain.competitors.catalog import Catalog, NameMatch, SurfaceForm
from callpipeline.domain.competitors.disambiguation.scoring import CompanySlots
from callpipeline.domain.competitors.spellings import ASCII_FORMS, Spelling, pad_symbols
from callpipeline.domain.competitors.words import is_capitalised_name, word_statistics

MAX_NAME_WORDS = 6
"""Words of a name on one side of a border between segments."""
MIN_LETTERS = 5
"""Shorter names are looked for word by word."""
_CYRILLIC_ENDINGS = frozenset(
    [
        "а",
        "у",
        "ю",
        "я",
        "е",
        "и",
        "ы",
        "ой",
        "ей",
        "ом",
        "ем",
        "ам",
        "ям",
        "ами",
        "ями",
        "ах",
        "ях",
        "ов",
        "ев",
        "ою",
        "ею",
        "ого",
        "ому",
        "ым",
        "им",
        "ую",
    ]
)
_KOREAN_PARTICLES = frozenset(
    [
        "은",
        "는",
        "이",
        "가",
        "을",
        "를",
        "에",
        "에서",
        "에게",
        "의",
        "로",
        "으로",
        "와",
        "과",
        "도",
        "만",
        "부터",
        "까지",
        "한테",
        "께",
        "라",
        "라고",
        "이라",
        "이라고",
        "보다",
        "하고",
        "랑",
        "이랑",
        "나",
        "이나",
        "요",
    ]
)
_ASCII_WORDS = ASCII_FORMS.replace(b"'", b" ")
_NO_LETTERS = bytes(code for code in range(128) if not chr(code).isalnum())


class _Letters:
    """The letters of some surface forms: the one that ends so, and the one with an s more.

    `breaks` has bit n set if the form may be written as two words after n letters, `phrase_breaks`
    if that needs a web address or capitals ("go to dot com", "to Service Now").
    """

    __slots__ = ("bare", "breaks", "ends_in_letter_s", "length", "phrase_breaks", "with_s")

    def __init__(self, length: int) -> None:
        self.length = length
        self.bare: SurfaceForm | None = None
        self.with_s: SurfaceForm | None = None
        self.breaks = self.phrase_breaks = 0
        self.ends_in_letter_s = False


class _Candidate(NamedTuple):
    """A possible name; ordinary words (`is_phrase`) need an address or capitals."""

    place: Place
    form: SurfaceForm
    is_phrase: bool


class Matcher:
    """Finds all names of a catalog in one pass over a text.

    What is found is judged by `slots`, where ambiguous names stand, if there is an encoder; and
    `counts_addresses` says whether names in web and e-mail addresses count.
    """

    def __init__(
        self,
        catalog: Catalog,
        slots: CompanySlots | None = None,
        *,
        counts_addresses: bool = True,
    ) -> None:
        self.catalog = catalog
        self.slots = slots
        self.counts_addresses = counts_addresses
        self._short: dict[str, dict[tuple[str, ...], SurfaceForm]] = {}  # by their rarest word
        long: dict[str, _Letters] = {}
        for form in catalog.forms:
            letters = form.form.replace(" ", "")
            if len(letters) < MIN_LETTERS:
                self._add_short(form, letters)
            elif not letters.isdigit() or letters == form.alias:
                _add_long(long, form, letters)
        self._automaton = _automaton()
        for letters, found in long.items():
            self._automaton.add_word(letters, found)
        self._automaton.make_automaton()
        self._has_long = bool(long)  # searching an empty automaton raises

    def for_catalog(self, catalog: Catalog) -> "Matcher":
        """Return a matcher of another catalog with the same judgement and settings."""
        return Matcher(catalog, self.slots, counts_addresses=self.counts_addresses)

    def _add_short(self, form: SurfaceForm, letters: str) -> None:
        spaced = tuple(form.form.split())
        is_joinable = not letters.isdigit() or form.alias.isalnum()
        variants = {spaced, (letters,)} if is_joinable else {spaced}
        for words in sorted(variants):
            plural = (*words[:-1], f"{words[-1]}s")
            is_alphanumeric = words[-1].isalpha() or (words == (letters,) and not letters.isdigit())
            is_word = form.alias.isalnum() and is_alphanumeric and len(letters) > 1
            is_other_word = len(plural) == 1 and word_statistics(plural[0]).lower > 0  # "eons"
            is_plural = is_word and _has_plural(form) and not is_other_word
            for each in (words, plural) if is_plural else (words,):
                rarest = min(each, key=lambda word: word_statistics(word).lower)
                self._short.setdefault(rarest, {}).setdefault(each, form)

    def find(self, text: str) -> list[NameMatch]:
        """Find names from left to right; of overlapping ones the first, then the longest, wins."""
        if not text or not self._may_have_names(text):
            return []
        padded = pad_symbols(text)
        words = padded.split()
        candidates = [*self._find_long(words, padded), *self._find_short(words)]
        if not candidates:
            return []
        found = WordMap(text, padded, words)
        if len(candidates) > 1:
            candidates.sort(key=_precedence)
        return list(_leftmost_longest(candidates, found))

    def _may_have_names(self, text: str) -> bool:
        """Return false for most texts without names; cheaply, as few texts have any."""
        if not text.isascii() or "&" in text or "+" in text:
            return True
        written = text.encode()
        if self._has_long:
            letters = written.translate(ASCII_FORMS, _NO_LETTERS).decode()
            if next(self._automaton.iter(letters), None) is not None:
                return True
        words = written.translate(_ASCII_WORDS).decode().split() if self._short else ()
        return not self._short.keys().isdisjoint(words)

    def _find_long(self, words: Sequence[str], padded: str) -> Iterator[_Candidate]:
        if not self._has_long:
            return
        text = "".join(words)
        if "'" in padded:
            text = text.replace("'", "")
        starts: list[int] = []
        for last, letters in self._automaton.iter(text):
            if not starts:
                starts = _letter_offsets(words, has_apostrophes="'" in padded)
            start = last + 1 - letters.length
            first = bisect_right(starts, start) - 1
            if starts[first] == start and first < len(words):
                yield from _candidates(letters, words, starts, first)

    def _find_short(self, words: Sequence[str]) -> Iterator[_Candidate]:
        if self._short.keys().isdisjoint(words):
            return
        for at, word in enumerate(words):
            for spelt, form in self._short.get(word, {}).items():
                first = at - spelt.index(word)
                last = first + len(spelt) - 1
                if first >= 0 and tuple(words[first : last + 1]) == spelt:
                    place = Place(first, _with_possessive(words, last, form))
                    yield _Candidate(place, form, form.spelling is Spelling.PHRASE)

    def splits_name(self, first: str, second: str) -> bool:
        """Return whether a name begins in the first text and ends in the second."""
        before, after = first.split()[-MAX_NAME_WORDS:], second.split()[:MAX_NAME_WORDS]
        edge = len(" ".join(before))
        found = self.find(" ".join([*before, *after]))
        return any(match.char_start < edge < match.char_end for match in found)


def _automaton() -> Any:
    return ahocorasick.Automaton()  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]


def _letter_offsets(words: Sequence[str], *, has_apostrophes: bool) -> list[int]:
    """Return where the letters of each word begin, and the end of the last."""
    if not has_apostrophes:
        return list(accumulate(map(len, words), initial=0))
    return list(accumulate((len(word) - word.count("'") for word in words), initial=0))


def _has_plural(form: SurfaceForm) -> bool:
    """Return whether people add an s to the name; "threes" and "oranges" are ordinary words."""
    return not form.competitor.ambiguous


def stem_of(letters: str) -> str:
    """Return the letters of a long name without an s at the end."""
    return letters[:-1] if letters[-1] == "s" and len(letters) > MIN_LETTERS else letters


def _add_long(long: dict[str, _Letters], form: SurfaceForm, letters: str) -> None:
    stem = stem_of(letters)
    has_s = stem != letters
    found = long.get(stem)
    if found is None:
        found = long[stem] = _Letters(len(stem))
    if has_s:
        found.with_s = _closer(found.with_s, form)
    else:
        found.bare = _closer(found.bare, form)
    found.ends_in_letter_s |= form.form.endswith(" s")
    breaks = 0
    for at in accumulate(map(len, form.form.split()[:-1])) if " " in form.form else ():
        breaks |= 1 << at
    if form.spelling is Spelling.PHRASE:
        found.phrase_breaks |= breaks
    else:
        found.breaks |= breaks


def _closer(one: SurfaceForm | None, other: SurfaceForm) -> SurfaceForm:
    return one if one is not None and one.spelling <= other.spelling else other


def _candidates(
    letters: _Letters, words: Sequence[str], starts: Sequence[int], first: int
) -> Iterator[_Candidate]:
    """Yield the names with these letters that begin at word `first` and end with a word."""
    end = starts[first] + letters.length
    last = bisect_left(starts, end) - 1
    rest = words[last].replace("'", "")[end - starts[last] :]
    next_word = words[last + 1] if last + 1 < len(words) else ""
    is_whole, chars = not rest, None
    form = letters.bare
    if (is_whole and next_word == "'" and letters.with_s) or rest == "s":
        form = letters.with_s or (form if form and _has_plural(form) else None)
        last += letters.with_s is not None and is_whole
    elif is_whole and next_word == "s" and letters.ends_in_letter_s:
        form, last = letters.with_s, last + 1
    elif not is_whole:
        chars = end - starts[last]
        if letters.with_s and rest[0] == "s" and _is_ending(rest[1:], words[last]):
            form, chars = letters.with_s, chars + 1  # "PEGASUS'ta"
        else:
            form = form if _is_ending(rest, words[last]) else None
        chars = chars if "'" not in words[last][:chars] else None
    if form is None:
        return
    is_phrase = form.spelling is Spelling.PHRASE
    bounds = [start - starts[first] for start in starts[first + 1 : last + 1]]
    if any(not letters.breaks >> bound & 1 for bound in bounds if bound < letters.length):
        pieces = [word.replace("'", "") for word in words[first : last + 1] if word.strip("'")]
        if not is_split(pieces, letters.breaks):
            if not is_split(pieces, letters.breaks | letters.phrase_breaks):
                return
            is_phrase = True
    yield _Candidate(Place(first, last, chars), form, is_phrase)


def _is_ending(rest: str, word: str) -> bool:
    """Return whether a word goes on after the name with a case ending of its language."""
    if "'" in word:  # Turkish: "Turkcell'den"
        return word.endswith(f"'{rest}")
    return rest in _CYRILLIC_ENDINGS or rest in _PARTICLES


_PARTICLES = frozenset(pad_symbols(particle).strip() for particle in _KOREAN_PARTICLES)


def _with_possessive(words: Sequence[str], last: int, form: SurfaceForm) -> int:
    is_possessive = words[last + 1 : last + 2] == ["'"] and form.alias[-1:] in "sS"
    return last + is_possessive


def _precedence(candidate: _Candidate) -> tuple[int, int, int]:
    return candidate.place.first, -candidate.place.last, candidate.form.spelling


def _leftmost_longest(candidates: Sequence[_Candidate], text: WordMap) -> Iterator[NameMatch]:
    """Yield the candidates that can be names, without those that overlap an earlier one."""
    free_from = 0
    for each in candidates:
        place, form = each.place, each.form
        if place.first >= free_from and can_be_name(place, form.alias, text):
            start, end = text.start(place.first), text.end(place.last, place.last_chars)
            if each.is_phrase and not (
                is_host(text.text, end) or is_capitalised_name(text.text, start, end)
            ):
                continue
            free_from = place.last + 1
            yield NameMatch(form.competitor, form.alias, start, end)
