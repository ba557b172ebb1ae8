"""Metadata of calls in files beside recordings: JSON, XML or CSV, mapped by a table of the source.

A record is flat: its fields are named by their paths, such as `Agent.Name` or `Call.@id`.
"""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, cast
from xml.etree import ElementTree

MAX_RECORDS = 200_000
MAX_DEPTH = 20
_ENTITY = re.compile(r"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_DELIMITERS = ",;\t|"
_NAMES = ("name", "key", "fieldname", "id")
_COLUMNS_OF_NAMES = ("field", "attribute", "property", "parameter", *_NAMES)
MAX_HEADER_CHARS = 2000
_VALUES = ("value", "val", "text")

_UTF_32 = {b"\xff\xfe\0\0": "utf-32-le", b"\0\0\xfe\xff": "utf-32-be"}
_UTF_16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}

FlatRecord = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MetadataTable:
    """Fields of a call by their names in side files; of several names, the first with a value.

    Without `file`, the side file has the name of the recording; it may have placeholders, as in
    `{stem}_info.xml`. In a file with many records, that of the recording has its file name in the
    field `key`.
    """

    fields: Mapping[str, tuple[str, ...]]
    file: str | None = None
    key: str | None = None

    @property
    def is_shared(self) -> bool:
        """Return whether one file is about many recordings."""
        return self.file is not None and not re.search(r"\{(?:stem|name)\}", self.file)

    def files(self, recording_key: str) -> list[str]:
        """Return the keys of the side files of a recording, in order of preference."""
        path = PurePosixPath(recording_key)
        stem = recording_key.removesuffix(path.suffix)
        if self.file is None:
            bases = (stem, recording_key)
            return [f"{base}{suffix}" for suffix in (".json", ".xml", ".csv") for base in bases]
        named = self.file.replace("{stem}", path.stem).replace("{name}", path.name)
        return [_normal(f"{path.parent}/{named}")]

    def find(self, records: Sequence[FlatRecord], recording_key: str) -> dict[str, str] | None:
        """Return the mapped fields of a recording; None if no record is about it."""
        record = self._record(records, recording_key)
        if record is None:
            return None
        found = {field: _value(record, names) for field, names in self.fields.items()}
        return {field: value for field, value in found.items() if value}

    def excerpt(self, name: str, text: str, recording_key: str) -> bytes | None:
        """Return a file of the same form with the record of one recording; None without one.

        Raises ValueError if the file can't be read.
        """
        record = self._record(read_records(name, text), recording_key)
        return write_record(PurePosixPath(name).suffix.lower(), record) if record else None

    def _record(self, records: Sequence[FlatRecord], key: str) -> FlatRecord | None:
        if self.key is None:
            return records[0] if len(records) == 1 else None
        names, stem = _names_of(key), PurePosixPath(key).stem.casefold()
        written = [_written_name(_value(record, (self.key,)) or "") for record in records]
        for record, name in zip(records, written, strict=True):
            if name in names:
                return record
        if len(records) == 1 and (part := _part_about(records[0], self.key, names)):
            return part
        # A recording that was converted has another suffix than in the list.
        for record, name in zip(records, written, strict=True):
            if _without_suffix(name) == stem:
                return record
        # A file beside one recording is about it, also if it repeats another name.
        return records[0] if len(records) == 1 and self.file is None else None


def decode_text(content: bytes) -> tuple[str, bool]:
    """Return the text of a file in UTF-8, 16 or 32, and whether it had to be repaired.

    Lines in neither encoding are read as Windows-1252.
    """
    if encoding := _UTF_32.get(content[:4]):
        return content.decode(encoding, "replace").removeprefix("\ufeff"), False
    if encoding := _UTF_16.get(content[:2]) or _unmarked_utf_16(content):
        return content.decode(encoding, "replace").removeprefix("\ufeff"), False
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        return content.decode(), False
    except UnicodeDecodeError:
        return "\n".join(map(_decode_line, content.split(b"\n"))), True


def _unmarked_utf_16(content: bytes) -> str | None:
    """Return the byte order of UTF-16 without a mark: every other byte of ASCII text is zero."""
    head = content[:200]
    if len(head) < 4 or head.count(0) < len(head) // 3:
        return None
    return "utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be"


def _decode_line(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("cp1252", "replace")


def read_records(name: str, text: str) -> list[FlatRecord]:
    """Return the records of a side file. Raises ValueError with the reason."""
    start = text.lstrip("\ufeff \t\r\n")[:1]
    suffix = PurePosixPath(name).suffix.lower()
    if start == "<":
        return _read_xml(text)
    if start in ("{", "[") and suffix != ".csv":
        return _read_json(text)
    if suffix in (".json", ".xml"):
        raise ValueError(f"it is not {suffix[1:].upper()}")
    return _read_csv(text)


def suffix_of(text: str) -> str:
    """Return the suffix of the form that a side file has: .json, .xml or .csv."""
    start = text.lstrip("\ufeff \t\r\n")[:1]
    return ".xml" if start == "<" else ".json" if start in ("{", "[") else ".csv"


def write_record(suffix: str, record: FlatRecord) -> bytes:
    """Return a side file with one record, whose fields have the same names when it is read."""
    if suffix == ".json":
        return json.dumps(dict(record)).encode()
    if suffix == ".xml":
        root = ElementTree.Element("call")
        for name, value in record.items():
            ElementTree.SubElement(root, "field", name=name, value=value)
        return ElementTree.tostring(root, encoding="utf-8")
    written = io.StringIO()
    csv.writer(written).writerows([record.keys(), record.values()])
    return written.getvalue().encode()


def _read_json(text: str) -> list[FlatRecord]:
    try:
        document = _documents(text.lstrip("\ufeff"))
    except (ValueError, RecursionError) as error:
        place = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise ValueError(f"it is not JSON{place}") from None
    listed = cast("list[Any]", document) if isinstance(document, list) else [document]
    if len(listed) > 1 and not _is_list_of_calls(listed):
        merged: dict[str, str] = {}
        for each in listed:
            merged |= dict(_flatten(each))
        return [merged]
    return [dict(_flatten(each)) for each in listed[:MAX_RECORDS] if isinstance(each, Mapping)]


def _documents(text: str) -> Any:
    """Return the document, or the list of those that stand in a line each."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        try:
            documents = [json.loads(line) for line in lines]
        except ValueError:
            raise error from None
        return documents


def _flatten(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    if depth > MAX_DEPTH:
        return
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, Any]", value)
        if pair := _pair({name.lower(): each for name, each in fields.items()}):
            yield pair
        for name, each in fields.items():
            yield from _flatten(each, f"{path}.{name}" if path else name, depth + 1)
    elif isinstance(value, list):
        for index, each in enumerate(cast("list[Any]", value)):
            yield from _flatten(each, f"{path}.{index}", depth + 1)
    elif isinstance(value, bool):
        yield path, "true" if value else "false"
    elif value is not None:
        yield path, str(value)


def _pair(fields: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return a field that is written as a name and a value."""
    name = next((fields[each] for each in _NAMES if isinstance(fields.get(each), str)), None)
    value = next((fields[each] for each in _VALUES if fields.get(each) is not None), None)
    if name and isinstance(value, str | int | float):
        return name, str(value)
    return None


def _read_xml(text: str) -> list[FlatRecord]:
    if _ENTITY.search(text):
        raise ValueError("it declares a document type, which is not accepted")
    try:
        root = ElementTree.fromstring(text.lstrip("\ufeff \t\r\n"))
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        line = getattr(error, "position", (None,))[0]
        raise ValueError("it is not XML" + (f" (line {line})" if line else "")) from None
    children = list(root)
    is_list = len(children) > 1 and len({child.tag for child in children}) == 1
    has_fields = is_list and all(len(child) or len(child.attrib) > 1 for child in children)
    if has_fields and not any(_pair(_attributes(child)) for child in children):
        return [dict(_flatten_xml(child, "", 0)) for child in children[:MAX_RECORDS]]
    return [dict(_flatten_xml(root, "", 0))]


def _flatten_xml(element: ElementTree.Element, path: str, depth: int) -> Iterator[tuple[str, str]]:
    if depth > MAX_DEPTH:
        return
    text = (element.text or "").strip()
    attributes = _attributes(element)
    if pair := _pair(attributes | ({"value": text} if text and "value" not in attributes else {})):
        yield pair
    if text and path:
        yield path, text
    for name, value in attributes.items():
        yield f"{path}.@{name}" if path else f"@{name}", value
    counts = Counter[str]()
    for child in element:
        tag = child.tag.rpartition("}")[2]
        repeated = f"{tag}.{counts[tag]}" if counts[tag] else tag
        counts[tag] += 1
        yield from _flatten_xml(child, f"{path}.{repeated}" if path else repeated, depth + 1)


def _attributes(element: ElementTree.Element) -> dict[str, str]:
    return {name.rpartition("}")[2].lower(): value for name, value in element.attrib.items()}


def _read_csv(text: str) -> list[FlatRecord]:
    plain = text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff \n")
    while plain.startswith("#") or plain[:4].lower() == "sep=":
        plain = plain.partition("\n")[2].lstrip(" \n")
    header = plain.partition("\n")[0]
    if header.count('"') % 2:  # a name of a column that has a line break
        header = plain[: plain.find('"', len(header)) + MAX_HEADER_CHARS]
    delimiter = max(_DELIMITERS, key=header.count)
    if header.count(delimiter) == 0:
        raise ValueError("its first line has no column names")
    try:
        rows = csv.DictReader(io.StringIO(plain), delimiter=delimiter, skipinitialspace=True)
        records = [
            {name.strip(): value.strip() for name, value in row.items() if name and value}
            for row, _ in zip(rows, range(MAX_RECORDS), strict=False)
        ]
    except csv.Error:
        raise ValueError("it is not CSV") from None
    return _paired(records, [name.strip() for name in rows.fieldnames or ()])


def _paired(records: list[dict[str, str]], columns: Sequence[str]) -> list[FlatRecord]:
    """Return one record of a file that has a line for each field, with its name and value."""
    folded = [column.casefold() for column in columns]
    if len(folded) != 2 or folded[0] not in _COLUMNS_OF_NAMES or folded[1] not in _VALUES:
        return list(records)
    first, second = columns
    return [{each[first]: each[second] for each in records if first in each and second in each}]


def _value(record: FlatRecord, names: Sequence[str]) -> str | None:
    """Return the first value of these paths; a path may leave out what is above it."""
    folded: dict[str, str] = {}
    for path, value in record.items():
        folded.setdefault(_fold(path), value)
    for name in names:
        wanted = _fold(name)
        if found := folded.get(wanted, "").strip():
            return found
        nested = tuple(f"{wanted}.{each}" for each in _VALUES)
        for path, value in folded.items():
            if path.endswith((f".{wanted}", *(f".{each}" for each in nested))) and value.strip():
                return value.strip()
        if found := next((folded[each] for each in nested if folded.get(each, "").strip()), None):
            return found.strip()
    return None


def _names_of(key: str) -> set[str]:
    """Return what a list may write for a recording: its name with or without folder or suffix."""
    path = PurePosixPath(key)
    return {path.name.casefold(), path.stem.casefold(), key.casefold()}


def _written_name(written: str) -> str:
    """Return the name of a recording that a list gives as a name, a path or a URL."""
    plain = written.strip("'\" ").replace("\\", "/").casefold()
    if "://" in plain:
        plain = plain.partition("?")[0]
    return plain.rpartition("/")[2]


def _without_suffix(name: str) -> str | None:
    return PurePosixPath(name).stem if PurePosixPath(name).suffix else None


def _part_about(record: FlatRecord, key: str, names: set[str]) -> FlatRecord | None:
    """Return the fields of one recording in a record that has a list or a table of several."""
    wanted = _fold(key)
    for path, value in record.items():
        above, _, last = path.rpartition(".")
        if above and _fold(last) == wanted and _written_name(value) in names:
            return _below(record, above)
    named = next((name for name in names if _below(record, name)), None)
    return None if named is None else _below(record, named)


def _below(record: FlatRecord, above: str) -> dict[str, str]:
    """Return the fields below a path, without those of its numbered neighbours."""
    start, found = f"{above}.".casefold(), dict[str, str]()
    for path, value in record.items():
        rest = path[len(start) :]
        if path.casefold().startswith(start) and not rest.partition(".")[0].isdigit():
            found[rest] = value
    return found


def _is_list_of_calls(listed: Sequence[Any]) -> bool:
    """Return whether the documents are alike: parts of one call have other fields each."""
    documents = [cast("Mapping[str, Any]", each) for each in listed if isinstance(each, Mapping)]
    return len(documents) > 1 and any(
        all(name in each for each in documents[1:]) for name in documents[0]
    )


def _fold(path: str) -> str:
    plain = re.sub(r"\[(\d+)\]", r".\1", path.replace("/", ".")).replace("@", "")
    return plain.strip(". ").casefold()


def _normal(key: str) -> str:
    """Return a key without `.` and `..`; it never leads above the folder of all recordings."""
    parts: list[str] = []
    for part in key.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
