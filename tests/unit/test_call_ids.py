"""Ids of calls, and names of their files, in texts that others wrote."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.domain.call_ids import ids_in, masked
from callpipeline.storage.names import Names

ONE, TWO = "2026-03-02-0123456789ab", "2026-03-03-ba9876543210"
IDS = st.builds("2026-03-{:02}-{:012x}".format, st.integers(1, 31), st.integers(0, 16**12 - 1))


@given(st.lists(IDS, max_size=5), st.text(alphabet=" ,:\"'\n[]{}x", min_size=1, max_size=3))
def test_ids_are_found_whatever_stands_between_them(ids: list[str], between: str) -> None:
    assert ids_in(between.join(["", *ids, ""])) == set(ids)


@given(st.lists(IDS, min_size=1, max_size=5, unique=True), st.data())
def test_what_is_masked_is_gone_and_all_else_is_there(ids: list[str], data: st.DataObject) -> None:
    gone = set(data.draw(st.lists(st.sampled_from(ids))))
    text = json.dumps({"calls": ids, "said": "a 2026-03-02 b"})
    rest = masked(text, gone, "(erased)")
    assert ids_in(rest) == set(ids) - gone
    assert [each for each in json.loads(rest)["calls"] if each in ids] == [
        each for each in ids if each not in gone
    ]


@pytest.mark.parametrize("text", ["", None, "2026-03-02", f"{ONE}f", ONE.upper(), "x" * 50])
def test_what_is_no_id_is_none(text: str | None) -> None:
    assert ids_in(text) == set()


NAMES = Names([ONE, "line-1/0001.wav", "größe-7.wav", "call", "a"])


@pytest.mark.parametrize(
    "text",
    [
        f"look at {ONE}.",
        ONE,
        "(line-1/0001.wav)",
        json.dumps({"file": "größe-7.wav"}),
        json.dumps({"file": "größe-7.wav"}, ensure_ascii=False),
    ],
)
def test_a_name_is_found_as_a_word_and_as_json_writes_it(text: str) -> None:
    assert NAMES.stand_in(text, None)


@pytest.mark.parametrize(
    "text", [f"look at {TWO}", f"{ONE}f", "xline-1/0001.wav", "line-1/0001.wave", "a call", ""]
)
def test_what_only_looks_like_it_is_not(text: str) -> None:
    assert not NAMES.stand_in(text, None)


def test_a_short_name_is_found_where_it_is_all_there_is() -> None:
    assert NAMES.stand_in("anything", "a")
    assert not NAMES.stand_in("anything", "b")


def test_no_names_are_nowhere() -> None:
    assert not Names([]) and not Names([]).stand_in("a text", None)
