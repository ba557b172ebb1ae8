"""Unsure mentions in their words."""

from callpipeline.pipeline.reviewing import AROUND, in_words
from callpipeline.storage.reviews import Unsure
from tests.builders import A_MONDAY, a_mention


def unsure(text: str | None, at: int) -> Unsure:
    mention = a_mention("Sky", char_start=at)
    return Unsure("2026-03-02-000000000000", A_MONDAY, None, mention, text)


def test_a_short_segment_is_shown_whole() -> None:
    doubt = in_words(unsure("is it sky or not", 6))
    assert (doubt.before, doubt.said, doubt.after) == ("is it ", "sky", " or not")


def test_a_long_one_is_cut_between_words() -> None:
    text = "word " * 100 + "sky" + " other" * 100
    doubt = in_words(unsure(text, 500))
    assert doubt.before.startswith("… word ") and doubt.before.endswith("word ")
    assert doubt.after.startswith(" other ") and doubt.after.endswith("other …")
    assert max(len(doubt.before), len(doubt.after)) <= AROUND + 2


def test_words_that_are_gone_or_of_another_transcript_are_not_shown() -> None:
    for text in (None, "something else entirely"):
        doubt = in_words(unsure(text, 6))
        assert (doubt.before, doubt.said, doubt.after) == ("", "sky", "")
