"""Whether a quote stands in what was said, near the name and by the same speaker.

What is kept as a quote is cut out of the transcript: nothing that a model wrote is stored.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from callpipeline.domain.spelling import is_accent
from callpipeline.engines.sentiment.lines import Line, Place

NEAR = 30
"""Words between the name and what is said of it, at most."""
LONGEST = 60
"""Words of a quote."""
_PIECE = re.compile(r"[^\W_]+")
_HIDDEN = "\0"

Hidden = Collection[tuple[int, int]]
"""Words that are not shown: numbers of lines, and of tokens in them."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """The words of one speaker in the lines shown, as a row of letters.

    `begins` and `ends` give, for a place among the letters, the number of the word; `name` are the
    numbers of the words of the name, first and last.
    """

    words: tuple[str, ...]
    letters: str
    begins: dict[int, int]
    ends: dict[int, int]
    name: tuple[int, int]

    def find(self, quote: str) -> tuple[int, int] | None:
        """The words, first and last, that say what the quote says, those nearest to the name."""
        sought = "".join(pieces(quote))
        if not sought or _HIDDEN in sought:
            return None
        found = [
            (self.begins[at], self.ends[at + len(sought)])
            for at in _places(sought, self.letters)
            if at in self.begins and at + len(sought) in self.ends
        ]
        return min(found, key=self.distance, default=None)

    def distance(self, words: tuple[int, int]) -> int:
        """How many words lie between the name and these; 0 where they touch or overlap."""
        return max(self.name[0] - words[1] - 1, words[0] - self.name[1] - 1, 0)

    def says_more_than_the_name(self, words: tuple[int, int]) -> bool:
        return words[0] < self.name[0] or words[1] > self.name[1]

    def written(self, words: tuple[int, int]) -> str:
        """As the transcript has it."""
        return " ".join(self.words[words[0] : words[1] + 1])


def spoken(
    lines: Sequence[Line], shown: Collection[int], place: Place, hidden: Hidden = ()
) -> Spoken:
    """What the speaker of a mention says in the lines shown for it."""
    channel = lines[place.line].channel
    words: list[str] = []
    letters = ""
    begins: dict[int, int] = {}
    ends: dict[int, int] = {}
    name = (0, 0)
    for number in sorted(n for n in shown if lines[n].channel is channel):
        if number == place.line:
            name = (len(words) + place.first, len(words) + place.last)
        for at, token in enumerate(lines[number].tokens):
            for piece in [_HIDDEN] if (number, at) in hidden else pieces(token.text):
                begins[len(letters)] = len(words)
                letters += piece
                ends[len(letters)] = len(words)
            words.append(token.text)
    return Spoken(tuple(words), letters, begins, ends, name)


def supported(quote: str, said: Spoken, *, is_opinion: bool) -> str | None:
    """The words of the transcript that a quote stands for; None where it bears nothing out."""
    found = said.find(quote)
    if found is None or said.distance(found) > NEAR or found[1] - found[0] >= LONGEST:
        return None
    if is_opinion and not said.says_more_than_the_name(found):
        return None
    return said.written(found)


def pieces(text: str) -> list[str]:
    """The letters and digits of a text, without accents, case and what stands between them."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    plain = "".join(
        letter
        for letter in folded
        if not is_accent(letter) and unicodedata.category(letter) != "Cf"
    )
    return _PIECE.findall(plain)


def _places(sought: str, letters: str) -> Iterator[int]:
    at = letters.find(sought)
    while at >= 0:
        yield at
        at = letters.find(sought, at + 1)
