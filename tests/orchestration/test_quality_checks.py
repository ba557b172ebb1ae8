"""The asset checks on labels notice a list, rules or a judge that make results worse."""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import exp
from pathlib import Path

import dagster as dg
import pytest

from callpipeline.defs.checks import QUALITY, QUALITY_JOB
from callpipeline.domain.competitors.mentions import Decision
from callpipeline.domain.sentiment import Sentiment
from callpipeline.pipeline.quality.regressions import Regression
from callpipeline.storage.ports.results import StoredEvaluation
from tests.fakes.engines import ScriptedJudge
from tests.orchestration.lab import Lab
from tests.orchestration.test_rematch import apply, write

FIRST = "competitors: [Zentel, Lebara]\n"


@pytest.fixture(autouse=True)
def a_list(lab: Lab) -> None:
    write(lab, FIRST)


@pytest.fixture(autouse=True)
def no_files(lab: Lab) -> Iterator[None]:
    yield
    shutil.rmtree(lab.settings.home / "labels", ignore_errors=True)


def labels(lab: Lab, name: str) -> Path:
    """Return the path of a file of labels in the data folder."""
    folder = lab.settings.home / "labels"
    folder.mkdir(exist_ok=True, parents=True)
    return folder / name


def evaluate(lab: Lab) -> Mapping[str, dg.AssetCheckEvaluation]:
    result = lab.definitions.resolve_job_def(QUALITY_JOB).execute_in_process(
        instance=lab.instance, raise_on_error=False
    )
    assert result.success
    return {each.check_name: each for each in result.get_asset_check_evaluations()}


def decide(lab: Lab, name: str, said: str, decision: Decision) -> None:
    """Process a call, and decide on its mention as a reviewer does."""
    call_id = lab.add_call(name, said=said)
    assert lab.run([call_id]).success
    [mention] = lab.storage.results.mentions(call_id)
    lab.storage.reviews.decide(call_id, mention.mention_id, decision, "anna")


def test_without_labels_the_checks_say_how_to_get_some(lab: Lab) -> None:
    found = evaluate(lab)
    assert found.keys() == QUALITY.keys()
    for each in found.values():
        assert each.passed and "There are no labels" in str(each.description)


def test_a_list_that_makes_reviewed_mentions_wrong_fails(lab: Lab) -> None:
    decide(lab, "company", "yes zentel", Decision.CONFIRMED)
    decide(lab, "other", "i switched to lebara last month", Decision.CONFIRMED)
    first = evaluate(lab)["mention_quality"]
    assert first.passed and first.metadata["labels"].value == 2
    assert "nothing to compare with yet" in str(first.description)
    apply(lab, "competitors: [{name: Zentel, ambiguous: true}, Lebara]\n")
    worse = evaluate(lab)["mention_quality"]
    assert not worse.passed
    assert "1 became wrong and 0 right" in str(worse.description)
    assert worse.severity is dg.AssetCheckSeverity.WARN
    apply(lab, FIRST)
    assert evaluate(lab)["mention_quality"].passed


def test_a_file_of_labels_counts_too(lab: Lab) -> None:
    rows = ["name,is_company,context", "Lebara,1,we left [[Lebara]] last year"]
    rows += ["Vodafone,1,we like [[Vodafone]]"]  # is not in the list
    labels(lab, "mentions.csv").write_text("\n".join(rows))
    found = evaluate(lab)["mention_quality"]
    assert found.metadata["labels"].value == 1
    assert found.metadata["recall"].value == 1.0


def test_unlabelled_calls_tell_how_many_names_are_missed(lab: Lab) -> None:
    write(lab, "competitors: [{name: Zoom, ambiguous: true}, Lebara]\n")
    texts = {"sure": "i switched to zoom last month", "open": "zoom", "none": "yes"}
    call_ids = [lab.add_call(name, said=said) for name, said in texts.items()]
    assert lab.run(call_ids).success
    found = [mention for id_ in call_ids for mention in lab.storage.results.mentions(id_)]
    assert [each.counts for each in found].count(True) == 1 and len(found) == 2
    (missed,) = (1 / (1 + exp(-(m.log_odds or 0.0))) for m in found if not m.counts)
    estimated = evaluate(lab)["mention_quality"].metadata["estimated_recall"].value
    assert estimated == pytest.approx(1 / (1 + missed), abs=0.001)


class NamedJudge(ScriptedJudge):
    """A judge with a name of its own that finds the same for every mention."""

    def __init__(self, name: str, thinks: Sentiment) -> None:
        super().__init__(thinks={"Acme": thinks})
        self.name = name


def test_another_judge_is_compared_with_the_one_before(lab: Lab) -> None:
    file = labels(lab, "sentiment.jsonl")
    texts = [f"I hate [[Acme]] for reason {number}." for number in range(8)]
    file.write_text("".join(json.dumps({"text": t, "label": "negative"}) + "\n" for t in texts))
    lab.judge = NamedJudge("good", Sentiment.NEGATIVE)
    assert evaluate(lab)["sentiment_quality"].passed
    asked = len(lab.judge.asked)
    assert asked and evaluate(lab)["sentiment_quality"].passed
    assert len(lab.judge.asked) == asked  # not judged again
    lab.judge = NamedJudge("bad", Sentiment.POSITIVE)
    worse = evaluate(lab)["sentiment_quality"]
    assert not worse.passed
    assert worse.severity is dg.AssetCheckSeverity.ERROR
    assert "8 became wrong and 0 right" in str(worse.description)


def test_only_labels_of_both_evaluations_are_compared() -> None:
    before = StoredEvaluation("old", "x", {"a": True, "b": False, "c": True}, {})
    now = StoredEvaluation("new", "y", {"a": False, "b": True, "d": False}, {})
    found = Regression(now, before)
    assert (found.newly_wrong, found.newly_right, found.is_worse) == (1, 1, False)
    many = replace(now, outcomes={f"{n}": False for n in range(5)})
    was = replace(before, outcomes={f"{n}": True for n in range(5)})
    assert Regression(many, was).is_significant
    assert not Regression(replace(many, outcomes={"1": False}), was).is_significant
