"""The words about one mention: its sentence cut into clauses, the names in it masked.

Human transcripts have punctuation and capitals, recognisers have neither; both are cut here.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from callpipeline.domain.audio import Speaker
from callpipeline.domain.mention import Mention
from callpipeline.domain.vocabulary import word_set

TARGET, OTHER, SAME = "<target>", "<other>", "<same>"
"""The name judged, another competitor's name, and the same competitor named again."""

_TOKEN = re.compile(r"<target>|<other>|['’]?[^\W_]+(?:['’-][^\W_]+)*|[.,;:?!]")
_STOPS = frozenset(".;:?!")
_TURNS = word_set(
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
class Clause:
    """Words in lower case, `written` as they were said; `link` is what began it."""

    words: tuple[str, ...]
    written: tuple[str, ...]
    link: str
    speaker: Speaker
    is_question: bool = False

    @property
    def at(self) -> int:
        """Where the judged name stands; −1 where it does not."""
        return self.words.index(TARGET) if TARGET in self.words else -1

    @property
    def before(self) -> tuple[str, ...]:
        return self.words[: max(self.at, 0)]

    @property
    def after(self) -> tuple[str, ...]:
        return self.words[self.at + 1 :]

    @property
    def quote(self) -> str:
        return " ".join(self.written).replace(" '", "'").replace(" ’", "’")

    def speaks_of_they(self) -> bool:
        """Whether it goes on about what was named before: "they were far too expensive"."""
        if self.link in ("which", "who"):
            return True
        words = self.words[1:] if self.words[0] in _TURNS | {"and"} else self.words
        return TARGET not in words and any(word in _THEY | {"their", "them"} for word in words[:4])

    def lacks_a_subject(self) -> bool:
        """ "but useless in the countryside": the subject is the one of the clause before."""
        return self.link == "but" and not _NAMED_SUBJECTS.intersection(self.words[1:4])

    def tells_of_a_customer(self) -> bool:
        """What somebody who is with X gets: "and she gets a great signal"."""
        personal = self.link in ("and", "where", "because", ",") and self.words[0] not in _ADDRESS
        return personal and not _ABOUT_US_OR_WISHES.intersection(self.words)

    def about_target(self) -> "Clause":
        """The same with the first "they" taken for the name judged."""
        place = next((i for i, w in enumerate(self.words) if w in _THEY | {"their", "them"}), -1)
        if place < 0:
            return replace(self, words=(*self.words, "with", TARGET))
        pronoun = self.words[place]
        ending = {"'re": ("are",), "'ve": ("have",), "'s": ("is",), "'d": ("would",)}
        verb = next((v for k, v in ending.items() if pronoun.endswith(k)), ())
        words = (*self.words[:place], TARGET, *verb, *self.words[place + 1 :])
        return replace(self, words=words)


def clauses_of(
    text: str, speaker: Speaker, *, mention: Mention, others: Iterable[Mention]
) -> list[Clause]:
    """`text`, which holds `mention` and perhaps `others`, clause by clause."""
    return _cut(_tokens(text, mention, others), speaker)


def plain_clauses(text: str, speaker: Speaker) -> list[Clause]:
    """The clauses of a text without a name to judge."""
    return _cut([(t, t) for t in _TOKEN.findall(text)], speaker)


def _tokens(text: str, mention: Mention, others: Iterable[Mention]) -> list[tuple[str, str]]:
    """Pairs of (masked, as said)."""
    tokens: list[tuple[str, str]] = []
    done = 0
    for named in sorted({mention, *others}, key=lambda m: m.char_start):
        if named.char_start < done:
            continue
        mask = (
            TARGET
            if named is mention or named == mention
            else (SAME if named.competitor == mention.competitor else OTHER)
        )
        tokens += [(t, t) for t in _TOKEN.findall(text[done : named.char_start])]
        tokens.append((mask, named.said))
        done = named.char_end
    return tokens + [(t, t) for t in _TOKEN.findall(text[done:])]


def _cut(tokens: Sequence[tuple[str, str]], speaker: Speaker) -> list[Clause]:
    clauses: list[Clause] = []
    begin, link = 0, "."
    lower = [masked.lower().replace("’", "'") for masked, _ in tokens]
    is_marked = not (_STOPS | {","}).isdisjoint(lower[:-1])
    for place in range(len(tokens) + 1):
        turn = _turn(lower, begin, place, is_marked=is_marked)
        if turn is None:
            continue
        if place > begin:
            clauses.append(
                _clause(tokens[begin:place], lower[begin:place], link, speaker, turn == "?")
            )
        begin = place + 1 if place < len(lower) and lower[place] in _STOPS | {","} else place
        link = turn
    return [clause for clause in clauses if clause.words]


def _clause(
    tokens: Sequence[tuple[str, str]], lower: Sequence[str], link: str, speaker: Speaker, asks: bool
) -> Clause:
    kept = [place for place, word in enumerate(lower) if word != ","]
    words = tuple(lower[place] for place in kept)
    return Clause(words, tuple(tokens[place][1] for place in kept), link, speaker, asks)


def _turn(words: Sequence[str], begin: int, place: int, *, is_marked: bool) -> str | None:
    """What begins a new clause at `place`, or None where none begins."""
    if place == len(words):
        return "."
    word, following = words[place], words[place + 1 : place + 3]
    if word in _STOPS:
        return word
    if place <= begin:
        return None
    if word in _TURNS:
        return word if _really_turns(words, place) else None
    if words[begin] in _OPENERS:  # "compared with X, we are cheaper" is one thought
        return None
    if word == "," and following and following[0] in _SUBJECTS | _TURNS | {"and"}:
        return ","
    if word in ("and", "then") and _is_subject(following):
        return "and"
    if place - begin > 2 and not is_marked and _begins_unmarked(words, place):
        return ","
    return None


def _really_turns(words: Sequence[str], place: int) -> bool:
    """Not "so patient", "nothing but trouble", "while it was on X"."""
    word, following = words[place], words[place + 1] if place + 1 < len(words) else ""
    if word == "but":
        return words[place - 1] not in ("nothing", "anything", "all")
    if word == "so":
        return following in _SUBJECTS or following in (TARGET, OTHER, "no", "that")
    return word != "while" or following in (TARGET, OTHER)


def _begins_unmarked(words: Sequence[str], place: int) -> bool:
    """Where a recogniser wrote no comma: "i asked X | they were too expensive"."""
    if words[place - 1] in _TAKES_A_CLAUSE:
        return False
    word, following = words[place], words[place + 1 : place + 2]
    alone = word in _THEY - {"it"} or word in _CONTRACTED
    return alone or (word in _SUBJECTS and _VERBS.union(_OPINION).issuperset(following or "-"))


def _is_subject(words: Sequence[str]) -> bool:
    if not words:
        return False
    named = words[0] in (TARGET, OTHER) and len(words) > 1 and words[1] in _VERBS
    return words[0] in _SUBJECTS or named
