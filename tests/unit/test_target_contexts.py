"""What is said around a mention: joined segments, and the turns around them."""

from dataclasses import replace

import pytest

from callpipeline.domain.audio import Channel, Speaker
from callpipeline.domain.transcripts import Segment
from callpipeline.domain.utterances import TargetContext, TargetContexts, Turn
from callpipeline.errors import MissingObject
from tests.builders import a_mention

CUSTOMER, AGENT = Speaker.CUSTOMER, Speaker.AGENT


def conversation(*turns: tuple[Speaker, str]) -> list[Segment]:
    """Return a segment per turn, a second apart."""
    segments: list[Segment] = []
    for at, (speaker, text) in enumerate(turns):
        channel = Channel.LEFT if speaker is AGENT else Channel.RIGHT
        index = sum(segment.channel is channel for segment in segments)
        segments.append(Segment(index, at * 3.0, at * 3.0 + 2, channel, speaker, text))
    return segments


def context_of(segments: list[Segment], name: str = "sky") -> TargetContext:
    segment = next(segment for segment in segments if name in segment.text)
    mention = a_mention(
        name, segment_index=segment.index, char_start=segment.text.index(name),
        channel=segment.channel,
    )  # fmt: skip
    return TargetContexts(segments).of(mention)


def test_a_cut_utterance_is_joined():
    found = context_of(conversation((CUSTOMER, "we were with sky"), (CUSTOMER, "and hated it.")))
    assert found == TargetContext("we were with ", "sky", " and hated it.", CUSTOMER)


def test_a_short_reply_does_not_end_an_utterance():
    segments = conversation((CUSTOMER, "we had"), (AGENT, "mm hm"), (CUSTOMER, "sky before"))
    assert context_of(segments).left == "we had "


def test_the_answer_to_a_question_is_a_turn_after_it():
    segments = conversation((AGENT, "How was sky?"), (CUSTOMER, "Terrible, it never worked."))
    found = context_of(segments)
    assert found.speaker is AGENT and found.after == (Turn(CUSTOMER, "Terrible, it never worked."),)


def test_a_finished_sentence_is_a_turn_of_its_own():
    segments = conversation((CUSTOMER, "I have a shop."), (CUSTOMER, "We use sky."))
    assert context_of(segments).before == (Turn(CUSTOMER, "I have a shop."),)


def test_turns_that_are_far_away_are_left_out():
    first, second = conversation((AGENT, "Are you happy with us?"), (CUSTOMER, "We use sky."))
    later = replace(second, start_s=100.0, end_s=102.0)
    assert context_of([first, later]).before == ()


def test_a_mention_of_another_transcript_is_refused():
    segments = conversation((CUSTOMER, "We use sky."))
    with pytest.raises(MissingObject, match="older transcript"):
        TargetContexts(segments).of(a_mention("sky", segment_index=7))
