"""How what was found is compared with the truth."""

import re
from typing import Any

import pytest

from callpipeline.cli.installation.demo import TOLERANCE_S, DemoScore, compare, score_lines


def found(start_s: float = 10.0, **other: Any) -> dict[str, Any]:
    said = {"competitor": "Sky", "channel": "left", "sentiment": "positive"} | other
    return {"start_s": start_s, **said, "sentiment": {"sentiment": said["sentiment"]}}


def spoken(start_s: float = 10.0, **other: str) -> dict[str, Any]:
    return {"competitor": "Sky", "channel": "left", "sentiment": "positive"} | other | {
        "start_s": start_s
    }  # fmt: skip


def test_a_mention_at_the_right_place_with_the_right_sentiment_is_true_and_agreed():
    assert compare([found()], [spoken()]) == DemoScore(spoken=1, found=1, true=1, agreed=1)


def test_a_wrong_sentiment_is_true_but_not_agreed():
    assert compare([found(sentiment="negative")], [spoken()]) == DemoScore(1, 1, 1, 0)


@pytest.mark.parametrize("wrong", [{"competitor": "Three"}, {"channel": "right"}])
def test_another_competitor_or_channel_is_another_mention(wrong: dict[str, Any]):
    assert compare([found(**wrong)], [spoken()]) == DemoScore(1, 1, 0, 0)


def test_times_may_differ_by_the_tolerance_and_no_more():
    assert compare([found(10 + TOLERANCE_S)], [spoken(10)]).true == 1
    assert compare([found(10 + TOLERANCE_S + 0.01)], [spoken(10)]).true == 0


def test_one_mention_found_answers_for_one_spoken_only():
    assert compare([found(10)], [spoken(10), spoken(11)]) == DemoScore(2, 1, 1, 1)
    assert compare([found(10), found(11)], [spoken(10)]) == DemoScore(1, 2, 1, 1)


def test_the_nearest_is_matched():
    near, far = found(10.5, sentiment="negative"), found(12.0)
    assert compare([far, near], [spoken(10, sentiment="negative")]).agreed == 1


def test_recall_and_precision():
    score = DemoScore(spoken=4, found=2, true=1)
    assert (score.recall, score.precision) == (0.25, 0.5)
    assert (DemoScore().recall, DemoScore().precision) == (1.0, 1.0)


def test_scores_add_up():
    assert DemoScore(1, 2, 3, 4) + DemoScore(10, 20, 30, 40) == DemoScore(11, 22, 33, 44)


def scored(group: str, *figures: int, state: str = "COMPLETED") -> dict[str, Any]:
    return {"state": state, "truth": {"group": group}, "score": DemoScore(*figures)}


def test_each_group_of_samples_has_its_figures_and_then_all_together():
    documents = [
        scored("clear speech", 3, 3, 3, 2),
        scored("clear speech", 1, 1, 1, 1),
        scored("phone quality", 4, 2, 1, 1),
    ]
    headings = [line.partition(" found")[0] for line in score_lines(documents)]
    assert headings == [
        "clear speech: 4 mentions spoken, 4",
        "phone quality: 4 mentions spoken, 2",
        "all samples: 8 mentions spoken, 6",
    ]
    assert [
        re.findall(r"recall (\S+) +precision (\S+)", line) for line in score_lines(documents)
    ] == [
        [("1.00", "1.00")],
        [("0.25", "0.50")],
        [("0.62", "0.83")],
    ]


def test_calls_that_failed_do_not_count_and_one_group_needs_no_total():
    documents = [scored("a", 2, 2, 2, 2), scored("b", 9, 0, 0, 0, state="FAILED")]
    (line,) = score_lines(documents)
    assert line.startswith("a: 2 mentions spoken, 2 found: 2 correct, 0 false")
