"""The context of a name: the words of its sentence, and the other speaker's question before it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from callpipeline.domain.competitors.catalog import NameMatch
from callpipeline.domain.competitors.disambiguation.vocabulary import (
    COMPANY_VERBS,
    FUNCTION_AFTER,
    NEAR_NAME_NOUNS,
    NUMBERS,
)
from callpipeline.domain.competitors.spellings import is_phrase
from callpipeline.domain.transcripts import Segment

COMPETITOR = "<competitor>"
"""Replaces the names of other competitors, whose words would mislead the rules."""

_TOKEN = re.compile(r"<competitor>|[^\W_]+(?:['’][^\W_]+)*|[^\w\s]")
_POSSESSIVE = re.compile(r"['’`][sS]\b")
_FILLER = re.compile(r"[,…]?\s*\b(?:um+|uh+|erm?|hmm+)\b\s*[,…]?", re.IGNORECASE)
_STOPS = frozenset(".?!;:")
_MAX_SENTENCE_PAUSE_S = 3.0


@dataclass(frozen=True, slots=True)
class MentionContext:
    """The tokens of a name's sentence before and after the name: words and punctuation.

    `adjacent_chars` are up to two characters on either side of the name; `question` is the other
    speaker's preceding segment, as lower-case words.
    """

    text: str
    competitor_name: str
    evidence: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    is_possessive: bool
    adjacent_chars: tuple[str, str]
    question: tuple[str, ...]
    sells: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """Return the name as a vocabulary word: "I. D." becomes "id"."""
        return "".join(char for char in self.text.casefold() if char.isalnum())

    @property
    def is_number(self) -> bool:
        return self.word in NUMBERS or self.word.isdigit()

    @property
    def is_one(self) -> bool:
        """Return true for "one", the most ambiguous name: number, pronoun, and two companies."""
        return self.word in ("one", "1")

    @property
    def left(self) -> tuple[str, ...]:
        """Return the words before the name in lower case, nearest first."""
        return tuple(_plain(token) for token in reversed(self.before))

    @property
    def right(self) -> tuple[str, ...]:
        """Return the words after the name in lower case, nearest first."""
        return tuple(_plain(token) for token in self.after)

    @property
    def previous(self) -> str:
        return _plain(self.before[-1]) if self.before else ""

    @property
    def next(self) -> str:
        return _plain(self.after[0]) if self.after else ""

    @property
    def phrase(self) -> str:
        """Return the name with the next word, if that may belong to it ("clover house")."""
        following = self.next
        is_name = following.isalpha() and not self.is_possessive
        starts_new = following in FUNCTION_AFTER | COMPANY_VERBS or self.has_company_noun
        return f"{_plain(self.text)} {following}" if is_name and not starts_new else ""

    @property
    def has_company_noun(self) -> bool:
        return self.next in NEAR_NAME_NOUNS

    @property
    def stands_alone(self) -> bool:
        """Return true if the name ends a phrase, so that the next word starts another."""
        starters = FUNCTION_AFTER | COMPANY_VERBS
        starts_new = not self.next[:1].isalnum() or self.next in starters
        return self.is_possessive or self.has_company_noun or starts_new

    def quote(self, *, before: int = 0, after: int = 0) -> str:
        """Quote the name with this many words on either side."""
        left = (
            self.before[len(self.before) - before :] if before <= len(self.before) else self.before
        )
        tokens = (*left, self.text, *self.after[:after])
        return f'"{" ".join("…" if token == COMPETITOR else token for token in tokens)}"'


def _plain(token: str) -> str:
    return token.casefold().replace("’", "'")


def mention_context(
    conversation: Sequence[Segment], index: int, *, matches: Sequence[NameMatch], match: NameMatch
) -> MentionContext:
    """Build the context of `match`, one of all `matches` in segment `index` of the conversation."""
    text = conversation[index].text
    before = _masked(text, 0, match.char_start, matches)
    after = _masked(text, match.char_end, len(text), matches)
    possessive = _POSSESSIVE.match(after)
    earlier, later = _neighbour(conversation, index, -1), _neighbour(conversation, index, 1)
    return MentionContext(
        text=text[match.char_start : match.char_end],
        competitor_name=match.competitor.name,
        evidence=match.competitor.evidence,
        before=_last_sentence(_tokens(f"{earlier} {before}")),
        after=_first_sentence(_tokens(f"{after[possessive.end() if possessive else 0 :]} {later}")),
        is_possessive=possessive is not None,
        adjacent_chars=(before[-2:], after[:2]),
        question=_question(conversation, index),
        sells=tuple(_plain(token) for token in _TOKEN.findall(match.competitor.sells)),
    )


def is_code(text: str) -> bool:
    """Return true if no English word looks like this: digits inside, no vowel, or no consonant."""
    letters = "".join(char for char in text.casefold() if char.isalnum())
    is_mixed = any(c.isdigit() for c in letters) and any(c.isalpha() for c in letters)
    vowels = sum(char in "aeiouy" for char in letters)
    return is_mixed or (letters.isalpha() and vowels in (0, len(letters)))


def _masked(text: str, start: int, end: int, matches: Iterable[NameMatch]) -> str:
    """Return `text[start:end]` with the names of unambiguous competitors replaced."""
    for match in sorted(matches, key=lambda h: h.char_start, reverse=True):
        is_inside = start <= match.char_start and match.char_end <= end
        if is_inside and _is_certain(text, match):
            length = len(text)
            text = f"{text[: match.char_start]}{COMPETITOR}{text[match.char_end :]}"
            end += len(text) - length
    return text[start:end]


def _is_certain(text: str, match: NameMatch) -> bool:
    name = text[match.char_start : match.char_end]
    return not match.competitor.ambiguous or is_phrase(match.alias) or is_code(name)


def _neighbour(conversation: Sequence[Segment], index: int, step: int) -> str:
    """Return the speaker's next or previous segment if it may continue the sentence, else ''."""
    segment, neighbour = conversation[index], index + step
    while 0 <= neighbour < len(conversation) and conversation[neighbour].channel != segment.channel:
        neighbour += step
    if not 0 <= neighbour < len(conversation):
        return ""
    first, second = sorted((segment, conversation[neighbour]), key=lambda s: s.start_s)
    is_separate = (
        second.start_s - first.end_s > _MAX_SENTENCE_PAUSE_S or first.text.rstrip()[-1:] in _STOPS
    )
    return "" if is_separate else conversation[neighbour].text


def _tokens(text: str) -> list[str]:
    """Split into words and punctuation, without fillers: "like, um, Orange" is "like Orange"."""
    return _TOKEN.findall(_FILLER.sub(" ", text))


def _last_sentence(tokens: Sequence[str]) -> tuple[str, ...]:
    stops = [at for at, token in enumerate(tokens) if token in _STOPS]
    return tuple(tokens[stops[-1] + 1 :] if stops else tokens)


def _first_sentence(tokens: Sequence[str]) -> tuple[str, ...]:
    stops = [at for at, token in enumerate(tokens) if token in _STOPS]
    return tuple(tokens[: stops[0]] if stops else tokens)


def _question(conversation: Sequence[Segment], index: int) -> tuple[str, ...]:
    """Return the words of the preceding segment if it is on another channel."""
    previous = conversation[index - 1] if index else None
    if previous is None or previous.channel == conversation[index].channel:
        return ()
    return tuple(_plain(token) for token in _tokens(previous.text))
