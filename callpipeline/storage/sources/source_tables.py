"""Fields of a source that are tables or lists, checked one by one.

Every error names the field and says what to write instead.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, cast

from callpipeline.domain.audio import Speaker
from callpipeline.domain.calls.side_files import MetadataTable
from callpipeline.domain.redaction.tokens import Kind
from callpipeline.errors import SettingsInvalid

_ROLES = {
    "agent": Speaker.AGENT,
    "customer": Speaker.CUSTOMER,
    "unknown": Speaker.UNKNOWN,
}


def parse_speakers(value: object) -> Mapping[str, Speaker]:
    """Return roles by label, written as `label: role`, or as `agent: [labels]`."""
    example = "for example `speakers: {SPEAKER_00: agent, Bert Cole: customer}`"
    roles: dict[str, Speaker] = {}
    for name, role in _table(value, "speakers", example).items():
        if name.casefold() in _ROLES and isinstance(role, list):
            labels = cast("list[object]", role)
            roles |= dict.fromkeys(map(_label, labels), _ROLES[name.casefold()])
            continue
        stated = _ROLES.get(str(role).strip().casefold())
        if stated is None:
            raise SettingsInvalid(
                f"`speakers:` {name} must be agent, customer or unknown, not {role}; {example}."
            )
        roles[name] = stated
    return roles


def parse_metadata(value: object) -> MetadataTable:
    """Return the fields of calls by their names in side files, with file and key if given."""
    example = "for example `metadata: {fields: {agent: AgentName, started_at: Call.Start}}`"
    table = _table(value, "metadata", example)
    file, key = table.pop("file", None), table.pop("key", None)
    named = _table(table.pop("fields"), "fields", example) if "fields" in table else table
    if "fields" not in cast("Mapping[str, Any]", value):
        table = {}
    if table:
        unknown = ", ".join(sorted(table))
        raise SettingsInvalid(f"`metadata:` {unknown} is unknown: use file, key and fields.")
    fields: dict[str, tuple[str, ...]] = {}
    for field, paths in named.items():
        if not re.fullmatch(r"[A-Za-z]\w{0,59}", field, re.ASCII):
            raise SettingsInvalid(
                f"`metadata:` {field} is no name of a field: use letters, digits and underscores."
            )
        listed = cast("list[object]", paths) if isinstance(paths, list) else [paths]
        names = tuple(_label(each) for each in listed if each is not None)
        if not names or not all(names):
            raise SettingsInvalid(f"`metadata:` {field} has no name in the side file; {example}.")
        fields[field] = names
    if not fields:
        raise SettingsInvalid(f"`metadata:` has no fields: {example}.")
    is_single = file is None or "{" in str(file)
    if not is_single and key is None:
        raise SettingsInvalid(
            f"`metadata:` {file} is about many recordings: add `key:` with the column that has "
            "their file names."
        )
    return MetadataTable(
        fields, None if file is None else _label(file), None if key is None else _label(key)
    )


def parse_time_format(text: str) -> str:
    """Check that a format reads back the day that it writes."""
    at = datetime(2026, 11, 22, 15, 4, 5, tzinfo=UTC)
    try:
        read = datetime.strptime(at.strftime(text), text)  # noqa: DTZ007
    except ValueError:
        read = None
    if read is None or read.date() != at.date():
        raise SettingsInvalid(
            f"`time_format:` {text} does not give a day: write for example "
            "'%d/%m/%Y %H:%M:%S' or '%m/%d/%Y %I:%M %p'."
        )
    if "%I" in text and "%p" not in text:
        raise SettingsInvalid("`time_format:` has hours up to 12 (%I): add %p for AM and PM.")
    return text


def parse_patterns(field: str) -> Callable[[object], tuple[str, ...]]:
    """Return a parser of a list of patterns of keys; a single one needs no list."""

    def parse(value: object) -> tuple[str, ...]:
        listed = cast("list[object]", value) if isinstance(value, list) else [value]
        patterns = [each.strip() for each in listed if isinstance(each, str) and each.strip()]
        if len(patterns) != len(listed) or not patterns:
            raise SettingsInvalid(
                f"`{field}:` must be a list of patterns in quotation marks: for example "
                f"`{field}: ['*.wav', 'archive/*']`."
            )
        return tuple(patterns)

    return parse


def parse_redact(value: object) -> frozenset[Kind]:
    """Parse the kinds of numbers to mask: a list, one kind, or off."""
    if value is False or value == "off":  # YAML reads a bare off as false
        return frozenset()
    listed = cast("list[object]", value) if isinstance(value, list) else [value]
    try:
        return frozenset(Kind(str(each)) for each in listed)
    except ValueError:
        raise SettingsInvalid(
            f"`redact:` must be a list of {', '.join(Kind)}, or off: for example "
            "`redact: [card, bank]`."
        ) from None


def _label(value: object) -> str:
    return str(value).strip()


def _table(value: object, field: str, example: str) -> dict[str, Any]:
    """Return a table by its names as text, since YAML reads a bare 0 as a number."""
    if not isinstance(value, Mapping) or not value:
        raise SettingsInvalid(f"`{field}:` must be a table: {example}.")
    table = cast("Mapping[object, Any]", value)
    return {str(name).strip(): each for name, each in table.items()}
