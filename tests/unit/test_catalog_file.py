"""Reading the list of competitors from YAML and from plain text."""

from pathlib import Path

import pytest

from callpipeline.domain.catalog import Competitor
from callpipeline.errors import CatalogInvalid
from callpipeline.storage.catalog_file import read_catalog


def read(folder: Path, name: str, text: str) -> tuple[Competitor, ...]:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return read_catalog(file).competitors


def test_yaml_takes_plain_names_and_mappings(tmp_path: Path):
    text = """
competitors:
  - Vodafone
  - name: Three
    aliases: [three uk, "3"]
    ambiguous: true
    evidence: [roaming]
"""
    assert read(tmp_path, "competitors.yaml", text) == (
        Competitor("Vodafone"),
        Competitor("Three", ("three uk", "3"), ambiguous=True, evidence=("roaming",)),
    )


@pytest.mark.parametrize("text", ["", "competitors:\n", "competitors: []\n", "# none yet\n"])
def test_an_empty_list_is_an_empty_catalog(tmp_path: Path, text: str):
    assert read(tmp_path, "competitors.yml", text) == ()


def test_plain_text_has_one_name_a_line_with_comments_and_blank_lines(tmp_path: Path):
    text = "\ufeff# telecom\nVodafone  # the red one\n\n  T-Mobile\r\n"
    assert [c.name for c in read(tmp_path, "competitors.txt", text)] == ["Vodafone", "T-Mobile"]


def test_brands_that_are_ordinary_words_are_ambiguous_in_plain_text(tmp_path: Path):
    text = "Three\nID\nsky\nOrange\nEE\nOne\nOlive\nApple\nVodafone\n"
    ambiguous = {c.name: c.ambiguous for c in read(tmp_path, "competitors.TXT", text)}
    assert ambiguous.pop("Vodafone") is False
    assert all(ambiguous.values())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("competitors:\n  - nmae: Sky\n", r"entry 1 .*unknown key nmae: use name, aliases"),
        ("competitors:\n  - Sky\n  - aliases: [bt]\n", r"entry 2 .*has no name"),
        ("competitors:\n  - 3\n", r"entry 1 \(3\): a name must be text, not 3: .*quotation marks"),
        ("competitors:\n  - name: no\n", r"entry 1 \(False\): `name:` must be text, not False"),
        (
            "competitors:\n  - name: Three\n    aliases: [3]\n",
            r"\(Three\): `aliases:` must be text",
        ),
        ("competitors:\n  - name: Sky\n    aliases: sky tv\n", r"write \[sky tv\]"),
        ("competitors:\n  - name: Sky\n    ambiguous: maybe\n", r"true or false, not 'maybe'"),
        ("competitors:\n  - name: ''\n", r"`name:` is empty"),
        ("competitors:\n  -\n", r"a name must be text, not None"),
        ("competitors: Sky\n", r"must be a list: begin each name with a dash"),
        ("- Sky\n", r"must hold the one key `competitors:`"),
        ("rivals: [Sky]\n", r"must hold the one key `competitors:`"),
        ("competitors: [Sky\n", r"is not YAML"),
        ("competitors: [Sky, sky]\n", r"Listed twice"),
        ("competitors: [T-Mobile, t mobile]\n", r'"t mobile" of t mobile sounds the same as "T-M'),
    ],
)
def test_a_faulty_list_names_the_file_the_entry_and_what_to_do(
    tmp_path: Path, text: str, complaint: str
):
    with pytest.raises(CatalogInvalid, match=complaint) as refusal:
        read(tmp_path, "rivals.yaml", text)
    assert "rivals.yaml" in str(refusal.value)


def test_a_missing_or_binary_file_is_refused_by_name(tmp_path: Path):
    with pytest.raises(CatalogInvalid, match=r"nowhere\.yaml: there is no such file"):
        read_catalog(tmp_path / "nowhere.yaml")
    (tmp_path / "sound.txt").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(CatalogInvalid, match=r"sound\.txt: cannot be read"):
        read_catalog(tmp_path / "sound.txt")
