"""Byte ranges: what players ask for, and what nobody should."""

import pytest

from callpipeline.web.ranges import Span, Unsatisfiable, is_current, names, wanted_span

SIZE = 1000


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-", Span(0, 1000)),
        ("bytes=0-0", Span(0, 1)),
        ("bytes=100-199", Span(100, 200)),
        ("BYTES = 100-199", Span(100, 200)),
        ("bytes=900-5000", Span(900, 1000)),
        ("bytes=-100", Span(900, 1000)),
        ("bytes=-5000", Span(0, 1000)),
        ("bytes=999-", Span(999, 1000)),
    ],
)
def test_a_range_is_cut_to_what_there_is(header: str, span: Span) -> None:
    assert wanted_span(header, SIZE) == span


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
def test_what_is_no_single_range_wants_everything(header: str | None) -> None:
    assert wanted_span(header, SIZE) is None


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=5000-6000", "bytes=-0"])
def test_a_range_behind_the_end_cannot_be_had(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        wanted_span(header, SIZE)


def test_a_range_holds_for_the_same_answer_alone() -> None:
    assert is_current(None, '"a"')
    assert is_current('"a"', '"a"')
    assert not is_current('"b"', '"a"')
    assert not is_current('W/"a"', '"a"')
    assert not is_current("Wed, 21 Oct 2015 07:28:00 GMT", '"a"')


def test_an_answer_is_named_weakly_in_a_list_or_by_a_star() -> None:
    assert names('"x", W/"a"', '"a"')
    assert names("*", '"a"')
    assert not names('"x"', '"a"')
    assert not names(None, '"a"')
