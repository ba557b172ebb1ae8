"""Speakers of supplied transcripts: labels written into the text, and the roles of labels."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from callpipeline.domain.audio import Speaker
from callpipeline.engines.transcribe.supplied.lines import listed

_AGENT_WORDS = frozenset(
    listed(
        """agent advisor adviser operator representative rep csr associate consultant employee staff
    internal support assistant specialist supervisor salesperson seller teammate ivr bot"""
    )
)
_CUSTOMER_WORDS = frozenset(
    listed("customer cust caller client external consumer subscriber user patron buyer prospect")
)
_COMPANY_WORDS = frozenset(listed("service services support care success relations experience"))
"""After "customer", they name the company's side."""
_ROLE_MODIFIERS = frozenset(
    listed(
        """call center centre contact sales service services care phone technical tech virtual the
    support desk human live team new second"""
    )
)
_ANONYMOUS = re.compile(
    r"(?:speaker|spk|spkr|voice|channel|ch|chan|participant|party|person|talker|s|unknown|guest)"
    r"[ _#-]*(?:[0-9]{1,3}|[a-h])|(?:unknown|unidentified)(?: speaker)?|speaker",
    re.IGNORECASE,
)
_SOUNDS = frozenset(
    listed(
        """music applause laughter laughs laughing inaudible unintelligible crosstalk silence noise
    background cough coughs sighs beep ringing static pause hold redacted pii blank audio indistinct
    foreign speech chatter typing click foreign bleep overtalk"""
    )
)
_SAID = frozenset(
    listed(
        """note notes question answer example total yes no ok okay look listen well and but so
    because number price reminder warning problem solution important first second third option
    remember also then now basically honestly question answer ps hi hello sorry thanks date time
    subject reference address name email phone update summary"""
    )
)
"""Words that people say before a colon, so that they are no names."""
_PARTICLES = frozenset(listed("de da di del der den van von la le bin al el of and & | - /"))
_COLON = re.compile(r"([^:!?;\"“”<>]{1,70}?) ?[:：](?: (.*)|$)")
_TIGHT_COLON = re.compile(r"([a-z]+[ _-]?\d{0,3}):(\S.*)", re.IGNORECASE)
_BRACKET = re.compile(r"[\[(]([^\[\]()]{1,60})[\])] ?([:：-] )?:? ?(.*)")
_MARK = re.compile(r"(>{2,3}) ?|[-–—•] +|: +")
_STAMPED = re.compile(
    r"([^:!?;\"“”<>]{1,60}?) ?([\[(]?)\d{1,2}(?::\d\d){1,2}(?:[.,]\d{1,3})?([\])]?)"
    r" ?([:：-]?)(?: (.*)|$)"
)
"""A speaker with the time at which the turn begins: "Speaker 1 (00:12): Hello"."""
_TURN = re.compile(r" (?=>{2,3} ?[A-Z])")
_ASIDE = re.compile(r" ?[\[(][^\[\]()]*[\])]")
_SHORT_LABEL = re.compile(r"0*([0-9]{1,3}|[a-h])")
_MOST = 0.8
"""Share of the cues that begin with a name if a tool wrote the names."""

IsKnown = Callable[[str], bool]
"""Says whether the source names a label as a speaker."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The text of one speaker in a cue; `label` is None if nothing names the speaker."""

    label: str | None
    text: str


@dataclass(frozen=True, slots=True)
class SpeakerMap:
    """Roles by label, as a source states them; `*` at either end of a label stands for any text."""

    roles: Mapping[str, Speaker] = field(default_factory=dict[str, Speaker])

    def find(self, label: str | None) -> Speaker | None:
        """Return the role that the source states for a label; "speaker_0" is also "0"."""
        if label is None or not self.roles:
            return None
        wanted = _fold(label)
        exact = {_fold(name): role for name, role in self.roles.items()}
        if wanted in exact:
            return exact[wanted]
        if numbered := _SHORT_LABEL.fullmatch(wanted):
            named = re.compile(rf"(?:speaker|spk|spkr|voice)[ _#-]*0*{numbered[1]}")
            if role := next((exact[name] for name in exact if named.fullmatch(name)), None):
                return role
        patterns = sorted((name for name in exact if "*" in name), key=len, reverse=True)
        return next((exact[name] for name in patterns if _matches(name, wanted)), None)

    def names(self, label: str) -> bool:
        """Return whether the source names this label, other than by `*` for all."""
        wanted = _fold(label)
        return any(_matches(_fold(name), wanted) for name in self.roles if name.strip("* "))


def _matches(pattern: str, label: str) -> bool:
    """Compare a label with a pattern that may begin or end with `*`."""
    text = pattern.strip("*")
    match pattern.startswith("*"), pattern.endswith("*") and len(pattern) > 1:
        case True, True:
            return text in label
        case True, False:
            return label.endswith(text)
        case False, True:
            return label.startswith(text)
        case _:
            return label == pattern


def _fold(label: str) -> str:
    return " ".join(label.split()).casefold()


def role_of(label: str | None) -> Speaker | None:
    """Return the role that a label states ("Agent 7", "Sales rep"), None for other names."""
    words = re.findall(r"[a-z]+", _ASIDE.sub("", label or "").lower())
    if words[:1] and words[0] in {"customer", "client"} and _COMPANY_WORDS & set(words[1:]):
        return Speaker.AGENT
    roles = [role for role in map(_role_of_word, words) if role]
    if not roles:
        return None
    return _role_of_word(words[0]) or roles[-1]


def is_anonymous(label: str) -> bool:
    """Return whether a label is one that diarizers give, such as SPEAKER_01."""
    return _ANONYMOUS.fullmatch(label.strip()) is not None


def states_speaker(label: str) -> bool:
    """Return whether a label by itself is a speaker: a role, or a numbered speaker."""
    return is_anonymous(label) or _is_role(label)


def split_by_speaker(cues: Sequence[Sequence[Piece]], is_known: IsKnown) -> list[list[Piece]]:
    """Split each cue where a label in the text names another speaker, and remove the labels.

    The lines of a cue are given as pieces. Labels that state a role, number a speaker or are known
    to the source are speakers, and so are names that recur or begin most cues.
    """
    cues = [[part for line in cue for part in _turns(line)] for cue in cues]
    labels = _Labels(cues, is_known)
    carried: str | None = None
    split: list[list[Piece]] = []
    for cue in cues:
        own: list[Piece] = []
        for line in cue:
            mark, found = labels.split(line)
            starts_turn = bool(mark) or found.label is not None
            if mark.startswith(">"):
                carried = found.label
            elif found.label is not None:
                carried = None
            elif not own or not starts_turn:
                found = replace(found, label=own[-1].label if own else carried)
            if own and not starts_turn and own[-1].label == found.label:
                text = f"{own[-1].text} {found.text}".strip()
                own[-1] = replace(own[-1], text=text)
            else:
                own.append(found)
        split.append([piece for piece in _merged(own) if piece.text])
    return split


def _turns(line: Piece) -> Iterator[Piece]:
    """Split a line of live captions at the marks of another speaker."""
    if line.label is not None or ">>" not in line.text:
        yield line
        return
    for part in _TURN.split(line.text):
        if part.strip():
            yield Piece(None, part.strip())


def _merged(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """Join neighbours of one named speaker."""
    last: Piece | None = None
    for piece in pieces:
        if last and last.label is not None and last.label == piece.label:
            last = replace(last, text=f"{last.text} {piece.text}".strip())
            continue
        if last:
            yield last
        last = piece
    if last:
        yield last


class _Labels:
    """The labels of a transcript, decided from all its cues."""

    def __init__(self, cues: Sequence[Sequence[Piece]], is_known: IsKnown) -> None:
        self._is_known = is_known
        lines = [[line for line in cue if line.label is None and line.text] for cue in cues]
        starts = [[each for line in cue if (each := _candidate(line.text))] for cue in lines]
        self._counts = Counter(_fold(each.label) for cue in starts for each in cue)
        every = [each.is_stamped for cue in starts for each in cue]
        self._are_stamped = sum(every) > 1 and sum(every) * 2 > len(every)
        spoken = sum(bool(cue) for cue in lines)
        self._share = sum(bool(cue) for cue in starts) / spoken if spoken else 0.0
        self._cues = spoken
        self._has_names = any(
            count > 1 and self._is_name(each)
            for cue in starts
            for each in cue
            if (count := self._counts[_fold(each.label)])
        )

    def split(self, line: Piece) -> tuple[str, Piece]:
        """Return the mark of a new turn (">>", "-" or none), and the line without its label."""
        if line.label is not None:
            return "", line
        mark = _MARK.match(line.text)
        found = _candidate(line.text)
        if found and self._is_speaker(found):
            return mark[0] if mark else "", Piece(found.label, found.rest)
        return (mark[0], Piece(None, line.text[mark.end() :])) if mark else ("", line)

    def _is_speaker(self, found: "_Candidate") -> bool:
        label = found.label
        if self._is_known(label) or states_speaker(label):
            return True
        if found.is_tight or (found.is_stamped and not self._may_be_stamped()):
            return False
        count = self._counts[_fold(label)]
        if found.is_bracket and not found.has_colon:
            return count > 1 and self._is_name(found)
        if self._share >= _MOST and self._cues > 1:
            return self._is_name(found) or (count > 1 and len(label.split()) <= 3)
        if not self._is_name(found) or _fold(label) in _SAID:
            return False
        return count > 1 or (self._has_names and self._share >= 0.5)

    def _may_be_stamped(self) -> bool:
        """Return whether a tool wrote times behind the speakers; "Tuesday 9:15" is speech."""
        return self._share >= _MOST and self._are_stamped

    def _is_name(self, found: "_Candidate") -> bool:
        words = _ASIDE.sub("", found.label).split() or found.label.split()
        if len(words) > 5 or found.label.endswith((",", ".")):
            return False
        if {word.casefold().strip("[]()") for word in found.label.split()} & _SOUNDS:
            return False
        is_common = _fold(found.label) in _SAID and self._share < _MOST
        return not is_common and all(map(_is_name_part, words))


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A possible label at the start of a line.

    `is_tight` if no space follows the colon; `is_stamped` if a time follows the label.
    """

    label: str
    rest: str
    is_bracket: bool = False
    has_colon: bool = True
    is_tight: bool = False
    is_stamped: bool = False


def _candidate(text: str) -> _Candidate | None:
    mark = _MARK.match(text)
    line = text[mark.end() :] if mark else text
    if (match := _BRACKET.fullmatch(line)) and any(map(str.isalpha, match[1])):
        has_colon = bool(match[2]) or line[match.end(1) + 1 :].lstrip().startswith(":")
        return _Candidate(match[1].strip(), match[3].strip(), is_bracket=True, has_colon=has_colon)
    # "Ann Abbot 0:12" is a line of its own; "Monday 0:12 he said" is speech.
    if (
        (match := _STAMPED.fullmatch(line))
        and all(map(_is_name_part, match[1].split()))
        and (match[2] or match[4] or not match[5])
    ):
        return _Candidate(match[1].strip(), (match[5] or "").strip(), is_stamped=True)
    if (match := _COLON.fullmatch(line)) and match[1].strip():
        return _Candidate(match[1].strip(), (match[2] or "").strip())
    if match := _TIGHT_COLON.fullmatch(line):
        return _Candidate(match[1].strip(), match[2].strip(), is_tight=True)
    return None


def _is_role(label: str) -> bool:
    """Return whether a label in the text is a role, perhaps with a number or a name after it."""
    words = _ASIDE.sub("", label).split()
    folded = [re.sub(r"[^a-z]", "", word.lower()) for word in words]
    if not words or len(words) > 4 or role_of(label) is None:
        return False
    if all(not word or _role_of_word(word) or word in _ROLE_MODIFIERS for word in folded):
        return True
    return _role_of_word(folded[0]) is not None and all(map(_is_name_part, words[1:]))


def _role_of_word(word: str) -> Speaker | None:
    if word in _AGENT_WORDS:
        return Speaker.AGENT
    return Speaker.CUSTOMER if word in _CUSTOMER_WORDS else None


def _is_name_part(word: str) -> bool:
    """Return whether a word may be part of a name, a number or an address of a participant."""
    first = word.lstrip("([\"'+#@")[:1]
    return first.isupper() or first.isdigit() or "@" in word or word.lower() in _PARTICLES
