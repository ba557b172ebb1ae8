"""Parsing of competitor lists: YAML (or JSON), text with a name per line, and CSV with a header.

Every error names the line and says what to write instead. What a person surely meant is read so,
with a warning: a name listed twice, curly quotation marks, an ordinary word not marked ambiguous.
"""

import csv
import io
import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from callpipeline.domain.competitors.catalog import Catalog, normalise
from callpipeline.errors import CatalogInvalid
from callpipeline.storage.catalog.entries import (
    FLAG_KEYS,
    FUNCTION_WORDS,
    GLUED_HASH,
    LIST_KEYS,
    ORDINARY_WORDS,
    ListEntry,
    ListProblems,
    ParsedCatalog,
    checked_catalog,
    clean_name,
    glued_hash,
)
from callpipeline.storage.catalog.yaml_reader import YamlCatalogReader

MAX_FILE_BYTES = 1_000_000
_NAME_COLUMNS = frozenset({"name", "competitor", "company", "competitor name", "company name"})
_COLUMN_NAMES = {
    "alias": "aliases", "other names": "aliases", "own brand": "own", "sounds like": "sounds_like",
}  # fmt: skip
_YES, _NO = frozenset({"yes", "y", "true", "1", "x"}), frozenset({"no", "n", "false", "0", ""})
_COMMENT = re.compile(r"(?:^|\s)#(?:\s.*|$)|^#.*")


def read_catalog(path: Path) -> ParsedCatalog:
    """Read a competitor list. Raises CatalogInvalid."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise CatalogInvalid(f"{path}: file not found; create it, with a list.") from error
    except OSError as error:
        raise CatalogInvalid(f"{path}: cannot be read ({error.strerror}).") from error
    try:
        return parse_catalog(content, path.name)
    except CatalogInvalid as error:
        raise CatalogInvalid(f"{path}: {error}") from error


def parse_catalog(content: bytes, name: str) -> ParsedCatalog:
    """Parse a competitor list; the ending of `name` says how. Raises CatalogInvalid."""
    problems = ListProblems()
    text = _decode(content)
    suffix = Path(name).suffix.casefold()
    try:
        if suffix == ".csv":
            entries = _csv_entries(text, _delimiter(text), problems)
        elif suffix == ".txt":
            delimiter = _delimiter(text)
            is_csv = delimiter is not None
            entries = _csv_entries(text, delimiter, problems) if is_csv else _lines(text, problems)
        else:
            entries = YamlCatalogReader(text, problems).entries()
    except RecursionError:
        raise CatalogInvalid("line 1: the file is nested too deeply to be a list.") from None
    problems.check()
    if not entries:
        raise CatalogInvalid(
            "line 1: the list is empty: write at least one name. The list in use stays in force."
        )
    return checked_catalog(entries, problems)


def catalog_to_yaml(catalog: Catalog) -> str:
    """Return a catalog as a YAML file that parses to the same version.

    The first line names the version: an edited file replaces that version only.
    """
    entries: list[object] = []
    for each in catalog.competitors:
        entry: dict[str, object] = {"name": each.name}
        entry |= {key: list(getattr(each, key)) for key in LIST_KEYS if getattr(each, key)}
        # An ordinary word is ambiguous unless stated.
        if each.ambiguous or normalise(each.name) in ORDINARY_WORDS | FUNCTION_WORDS:
            entry["ambiguous"] = each.ambiguous
        if each.own:
            entry["own"] = True
        if each.sells:
            entry["sells"] = each.sells
        entries.append(each.name if len(entry) == 1 else entry)
    listed = yaml.safe_dump(
        {"competitors": entries}, sort_keys=False, allow_unicode=True, width=100
    )
    return f"# version {catalog.version}\n{listed}"


def base_version(content: bytes) -> str | None:
    """Return the version that an exported file was made from, by its first line."""
    found = re.match(rb"(?:\xef\xbb\xbf)?# version ([0-9a-f]{12})\s", content)
    return found[1].decode() if found else None


def _decode(content: bytes) -> str:
    if content[:4] == b"PK\x03\x04" or content[:4] == b"\xd0\xcf\x11\xe0":
        raise CatalogInvalid("line 1: this is a spreadsheet: save it as CSV, and use that file.")
    if len(content) > MAX_FILE_BYTES:
        raise CatalogInvalid("line 1: the file is larger than 1 MB: no list of names is.")
    # Windows programs save "Unicode" as UTF-16 with a mark at the start.
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise CatalogInvalid(f"line {line}: cannot be read as UTF-8: save it as UTF-8.") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if bad := re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", line):
            raise CatalogInvalid(
                f"line {number}: has the character U+{ord(bad[0]):04X}, which is no text: delete "
                "it, or type the line again."
            )
    return text


def _lines(text: str, problems: ListProblems) -> list[ListEntry]:
    entries: list[ListEntry] = []
    for number, line in enumerate(text.splitlines(), start=1):
        plain = _COMMENT.sub("", line).strip()
        if not plain:
            continue
        if GLUED_HASH.search(plain):
            problems.add(number, glued_hash(plain))
        elif re.search(r"[,;\t|]", plain):
            problems.add(number, f"{plain!r}: write one name per line; aliases need YAML or CSV.")
        else:
            entries += _named(number, plain, problems)
    return entries


def _named(line: int, written: str, problems: ListProblems) -> list[ListEntry]:
    name = clean_name(line, written, problems)
    return [ListEntry(line, name)] if name else []


def _delimiter(text: str) -> str | None:
    """Return the delimiter of a CSV header, or None if the first line is none."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    for delimiter in (",", ";", "\t"):
        cells = first.split(delimiter)
        if len(cells) > 1 and cells[0].strip(' "').casefold() in _NAME_COLUMNS:
            return delimiter
    return None


def _csv_entries(text: str, delimiter: str | None, problems: ListProblems) -> list[ListEntry]:
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter or ",")
    entries: list[ListEntry] = []
    columns: list[str] = []
    try:
        for row in rows:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if not columns:
                columns = [_COLUMN_NAMES.get(c.casefold(), c.casefold()) for c in cells]
                if columns[0] not in _NAME_COLUMNS:
                    raise CatalogInvalid(
                        f"line {rows.line_num}: the first line must name the columns: name, "
                        "aliases, ambiguous."
                    )
                columns[0] = "name"
                continue
            if len(cells) > len(columns):
                problems.add(rows.line_num, "has more cells than the header: quote the aliases.")
                continue
            entries += _csv_entry(rows.line_num, dict(zip(columns, cells, strict=False)), problems)
    except csv.Error as error:
        problems.add(rows.line_num, f"is not CSV ({error}).")
    return entries


def _csv_entry(line: int, cells: Mapping[str, str], problems: ListProblems) -> list[ListEntry]:
    name = clean_name(line, cells["name"], problems)
    lists = {
        key: tuple(
            cleaned
            for part in re.split(r"[;|,]", cells.get(key, ""))
            if part.strip() and (cleaned := clean_name(line, part, problems))
        )
        for key in LIST_KEYS
    }
    flags: dict[str, bool | None] = {}
    for key in FLAG_KEYS:
        said = cells.get(key, "").casefold()
        if said not in _YES | _NO:
            problems.add(line, f"{key} must be yes or no, not {said!r}.")
        flags[key] = None if not said else said in _YES
    if not name:
        return []
    return [
        ListEntry(line, name, lists["aliases"], flags["ambiguous"], lists["evidence"],
               bool(flags["own"]), " ".join(cells.get("sells", "").split()),
               lists["sounds_like"])
    ]  # fmt: skip
