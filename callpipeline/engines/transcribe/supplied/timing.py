"""Times of the lines and words of JSON transcripts: missing ones, units, and their origin."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from statistics import median
from typing import Any, cast

from callpipeline.domain.transcripts import Word
from callpipeline.engines.transcribe.alignment import (
    PAUSE_S,
    Passage,
    RecognizedWord,
    assign_words,
    spread_words,
)
from callpipeline.engines.transcribe.supplied import fields as f
from callpipeline.engines.transcribe.supplied.lines import Repairs
from callpipeline.engines.transcribe.supplied.records import Record, are_words
from callpipeline.errors import TranscriptInvalid

GUESSED_WORD_S = 0.4
"""Assumed length of a word where a line has no end."""
MAX_WORDS = 60
_SENTENCE_ENDS = (".", "?", "!")
_CALENDAR_MS = 1e11
"""Larger numbers are milliseconds since 1970."""


def set_times(records: Sequence[Record], repairs: Repairs) -> None:
    """Parse the times; those that are missing follow from the neighbours."""
    last_s, missing = 0.0, 0
    for record in records:
        record.start_s = f.start_of(record.fields, record.place)
        record.end_s = f.end_of(record.fields, record.start_s, record.place)
    if all(record.start_s is None for record in records):
        ends = [record.end_s for record in records]
        for record, previous in zip(records, [0.0, *ends], strict=False):
            record.start_s = previous
    for record in records:
        if record.start_s is None:
            record.start_s, missing = last_s, missing + bool(record.text)
        last_s = max(record.end_s or record.start_s, record.start_s)
    for record, following in pairwise([*records, None]):
        if record is None or record.end_s is not None:
            continue
        missing += bool(record.text)
        start_s = record.start_s or 0.0
        guess_s = start_s + GUESSED_WORD_S * max(1, len(record.text.split()))
        next_s = following.start_s if following and following.start_s is not None else guess_s
        record.end_s = min(guess_s, next_s) if next_s > start_s else guess_s
    repairs.note("a missing time, taken from its neighbours", missing)


def join_words(words: Sequence[Record]) -> Iterator[Record]:
    """Join words of one speaker to lines that end at sentences and pauses."""
    for _, said in groupby(words, key=lambda word: word.who):
        line: list[Record] = []
        for word in said:
            pause_s = (word.start_s or 0.0) - (line[-1].end_s or 0.0) if line else 0.0
            if line and (
                pause_s > PAUSE_S
                or line[-1].text.endswith(_SENTENCE_ENDS)
                or len(line) >= MAX_WORDS
            ):
                yield _joined(line)
                line = []
            line.append(word)
        if line:
            yield _joined(line)


def _joined(words: list[Record]) -> Record:
    first, last = words[0], words[-1]
    text = " ".join(word.text for word in words if word.text)
    return Record(first.place, first.group, first.fields, text, first.start_s, last.end_s, words)


def add_words(records: Sequence[Record], loose: Sequence[Record], repairs: Repairs) -> None:
    """Give each line its own words, else those listed elsewhere in the document."""
    for record in records:
        record.words = list(_own_words(record))
    apart = [each for each in loose if f.has_time(each.fields) and each.text]
    if any(record.words for record in records) or not apart or not are_words(apart):
        return
    if len({(record.start_s, record.who) for record in records}) < len(records):
        return
    for word in apart:
        word.start_s = f.start_of(word.fields, word.place)
        word.end_s = f.end_of(word.fields, word.start_s, word.place)
    words = [
        Word(each.text, each.start_s, max(each.start_s, each.end_s), f.confidence_of(each.fields))
        for each in apart
        if each.start_s is not None and each.end_s is not None
    ]
    passages = [Passage(r.start_s or 0.0, r.end_s or 0.0, r.text) for r in records]
    by_time = sorted(records, key=lambda record: (record.start_s or 0.0, record.end_s or 0.0))
    for record, passage in zip(by_time, assign_words(passages, words), strict=True):
        record.words = [
            Record("", "", {"confidence": w.confidence}, w.text, w.start_s, w.end_s)
            for w in passage.words
        ]


def split_by_word(record: Record) -> Iterator[Record]:
    """Split a line whose words have different speakers."""
    labels = {label for word in record.words if (label := f.speaker_label(word.fields))}
    if any(record.who) or not labels:
        yield record
        return
    for label, said in groupby(_with_labels(record.words), key=lambda pair: pair[0]):
        line = _joined([word for _, word in said])
        if len(labels) == 1:
            line = replace(record)
        yield replace(line, place=record.place, fields=record.fields | {"speaker": label})


def _with_labels(words: Sequence[Record]) -> Iterator[tuple[str | None, Record]]:
    """Yield each word with its speaker; a word without one has that of the word before."""
    first = next((label for word in words if (label := f.speaker_label(word.fields))), None)
    for word in words:
        first = f.speaker_label(word.fields) or first
        yield first, word


def _own_words(record: Record) -> Iterator[Record]:
    for name in f.WORDS:
        listed = record.fields.get(name)
        if not isinstance(listed, list):
            continue
        for index, each in enumerate(cast("list[Any]", listed)):
            if not isinstance(each, Mapping):
                return
            fields = f.folded(cast("f.Document", each))
            text = f.text_of_fields(fields)
            place = f"{record.place}.{name}[{index}]"
            if text is not None and text.strip():
                start_s = f.start_of(fields, place)
                end_s = f.end_of(fields, start_s, place)
                yield Record(place, "", fields, text.strip(), start_s, end_s)
        return


def epoch_of(document: Any) -> float | None:
    """Return the calendar time at which the call starts, if the document states it."""
    if not isinstance(document, Mapping):
        return None
    fields = f.folded(cast("f.Document", document))
    for name in ("starttime", "conversationstart", "starttimems", "recordingstart", "start"):
        value = fields.get(name)
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            try:
                found = f.seconds(value, name)
            except TranscriptInvalid:
                continue
            for unit_s in (1.0, 0.001):
                if (
                    found is not None
                    and f.is_epoch(found * unit_s)
                    and found * unit_s < _CALENDAR_MS
                ):
                    return found * unit_s
    return None


def rebase(records: Sequence[Record], epoch_s: float | None) -> None:
    """Count times of the calendar from the start of the call."""
    every = [each for record in records for each in (record, *record.words)]
    if not any(each.start_s is not None and f.is_epoch(each.start_s) for each in every):
        return
    earliest = min(each.start_s for each in every if each.start_s is not None)
    is_ms = earliest > _CALENDAR_MS
    origin = epoch_s if epoch_s is not None and not is_ms else earliest
    for each in every:
        for name in ("start_s", "end_s"):
            at_s = getattr(each, name)
            if at_s is not None and f.is_epoch(at_s):
                setattr(each, name, (at_s - origin) * (0.001 if is_ms else 1.0))


def scale_milliseconds(records: Sequence[Record]) -> None:
    """Divide whole numbers that can only be milliseconds by a thousand."""
    every = [each for record in records for each in (record, *record.words)]
    times = [t for each in every for t in (each.start_s, each.end_s) if t is not None]
    if not times or any(t != int(t) for t in times) or max(times) < 100:
        return
    spans = [
        ((each.end_s or 0) - (each.start_s or 0)) / max(1, len(each.text.split()))
        for each in records
        if each.text and each.end_s is not None and each.start_s is not None
    ]
    if not spans or median(spans) < 30:  # seconds for each word
        return
    for each in every:
        each.start_s = None if each.start_s is None else each.start_s / 1000
        each.end_s = None if each.end_s is None else each.end_s / 1000


def complete_words(words: Sequence[Record], start_s: float, end_s: float) -> list[RecognizedWord]:
    """Return the words; those without times share the time between their neighbours.

    Without any time, they stay without.
    """
    if all(word.start_s is None for word in words):
        return [RecognizedWord(word.text, None, None) for word in words]
    completed: list[RecognizedWord] = []
    is_timed = [word.start_s is not None for word in words]
    for timed, run in groupby(range(len(words)), key=lambda index: is_timed[index]):
        own = list(run)
        if timed:
            for index in own:
                word = words[index]
                begin_s = round(max(word.start_s or 0.0, 0.0), 4)
                until_s = round(max(begin_s, word.end_s or begin_s), 4)
                confidence = f.confidence_of(word.fields)
                completed.append(RecognizedWord(word.text, begin_s, until_s, confidence))
            continue
        before_s = completed[-1].end_s if completed else start_s
        after_s = words[own[-1] + 1].start_s if own[-1] + 1 < len(words) else end_s
        begin_s = start_s if before_s is None else before_s
        texts = [" ".join(words[index].text.split()) or "-" for index in own]
        spread = spread_words(texts, begin_s, max(begin_s, after_s or 0.0), None)
        completed += [RecognizedWord(word.text, word.start_s, word.end_s) for word in spread]
    return completed
