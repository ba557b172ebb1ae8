"""Pronunciations of words: by espeak-ng, or by rules of spelling where it is not installed.

espeak-ng is under the GPL. It is only run as a program of its own, found on the search path; no
part of it is linked, copied or installed.
"""

import re
import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from callpipeline.errors import EngineUnavailable

PROGRAM = "espeak-ng"
TIMEOUT_S = 120.0
BATCH_WORDS = 2000
"""Words of one process: it takes about a millisecond for each."""
MAX_CACHED_WORDS = 200_000

_MARKS = re.compile(r"\([a-z-]+\)|[^\w]|[ˈˌːˑ‍]")
"""Stress, length, ties, and the names of languages that espeak-ng switches to."""
_SAME = str.maketrans({"ɐ": "ə", "ᵻ": "ɪ", "ɾ": "t", "ɫ": "l", "r": "ɹ", "g": "ɡ", "ɜ": "ə"})
_RHOTIC = {"ɚ": "əɹ", "ɝ": "əɹ"}


class Pronouncer(Protocol):
    """Knows the phonemes of words, one character for each."""

    name: str

    def pronounce(self, words: Collection[str]) -> Mapping[str, str]:
        """Return the phonemes of each word; words without any are left out."""
        ...


class EspeakPronouncer:
    """Pronounces words with espeak-ng, in one process for many words; remembers them."""

    name = PROGRAM

    def __init__(self, program: str, voice: str) -> None:
        self._program = program
        self._voice = voice
        self._known: dict[str, str] = {}

    def pronounce(self, words: Collection[str]) -> Mapping[str, str]:
        """See `Pronouncer`. Raises EngineUnavailable."""
        if len(self._known) > MAX_CACHED_WORDS:
            self._known.clear()
        unknown = sorted({word for word in words if word not in self._known and word.isalnum()})
        for start in range(0, len(unknown), BATCH_WORDS):
            batch = unknown[start : start + BATCH_WORDS]
            self._known.update(zip(batch, self._ask(batch), strict=True))
        return {word: self._known[word] for word in words if self._known.get(word)}

    def _ask(self, words: Sequence[str]) -> list[str]:
        command = [self._program, "-q", "--ipa", "-v", self._voice]
        try:
            done = subprocess.run(
                command,
                input="".join(f"{word}\n" for word in words),
                capture_output=True,
                encoding="utf-8",
                timeout=TIMEOUT_S,
                check=True,
            )
        except (OSError, subprocess.SubprocessError, UnicodeDecodeError) as error:
            raise EngineUnavailable(f"espeak-ng failed ({type(error).__name__}).") from error
        lines = done.stdout.splitlines()
        if len(lines) == len(words):
            return [_plain(line) for line in lines]
        # A word of some scripts has several lines, or none.
        if len(words) == 1:
            return [_plain("".join(lines))]
        middle = len(words) // 2
        return [*self._ask(words[:middle]), *self._ask(words[middle:])]


def _plain(ipa: str) -> str:
    phonemes = _MARKS.sub("", ipa).translate(_SAME)
    for rhotic, plain in _RHOTIC.items():
        phonemes = phonemes.replace(rhotic, plain)
    return phonemes


_RULES: tuple[tuple[str, str], ...] = (
    ("sch", "ʃ"), ("tch", "ʃ"), ("tion", "ʃən"), ("igh", "aɪ"), ("augh", "ɔ"), ("ough", "ʌf"),
    ("ph", "f"), ("gh", "ɡ"), ("wh", "w"), ("sh", "ʃ"), ("ch", "ʃ"), ("th", "θ"), ("ck", "k"),
    ("qu", "kw"), ("ng", "ŋ"), ("kn", "n"), ("wr", "ɹ"), ("ee", "i"), ("ea", "i"), ("oo", "u"),
    ("ou", "aʊ"), ("ow", "aʊ"), ("ai", "eɪ"), ("ay", "eɪ"), ("ei", "eɪ"), ("ey", "i"), ("ie", "i"),
    ("oa", "oʊ"), ("au", "ɔ"), ("aw", "ɔ"), ("oi", "ɔɪ"), ("oy", "ɔɪ"), ("eu", "ju"), ("ew", "ju"),
    ("j", "dʒ"), ("x", "ks"), ("c", "k"), ("q", "k"), ("y", "i"), ("r", "ɹ"), ("g", "ɡ"),
    ("a", "æ"), ("e", "ɛ"), ("i", "ɪ"), ("o", "ɑ"), ("u", "ʌ"),
)  # fmt: skip
_RULE = re.compile("|".join(letters for letters, _ in _RULES))
_PHONEMES: Mapping[str, str] = dict(_RULES)
_SILENT_E = re.compile(r"([aeiou])([bcdfgjklmnprstvz])e$")
_LONG = {"a": "eɪ", "e": "i", "i": "aɪ", "o": "oʊ", "u": "u"}
_DIGITS = ("ziɹoʊ", "wʌn", "tu", "θɹi", "fɔɹ", "faɪv", "sɪks", "sɛvən", "eɪt", "naɪn")


class SpellingPronouncer:
    """Pronounces words by a few rules of English spelling: fast, and much less exact."""

    name = "rules of spelling"

    def pronounce(self, words: Collection[str]) -> Mapping[str, str]:
        """See `Pronouncer`."""
        return {word: found for word in words if (found := spelled_phonemes(word))}


def spelled_phonemes(word: str) -> str:
    """Return the likely phonemes of a word in lower case, digit by digit for numbers."""
    if word.isdigit() and word.isascii():
        return "".join(_DIGITS[int(digit)] for digit in word)
    soft = re.sub(r"g(?=[eiy])", "j", re.sub(r"c(?=[eiy])", "s", word))
    single = re.sub(r"([b-df-hj-np-tv-z])\1", r"\1", soft)
    pieces = re.split(r"(?<=.)(?=[aeiou][bcdfgjklmnprstvz]e$)", single, maxsplit=1)
    last = _SILENT_E.fullmatch(pieces[-1])
    if last:
        return _by_rules("".join(pieces[:-1])) + _LONG[last[1]] + _by_rules(last[2])
    return _by_rules(single)


def _by_rules(text: str) -> str:
    letters = _RULE.sub(lambda rule: _PHONEMES[rule[0]], text)
    return "".join(filter(str.isalpha, letters))


def choose_pronouncer(language: str, path: str | None = None) -> Pronouncer:
    """Return espeak-ng if it is on the search path and knows the language, else the rules."""
    program = shutil.which(PROGRAM, path=path)
    if program is None:
        return SpellingPronouncer()
    found = EspeakPronouncer(program, "en-us" if language in ("en", "auto") else language)
    try:
        found.pronounce(["test"])
    except EngineUnavailable:
        return SpellingPronouncer()
    return found
