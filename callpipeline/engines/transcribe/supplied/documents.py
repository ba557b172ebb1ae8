"""JSON transcripts, found by their shape: whatever has a text and a time is a line or a word.

`tools` first arranges the documents of tools whose words, sentences and speakers are in different
places.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from callpipeline.domain.audio import Channel
from callpipeline.domain.transcripts import Word
from callpipeline.engines.transcribe.alignment import Passage, text_of, timed_words, with_words
from callpipeline.engines.transcribe.supplied import fields as f
from callpipeline.engines.transcribe.supplied.interim import without_interim
from callpipeline.engines.transcribe.supplied.lines import (
    ACCEPTED,
    Repairs,
    SuppliedLine,
    require_time,
)
from callpipeline.engines.transcribe.supplied.records import (
    LISTS,
    Record,
    are_words,
    choose_transcript,
    group_records,
    is_below,
    is_empty_transcript,
)
from callpipeline.engines.transcribe.supplied.speakers import IsKnown, Piece, split_by_speaker
from callpipeline.engines.transcribe.supplied.timing import (
    add_words,
    complete_words,
    epoch_of,
    join_words,
    rebase,
    scale_milliseconds,
    set_times,
    split_by_word,
)
from callpipeline.engines.transcribe.supplied.tools import arrange, channel_count, people
from callpipeline.errors import TranscriptIgnored, TranscriptInvalid

MIN_WORDS = 3
TEXT_HOLDERS = {"result", "results", "transcripts", "channels", "output", "response", "data"} | {
    "combinedrecognizedphrases",
    "combinedphrases",
}
_BETWEEN = re.compile(r"[\s,\x1e]*")


def parse_json(text: str) -> Any:
    """Return the document, a list if the file has several. Raises TranscriptInvalid."""
    decoder, documents, at = json.JSONDecoder(), list[Any](), 0
    try:
        while at < len(text):
            document, at = decoder.raw_decode(text, at)
            documents.append(document)
            at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr] - matches nothing too
    except json.JSONDecodeError as error:
        position = f"line {error.lineno}, column {error.colno}"
        raise TranscriptInvalid(
            f"the transcript is not JSON: {error.msg} at {position}. {ACCEPTED}"
        ) from error
    except (RecursionError, ValueError) as error:
        raise TranscriptInvalid("the transcript is not readable JSON") from error
    return documents[0] if len(documents) == 1 else documents


def lines_of_document(
    document: Any, repairs: Repairs, is_known: IsKnown
) -> list[SuppliedLine] | None:
    """Return the lines of a transcript, None if the document has no shape of a transcript.

    Raises TranscriptInvalid with the field, if the document is a transcript but can't be read, and
    TranscriptIgnored if it has no more than a text.
    """
    document = without_interim(document)
    arranged = arrange(document)
    groups = group_records(arranged)
    chosen = choose_transcript(groups)
    if chosen is None:
        _refuse_timeless(groups)
        if is_empty_transcript(arranged):
            return []
        _report_text(groups)
        return None
    records = groups[chosen]
    set_times(records, repairs)
    if are_words(records):
        records = list(join_words(records))
    else:
        loose = [group for group in groups if not is_below(group, chosen)]
        add_words(records, [r for group in loose for r in groups[group]], repairs)
    records = [piece for record in records for piece in split_by_word(record)]
    rebase(records, epoch_of(document))
    scale_milliseconds(records)
    numbering = _Channels(records, channel_count(document))
    lines = [_line(record, numbering, repairs) for record in records]
    inherited = f.folded(arranged) if isinstance(arranged, Mapping) else {}
    named = people(document)
    lines = [_inherit(line, inherited, named) for line in lines]
    return _split_labels(lines, is_known)


def _refuse_timeless(groups: Mapping[str, list[Record]]) -> None:
    """Raise TranscriptInvalid for a list of lines without times."""
    for group, records in groups.items():
        said = next((record for record in records if record.text), None)
        if said and group.rstrip("[]").rpartition(".")[2].lower() in LISTS:
            raise TranscriptInvalid(
                f"{said.place} of the transcript: it has a text but no time. {ACCEPTED}"
            )


def _report_text(groups: Mapping[str, list[Record]]) -> None:
    """Raise TranscriptIgnored for a text as a whole: it has no times to place it.

    Notes and the like further below are not the words of the call.
    """
    for group, records in groups.items():
        name = group.rstrip("[]").rpartition(".")[2].lower()
        said = next((each for each in records if len(each.text.split()) >= MIN_WORDS), None)
        if said and (name == "" or name in TEXT_HOLDERS):
            raise TranscriptIgnored(f"it has a text without times. {ACCEPTED}")


SIDES = (Channel.LEFT, Channel.RIGHT, Channel.MIXED)
TWO, MAX_CHANNELS = 2, 99


class _Channels:
    """The channels of a document: counted from 0 or 1, or a single one, which says nothing."""

    def __init__(self, records: Sequence[Record], count: int) -> None:
        found = {f.channel_label(record.fields) for record in records}
        numbers = {int(digits) for label, _ in found if label and (digits := _digits(label))}
        one_based = any(is_one_based for _, is_one_based in found)
        self._first = 0 if 0 in numbers or not (one_based or max(numbers, default=0) > 1) else 1
        self._is_single = numbers == {self._first} and count < 2
        self._are_many = len(numbers) > TWO or max(numbers, default=0) - self._first >= TWO

    def find(self, label: str | None) -> Channel | None:
        """Return the channel of the recording that a tool's channel is, None for other labels."""
        if label is None:
            return None
        folded = label.strip().casefold()
        named = {"l": Channel.LEFT, "r": Channel.RIGHT, "mono": Channel.MIXED}
        named |= {channel.value: channel for channel in SIDES}
        if folded in named:
            return named[folded]
        if not (digits := _digits(folded)) or self._is_single:
            return None
        number = int(digits) - self._first
        if self._are_many:
            return Channel(str(number + 1)) if 0 <= number < MAX_CHANNELS else None
        return (Channel.LEFT, Channel.RIGHT)[number] if number in (0, 1) else None


def _digits(label: str) -> str:
    return "".join(c for c in label if c in "0123456789")[-4:]


def _line(record: Record, channels: _Channels, repairs: Repairs) -> SuppliedLine:
    start_s, end_s = record.start_s or 0.0, record.end_s or 0.0
    require_time(start_s, f"{record.place} of the transcript")
    require_time(end_s, f"{record.place} of the transcript")
    if start_s < 0 or end_s < 0:
        repairs.note("a negative time")
    start_s = max(start_s, 0.0)
    if end_s < start_s:
        repairs.note("a line that ends before it starts")
        end_s = start_s
    start_s, end_s = round(start_s, 4), round(end_s, 4)
    label, channel = record.who
    text, words = _text_and_words(record, start_s, end_s)
    return SuppliedLine(start_s, end_s, text, label, channels.find(channel), channel, words)


def _text_and_words(record: Record, start_s: float, end_s: float) -> tuple[str, tuple[Word, ...]]:
    """Return the text with its words; where these differ in number, times are laid under it."""
    heard = timed_words("", complete_words(record.words, start_s, end_s))
    if not heard or len(heard) == len(record.text.split()):
        words = timed_words(record.text, complete_words(record.words, start_s, end_s))
        return text_of(record.text, words), words
    passage = with_words(Passage(start_s, end_s, record.text), heard)
    return passage.text, passage.words


def _inherit(line: SuppliedLine, document: f.Document, named: Mapping[str, str]) -> SuppliedLine:
    """Give a line what the document states once: its speaker or channel, and roles by id."""
    label, channel = line.label, line.channel
    if label is None and isinstance(document.get("speaker"), str):
        label = document["speaker"]
    if channel is None and line.channel_label is None:
        stated = str(document.get("channel")).casefold()
        channel = next((each for each in SIDES if each.value == stated), None)
    return replace(line, label=named.get(label or "", label), channel=channel)


def _split_labels(lines: Sequence[SuppliedLine], is_known: IsKnown) -> list[SuppliedLine]:
    """Take the speakers out of the text of lines for which the tool states none."""
    pieces = [[Piece(line.label, line.text)] for line in lines]
    found: list[SuppliedLine] = []
    for line, said in zip(lines, split_by_speaker(pieces, is_known), strict=True):
        for piece in said:
            if piece.text == line.text:
                found.append(replace(line, label=line.label or piece.label))
                continue
            cut = len(piece.text.split())
            words = line.words[-cut:] if piece.label and len(said) == 1 else ()
            if " ".join(word.text for word in words) != piece.text:
                words = ()
            found.append(replace(line, text=piece.text, label=piece.label, words=words))
    return found
