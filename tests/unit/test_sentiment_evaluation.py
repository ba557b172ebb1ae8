"""Evaluation of judges on labelled utterances."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from callpipeline.cli import app
from callpipeline.domain.audio import Speaker
from callpipeline.domain.competitors.mentions import Mention
from callpipeline.domain.sentiment import Judgement, Sentiment
from callpipeline.engines.ports import Conversation
from callpipeline.errors import SettingsInvalid
from callpipeline.pipeline.quality.sentiment_evaluation import (
    JudgedUtterance,
    LabelledUtterance,
    SpokenTurn,
    as_conversation,
    by_confidence,
    by_rule,
    cut_in_two,
    evaluate_judge,
    judge_as_majority,
    measure,
    read_utterances,
    worst,
)

POSITIVE, NEGATIVE, NEUTRAL = Sentiment.POSITIVE, Sentiment.NEGATIVE, Sentiment.NEUTRAL
ROWS = [
    {"text": "[[Sky]] is great", "speaker": "customer", "label": "positive"},
    {"text": "[[Sky]] is awful", "speaker": "customer", "label": "negative"},
    {
        "text": "Terrible.", "speaker": "customer", "label": "negative",
        "before": [{"speaker": "agent", "text": "How was [[Sky Mobile]]?"}],
    },
    {"text": "We are with [[Sky]].", "label": "neutral"},
]  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "calls.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    return path


class WordJudge:
    """Judges by one word in the segment of the mention."""

    name = "words"

    async def judge(
        self, conversation: Conversation, mentions: Sequence[Mention]
    ) -> tuple[Judgement, ...]:
        (mention,) = mentions
        text = " ".join(segment.text for segment in conversation.segments)
        label = POSITIVE if "great" in text else NEGATIVE if "awful" in text else NEUTRAL
        words = (mention.mention_id, mention.competitor, label, 0.0, f"word: {label}", text)
        return (Judgement(*words, self.name, confidence=0.9),)


def judged(*pairs: tuple[Sentiment, Sentiment]) -> list[JudgedUtterance]:
    turn = (SpokenTurn(Speaker.CUSTOMER, "[[Sky]]"),)
    return [JudgedUtterance(LabelledUtterance(turn, true), said) for true, said in pairs]


def test_the_marked_turn_may_be_a_neighbour(file: Path):
    answer = read_utterances(file)[2]
    conversation, mention = as_conversation(answer)
    assert [s.text for s in conversation.segments] == ["How was Sky Mobile?", "Terrible."]
    assert (mention.text, mention.speaker) == ("Sky Mobile", Speaker.AGENT)
    said = conversation.segments[0].text[mention.char_start : mention.char_end]
    assert said == "Sky Mobile"


def test_an_utterance_is_cut_outside_the_name():
    turns = (SpokenTurn(Speaker.CUSTOMER, "we left [[Virgin Media Business]] today"),)
    cut = cut_in_two(LabelledUtterance(turns, NEGATIVE))
    assert [turn.text for turn in cut.turns] == ["we left", "[[Virgin Media Business]] today"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "no company", "label": "neutral"}', "line 1: 0 companies are marked"),
        ('{"text": "[[Sky]]", "label": "good"}', "line 1: 'good' is not a valid Sentiment"),
        ("not json", "line 1: Expecting value"),
        ("", "has no utterances"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, line: str, message: str):
    path = tmp_path / "calls.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(SettingsInvalid, match=message):
        read_utterances(path)


def test_scores_are_over_three_labels():
    scores = measure(
        judged(
            (POSITIVE, POSITIVE), (POSITIVE, NEGATIVE), (NEGATIVE, NEGATIVE),
            (NEUTRAL, NEUTRAL), (NEGATIVE, Sentiment.MIXED),
        )
    )  # fmt: skip
    assert scores.count == 5 and scores.accuracy == 0.6
    assert scores.turned_round == 1 / 4
    assert scores.precision[NEGATIVE] == 0.5 and scores.recall[NEGATIVE] == 0.5
    assert scores.macro_f1 == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert scores.interval[0] <= scores.macro_f1 <= scores.interval[1]


def test_a_perfect_judge_has_full_marks():
    scores = measure(judged((POSITIVE, POSITIVE), (NEGATIVE, NEGATIVE), (NEUTRAL, NEUTRAL)))
    assert (scores.macro_f1, scores.accuracy, scores.turned_round) == (1.0, 1.0, 0.0)


def test_whole_and_cut_utterances_are_judged(file: Path):
    evaluation = asyncio.run(evaluate_judge(WordJudge(), read_utterances(file)))
    assert [each.sentiment for each in evaluation.whole] == [POSITIVE, NEGATIVE, NEUTRAL, NEUTRAL]
    assert [each.is_right for each in evaluation.cut] == [True, True, False, True]
    ((rule, all_of_it),) = by_rule(evaluation.whole)
    assert (rule, len(all_of_it)) == ("word", 4)
    assert [name for name, _ in by_confidence(evaluation.whole)] == ["0.9 to 1.0"]
    assert [each.utterance.text for each in worst(evaluation.whole, 5)] == [
        "How was [[Sky Mobile]]?"
    ]


def test_the_majority_is_the_most_frequent_label(file: Path):
    assert {each.sentiment for each in judge_as_majority(read_utterances(file))} == {NEGATIVE}


def test_the_command_prints_scores_and_fails_below_a_floor(
    file: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CALLPIPELINE_SENTIMENT", "lexicon")
    runner = CliRunner()
    shown = runner.invoke(app, ["evaluate", "sentiment", str(file)])
    assert shown.exit_code == 0, shown.output
    assert "macro-F1" in shown.output and "VADER" in shown.output
    report = runner.invoke(app, ["evaluate", "sentiment", str(file), "--json"])
    (parsed,) = json.loads(report.output)
    assert parsed["engine"] == "lexicon" and parsed["count"] == 4
    failing = runner.invoke(app, ["evaluate", "sentiment", str(file), "--at-least", "1.0"])
    assert failing.exit_code == 1
