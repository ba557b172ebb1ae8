"""Call IDs and file names in arbitrary text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.domain.calls.call import call_ids_in, mask_call_ids
from callpipeline.storage.erasure import NameFinder

ONE, TWO = "2026-03-02-0123456789ab", "2026-03-03-ba9876543210"
IDS = st.builds("2026-03-{:02}-{:012x}".format, st.integers(1, 31), st.integers(0, 16**12 - 1))


@given(st.lists(IDS, max_size=5), st.text(alphabet=" ,:\"'\n[]{}x", min_size=1, max_size=3))
def test_ids_are_found_whatever_separates_them(ids: list[str], between: str) -> None:
    assert call_ids_in(between.join(["", *ids, ""])) == set(ids)


@given(st.lists(IDS, min_size=1, max_size=5, unique=True), st.data())
def test_masked_ids_are_gone_and_the_rest_is_unchanged(ids: list[str], data: st.DataObject) -> None:
    gone = set(data.draw(st.lists(st.sampled_from(ids))))
    text = json.dumps({"calls": ids, "said": "a 2026-03-02 b"})
    rest = mask_call_ids(text, gone, "(erased)")
    assert call_ids_in(rest) == set(ids) - gone
    assert [each for each in json.loads(rest)["calls"] if each in ids] == [
        each for each in ids if each not in gone
    ]


@pytest.mark.parametrize("text", ["", None, "2026-03-02", f"{ONE}f", ONE.upper(), "x" * 50])
def test_malformed_ids_are_not_found(text: str | None) -> None:
    assert call_ids_in(text) == set()


NAMES = NameFinder([ONE, "line-1/0001.wav", "größe-7.wav", "call", "a"])


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
def test_a_name_is_found_as_a_word_and_escaped_in_json(text: str) -> None:
    assert NAMES.occur_in(text, None)


@pytest.mark.parametrize(
    "text", [f"look at {TWO}", f"{ONE}f", "xline-1/0001.wav", "line-1/0001.wave", "a call", ""]
)
def test_similar_names_are_not_found(text: str) -> None:
    assert not NAMES.occur_in(text, None)


def test_a_short_name_must_be_the_entire_field() -> None:
    assert NAMES.occur_in("anything", "a")
    assert not NAMES.occur_in("anything", "b")


def test_no_names_match_nothing() -> None:
    assert not NameFinder([]) and not NameFinder([]).occur_in("a text", None)
