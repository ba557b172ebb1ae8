"""Objects of a JSON document that are lines or words, and the list that is the transcript."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from callpipeline.engines.transcribe.supplied import fields as f
from callpipeline.engines.transcribe.supplied.lines import listed
from callpipeline.engines.transcribe.supplied.speakers import states_speaker

MAX_DEPTH = 12
MAX_GROUPS = 200
"""Lists are compared with each other; no tool writes that many."""
NOT_SPOKEN = ("spacing", "audio_event", "moment")
LISTS = listed(
    """utterances segments lines sentences phrases transcript transcription turns chunks
    speechsegments captions cues entries"""
)
"""Names of lists of lines, where a document has several."""
_CHANNEL = re.compile(r"(?:ch|chan|channel|track)[ _-]?\d{1,2}", re.IGNORECASE)
WORD_LISTS = ("words", "word_segments", "result", "items")
MOST = 0.6
"""Share of the text that a list must have to be the transcript."""


@dataclass(slots=True)
class Record:
    """An object of the document with a text: a line, or a word.

    `place` is its path, such as `segments[3]`, and `group` the same without the indexes.
    """

    place: str
    group: str
    fields: dict[str, Any]
    text: str
    start_s: float | None = None
    end_s: float | None = None
    words: list["Record"] = field(default_factory=list["Record"])

    @property
    def who(self) -> tuple[str | None, str | None]:
        return f.speaker_label(self.fields), f.channel_label(self.fields)[0]

    @property
    def states_who(self) -> bool:
        """Return whether someone is stated; a `name` alone may be that of a chapter."""
        others = {name: value for name, value in self.fields.items() if name != "name"}
        return f.speaker_label(others) is not None or self.who[1] is not None


def group_records(document: Any) -> dict[str, list[Record]]:
    """Return all objects with a text and those with a time, by path without indexes."""
    groups: dict[str, list[Record]] = {}
    for place, group, fields in _objects(document, "", "", 0):
        text = f.text_of_fields(fields)
        if text is None or fields.get("type") in NOT_SPOKEN:
            continue
        if group in groups or len(groups) < MAX_GROUPS:
            groups.setdefault(group, []).append(Record(place, group, fields, text.strip()))
    return groups


_Who = tuple[str | None, str | None]
_NOBODY: _Who = (None, None)


def _objects(
    value: Any, place: str, group: str, depth: int, said_by: _Who = _NOBODY
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield all objects; those inside a turn without a timed text have its speaker and channel."""
    if depth > MAX_DEPTH:
        return
    if isinstance(value, Mapping):
        document = cast("f.Document", value)
        fields = f.folded(document)
        own = f.speaker_label(fields), f.channel_label(fields)[0]
        if own == _NOBODY and said_by[0] is not None:
            fields["speaker"] = said_by[0]
        if own[1] is None and said_by[1] is not None:
            fields["channel"] = said_by[1]
        said_by = _inside(fields, own, said_by, is_listed=place.endswith("]"))
        yield place, group, fields
        sides = _sides(document, group)
        for name, inner in document.items():
            is_choice = name.lower() in {"alternatives", "nbest"}
            chosen = f.best_alternative(fields) if is_choice else inner
            if isinstance(chosen, list | Mapping):
                is_entry = name in sides or (name.isdigit() and len(document) > 1)
                below = f"{place}.{name}" if place else name
                who = sides.get(name, said_by)
                inner_group = f"{group}.[]" if is_entry else f"{group}.{name}"
                yield from _objects(chosen, below, inner_group, depth + 1, who)
    elif isinstance(value, list):
        for index, inner in enumerate(cast("list[Any]", value)):
            yield from _objects(inner, f"{place}[{index}]", f"{group}[]", depth + 1, said_by)


def _inside(fields: f.Document, own: _Who, said_by: _Who, *, is_listed: bool) -> _Who:
    """Return who says what is inside an object: a turn, or a part of one."""
    if f.text_of_fields(fields) is not None and f.has_time(fields):
        return _NOBODY
    return own if is_listed and own != _NOBODY else said_by


def _sides(document: f.Document, group: str) -> dict[str, _Who]:
    """Return who says what is below the fields of a document that has a list for each side.

    Numbers are only channels below "channels": elsewhere they count the lines.
    """
    are_channels = group.rstrip("[]").rpartition(".")[2].lower() in ("channels", "tracks")
    found: dict[str, _Who] = {}
    for name, inner in document.items():
        inside = list(cast("f.Document", inner).values()) if isinstance(inner, Mapping) else [inner]
        has_list = any(
            isinstance(each, list) and each and isinstance(each[0], Mapping)
            for each in cast("list[Any]", inside)
        )
        if not has_list:
            continue
        is_number = are_channels and name.isdigit()
        if is_number or name.lower() in ("left", "right") or _CHANNEL.fullmatch(name):
            found[name] = (None, name)
        elif states_speaker(name):
            found[name] = (name, None)
    return found if len(found) > 1 else {}


def choose_transcript(groups: Mapping[str, list[Record]]) -> str | None:
    """Return the group that is the transcript: all the text, with speakers, lines before words."""
    timed = [
        group
        for group, records in groups.items()
        if sum(f.has_time(record.fields) for record in records) * 2 >= len(records)
    ]
    timed = [group for group in timed if group] or timed
    letters = {g: sum(len(record.text) for record in groups[g]) for g in timed}
    most = max(letters.values(), default=0)

    def rank(group: str) -> tuple[bool, bool, bool, bool, int]:
        records, name = groups[group], group.rstrip("[]").rpartition(".")[2].lower()
        said_by = any(record.states_who for record in records)
        is_all = letters[group] >= MOST * most
        return is_all, said_by, not are_words(records), name in LISTS, letters[group]

    return max((g for g in timed if not _is_part(g, timed, groups)), key=rank, default=None)


def _is_part(group: str, timed: Sequence[str], groups: Mapping[str, list[Record]]) -> bool:
    """Return whether a group is inside lines, or has lines inside that say the same in parts."""
    own = groups[group]
    said = sum(len(record.text) for record in own)
    for other in timed:
        inner = groups[other]
        if other == group:
            continue
        if is_below(group, other) and (are_words(own) or len(own) <= len(inner)):
            return True
        same = sum(len(record.text) for record in inner) >= MOST * said
        if is_below(other, group) and same and len(inner) > len(own) and not are_words(inner):
            return True
    return False


def is_below(group: str, other: str) -> bool:
    return group.startswith((f"{other}.", f"{other}["))


def is_empty_transcript(document: Any) -> bool:
    """Return whether a document has an empty list of lines: silence."""
    lists = {"segments", "utterances", "sentences", "phrases", "transcript", "chunks", "words"}
    if not isinstance(document, Mapping):
        return False
    fields = f.folded(cast("f.Document", document))
    return any(fields.get(name) == [] for name in (*lists, "transcription", "recognizedphrases"))


def are_words(records: Sequence[Record]) -> bool:
    """Return whether the objects are single words."""
    spoken = [record.text for record in records if record.text]
    if records and records[0].group.rstrip("[]").rpartition(".")[2].lower() in WORD_LISTS:
        return True
    several = sum(" " in text for text in spoken)
    is_word = sum(
        bool({"word", "punctuatedword"} & set(record.fields)) and not record.fields.get("words")
        for record in records
    )
    return bool(spoken) and (
        is_word * 2 > len(records) or (len(spoken) > 3 and several * 10 < len(spoken))
    )
