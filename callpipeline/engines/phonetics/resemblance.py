"""Resemblance of sounds: which runs of words are pronounced like a name.

rapidfuzz compares all runs with all names by coarse keys (confusable consonants folded, vowels all
alike); the few pairs that are left are aligned phoneme by phoneme.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import accumulate

from callpipeline.engines.phonetics.pronouncers import Pronouncer
from callpipeline.engines.ports import SoundMatch

MIN_KEY_RATIO = 72.0
MIN_SIMILARITY = 0.6
MAX_PAIRS = 2_000_000
"""Pairs that are compared at once."""

_VOWELS = frozenset("aeiouyæɑɒɔəɛɪʊʌʉɨøœɵɤɯɘ")
_CLOSE_VOWELS = (
    frozenset("iɪeɛyʉɨ"), frozenset("aæɛʌəɑ"), frozenset("ɑɒɔoʌa"), frozenset("uʊoʌə"),
    frozenset("əɪʌɛ"),
)  # fmt: skip
_PAIRS: dict[frozenset[str], float] = {
    **{frozenset(pair): 0.25 for pair in ("pb", "td", "kɡ", "fv", "sz", "θð", "ʃʒ")},
    **{frozenset(pair): 0.35 for pair in ("mn", "nŋ", "sʃ", "zʒ", "fθ", "sθ", "tθ", "dð")},
    **{frozenset(pair): 0.5 for pair in (
        "vb", "vw", "lɹ", "wɹ", "vð", "zð", "kx", "pf", "tk", "dɡ", "pt", "bd", "lw", "kt", "dn",
        "ml", "ln", "hf", "ɡj", "dʒ", "tʃ", "mb", "st", "zs",
    )},
}  # fmt: skip
_WEAK = {"ə": 0.3, "ɪ": 0.4, "h": 0.4, "j": 0.4, "w": 0.5, "ɹ": 0.5, "t": 0.6, "d": 0.6}
_FOLDED = str.maketrans({
    **dict.fromkeys(_VOWELS, "a"), "b": "p", "d": "t", "ɡ": "k", "v": "f", "z": "s", "ð": "t",
    "θ": "t", "ʒ": "s", "ʃ": "s", "ŋ": "n", "m": "n", "j": "a", "w": "a", "h": "",
})  # fmt: skip


@cache
def _drop(phoneme: str) -> float:
    """Return the cost of a phoneme that one side lacks."""
    return _WEAK.get(phoneme, 0.5 if phoneme in _VOWELS else 0.9)


@cache
def _change(one: str, other: str) -> float:
    """Return the cost of one phoneme in place of another."""
    if one == other:
        return 0.0
    both = one in _VOWELS, other in _VOWELS
    if all(both):
        return 0.15 if any({one, other} <= group for group in _CLOSE_VOWELS) else 0.3
    if any(both):
        return 0.7 if {one, other} & {"j", "w", "ɹ", "h"} else 1.3
    return _PAIRS.get(frozenset((one, other)), 1.0)


def sound_similarity(one: str, other: str) -> float:
    """Return how alike two strings of phonemes sound, from 0 to 1; 0 below MIN_SIMILARITY."""
    if not one or not other:
        return 0.0
    drops = [_drop(phoneme) for phoneme in other]
    longest = max(sum(map(_drop, one)), sum(drops))
    most = (1.0 - MIN_SIMILARITY) * longest
    costs = list(accumulate(drops, initial=0.0))
    for left in one:
        drop = _drop(left)
        before, costs = costs, [costs[0] + drop]
        for at, right in enumerate(other):
            change, longer = before[at] + _change(left, right), before[at + 1] + drop
            costs.append(min(change, longer, costs[at] + drops[at]))
        if min(costs) > most:
            return 0.0
    return 1.0 - costs[-1] / longest if costs[-1] <= most else 0.0


def sound_key(phonemes: str) -> str:
    """Return the coarse key of phonemes: a run of vowels is one, doubled consonants single."""
    folded = phonemes.translate(_FOLDED)
    return "".join(c for at, c in enumerate(folded) if at == 0 or c != folded[at - 1])


Spoken = tuple[str, ...]
"""The phonemes of each word."""


def compare_words(heard: Spoken, name: Spoken) -> tuple[float, int]:
    """Return how alike words sound to a name, and how many phonemes of the name say so.

    Words that both have at an end are left out: "the capital" isn't like "GE Capital".
    """
    first = 0
    while first < min(len(heard), len(name)) and heard[first] == name[first]:
        first += 1
    heard, name = heard[first:], name[first:]
    while heard and name and heard[-1] == name[-1]:
        heard, name = heard[:-1], name[:-1]
    if not heard and not name:
        return 1.0, 0
    rest = "".join(name)
    return sound_similarity("".join(heard), rest), len(rest)


class NameSounds:
    """Finds the runs of words that are pronounced like one of some names.

    `names` has the forms of each name, as words: "si time" and "sitime" for SiTime.
    """

    def __init__(self, pronouncer: Pronouncer, names: Mapping[str, Sequence[str]]) -> None:
        self.name = pronouncer.name
        self._pronouncer = pronouncer
        forms = [(name, tuple(form.split())) for name, each in names.items() for form in each]
        known = pronouncer.pronounce({word for _, words in forms for word in words})
        spoken = dict.fromkeys((name, spoken_words(words, known)) for name, words in forms)
        self._spoken = [(name, words) for name, words in spoken if words]
        self._keys = [sound_key("".join(words)) for _, words in self._spoken]

    def find(self, runs: Sequence[Sequence[str]]) -> Iterator[SoundMatch]:
        """Yield each run that sounds like a name, once for each such name."""
        chunk = max(MAX_PAIRS // max(len(self._keys), 1), 1)
        for start in range(0, len(runs), chunk):
            for match in self._find(runs[start : start + chunk]):
                yield match._replace(run=match.run + start)

    def _find(self, runs: Sequence[Sequence[str]]) -> Iterator[SoundMatch]:
        from numpy import nonzero
        from rapidfuzz.fuzz import ratio
        from rapidfuzz.process import cdist

        known = self._pronouncer.pronounce({word for run in runs for word in run})
        spoken = [spoken_words(run, known) for run in runs]
        if not self._keys or not spoken:
            return
        keys = [sound_key("".join(words)) for words in spoken]
        alike = cdist(keys, self._keys, scorer=ratio, score_cutoff=MIN_KEY_RATIO)
        best: dict[tuple[int, str], SoundMatch] = {}
        for at, number in zip(*(each.tolist() for each in nonzero(alike)), strict=True):
            name, words = self._spoken[number]
            similarity, phonemes = compare_words(spoken[at], words)
            known_best = best.get((at, name))
            if similarity and (known_best is None or similarity > known_best.similarity):
                whole = phonemes or sum(map(len, words))
                best[at, name] = SoundMatch(at, name, similarity, whole)
        yield from best.values()


def spoken_words(words: Sequence[str], known: Mapping[str, str]) -> Spoken:
    """Return the phonemes of each word; none if one can't be pronounced."""
    found = tuple(known.get(word, "") for word in words)
    if "a" in words and any(len(word) > 1 for word in words):
        found = tuple("ə" if word == "a" else each for word, each in zip(words, found, strict=True))
    return found if all(found) else ()
