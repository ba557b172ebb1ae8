"""Mentions of the review queue with the text around them."""

from callpipeline.pipeline.reading.documents import CONTEXT_CHARS, with_context
from callpipeline.storage.ports.results import PendingReview
from tests.builders import A_MONDAY, a_mention


def pending(text: str | None, at: int) -> PendingReview:
    mention = a_mention("Sky", char_start=at)
    return PendingReview("2026-03-02-000000000000", A_MONDAY, None, mention, text)


def test_a_short_segment_is_shown_whole() -> None:
    item = with_context(pending("is it sky or not", 6))
    assert (item.before, item.text, item.after) == ("is it ", "sky", " or not")


def test_a_long_segment_is_cut_between_words() -> None:
    text = "word " * 100 + "sky" + " other" * 100
    item = with_context(pending(text, 500))
    assert item.before.startswith("… word ") and item.before.endswith("word ")
    assert item.after.startswith(" other ") and item.after.endswith("other …")
    assert max(len(item.before), len(item.after)) <= CONTEXT_CHARS + 2


def test_text_that_is_gone_or_of_another_transcript_is_not_shown() -> None:
    for text in (None, "something else entirely"):
        item = with_context(pending(text, 6))
        assert (item.before, item.text, item.after) == ("", "sky", "")
