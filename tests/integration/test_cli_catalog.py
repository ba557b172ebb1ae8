"""The commands below `catalog`, as a person runs them."""

import json
from pathlib import Path

import pytest

from tests.integration.command_line import Installation

FIRST = "competitors: [Vodafone, Lebara]\n"
SECOND = "competitors: [Vodafone, {name: Lebara, aliases: [le bara]}, Voxi]\n"


@pytest.fixture
def database_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def installation(tmp_path: Path, database_url: str) -> Installation:
    installation = Installation(tmp_path / "data", database_url)
    (installation.home / "competitors.yaml").write_text(FIRST)
    return installation


def write(installation: Installation, name: str, text: str) -> Path:
    path = installation.home / name
    path.write_text(text)
    return path


def history(installation: Installation) -> list[dict[str, str]]:
    return installation.json("catalog", "log")


def test_a_list_is_applied_and_undone(installation: Installation) -> None:
    file = write(installation, "next.yaml", SECOND)
    difference = installation.run("catalog", "diff", file).stdout.splitlines()
    assert difference == ["~ Lebara: + alias le bara", "+ Voxi"]
    first = history(installation)[0]["version"]
    installation.run("catalog", "apply", file, "--note", "new rivals")
    newest, oldest = history(installation)
    assert (oldest["version"], oldest["origin"], newest["note"]) == (first, "file", "new rivals")
    assert newest["parent"] == first and newest["made_by"]
    assert "not in force" in installation.run("catalog", "show", first).stdout
    installation.run("catalog", "revert", first[:6])
    newest, *_ = history(installation)
    assert (newest["version"], newest["origin"]) == (first, "revert")
    assert "No difference" in installation.run("catalog", "diff", first).stdout


def test_an_edit_made_elsewhere_is_not_undone_by_the_file(installation: Installation) -> None:
    installation.run("catalog", "show")
    installation.run("catalog", "apply", write(installation, "next.yaml", SECOND))
    write(installation, "competitors.yaml", "competitors: [Sky Mobile]\n")
    assert "Voxi" in installation.run("catalog", "show").stdout
    findings = {each["detail"] for each in installation.json("doctor")}
    assert any("was edited elsewhere" in detail for detail in findings)
    installation.run("catalog", "apply", installation.home / "competitors.yaml")
    assert "Sky Mobile" in installation.run("catalog", "show").stdout
    write(installation, "competitors.yaml", "competitors: [Sky Mobile, Voxi]\n")
    assert "Voxi" in installation.run("catalog", "show").stdout


def test_an_exported_list_can_be_edited_as_the_file(installation: Installation) -> None:
    installation.run("catalog", "apply", write(installation, "next.yaml", SECOND))
    exported = installation.run("catalog", "show", "--yaml").stdout
    write(installation, "competitors.yaml", exported + "- Smarty\n")
    assert "Smarty" in installation.run("catalog", "show").stdout


def test_an_invalid_list_is_refused_everywhere(installation: Installation) -> None:
    installation.run("catalog", "show")
    wrong = write(installation, "wrong.yaml", "competitors:\n  - nmae: Sky\n")
    for command in ("check", "diff", "preview", "apply"):
        refused = installation.run("catalog", command, wrong, exit_code=1)
        assert "line 2: unknown key nmae: did you mean name?" in refused.stderr
    assert len(history(installation)) == 1


def test_a_preview_changes_nothing(installation: Installation) -> None:
    preview = installation.json("catalog", "preview", write(installation, "next.yaml", SECOND))
    assert (preview["completed"], preview["changed_calls"]) == (0, [])
    assert len(history(installation)) == 1


def test_an_unknown_version_is_named(installation: Installation) -> None:
    refused = installation.run("catalog", "revert", "abc123", exit_code=1)
    assert "'abc123' is no version" in refused.stderr
    assert json.loads(installation.run("catalog", "log", "--json").stdout) == []


def test_a_stage_is_recomputed_only_if_calls_match(installation: Installation) -> None:
    write(installation, "competitors.yaml", "competitors: [Vodafone]\n")
    done = installation.run("recompute", "--stage", "sentiment", "--yes")
    assert "No completed call matches." in done.stdout
    done = installation.run("recompute", "--stage", "transcripts", "--yes")
    assert "Calls with supplied transcripts" in done.stdout
    done = installation.run("recompute", "--stage", "audio", "--yes", exit_code=2)
    assert "mentions, sentiment, transcripts" in " ".join(done.stderr.split())
    done = installation.run(
        "recompute", "--stage", "sentiment", "--engine-older-than", "gpt", exit_code=1
    )
    assert "No call was made by engine 'gpt'" in " ".join(done.stderr.split())


def test_labels_of_reviews_are_written(installation: Installation) -> None:
    done = installation.run("evaluate", "labels", installation.home / "labels.csv")
    assert "0 labels written" in done.stdout
    text = (installation.home / "labels.csv").read_text()
    assert text.splitlines() == ["name,is_company,context,call"]
