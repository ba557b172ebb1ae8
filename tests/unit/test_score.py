"""How what was found is compared with the truth."""

from typing import Any

import pytest

from callpipeline.cli.score import TOLERANCE_S, Score, compare


def found(start_s: float = 10.0, **other: Any) -> dict[str, Any]:
    said = {"competitor": "Sky", "channel": "left", "sentiment": "positive"} | other
    return {"start_s": start_s, **said, "sentiment": {"sentiment": said["sentiment"]}}


def spoken(start_s: float = 10.0, **other: str) -> dict[str, Any]:
    return {"competitor": "Sky", "channel": "left", "sentiment": "positive"} | other | {
        "start_s": start_s
    }  # fmt: skip


def test_a_mention_at_the_right_place_with_the_right_sentiment_is_true_and_agreed():
    assert compare([found()], [spoken()]) == Score(spoken=1, found=1, true=1, agreed=1)


def test_a_wrong_sentiment_is_true_but_not_agreed():
    assert compare([found(sentiment="negative")], [spoken()]) == Score(1, 1, 1, 0)


@pytest.mark.parametrize("wrong", [{"competitor": "Three"}, {"channel": "right"}])
def test_another_competitor_or_channel_is_another_mention(wrong: dict[str, Any]):
    assert compare([found(**wrong)], [spoken()]) == Score(1, 1, 0, 0)


def test_times_may_differ_by_the_tolerance_and_no_more():
    assert compare([found(10 + TOLERANCE_S)], [spoken(10)]).true == 1
    assert compare([found(10 + TOLERANCE_S + 0.01)], [spoken(10)]).true == 0


def test_one_mention_found_answers_for_one_spoken_only():
    assert compare([found(10)], [spoken(10), spoken(11)]) == Score(2, 1, 1, 1)
    assert compare([found(10), found(11)], [spoken(10)]) == Score(1, 2, 1, 1)


def test_the_nearest_is_matched():
    near, far = found(10.5, sentiment="negative"), found(12.0)
    assert compare([far, near], [spoken(10, sentiment="negative")]).agreed == 1


def test_recall_and_precision():
    score = Score(spoken=4, found=2, true=1)
    assert (score.recall, score.precision) == (0.25, 0.5)
    assert (Score().recall, Score().precision) == (1.0, 1.0)


def test_scores_add_up():
    assert Score(1, 2, 3, 4) + Score(10, 20, 30, 40) == Score(11, 22, 33, 44)
