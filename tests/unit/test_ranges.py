"""Byte ranges and conditional requests."""

import pytest

from callpipeline.http_server.responses import (
    ByteRange,
    RangeNotSatisfiable,
    if_none_match_matches,
    if_range_matches,
    parse_range,
)

SIZE = 1000


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-", ByteRange(0, 1000)),
        ("bytes=0-0", ByteRange(0, 1)),
        ("bytes=100-199", ByteRange(100, 200)),
        ("BYTES = 100-199", ByteRange(100, 200)),
        ("bytes=900-5000", ByteRange(900, 1000)),
        ("bytes=-100", ByteRange(900, 1000)),
        ("bytes=-5000", ByteRange(0, 1000)),
        ("bytes=999-", ByteRange(999, 1000)),
    ],
)
def test_ranges_are_clipped(header: str, span: ByteRange) -> None:
    assert parse_range(header, SIZE) == span


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-2",
        "bytes=0-1,5-9",
        "lines=0-1",
        "bytes=0-" + "9" * 40,
        "bytes=٣-٤",
    ],
)
def test_other_ranges_are_ignored(header: str | None) -> None:
    assert parse_range(header, SIZE) is None


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=5000-6000", "bytes=-0"])
def test_a_range_past_the_end_is_not_satisfiable(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        parse_range(header, SIZE)


def test_if_range_needs_the_same_etag() -> None:
    assert if_range_matches(None, '"a"')
    assert if_range_matches('"a"', '"a"')
    assert not if_range_matches('"b"', '"a"')
    assert not if_range_matches('W/"a"', '"a"')
    assert not if_range_matches("Wed, 21 Oct 2015 07:28:00 GMT", '"a"')


def test_if_none_match_compares_weakly() -> None:
    assert if_none_match_matches('"x", W/"a"', '"a"')
    assert if_none_match_matches("*", '"a"')
    assert not if_none_match_matches('"x"', '"a"')
    assert not if_none_match_matches(None, '"a"')
