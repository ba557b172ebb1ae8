"""The CSV download of a call, safe for spreadsheets."""

import csv
import io

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.transcripts import Segment
from callpipeline.pipeline.reading.documents import COLUMNS, CallFormat, as_csv


def rows(*texts: str) -> list[list[str]]:
    talk = [
        Segment(n, n * 2.5, n * 2.5 + 1, Channel.LEFT, Speaker.AGENT, text)
        for n, text in enumerate(texts)
    ]
    return list(csv.reader(io.StringIO("".join(as_csv(talk)))))


def test_each_segment_is_a_row() -> None:
    assert rows("hello", 'she said "no", twice\nand left') == [
        list(COLUMNS),
        ["0.0", "1.0", "left", "agent", "hello", ""],
        ["2.5", "3.5", "left", "agent", 'she said "no", twice\nand left', ""],
    ]


def test_formulas_are_escaped() -> None:
    assert [row[-2] for row in rows("=1+1", "@x", "-2", "well =1")[1:]] == [
        "'=1+1", "'@x", "'-2", "well =1",
    ]  # fmt: skip


def test_rows_are_streamed() -> None:
    talk = (Segment(n, n, n + 1, Channel.LEFT, Speaker.AGENT, "x") for n in iter(int, 1))
    pieces = as_csv(talk)
    assert [next(pieces).count("\r\n") for _ in range(3)] == [1, 1, 1]


def test_every_format_has_a_media_type() -> None:
    assert {format.media_type.partition("/")[0] for format in CallFormat} == {"text", "application"}
