"""What stands around a name: the words of its sentence, and what the other speaker had asked."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from callpipeline.domain.matching import Hit
from callpipeline.domain.spelling import is_phrase
from callpipeline.domain.transcript import Segment
from callpipeline.domain.vocabulary import COMPANY_VERBS, FUNCTION_AFTER, NEAR_NAME_NOUNS, NUMBERS

COMPETITOR = "<competitor>"
"""Stands for another competitor's name, whose own words would only confuse."""

_TOKEN = re.compile(r"<competitor>|[^\W_]+(?:['’][^\W_]+)*|[^\w\s]")
_POSSESSIVE = re.compile(r"['’`][sS]\b")
_FILLER = re.compile(r"[,…]?\s*\b(?:um+|uh+|erm?|hmm+)\b\s*[,…]?", re.IGNORECASE)
_STOPS = frozenset(".?!;:")
_NEARBY_S = 3.0
"""A pause within one sentence is shorter than this."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The tokens (words as written, and punctuation) of a name's sentence, before and after it.

    `glued` are the characters that touch the name on either side; `asked` is what the other
    speaker said before, word by word in lower case.
    """

    said: str
    competitor_name: str
    evidence: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    possessive: bool
    glued: tuple[str, str]
    asked: tuple[str, ...]

    @property
    def word(self) -> str:
        """As it is listed among words: "I. D." is "id"."""
        return "".join(char for char in self.said.casefold() if char.isalnum())

    @property
    def is_number(self) -> bool:
        return self.word in NUMBERS or self.word.isdigit()

    @property
    def is_one(self) -> bool:
        """The most ordinary of all: a number, a pronoun, and two companies."""
        return self.word in ("one", "1")

    @property
    def left(self) -> tuple[str, ...]:
        """The words before, in lower case, nearest first."""
        return tuple(_plain(token) for token in reversed(self.before))

    @property
    def right(self) -> tuple[str, ...]:
        """The words after, in lower case, nearest first."""
        return tuple(_plain(token) for token in self.after)

    @property
    def previous(self) -> str:
        return _plain(self.before[-1]) if self.before else ""

    @property
    def next(self) -> str:
        return _plain(self.after[0]) if self.after else ""

    @property
    def has_company_noun(self) -> bool:
        return self.next in NEAR_NAME_NOUNS

    @property
    def stands_alone(self) -> bool:
        """Whether the name is a whole phrase, and what follows begins something new."""
        begins = FUNCTION_AFTER | COMPANY_VERBS
        starts_new = not self.next[:1].isalnum() or self.next in begins
        return self.possessive or self.has_company_noun or starts_new

    def quote(self, *, before: int = 0, after: int = 0) -> str:
        """The name with so many words on either side."""
        left = (
            self.before[len(self.before) - before :] if before <= len(self.before) else self.before
        )
        return f"'{' '.join((*left, self.said, *self.after[:after]))}'"


def _plain(token: str) -> str:
    return token.casefold().replace("’", "'")


def surroundings(
    conversation: Sequence[Segment], place: int, *, hits: Sequence[Hit], hit: Hit
) -> Surroundings:
    """Around `hit`, one of all `hits` in segment number `place` of the interleaved conversation."""
    text = conversation[place].text
    before = _masked(text, 0, hit.char_start, hits)
    after = _masked(text, hit.char_end, len(text), hits)
    possessive = _POSSESSIVE.match(after)
    earlier, later = _neighbour(conversation, place, -1), _neighbour(conversation, place, 1)
    return Surroundings(
        said=text[hit.char_start : hit.char_end],
        competitor_name=hit.competitor.name,
        evidence=hit.competitor.evidence,
        before=_last_sentence(_tokens(f"{earlier} {before}")),
        after=_first_sentence(_tokens(f"{after[possessive.end() if possessive else 0 :]} {later}")),
        possessive=possessive is not None,
        glued=(before[-2:], after[:2]),
        asked=_asked(conversation, place),
    )


def is_code(said: str) -> bool:
    """Whether no English word is written so: a digit within, no vowel or no consonant."""
    letters = "".join(char for char in said.casefold() if char.isalnum())
    mixed = any(c.isdigit() for c in letters) and any(c.isalpha() for c in letters)
    vowels = sum(char in "aeiouy" for char in letters)
    return mixed or (letters.isalpha() and vowels in (0, len(letters)))


def _masked(text: str, start: int, end: int, hits: Iterable[Hit]) -> str:
    """`text[start:end]` with the names that are certainly companies replaced."""
    for hit in sorted(hits, key=lambda h: h.char_start, reverse=True):
        inside = start <= hit.char_start and hit.char_end <= end
        if inside and _is_certain(text, hit):
            length = len(text)
            text = f"{text[: hit.char_start]}{COMPETITOR}{text[hit.char_end :]}"
            end += len(text) - length
    return text[start:end]


def _is_certain(text: str, hit: Hit) -> bool:
    said = text[hit.char_start : hit.char_end]
    return not hit.competitor.ambiguous or is_phrase(hit.alias) or is_code(said)


def _neighbour(conversation: Sequence[Segment], place: int, step: int) -> str:
    """The same speaker's next or previous segment, where it may belong to the same sentence."""
    here = conversation[place]
    there_at = place + step
    while 0 <= there_at < len(conversation) and conversation[there_at].channel != here.channel:
        there_at += step
    if not 0 <= there_at < len(conversation):
        return ""
    first, second = sorted((here, conversation[there_at]), key=lambda s: s.start_s)
    apart = second.start_s - first.end_s > _NEARBY_S or first.text.rstrip()[-1:] in _STOPS
    return "" if apart else conversation[there_at].text


def _tokens(text: str) -> list[str]:
    """Words and punctuation; "like, um, Orange" is "like Orange"."""
    return _TOKEN.findall(_FILLER.sub(" ", text))


def _last_sentence(tokens: Sequence[str]) -> tuple[str, ...]:
    stops = [at for at, token in enumerate(tokens) if token in _STOPS]
    return tuple(tokens[stops[-1] + 1 :] if stops else tokens)


def _first_sentence(tokens: Sequence[str]) -> tuple[str, ...]:
    stops = [at for at, token in enumerate(tokens) if token in _STOPS]
    return tuple(tokens[: stops[0]] if stops else tokens)


def _asked(conversation: Sequence[Segment], place: int) -> tuple[str, ...]:
    """The segment just before, if somebody else spoke it."""
    previous = conversation[place - 1] if place else None
    if previous is None or previous.channel == conversation[place].channel:
        return ()
    return tuple(_plain(token) for token in _tokens(previous.text))
