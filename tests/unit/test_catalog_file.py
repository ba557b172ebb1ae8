"""Loading of the catalog from YAML and text files."""

from pathlib import Path

import pytest

from callpipeline.domain.competitors.catalog import Catalog, Competitor
from callpipeline.errors import CatalogInvalid
from callpipeline.storage.catalog.files import catalog_to_yaml, parse_catalog, read_catalog

CASES = Path(__file__).parents[1] / "data" / "catalogs"


def read(folder: Path, name: str, text: str) -> tuple[Competitor, ...]:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return read_catalog(file).catalog.competitors


def test_yaml_entries_are_names_or_mappings(tmp_path: Path):
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
def test_an_empty_list_is_refused(tmp_path: Path, text: str):
    """A file that an editor has just truncated must not remove every mention."""
    with pytest.raises(CatalogInvalid, match="the list is empty"):
        read(tmp_path, "competitors.yml", text)


def test_a_text_file_has_one_name_per_line(tmp_path: Path):
    text = "\ufeff# telecom\nVodafone  # the red one\n\n  T-Mobile\r\n"
    assert [c.name for c in read(tmp_path, "competitors.txt", text)] == ["Vodafone", "T-Mobile"]


def test_ordinary_words_are_ambiguous_in_a_text_file(tmp_path: Path):
    text = "Three\nID\nsky\nOrange\nEE\nOne\nOlive\nApple\nVodafone\n"
    ambiguous = {c.name: c.ambiguous for c in read(tmp_path, "competitors.TXT", text)}
    assert ambiguous.pop("Vodafone") is False
    assert all(ambiguous.values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("competitors:\n  - nmae: Sky\n", r"line 2: unknown key nmae: did you mean name\?"),
        ("competitors:\n  - Sky\n  - aliases: [bt]\n", r"line 3: has no name"),
        ("competitors:\n  - 3\n", r"line 2: a name must be text, not 3: .*quotation marks"),
        ("competitors:\n  - name: no\n", r"line 2: `name:` must be text, not no"),
        (
            "competitors:\n  - name: Three\n    aliases: [3]\n",
            r"line 3: `aliases:` must be text",
        ),
        ("competitors:\n  - name: Sky\n    aliases: sky tv\n", r"line 3: .*write \[sky tv\]"),
        ("competitors:\n  - name: Sky\n    ambiguous: maybe\n", r"true or false, not 'maybe'"),
        ("competitors:\n  - name: ''\n", r"line 2: a name is empty"),
        ("competitors:\n  -\n", r"a name must be text, not nothing"),
        ("competitors: Sky\n", r"must be a list: start each name with a dash"),
        ("rivals: [Sky]\n", r"line 1: unknown key rivals: use competitors"),
        ("Sky\n", r"must have the key `competitors:`"),
        ("competitors: [Sky\n", r"invalid YAML"),
        (
            "competitors:\n  - {name: Sky, aliases: [a b]}\n  - {name: sky, aliases: [c d]}\n",
            r"line 3: sky is listed already at line 2",
        ),
        ("competitors: [Sky tv, {name: Sky, aliases: [SkyTV]}]\n", r'sounds like "Sky tv"'),
        ("competitors: " + "[" * 5000 + "]" * 5000, r"line 1: too many brackets"),
    ],
)
def test_errors_name_the_file_the_line_and_the_fix(tmp_path: Path, text: str, message: str):
    with pytest.raises(CatalogInvalid, match=message) as raised:
        read(tmp_path, "rivals.yaml", text)
    assert "rivals.yaml" in str(raised.value)


def test_errors_name_a_missing_or_binary_file(tmp_path: Path):
    with pytest.raises(CatalogInvalid, match=r"nowhere\.yaml: file not found"):
        read_catalog(tmp_path / "nowhere.yaml")
    (tmp_path / "binary.txt").write_bytes(b"Sky\n\xfa\xfe\x00\x81")
    with pytest.raises(CatalogInvalid, match=r"binary\.txt: line 2: cannot be read"):
        read_catalog(tmp_path / "binary.txt")


READ = {
    "amb_yes2.yaml": {"Three": True},
    "bom_crlf.yaml": {"Vodafone": False, "Three": True},
    "crm.csv": {"Vodafone": False, "Three": True},
    "dup.yaml": {"Vodafone": False},
    "dup_space.yaml": {"T-Mobile": False},
    "json.json": {"Vodafone": False},
    "nbsp.yaml": {"Voda fone": False},
    "ordinary_unmarked.yaml": {"Target": True, "Next": True, "Three": True, "Now": True},
    "ownbrand.yaml": {"Riverside Telecom": False},
    "smart.yaml": {"Three": True},
    "toplist.yaml": {"Vodafone": False, "Three": True},
    "trailing_hash.txt": {"C# Corp": False, "Vodafone": False},
    "utf16.txt": {"Nestlé": False, "Vodafone": False},
}
"""Files that are read, with each name and whether it is ambiguous."""
REFUSED = {
    "alias_is_name.yaml": 3,
    "alias_two.yaml": 3,
    "aliases_str.yaml": 3,
    "amb_yes.yaml": 3,
    "amp.yaml": 3,
    "anchor.yaml": 1,
    "at.yaml": 2,
    "bomb.yaml": 1,
    "colon.yaml": 2,
    "comma.txt": 1,
    "date.yaml": 2,
    "dupkey.yaml": 3,
    "dupkey2.yaml": 4,
    "emoji.yaml": 2,
    "empty.txt": 1,
    "empty.yaml": 1,
    "empty_list.yaml": 1,
    "indent.yaml": 3,
    "inlinehash.yaml": 2,
    "latin1.yaml": 2,
    "long.yaml": 2,
    "nul.yaml": 2,
    "number.yaml": 2,
    "percent.yaml": 2,
    "stopword.yaml": 2,
    "string.yaml": 1,
    "tabcsv.txt": 1,
    "tabs.yaml": 2,
    "typo.yaml": 3,
    "typo2.yaml": 3,
    "xlsx.yaml": 1,
}
"""Files that are refused, with the line of the first problem."""


def test_every_hostile_file_is_named_here():
    assert {path.name for path in CASES.iterdir()} == READ.keys() | REFUSED.keys()


@pytest.mark.parametrize("name", READ)
def test_a_file_is_read_as_it_was_meant(name: str):
    found = read_catalog(CASES / name).catalog.competitors
    assert {each.name: each.ambiguous for each in found} == READ[name]


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_is_refused_with_its_line(name: str):
    with pytest.raises(CatalogInvalid, match=rf"{name}: line {REFUSED[name]}: ") as raised:
        read_catalog(CASES / name)
    assert len(str(raised.value)) < 1000


def test_aliases_of_a_csv_file_are_separated_by_semicolons():
    first, second = read_catalog(CASES / "crm.csv").catalog.competitors
    assert (first.aliases, second.aliases) == (("voda phone", "voda fone"), ("3 mobile",))


def test_the_list_of_the_old_system_is_merged_with_warnings(tmp_path: Path):
    path = tmp_path / "competitors.txt"
    path.write_text("\n".join(OLD_LIST.split(", ")))
    read = read_catalog(path)
    names = [each.name for each in read.catalog.competitors]
    assert {"giffgaff", "Truphone", "SMARTY", "spusu", "1 Global"} <= set(names)
    assert len(names) == len(OLD_LIST.split(", ")) - 2
    merged = [warning for warning in read.warnings if "read as one" in warning]
    assert merged == [
        "line 29: GiffGaff is listed already as giffgaff (line 6): read as one.",
        "line 35: TruPhone is listed already as Truphone (line 20): read as one.",
    ]


OLD_LIST = (
    "1p, Asda, CMLink, CTExcel, Ecotalk, giffgaff, ID, Lebara, Lyca, Sky, SMARTY, spusu, "
    "Superdrug, Talkmobile, Tesco, Co Op, 1 Global, Utility Warehouse, VOXI, Truphone, BT, EE, O2, "
    "Vodafone, Three, Alternative, Daisy, Gamma, GiffGaff, Intercity, Olive, Onecom, TalkTalk, "
    "T Mobile, TruPhone, Virgin"
)


def test_sounds_like_aliases_are_read_checked_and_exported(tmp_path: Path):
    text = "competitors:\n  - {name: Cyteva, sounds_like: [site eva, Sativa]}\n"
    competitors = read(tmp_path, "competitors.yaml", text)
    assert competitors == (Competitor("Cyteva", sounds_like=("site eva", "Sativa")),)
    assert read(tmp_path, "a.csv", "name,sounds like\nCyteva,site eva;Sativa\n") == competitors
    catalog = Catalog(competitors)
    assert parse_catalog(catalog_to_yaml(catalog).encode(), "a.yaml").catalog == catalog
    with pytest.raises(CatalogInvalid, match=r"line 2: `sounds_like:` must be a list"):
        read(tmp_path, "b.yaml", text.replace("[site eva, Sativa]", "site eva"))
    with pytest.raises(CatalogInvalid, match=r"line 3: .* sounds like .site eva. of Cyteva"):
        read(tmp_path, "c.yaml", f"{text}  - Siteeva\n")


@pytest.mark.parametrize("name", READ)
def test_an_exported_list_reads_as_the_same_version(name: str, tmp_path: Path):
    catalog = read_catalog(CASES / name).catalog
    exported = tmp_path / "exported.yaml"
    exported.write_text(catalog_to_yaml(catalog))
    again = read_catalog(exported)
    assert (again.catalog, again.warnings) == (catalog, ())


def test_names_that_yaml_would_read_otherwise_are_exported_in_quotes():
    catalog = Catalog(
        (
            Competitor("3", ambiguous=True),
            Competitor("no", ambiguous=True),
            Competitor("@home", ("C# Corp", "Number #1 Shop"), own=True),
            Competitor("12:30"),
        )
    )
    assert parse_catalog(catalog_to_yaml(catalog).encode(), "a.yaml").catalog == catalog
