"""`callpipeline evaluate mentions`: scores on labelled occurrences, before and after review."""

import json
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from callpipeline import config
from callpipeline.cli import app
from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.domain.competitors.matcher import Matcher
from callpipeline.errors import LabelsInvalid
from callpipeline.pipeline.quality.mention_labels import (
    MentionScore,
    automatic_outcomes,
    measure_mentions,
    measure_taught,
    overall,
    read_labels,
    wilson_interval,
)

HEADING = "name,is_company,call,segment,start,context\n"
CONTEXTS = (
    "Three,1,a,,,I am switching to [[Three]] because it is cheaper.\n"
    "Three,0,a,,,I waited [[three]] months for it.\n"
    "Sky,1,b,,,[[sky]] i think\n"
    "Sky,1,c,,,so [[sky]] you know\n"
)


def written(folder: Path, rows: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(HEADING + rows, encoding="utf-8")
    return path


def test_counted_and_reviewed_mentions_are_scored(tmp_path: Path):
    report = measure_mentions(read_labels(written(tmp_path, CONTEXTS)))
    assert report.calls == 3
    assert report.questions == 2
    assert overall(report.automatic) == MentionScore(right=1, wrong=0, missed=2)
    assert overall(report.reviewed) == MentionScore(right=3, wrong=0, missed=0)
    assert report.automatic["Three"].f1 == 1.0
    assert report.automatic["Sky"].precision is None


def test_two_answers_about_other_calls_teach_about_a_name(tmp_path: Path):
    rows = [f"Zoom,1,{call},,,[[zoom]]\n" for call in "abc"]
    rows += [f"Orange,0,{call},,,[[orange]]\n" for call in "abc"]
    rows += [f"Three,1,{call},,,[[three]]\n" for call in "ab"]  # too few calls
    labels = read_labels(written(tmp_path, "".join(rows)))
    automatic = overall(measure_mentions(labels).automatic)
    assert automatic == MentionScore(right=0, wrong=0, missed=5)
    assert measure_taught(labels) == MentionScore(right=3, wrong=0, missed=0)
    assert measure_taught(labels[:2]) == MentionScore()


def test_labels_are_measured_by_the_settings_of_addresses(tmp_path: Path):
    rows = "".join(f"Zoom,1,{call},,,on [[zoom]].com for it\n" for call in "abc")
    labels = read_labels(written(tmp_path, rows))
    competitors = {"Zoom": Competitor("Zoom", ambiguous=True)}
    strict = partial(Matcher, counts_addresses=False)
    for open_matcher, counts in ((Matcher, True), (strict, False)):
        right = MentionScore(right=3 * counts, missed=3 * (not counts))
        other = open_matcher(Catalog(())).for_catalog
        assert overall(measure_mentions(labels, competitors, open_matcher).automatic) == right
        assert overall(measure_mentions(labels, competitors, other).automatic) == right
        outcomes = automatic_outcomes(labels, competitors, open_matcher)
        assert {each for each, _ in outcomes.values()} == {counts}


def test_the_command_measures_by_the_settings_of_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = str(written(tmp_path, "Zoom,1,a,,,on [[zoom]].com for it\n"))
    for setting, recall in (("true", 1.0), ("false", 0.0)):
        monkeypatch.setenv("CALLPIPELINE_COUNT_ADDRESSES", setting)
        config.settings.cache_clear()
        shown = CliRunner().invoke(app, ["evaluate", "mentions", path, "--json"])
        assert json.loads(shown.output)["all"]["automatic"]["recall"] == recall


def test_whole_calls_are_used_if_their_transcripts_are_there(tmp_path: Path):
    segments = [{"id": 4, "text": "I said:"}, {"id": 5, "text": "We moved to Sky last year."}]
    (tmp_path / "a.human.json").write_text(json.dumps({"segments": segments}))
    labels = read_labels(written(tmp_path, "Sky,1,a,5,12,… [[Sky]] …\n"), tmp_path)
    assert overall(measure_mentions(labels).automatic) == MentionScore(right=1)


def test_text_can_be_lowered(tmp_path: Path):
    (labelled,) = read_labels(
        written(tmp_path, "Sky,1,a,,,We moved to [[Sky]].\n"), lower_case=True
    )
    assert labelled.segments[0].text == "we moved to sky."


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("Sky,1,a,,,no mark\n", "mark the name"),
        ("Sky,yes,a,,,[[Sky]]\n", "must be 1 or 0"),
        (",1,a,,,[[Sky]]\n", "no name"),
    ],
)
def test_a_wrong_line_is_refused_with_its_number(tmp_path: Path, row: str, problem: str):
    with pytest.raises(LabelsInvalid, match=rf"line 2: .*{problem}"):
        read_labels(written(tmp_path, row))


def test_intervals_are_wide_for_few_observations():
    assert wilson_interval(0, 0) == (0.0, 1.0)
    low, high = wilson_interval(9, 10)
    assert (round(low, 2), round(high, 2)) == (0.60, 0.98)


def test_the_command_prints_scores_and_questions(tmp_path: Path):
    path = str(written(tmp_path, CONTEXTS))
    shown = CliRunner().invoke(app, ["evaluate", "mentions", path])
    assert shown.exit_code == 0
    assert "0.7 questions per call in 3 calls" in shown.output
    document = json.loads(CliRunner().invoke(app, ["evaluate", "mentions", path, "--json"]).output)
    assert document["all"]["reviewed"]["recall"] == 1.0
