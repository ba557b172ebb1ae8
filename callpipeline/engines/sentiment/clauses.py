"""Clauses of a mention's sentence, with masked competitor names.

Both kinds of transcript are split: those with punctuation and capitals, which people write, and
those without, which recognisers produce.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from callpipeline.domain.audio import Speaker
from callpipeline.domain.competitors.disambiguation.vocabulary import word_set
from callpipeline.domain.competitors.mentions import Mention

TARGET, OTHER, SAME = "<target>", "<other>", "<same>"
"""Masks of the judged mention, of other competitors, and of the same competitor."""

NEGATIONS = word_set("""
    not no never nobody nothing none neither nor hardly barely without cannot can't don't doesn't
    didn't won't wouldn't couldn't shouldn't isn't aren't wasn't weren't haven't hasn't hadn't ain't
    dont doesnt didnt wont isnt arent wasnt werent cant
    """)
_TOKEN = re.compile(r"<target>|<other>|['’]?[^\W_]+(?:['’-][^\W_]+)*|[.,;:?!]")
_STOPS = frozenset(".;:?!")
_CONJUNCTIONS = word_set(
    "but because so although though however whereas while except which who unless cause"
)
_THEY = word_set("they they're they've they'd they'll it it's")
_SPEAKERS = word_set("i i'm i've i'd i'll we we're we've we'd you you're you've he she")
_SUBJECTS = _THEY | _SPEAKERS | {"there", "there's", "their"}
_VERBS = word_set("is are was were has have had do does did can will would 's isn't wasn't")
_OPINION = word_set("am never always think just don't can't want need used heard got")
_CONTRACTED = word_set("i'm we're you're i've there's i'd we've he's she's")
_ADDRESS = word_set("you your you're")
_ABOUT_US_OR_WISHES = word_set("you your yours want need wanted looking like wondering hoping")
_NAMED_SUBJECTS = _SUBJECTS | word_set("the my our your this that these a <target> <other>")
_OPENERS = word_set("compared unlike if with")
_TAKES_A_CLAUSE = word_set("""
    think thought say said says know knew believe hope guess mean means feel that if when what how
    why where than as whether before after since like and or heard told see until once because but
    so which who while every time price deal offer is are was were do does did can could would will
    have has had with to for from of about not wish sure suppose maybe yes yeah no well day only
    """)


@dataclass(frozen=True, slots=True)
class RuleMatch:
    """Score in −1..1 towards the target; `rule` names the rule and the words that it matched."""

    score: float
    rule: str

    def contradicts(self, other: "RuleMatch") -> bool:
        return self.score * other.score < 0


@dataclass(frozen=True, slots=True)
class Token:
    """A word, mark or mask, and where its text starts and ends, in characters."""

    masked: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Clause:
    """Words in lower case and as in the transcript (`quote`); `link` precedes them."""

    words: tuple[str, ...]
    quote: str
    link: str
    speaker: Speaker
    is_question: bool = False

    @property
    def target_index(self) -> int:
        """Index of the target; −1 without one."""
        return self.words.index(TARGET) if TARGET in self.words else -1

    @property
    def before(self) -> tuple[str, ...]:
        return self.words[: max(self.target_index, 0)]

    @property
    def after(self) -> tuple[str, ...]:
        return self.words[self.target_index + 1 :]

    def has_pronoun_subject(self) -> bool:
        """Return True for "they were far too expensive" after a clause that names the company."""
        if self.link in ("which", "who"):
            return True
        words = self.words[1:] if self.words[0] in _CONJUNCTIONS | {"and"} else self.words
        return TARGET not in words and any(word in _THEY | {"their", "them"} for word in words[:4])

    def lacks_subject(self) -> bool:
        """Return True for "but useless in the countryside", with the subject of the last clause."""
        return self.link == "but" and not _NAMED_SUBJECTS.intersection(self.words[1:4])

    def describes_customer(self) -> bool:
        """Return True for "and she gets a great signal", after "my wife is with X"."""
        is_personal = (
            self.link in ("and", "where", "because", ",") and self.words[0] not in _ADDRESS
        )
        return is_personal and not _ABOUT_US_OR_WISHES.intersection(self.words)

    def with_target(self) -> "Clause":
        """Return the clause with its first "they" replaced by the target."""
        at = next((i for i, w in enumerate(self.words) if w in _THEY | {"their", "them"}), -1)
        if at < 0:
            return replace(self, words=(*self.words, "with", TARGET))
        pronoun = self.words[at]
        ending = {"'re": ("are",), "'ve": ("have",), "'s": ("is",), "'d": ("would",)}
        verb = next((v for k, v in ending.items() if pronoun.endswith(k)), ())
        words = (*self.words[:at], TARGET, *verb, *self.words[at + 1 :])
        return replace(self, words=words)


def mention_clauses(
    text: str, speaker: Speaker, *, mention: Mention, others: Iterable[Mention]
) -> list[Clause]:
    """Split a text that contains `mention`, and possibly `others`, into clauses."""
    return _split(text, _tokens(text, mention, others), speaker)


def text_clauses(text: str, speaker: Speaker) -> list[Clause]:
    """Split a text without a target into clauses."""
    return _split(text, list(_plain_tokens(text, 0, len(text))), speaker)


def _plain_tokens(text: str, start: int, end: int) -> Iterator[Token]:
    return (Token(found[0], *found.span()) for found in _TOKEN.finditer(text, start, end))


def _tokens(text: str, mention: Mention, others: Iterable[Mention]) -> list[Token]:
    tokens: list[Token] = []
    done = 0
    for each in sorted({mention, *others}, key=lambda m: m.char_start):
        if each.char_start < done:
            continue
        mask = (
            TARGET
            if each is mention or each == mention
            else (SAME if each.competitor == mention.competitor else OTHER)
        )
        tokens += _plain_tokens(text, done, each.char_start)
        tokens.append(Token(mask, each.char_start, each.char_end))
        done = each.char_end
    return [*tokens, *_plain_tokens(text, done, len(text))]


def _split(text: str, tokens: Sequence[Token], speaker: Speaker) -> list[Clause]:
    clauses: list[Clause] = []
    start, link = 0, "."
    lower = [token.masked.lower().replace("’", "'") for token in tokens]
    has_punctuation = not (_STOPS | {","}).isdisjoint(lower[:-1])
    for at in range(len(tokens) + 1):
        boundary = _boundary(lower, start, at, has_punctuation=has_punctuation)
        if boundary is None:
            continue
        if at > start:
            words = tuple(word for word in lower[start:at] if word != ",")
            quote = text[tokens[start].start : tokens[at - 1].end].strip(" ,")
            clauses.append(Clause(words, quote, link, speaker, boundary == "?"))
        start = at + 1 if at < len(lower) and lower[at] in _STOPS | {","} else at
        link = boundary
    return [clause for clause in clauses if clause.words]


def _boundary(words: Sequence[str], start: int, at: int, *, has_punctuation: bool) -> str | None:
    """Return the word or mark that starts a new clause at `at`, or None if none starts there."""
    if at == len(words):
        return "."
    word, following = words[at], words[at + 1 : at + 3]
    if word in _STOPS:
        return word
    if at <= start:
        return None
    if word in _CONJUNCTIONS:
        return word if _starts_clause(words, at) else None
    if words[start] in _OPENERS:  # "compared with X, we are cheaper" is one clause
        return None
    if word == "," and following and following[0] in _SUBJECTS | _CONJUNCTIONS | {"and"}:
        return ","
    if word in ("and", "then") and _is_subject(following):
        return "and"
    if at - start > 2 and not has_punctuation and _starts_without_comma(words, at):
        return ","
    return None


def _starts_clause(words: Sequence[str], at: int) -> bool:
    """Return False for "so patient", "nothing but trouble", "while it was on X"."""
    word, following = words[at], words[at + 1] if at + 1 < len(words) else ""
    if word == "but":
        return words[at - 1] not in ("nothing", "anything", "all")
    if word == "so":
        return following in _SUBJECTS or following in (TARGET, OTHER, "no", "that")
    return word != "while" or following in (TARGET, OTHER)


def _starts_without_comma(words: Sequence[str], at: int) -> bool:
    """Return True for "i asked X | they were too expensive", without a comma at "|"."""
    if words[at - 1] in _TAKES_A_CLAUSE:
        return False
    word, following = words[at], words[at + 1 : at + 2]
    starts_alone = word in _THEY - {"it"} or word in _CONTRACTED
    return starts_alone or (
        word in _SUBJECTS and _VERBS.union(_OPINION).issuperset(following or "-")
    )


def _is_subject(words: Sequence[str]) -> bool:
    if not words:
        return False
    is_name = words[0] in (TARGET, OTHER) and len(words) > 1 and words[1] in _VERBS
    return words[0] in _SUBJECTS or is_name


def is_negated(words: tuple[str, ...], at: int, reach: int = 4) -> bool:
    """Return True if an odd number of the `reach` words before `at` are negations."""
    return sum(word in NEGATIONS for word in words[max(0, at - reach) : at]) % 2 == 1
