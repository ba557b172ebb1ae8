"""One call as a file that people take away: a document, subtitles, or a table of what was said."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum

from callpipeline.domain.cues import as_srt, as_vtt
from callpipeline.domain.transcript import Segment, interleave
from callpipeline.pipeline.documents import Kept, call_document
from callpipeline.storage.export import guarded
from callpipeline.storage.ledger import CallRecord

COLUMNS = ("start_s", "end_s", "channel", "speaker", "text")


class CallFormat(StrEnum):
    """How one call is exported."""

    SRT = "srt"
    VTT = "vtt"
    CSV = "csv"
    JSON = "json"

    @property
    def media_type(self) -> str:
        return {
            CallFormat.SRT: "application/x-subrip; charset=utf-8",
            CallFormat.VTT: "text/vtt; charset=utf-8",
            CallFormat.CSV: "text/csv; charset=utf-8",
            CallFormat.JSON: "application/json",
        }[self]


def file_name(record: CallRecord, format: CallFormat) -> str:
    """Of the call's id, in which nothing is personal and nothing needs quoting."""
    return f"{record.call_id}.{format}"


def download(kept: Kept, record: CallRecord, format: CallFormat) -> Iterator[bytes]:
    """The file piece by piece. Raises MissingObject, at once, for a call without transcripts.

    The document can always be had.
    """
    if format is CallFormat.JSON:
        return iter([json.dumps(call_document(kept, record), indent=2).encode() + b"\n"])
    make: dict[CallFormat, Callable[[Iterable[Segment]], Iterator[str]]] = {
        CallFormat.SRT: as_srt,
        CallFormat.VTT: as_vtt,
        CallFormat.CSV: as_csv,
    }
    conversation = interleave(kept.results.transcripts(record.call_id))
    return (piece.encode() for piece in make[format](conversation))


def as_csv(conversation: Iterable[Segment]) -> Iterator[str]:
    """The lines of a CSV file: a row for each stretch of speech, safe to open in a spreadsheet."""
    line = _Line()
    writer = csv.writer(line)
    writer.writerow(COLUMNS)
    yield line.text
    for segment in conversation:
        writer.writerow([guarded(getattr(segment, column)) for column in COLUMNS])
        yield line.text


class _Line:
    """What `csv` writes: a row at once."""

    text = ""

    def write(self, text: str) -> int:
        self.text = text
        return len(text)
